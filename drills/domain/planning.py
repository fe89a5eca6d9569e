"""Writing planned drills down ahead, each (plan, slot) once, and moving those that a quiet period would hit."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from drills.domain.quiet import quiets_of
from drills.domain.schedule import Period, Placed, Rhythm, WorkingHours, commitment, periods, place, settled_cadence, slot_seed
from drills.enums import Cadence, PlannedState
from drills.models import DrillPlan, PlannedDrill, QuietPeriod
from rollbackhub.audit.actors import Actor, system_actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.turns import each_of

PROGRAMME = system_actor("drill programme")

AHEAD = dt.timedelta(days=100)
"""Months and quarters are written down this long ahead: the next quarter is on the calendar before it begins."""

AHEAD_BY_CRON = dt.timedelta(days=35)

REFILLED_AT = dt.timedelta(hours=1)
"""A plan is looked at again when this much of what lies ahead is used up."""

AT_ONCE = 1000
"""Slots of one plan in one turn: all of an hourly one's 35 days. After a long outage more come with the next turn."""


def plan_ahead(*, at: dt.datetime | None = None) -> int:
    """Write down what comes up, what was to come up while nobody wrote it down included, and move what falls into a quiet period.

    Safe to run twice at once. Returns how many drills were written down or moved.
    """
    now = at or clock.now()
    # Whether a plan's rhythm has changed (its stakes, its team's hours) can only be told one by one: all are looked at, without locks.
    behind = [plan.pk for plan in plans_with_targets().filter(is_active=True) if _is_behind(plan, now=now)]
    return each_of(behind, lambda plan_id: _plan_locked(plan_id, now=now)) + move_out_of_quiet(at=now)


def plan_one(plan: DrillPlan, *, actor: Actor, at: dt.datetime | None = None) -> int:
    """Write down the drills of a plan whose row is locked, in the transaction that is open. Returns how many are new.

    When its rhythm is another than they were planned by, those that are still to come are planned anew. What has run, was missed or excused, or whose
    time has come stays, and a period that has had its drill gets no other. The drill of the present period stays, too, when the new rhythm has no
    time for it any more: changing a plan loses no drill.
    """
    now = at or clock.now()
    rhythm = rhythm_of(plan)
    until = _until(rhythm, now=now)
    if plan.planned_by == rhythm.in_short and plan.planned_until is not None:
        since = plan.planned_until
        found = [period for period in periods(rhythm, since=since, until=until) if period.slot >= since]
        wanted = _placed(plan, rhythm, found, since=since)
        planned_anew: list[str] = []
    else:
        # After an outage the slots since then are written down as well: they are missed, not forgotten.
        since = now if plan.planned_until is None else min(plan.planned_until, now)
        found = list(periods(rhythm, since=since, until=until))
        wanted = [placed for placed in _placed(plan, rhythm, found, since=since) if placed.starts_at >= since]
        planned_anew = _forget_for(plan, wanted, present=next((period for period in found if period.starts_at <= now < period.ends_at), None), now=now)
        wanted = [placed for placed in wanted if placed.period.starts_at > now or not _has_its_drill(plan, placed.period)]
    known = set(PlannedDrill.objects.filter(plan=plan, slot__in=[placed.period.slot for placed in wanted]).values_list("slot", flat=True))
    new = [placed for placed in wanted if placed.period.slot not in known]
    now_planned, rest = new[:AT_ONCE], new[AT_ONCE:]
    _write(plan, rhythm, now_planned)
    plan.planned_by, plan.planned_until = rhythm.in_short, rest[0].period.slot if rest else max(until, since)
    plan.save(update_fields=["planned_by", "planned_until"])
    if now_planned or planned_anew:
        data = {"plan": plan.name, "planned": [_facts(rhythm, placed) for placed in now_planned], "planned_anew": planned_anew}
        record(event="drill_plan.planned", actor=actor, subject_type="drill_plan", subject_id=plan.pk, data=data)
    return len(now_planned)


def forget_coming(plan: DrillPlan, *, now: dt.datetime) -> list[str]:
    """Delete the drills of a locked plan whose time has not come. Returns their slots, for the record."""
    return _delete(list(_coming(plan, now=now)))


def plans_with_targets() -> QuerySet[DrillPlan]:
    """Plans with what their rhythm depends on."""
    return DrillPlan.objects.select_related("team", "artefact", "policy__artefact").order_by("pk")


def rhythm_of(plan: DrillPlan) -> Rhythm:
    """What a plan drills by now: its cadence settled by the stakes, and its team's working hours. No query when fetched with its targets."""
    return Rhythm(
        cadence=settled_cadence(plan.cadence, stakes=plan.target_artefact.stakes),
        cron=plan.cron,
        announced=plan.announced,
        hours=hours_of(plan),
        late=dt.timedelta(hours=plan.late_hours),
        seed=plan.seed,
    )


def hours_of(plan: DrillPlan) -> WorkingHours:
    """Its team's working hours."""
    team = plan.team
    return WorkingHours(ZoneInfo(team.timezone), team.work_starts, team.work_ends)


def move_out_of_quiet(*, at: dt.datetime | None = None) -> int:
    """Move due drills that have come to lie in a quiet period to the first moment behind it, within their period. What has no such moment stays and
    says so: it starts when the quiet period is taken back, else it is missed. Safe to run twice at once. Returns how many were moved.
    """
    now = at or clock.now()
    over_them = QuietPeriod.objects.filter(
        Q(team=None) | Q(team=OuterRef("plan__team")), starts_at__lte=OuterRef("starts_at"), ends_at__gt=OuterRef("starts_at")
    )
    hit = PlannedDrill.objects.filter(Exists(over_them), state=PlannedState.DUE, starts_at__gt=now).order_by("starts_at", "pk")
    return each_of(list(hit.values_list("pk", flat=True)), lambda planned_id: _move_out(planned_id, now=now))


def _until(rhythm: Rhythm, *, now: dt.datetime) -> dt.datetime:
    return now + (AHEAD_BY_CRON if rhythm.cadence == Cadence.CRON else AHEAD)


def _is_behind(plan: DrillPlan, *, now: dt.datetime) -> bool:
    rhythm = rhythm_of(plan)
    return plan.planned_by != rhythm.in_short or plan.planned_until is None or plan.planned_until <= _until(rhythm, now=now) - REFILLED_AT


def _plan_locked(plan_id: int, *, now: dt.datetime) -> int:
    with transaction.atomic():
        plan = plans_with_targets().select_for_update(of=("self",), skip_locked=True).filter(pk=plan_id, is_active=True).first()
        # Locked: somebody else plans it, or changes it and plans it then.
        return 0 if plan is None else plan_one(plan, actor=PROGRAMME, at=now)


def _placed(plan: DrillPlan, rhythm: Rhythm, found: Sequence[Period], *, since: dt.datetime) -> list[Placed]:
    quiets = quiets_of([plan.team_id], since=min((period.starts_at for period in found), default=since))[plan.team_id]
    return [place(rhythm, period, quiets=quiets) for period in found]


def _coming(plan: DrillPlan, *, now: dt.datetime) -> QuerySet[PlannedDrill]:
    return PlannedDrill.objects.select_for_update().filter(plan=plan, state=PlannedState.DUE, starts_at__gt=now).order_by("pk")


def _forget_for(plan: DrillPlan, wanted: Sequence[Placed], *, present: Period | None, now: dt.datetime) -> list[str]:
    """Delete what another rhythm plans anew; the slots of that. `present`: the period of that rhythm in which we are."""
    coming = list(_coming(plan, now=now))
    owed = (
        present is not None and all(placed.period != present for placed in wanted) and not _has_its_drill(plan, present, but=[planned.pk for planned in coming])
    )
    return _delete([planned for planned in coming if not (owed and planned.period_starts_at <= now < planned.period_ends_at)])


def _has_its_drill(plan: DrillPlan, period: Period, *, but: Sequence[int] = ()) -> bool:
    return PlannedDrill.objects.filter(plan=plan, starts_at__gte=period.starts_at, starts_at__lt=period.ends_at).exclude(pk__in=but).exists()


def _delete(found: Sequence[PlannedDrill]) -> list[str]:
    PlannedDrill.objects.filter(pk__in=[planned.pk for planned in found]).delete()
    return sorted(planned.slot.isoformat() for planned in found)


def _write(plan: DrillPlan, rhythm: Rhythm, wanted: Sequence[Placed]) -> None:
    PlannedDrill.objects.bulk_create(
        PlannedDrill(
            plan=plan,
            slot=placed.period.slot,
            period_starts_at=placed.period.starts_at,
            period_ends_at=placed.period.ends_at,
            starts_at=placed.starts_at,
            latest_at=placed.latest_at,
            why=placed.why,
            draw=_draw_of(rhythm, placed),
        )
        for placed in wanted
    )


def _draw_of(rhythm: Rhythm, placed: Placed) -> dict[str, Any]:
    """With the slot's seed, so that it can be drawn again whatever becomes of the plan's."""
    return {**placed.draw, "seed": slot_seed(rhythm.seed, placed.period.slot)} if placed.draw else {}


def _facts(rhythm: Rhythm, placed: Placed) -> dict[str, str]:
    """For the record: an announced time itself; of a drawn one what it is drawn from, sealed until it has begun."""
    slot = placed.period.slot
    told = {"starts_at": placed.starts_at.isoformat()} if rhythm.announced else {"seed_sha256": commitment(slot_seed(rhythm.seed, slot))}
    return {"slot": slot.isoformat(), **told}


def _move_out(planned_id: int, *, now: dt.datetime) -> int:
    with transaction.atomic():
        planned = PlannedDrill.objects.select_for_update(skip_locked=True).filter(pk=planned_id, state=PlannedState.DUE, starts_at__gt=now).first()
        if planned is None:
            return 0
        plan = plans_with_targets().get(pk=planned.plan_id)
        rhythm = rhythm_of(plan)
        period = Period(planned.slot, planned.period_starts_at, planned.period_ends_at)
        placed = place(rhythm, period, quiets=quiets_of([plan.team_id], since=now)[plan.team_id], after=now)
        if placed.why:
            if planned.why != placed.why:
                planned.why = placed.why
                planned.save(update_fields=["why"])
            return 0
        data = {"plan": plan.name, "slot": planned.slot.isoformat()}
        if rhythm.announced:
            data |= {"from": planned.starts_at.isoformat(), "to": placed.starts_at.isoformat()}
        planned.starts_at, planned.latest_at, planned.draw = placed.starts_at, placed.latest_at, _draw_of(rhythm, placed)
        planned.why, planned.reminded_at = "", None
        planned.save(update_fields=["starts_at", "latest_at", "draw", "why", "reminded_at"])
        record(event="planned_drill.moved", actor=PROGRAMME, subject_type="planned_drill", subject_id=planned.pk, data=data)
        return 1
