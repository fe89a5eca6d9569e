"""The calendar of the drill programme, quiet periods, and the addresses at which calendars read a team's drills."""

from __future__ import annotations

import datetime as dt
from calendar import day_name

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from drills.domain.feeds import list_feeds, make_feed, revoke_feed
from drills.domain.programme_selectors import LIMIT, list_planned
from drills.domain.quiet import end_quiet_period, list_quiet_periods, make_quiet_period
from rollbackhub.accounts.models import Team
from rollbackhub.accounts.rules import Capability
from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.calendar_page import month_of, read_month, span_of
from rollbackhub.dashboard.filters import say_what_is_left_out
from rollbackhub.dashboard.plan_forms import FeedForm, QuietForm

MADE = "calendar_feed_made"
"""Where the session keeps the secret of a feed until the next page has shown it."""

QUIET_DAYS = 90
"""How long quiet periods that are over stay on their page."""


@require_safe
@requires(Capability.VIEW)
def calendar(request: HttpRequest) -> HttpResponse:
    """Which drills come, and which were held, in one month."""
    teams = {team.slug: team for team in Team.objects.all()}
    today = timezone.localdate()
    asked = {name: request.GET.get(name, "") for name in ("month", "team", "day")}
    first, day = read_month(asked["month"]), _read_day(asked["day"])
    wrong = [
        name
        for name, is_wrong in (
            ("month", first is None),
            ("team", asked["team"] not in teams),
            ("day", day is None or day.replace(day=1) != (first or today.replace(day=1))),
        )
        if asked[name] and is_wrong
    ]
    say_what_is_left_out(request, wrong)
    team = "" if "team" in wrong else asked["team"]
    first = first or today.replace(day=1)
    since, until = span_of(first)
    rows = list_planned(since=since, until=until, team=team, limit=LIMIT + 1)
    quiets = list(list_quiet_periods(team=team, since=since, until=until))
    month = month_of(first, rows=rows[:LIMIT], quiets=quiets, today=today)
    context = {
        "month": month,
        "weekdays": list(day_name),
        "day": month.day(day) if day is not None and "day" not in wrong else None,
        "quiets": quiets,
        "teams": list(teams.values()),
        "team": team,
        "is_cut": len(rows) > LIMIT,
        "limit": LIMIT,
        "whole_until": rows[LIMIT].starts_at if len(rows) > LIMIT else None,
        "this_month": today.replace(day=1),
    }
    return render(request, "drills/calendar.html", context)


@require_safe
@requires(Capability.VIEW)
def quiet_list(request: HttpRequest) -> HttpResponse:
    """When no planned drill starts: now, later, and lately."""
    now = clock.now()
    found = list(list_quiet_periods(since=now - dt.timedelta(days=QUIET_DAYS)))
    context = {
        "coming": [quiet for quiet in found if quiet.ends_at > now],
        "over": [quiet for quiet in reversed(found) if quiet.ends_at <= now],
        "days": QUIET_DAYS,
    }
    return render(request, "drills/quiet.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.CONFIGURE)
def quiet_new(request: HttpRequest) -> HttpResponse:
    """Keep planned drills from starting for a time."""
    form = QuietForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        values = form.cleaned_data
        try:
            quiet = make_quiet_period(
                team=form.chosen_team(),
                starts_at=values["starts_at"],
                ends_at=values["ends_at"],
                reason=values["reason"],
                actor=actor(request),
                user=person(request),
            )
        except InvalidInput as error:
            for name, sentences in error.fields.items() or [("reason", [error.message])]:
                for sentence in sentences:
                    form.add_error(name if name in form.fields else None, sentence)
        else:
            messages.success(request, f"It is quiet then ({quiet.reason}). Drills that fall into it are moved behind it within a minute.")
            return redirect("drills:quiet")
    return render(request, "drills/quiet_form.html", {"form": form}, status=422 if form.errors else 200)


@require_POST
@requires(Capability.CONFIGURE)
def quiet_end(request: HttpRequest, quiet_id: int) -> HttpResponse:
    """Take it back, or end it now."""
    end_quiet_period(quiet_id=quiet_id, actor=actor(request), user=person(request))
    messages.success(request, "The quiet period is taken back. Drills that it had moved stay where they are.")
    return redirect("drills:quiet")


@require_safe
@requires(Capability.VIEW)
def feed_list(request: HttpRequest) -> HttpResponse:
    """Which calendars read a team's drills; after one was made, its address, this once."""
    feeds = list(list_feeds())
    made_id, secret = request.session.pop(MADE, (None, ""))
    made = next((feed for feed in feeds if feed.pk == made_id and feed.revoked_at is None), None)
    context = {"made": made, "address": f"{settings.PUBLIC_URL}{reverse('calendar-feed', args=[secret])}"} if made is not None else {}
    response = render(request, "drills/feeds.html", {"feeds": feeds, "form": FeedForm(), **context})
    if context:
        response["Cache-Control"] = "no-store"
    return response


@require_POST
@requires(Capability.CONFIGURE)
def feed_new(request: HttpRequest) -> HttpResponse:
    """Make a secret address. The page that the answer leads to is the only one that ever shows it; loading that again makes no other."""
    form = FeedForm(request.POST)
    if form.is_valid():
        try:
            feed, secret = make_feed(team=form.chosen_team(), name=form.cleaned_data["name"], actor=actor(request), user=person(request))
        except InvalidInput as error:
            form.add_error("name", error.message)
        else:
            request.session[MADE] = [feed.pk, secret]
            return redirect("drills:feeds")
    return render(request, "drills/feeds.html", {"feeds": list(list_feeds()), "form": form}, status=422)


@require_POST
@requires(Capability.CONFIGURE)
def feed_revoke(request: HttpRequest, feed_id: int) -> HttpResponse:
    """End a secret address at once."""
    feed = revoke_feed(feed_id=feed_id, actor=actor(request), user=person(request))
    messages.success(request, f"The address of {feed.name} is revoked: whatever reads it gets nothing any more.")
    return redirect("drills:feeds")


def _read_day(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return None
