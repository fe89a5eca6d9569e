"""Quiet periods: when no planned drill starts. Their only writer, and how they are read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.db import transaction
from django.db.models import Q, QuerySet

from drills.domain.schedule import Quiet
from drills.models import QuietPeriod
from rollbackhub.accounts.models import Team, User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.common.shown_text import spoken

LONGEST = dt.timedelta(days=92)


def make_quiet_period(*, team: Team | None, starts_at: dt.datetime, ends_at: dt.datetime, reason: str, actor: Actor, user: User) -> QuietPeriod:
    """Keep planned drills of a team (None: of all teams) from starting between two instants. Those that fall into it are moved within a minute.

    Raises Forbidden, InvalidInput with sentences per field.
    """
    require(user=user, capability=Capability.CONFIGURE)
    fields: dict[str, list[str]] = {}
    reason = spoken(reason)
    if not reason or len(reason) > 200:
        fields["reason"] = ["Say in 1 to 200 characters why, for example the name of the holiday."]
    if ends_at <= starts_at:
        fields["ends_at"] = ["It must end after it starts."]
    elif ends_at - starts_at > LONGEST:
        fields["ends_at"] = [f"A quiet period lasts at most {LONGEST.days} days: longer than that nothing would be proven."]
    elif ends_at <= clock.now():
        fields["ends_at"] = ["It would be over already. What was missed can be excused instead."]
    if fields:
        raise InvalidInput("The quiet period cannot be made: " + " ".join(sentence for found in fields.values() for sentence in found), fields=fields)
    with transaction.atomic():
        found = QuietPeriod.objects.create(team=team, starts_at=starts_at, ends_at=ends_at, reason=reason)
        _record("quiet_period.made", found, actor)
    return found


def end_quiet_period(*, quiet_id: int, actor: Actor, user: User) -> None:
    """Take a quiet period back: one that has not begun is gone, one that has ends now. Drills that it has moved stay where they are.

    Raises Forbidden, NotFound, Conflict `quiet_period_over`.
    """
    require(user=user, capability=Capability.CONFIGURE)
    with transaction.atomic():
        found = QuietPeriod.objects.select_for_update(of=("self",)).select_related("team").filter(pk=quiet_id).first()
        if found is None:
            raise NotFound("There is no such quiet period.", code="quiet_period_not_found")
        now = clock.now()
        if found.ends_at <= now:
            raise Conflict("This quiet period is over. It stays on record, because it says why drills were moved.", code="quiet_period_over")
        if found.starts_at < now:
            found.ends_at = now
            found.save(update_fields=["ends_at"])
            _record("quiet_period.ended", found, actor)
        else:
            _record("quiet_period.taken_back", found, actor)
            found.delete()


def list_quiet_periods(*, team: str = "", since: dt.datetime | None = None, until: dt.datetime | None = None) -> QuerySet[QuietPeriod]:
    """Those of a team (by its slug) and of all teams, or every one, that touch the time between two instants; the earliest first."""
    found = QuietPeriod.objects.select_related("team").order_by("starts_at", "id")
    if team:
        found = found.filter(Q(team=None) | Q(team__slug=team))
    if since is not None:
        found = found.filter(ends_at__gt=since)
    return found.filter(starts_at__lt=until) if until is not None else found


def quiets_of(team_ids: Sequence[int], *, since: dt.datetime) -> dict[int, list[Quiet]]:
    """What keeps each of these teams from drilling, from this instant on. One query."""
    found: dict[int, list[Quiet]] = {team_id: [] for team_id in team_ids}
    for row in QuietPeriod.objects.filter(Q(team=None) | Q(team__in=team_ids), ends_at__gt=since).order_by("starts_at", "id"):
        for team_id in team_ids if row.team_id is None else [row.team_id]:
            found[team_id].append(Quiet(row.starts_at, row.ends_at, row.reason))
    return found


def _record(event: str, found: QuietPeriod, actor: Actor) -> None:
    data = {
        "team": found.team.slug if found.team else None,
        "starts_at": found.starts_at.isoformat(),
        "ends_at": found.ends_at.isoformat(),
        "reason": found.reason,
    }
    record(event=event, actor=actor, subject_type="quiet_period", subject_id=found.pk, data=data)
