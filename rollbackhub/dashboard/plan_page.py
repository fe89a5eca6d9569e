"""What pages of the drill programme show beside its rows: what a plan would plan, and what becomes of a planned drill in words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from drills.domain.plan_rules import problems_of
from drills.domain.planning import rhythm_of
from drills.domain.programme_selectors import PlannedRow, filter_planned, row_of
from drills.domain.quiet import quiets_of
from drills.domain.schedule import period_in_words, periods, place, working_windows
from drills.enums import OPEN_STATES, PlannedState
from drills.models import DrillPlan, PlannedDrill
from rollbackhub.accounts.domain.actors import name_of
from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput
from rollbackhub.dashboard.looks import PLANNED, Look

PREVIEWED = 6
"""How many drills to come a form shows."""
LOOKED_AHEAD = dt.timedelta(days=800)


@dataclass(frozen=True, slots=True)
class Slot:
    """A drill that a plan would have."""

    period: str
    """`December 2026`."""
    at: dt.datetime | None
    """None: unannounced."""
    why: str
    """What is to be known of it, e.g. why it cannot start."""


def previewed(chosen: dict[str, Any], *, plan: DrillPlan | None) -> list[Slot]:
    """The next drills of a plan that is not kept yet, or of one as it would be after a change. Raises InvalidInput with sentences per field."""
    wanted = DrillPlan(seed=0, **chosen)
    problems = problems_of(wanted)
    if problems:
        raise InvalidInput("The plan cannot be kept like this.", code="invalid_plan", fields=problems)
    return _with_others(wanted, list(islice(_slots(wanted, held=_held_lately(plan) if plan is not None else []), PREVIEWED)), itself=plan)


def _with_others(wanted: DrillPlan, slots: list[Slot], *, itself: DrillPlan | None) -> list[Slot]:
    """With a word where another plan drills the same alias at the same time: one of the two waits. Of unannounced ones nobody is told. One query."""
    if wanted.policy is None:
        return slots
    same = PlannedDrill.objects.filter(
        plan__policy=wanted.policy, plan__announced=True, state__in=OPEN_STATES, starts_at__in=[slot.at for slot in slots if slot.at]
    )
    others = dict(same.exclude(plan=itself.pk if itself is not None else None).order_by("-plan__name").values_list("starts_at", "plan__name"))
    said = {at: f"“{name}” drills {wanted.policy.alias} at this time, too: one of the two has to wait for the other." for at, name in others.items()}
    return [replace(slot, why=" ".join(part for part in (slot.why, said.get(slot.at, "")) if part)) if slot.at in said else slot for slot in slots]


def _held_lately(plan: DrillPlan) -> list[dt.datetime]:
    """The times of what has become of its newest drills: a period that has had its drill gets no other."""
    return [row.starts_at for row in past_of(plan, limit=2) if row.starts_at is not None]


def _slots(plan: DrillPlan, *, held: list[dt.datetime]) -> Iterator[Slot]:
    now, zone = clock.now(), ZoneInfo(plan.team.timezone)
    rhythm, quiets = rhythm_of(plan), quiets_of([plan.team_id], since=now)[plan.team_id]
    for period in periods(rhythm, since=now, until=now + LOOKED_AHEAD):
        if any(period.starts_at <= at < period.ends_at for at in held):
            continue
        words = period_in_words(period.starts_at, period.ends_at, zone=zone)
        placed = place(rhythm, period, quiets=quiets)
        if plan.announced and placed.starts_at >= now:
            yield Slot(words, placed.starts_at, placed.why)
        elif not plan.announced and working_windows(rhythm.hours, max(now, period.starts_at), period.ends_at):
            began = "" if period.starts_at > now else "Unless the time that is drawn for it has passed already."
            yield Slot(words, None, placed.why or began)


def coming_of(plan: DrillPlan, *, limit: int) -> list[PlannedRow]:
    """The drills of a plan that are open, the earliest first. One query."""
    return [row_of(planned) for planned in filter_planned(plan=plan.pk).filter(state__in=OPEN_STATES)[:limit]]


def past_of(plan: DrillPlan, *, limit: int) -> list[PlannedRow]:
    """Those that began, were missed or excused, the newest first. One query."""
    found = filter_planned(plan=plan.pk).exclude(state__in=OPEN_STATES).order_by("-starts_at", "-pk")
    return [row_of(planned) for planned in found[:limit]]


@dataclass(frozen=True, slots=True)
class Said:
    """What becomes of a planned drill: how it looks, in a sentence, and what is added."""

    look: Look
    words: str
    more: str = ""


def said_of(row: PlannedRow) -> Said:
    """The answer of a planned drill's page; times stand beside it."""
    look = PLANNED[row.state]
    match row.state:
        case PlannedState.DUE if row.starts_at is None:
            return Said(look, f"It comes {row.when_in_words}.", "It is unannounced: nobody is told its time, and it starts by itself.")
        case PlannedState.DUE:
            return Said(look, "It is due, and starts by itself.", row.why)
        case PlannedState.OVERDUE:
            return Said(look, "It is overdue: it could not start at its time.", row.why)
        case PlannedState.RUNNING:
            return Said(look, "It runs now.")
        case PlannedState.PASSED:
            return Said(look, "It was held, and passed.")
        case PlannedState.FAILED:
            return Said(look, "It was held, and failed.", row.why)
        case PlannedState.MISSED:
            return Said(look, "It was missed.", row.why)
        case _:
            by = name_of(row.excused_by) if row.excused_by else "a lead"
            return Said(look, f"{by} excused it: it {'was' if row.was_due else 'is'} not held, and counts as neither passed nor missed.", row.why)
