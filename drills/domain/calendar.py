"""A team's drills as iCalendar: past ones with their result, announced ones at their time, unannounced ones as the period in which they may come."""

from __future__ import annotations

import datetime as dt
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from django.conf import settings
from icalendar import Calendar, Event

from drills.domain.programme_selectors import PlannedRow, list_planned
from drills.domain.quiet import list_quiet_periods
from drills.enums import PlannedState
from drills.models import QuietPeriod
from rollbackhub.accounts.domain.actors import name_of
from rollbackhub.accounts.models import Team
from rollbackhub.common import clock
from rollbackhub.common.sentences import with_stop

SHOWN_BACK = dt.timedelta(days=366)
SHOWN_AHEAD = dt.timedelta(days=200)
LIMIT = 5000

TAKES = dt.timedelta(minutes=30)
"""What calendars are told that a drill takes, while it is not known."""


def calendar_of(team: Team) -> bytes:
    """The team's drills and quiet periods of a year back and all that is planned. The same bytes while nothing has changed. Two queries."""
    now = clock.now()
    # Whole days: what is answered does not change with every second.
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    since, until = today - SHOWN_BACK, today + SHOWN_AHEAD
    calendar = Calendar()
    calendar.add("prodid", "-//RollbackHub//Drill programme//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", f"Drills of {team.name}")
    calendar.add("refresh-interval", dt.timedelta(hours=1), parameters={"value": "DURATION"})
    calendar.add("x-published-ttl", "PT1H")
    zone = ZoneInfo(team.timezone)
    for row in list_planned(team=team.slug, since=since, until=until, limit=LIMIT):
        calendar.add_component(_drill(row, zone))
    for quiet in list_quiet_periods(team=team.slug, since=since, until=until):
        calendar.add_component(_quiet(quiet))
    return bytes(calendar.to_ical())


def _drill(row: PlannedRow, zone: ZoneInfo) -> Event:
    event = _event(f"planned-drill-{row.id}", row.ended_at or row.started_at or row.plan.created_at)
    what = row.alias or f"one alias of {row.plan.target_artefact.slug}"
    if row.starts_at is None:
        # As days: nobody is told the time, and calendars show that it is no appointment.
        event.add("dtstart", row.period_starts_at.astimezone(zone).date())
        event.add("dtend", _day_after(row.period_ends_at.astimezone(zone)))
        event.add("summary", f"Unannounced drill {row.when_in_words}: {row.plan.name}")
    else:
        begins = row.started_at or row.starts_at
        ends = row.ended_at if row.started_at is not None and row.ended_at is not None else begins + TAKES
        event.add("dtstart", begins.astimezone(dt.UTC))
        event.add("dtend", max(ends, begins + dt.timedelta(minutes=1)).astimezone(dt.UTC))
        event.add("summary", f"Drill {row.state.label.lower()}: {row.plan.name}" if row.state != PlannedState.DUE else f"Drill: {row.plan.name}")
    said = [f"The rollback of {what} in {row.environment}, on the engine that production rollbacks use.", f"State: {row.state.label.lower()}."]
    said += [with_stop(row.why)] if row.why else []
    owner = row.plan.owner
    said.append(f"Owner: {name_of(owner)}.")
    event.add("description", "\n".join(said))
    event.add("status", "CANCELLED" if row.state == PlannedState.EXCUSED else "CONFIRMED")
    event.add("url", f"{settings.PUBLIC_URL}{row.url or f'/drills/planned/{row.id}/'}")
    return event


def _quiet(quiet: QuietPeriod) -> Event:
    event = _event(f"quiet-period-{quiet.pk}", quiet.starts_at)
    event.add("dtstart", quiet.starts_at.astimezone(dt.UTC))
    event.add("dtend", quiet.ends_at.astimezone(dt.UTC))
    event.add("summary", f"No drills: {quiet.reason}")
    event.add("description", f"No planned drill of {quiet.team.name if quiet.team else 'any team'} starts.")
    return event


def _event(name: str, stamp: dt.datetime) -> Event:
    event = Event()
    event.add("uid", f"{name}@{urlsplit(settings.PUBLIC_URL).hostname or 'rollbackhub'}")
    event.add("dtstamp", stamp.astimezone(dt.UTC).replace(microsecond=0))
    # A drill takes nobody's time.
    event.add("transp", "TRANSPARENT")
    return event


def _day_after(until: dt.datetime) -> dt.date:
    """The first day that does not belong to it any more."""
    midnight = (until.hour, until.minute, until.second) == (0, 0, 0)
    return until.date() if midnight else until.date() + dt.timedelta(days=1)
