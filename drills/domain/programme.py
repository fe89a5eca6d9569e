"""What becomes of planned drills: started once, caught up, late, missed, settled, excused. With planning.py, which writes them down, the only writer.

Each function that a clock calls is safe to run twice at once: it takes its rows one by one by a lock that others skip, and looks at the state again.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from drills.domain.planning import PROGRAMME, hours_of, plan_ahead
from drills.domain.programme_notices import put_away_notices, tell_ahead, tell_of
from drills.domain.quiet import quiets_of
from drills.domain.schedule import Quiet, quiet_at, working_windows
from drills.domain.starting import Started, seed_of, start_for
from drills.enums import OPEN_STATES, PlannedState
from drills.models import PlannedDrill
from drills.rules import TRANSITIONS
from rollbackhub.accounts.domain.actors import name_of
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound, RollbackHubError
from rollbackhub.common.housekeeping import register_job
from rollbackhub.common.sentences import with_stop
from rollbackhub.common.shown_text import spoken
from rollbackhub.common.turns import each_of
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import ACTIVE_STATES, ExecutionState
from rollbackhub.executions.models import Execution

GRACE = dt.timedelta(minutes=5)
"""A drill that has not started this long after its time is overdue."""

TRIED_AGAIN = dt.timedelta(seconds=30)
"""What could not start is tried again that much later."""

AHEAD = dt.timedelta(days=1)
"""The owner is told of an announced drill this long before it."""

AT_ONCE = 100
LONGEST_REASON = 1000


def register() -> None:
    """Once, when the app is ready."""
    # In threads of their own: fifty drills that start at once are not to hold up approval timers.
    register_job("drills.programme", every_seconds=2, function=keep_programme, own_thread=True)
    register_job("drills.plan_ahead", every_seconds=60, function=plan_ahead, own_thread=True)


def keep_programme() -> int:
    """All that is due: what has ended, what starts, what is late, who is told. What fails keeps no other from it. Returns how many there were."""
    return each_of((settle_running, start_due, mark_late, remind), lambda act: act())


def start_due(*, at: dt.datetime | None = None) -> int:
    """Start every drill whose time has come, each once. What cannot start now stays, says why, and is tried again until its latest instant.

    Returns how many were started.
    """
    now = at or clock.now()
    waiting = (
        PlannedDrill.objects.filter(state__in=OPEN_STATES, starts_at__lte=now, latest_at__gt=now)
        .filter(Q(tried_at=None) | Q(tried_at__lte=now - TRIED_AGAIN) | Q(tried_at__gt=now))
        .order_by("tried_at", "starts_at", "pk")
    )
    return each_of(_first(waiting), lambda planned_id: _start_one(planned_id, now=now))


def mark_late(*, at: dt.datetime | None = None) -> int:
    """Say of what has not started that it is overdue, and after its latest instant that it was missed, with why. Returns how many."""
    now = at or clock.now()
    late = PlannedDrill.objects.filter(Q(state=PlannedState.DUE, starts_at__lte=now - GRACE) | Q(state__in=OPEN_STATES, latest_at__lte=now))
    return each_of(_first(late.order_by("starts_at", "pk")), lambda planned_id: _mark_one(planned_id, now=now))


def settle_running(*, at: dt.datetime | None = None) -> int:
    """Give the drills whose execution has ended their result: passed, or failed with why. Returns how many."""
    now = at or clock.now()
    ended = PlannedDrill.objects.filter(state=PlannedState.RUNNING).exclude(execution__state__in=ACTIVE_STATES)
    return each_of(_first(ended.order_by("started_at", "pk")), lambda planned_id: _settle_one(planned_id, now=now))


def remind(*, at: dt.datetime | None = None) -> int:
    """Tell owners of announced drills a day ahead, once. (Of what is overdue, missed or failed they are told with the change itself.) Returns how many."""
    now = at or clock.now()
    soon = PlannedDrill.objects.filter(state=PlannedState.DUE, plan__announced=True, reminded_at=None, starts_at__gt=now, starts_at__lte=now + AHEAD)
    return each_of(_first(soon.order_by("starts_at", "pk")), lambda planned_id: _remind_one(planned_id, now=now))


def start_planned(*, planned_id: int, actor: Actor, user: User) -> PlannedDrill:
    """Start a planned drill now, before or after its time, by a person.

    Raises Forbidden, NotFound, Conflict (`wrong_state`, `unannounced`, `too_late`, `quiet_period`, `already_running`, `no_eligible_path`), InvalidInput.
    """
    require(user=user, capability=Capability.DRILL)
    with transaction.atomic():
        planned = _locked(planned_id)
        if planned.state not in OPEN_STATES:
            raise _wrong_state(planned, PlannedState.RUNNING)
        if not planned.plan.announced and planned.state == PlannedState.DUE:
            raise Conflict(
                "This drill is unannounced: it starts by itself, at a time that nobody is told. To drill the alias now, start a drill of its own.",
                code="unannounced",
            )
        now = clock.now()
        if planned.latest_at <= now:
            raise Conflict(f"It was to start until {planned.latest_at:%Y-%m-%d %H:%M} UTC: it is missed. Start a drill of its own.", code="too_late")
        quiet = _quiet_now(planned, now=now)
        if quiet is not None:
            raise Conflict(f"{_in_quiet(quiet)} Take the quiet period back, or start a drill of its own.", code="quiet_period")
        _run(planned, start_for(planned, actor=actor, user=user), actor=actor, now=now)
    return planned


def excuse_planned(*, planned_id: int, reason: str, actor: Actor, user: User) -> PlannedDrill:
    """Excuse a drill that is due, overdue or was missed. Excused is not passed: it proves nothing, and reports count it apart.

    Raises Forbidden, NotFound, InvalidInput `reason_missing`, `unshowable_text`, Conflict `wrong_state`.
    """
    require(user=user, capability=Capability.LEAD)
    text = spoken(reason)
    if not text or len(text) > LONGEST_REASON:
        sentence = f"Say in 1 to {LONGEST_REASON} characters why this drill is not held."
        raise InvalidInput(sentence, code="reason_missing", fields={"reason": [sentence]})
    with transaction.atomic():
        planned = _locked(planned_id)
        if planned.state == PlannedState.EXCUSED:
            raise Conflict(_excused_already(planned), code="wrong_state", state=planned.state)
        data = {"reason": text, "before_why": planned.why}
        _move(planned, PlannedState.EXCUSED, "planned_drill.excused", actor=actor, data=data, why=text, excused_by=user, ended_at=clock.now())
    return planned


def miss_open(*, plan_id: int, why: str, actor: Actor, now: dt.datetime) -> int:
    """What is open of a plan that has ended will not be held: it was missed, for that reason. In the transaction that is open. Returns how many."""
    found = list(PlannedDrill.objects.select_for_update().filter(plan=plan_id, state__in=OPEN_STATES).order_by("pk"))
    for planned in found:
        _move(planned, PlannedState.MISSED, "planned_drill.missed", actor=actor, data={"why": why}, why=why, ended_at=now)
    return len(found)


def _first(found: QuerySet[PlannedDrill]) -> list[int]:
    return list(found.values_list("pk", flat=True)[:AT_ONCE])


def _start_one(planned_id: int, *, now: dt.datetime) -> int:
    with transaction.atomic():
        planned = _claimed(planned_id, Q(state__in=OPEN_STATES, starts_at__lte=now, latest_at__gt=now))
        if planned is None:
            return 0
        quiet = _quiet_now(planned, now=now)
        if quiet is not None:
            return _wait(planned, _in_quiet(quiet), now=now)
        if not planned.plan.announced and not working_windows(hours_of(planned.plan), now, now + dt.timedelta(seconds=1)):
            return _wait(planned, "It is unannounced, so it is caught up within working hours only.", now=now)
        try:
            with transaction.atomic():
                started = start_for(planned, actor=PROGRAMME, user=None, waits_at=now)
        except RollbackHubError as error:
            return _wait(planned, error.message, now=now)
        _run(planned, started, actor=PROGRAMME, now=now)
        return 1


def _run(planned: PlannedDrill, started: Started, *, actor: Actor, now: dt.datetime) -> None:
    """The drill runs; with what was drawn by chance, and the seed to draw it again."""
    draw = planned.draw | ({"eligible": started.eligible, "seed": seed_of(planned)} if started.eligible else {})
    data = {"alias": started.policy.alias, "execution": str(started.drill.pk), "draw": draw}
    _move(
        planned,
        PlannedState.RUNNING,
        "planned_drill.started",
        actor=actor,
        data=data,
        policy=started.policy,
        execution=started.drill.execution,
        started_at=now,
        tried_at=now,
        draw=draw,
        why="",
    )


def _wait(planned: PlannedDrill, why: str, *, now: dt.datetime) -> int:
    planned.tried_at, planned.why = now, why
    planned.save(update_fields=["tried_at", "why"])
    return 0


def _mark_one(planned_id: int, *, now: dt.datetime) -> int:
    with transaction.atomic():
        planned = _claimed(planned_id, Q(state__in=OPEN_STATES))
        if planned is None:
            return 0
        if planned.latest_at <= now:
            why = _why_missed(planned)
            _move(planned, PlannedState.MISSED, "planned_drill.missed", actor=PROGRAMME, data={"why": why}, why=why, ended_at=now)
        elif planned.state == PlannedState.DUE and planned.starts_at <= now - GRACE and _quiet_now(planned, now=now) is None:
            why = planned.why or "RollbackHub has not come to it yet."
            _move(planned, PlannedState.OVERDUE, "planned_drill.overdue", actor=PROGRAMME, data={"why": why}, why=why)
        else:
            return 0
        tell_of(planned)
        return 1


def _why_missed(planned: PlannedDrill) -> str:
    until = f"{planned.latest_at:%Y-%m-%d %H:%M} UTC"
    if planned.tried_at is None and planned.state == PlannedState.DUE and not planned.why:
        return f"RollbackHub did not run from {planned.starts_at:%Y-%m-%d %H:%M} UTC, when it was due, until {until}, when it was too late."
    return f"It could not start until {until}: {with_stop(planned.why)}"


def _settle_one(planned_id: int, *, now: dt.datetime) -> int:
    with transaction.atomic():
        planned = _claimed(planned_id, Q(state=PlannedState.RUNNING))
        if planned is None:
            return 0
        execution = Execution.objects.filter(pk=planned.execution_id).first() if planned.execution_id else None
        if execution is not None and execution.is_active:
            return 0
        passed = execution is not None and execution.state == ExecutionState.FINISHED and execution.verdict == Verdict.PASSED
        ended_at = execution.finished_at if execution is not None and execution.finished_at else now
        why = "" if passed else _why_failed(execution)
        to, event = (PlannedState.PASSED, "planned_drill.passed") if passed else (PlannedState.FAILED, "planned_drill.failed")
        _move(planned, to, event, actor=PROGRAMME, data={"why": why, "execution": str(planned.execution_id or "")}, why=why, ended_at=ended_at)
        tell_of(planned)
        return 1


def _why_failed(execution: Execution | None) -> str:
    """Whatever is not passed has failed: it does not show that the way back works."""
    if execution is None:
        return "Its drill was deleted before it ended."
    said = with_stop(execution.outcome)
    if execution.state == ExecutionState.CANCELLED:
        return said or "It was stopped."
    words = {Verdict.INCONCLUSIVE: "It showed nothing either way. ", Verdict.ERROR: "A check could not run. "}.get(Verdict(execution.verdict), "")
    return f"{words}{said}" or "It did not pass."


def _remind_one(planned_id: int, *, now: dt.datetime) -> int:
    with transaction.atomic():
        planned = _claimed(planned_id, Q(state=PlannedState.DUE, reminded_at=None, starts_at__gt=now))
        if planned is None or not planned.plan.announced:
            return 0
        tell_ahead(planned)
        planned.reminded_at = now
        planned.save(update_fields=["reminded_at"])
        return 1


def _quiet_now(planned: PlannedDrill, *, now: dt.datetime) -> Quiet | None:
    return quiet_at(quiets_of([planned.plan.team_id], since=now)[planned.plan.team_id], now)


def _in_quiet(quiet: Quiet) -> str:
    return f"It is quiet until {quiet.ends_at:%Y-%m-%d %H:%M} UTC ({quiet.reason})."


def _rows() -> QuerySet[PlannedDrill]:
    return PlannedDrill.objects.select_related("plan__team", "plan__owner", "plan__environment", "plan__artefact", "plan__policy__artefact")


def _claimed(planned_id: int, still: Q) -> PlannedDrill | None:
    """The row, locked, when it is still so and nobody else has it."""
    return _rows().select_for_update(of=("self",), skip_locked=True).filter(still, pk=planned_id).first()


def _locked(planned_id: int) -> PlannedDrill:
    planned = _rows().select_for_update(of=("self",)).filter(pk=planned_id).first()
    if planned is None:
        raise no_planned_drill()
    return planned


def no_planned_drill() -> NotFound:
    """What is said of a planned drill that does not exist."""
    return NotFound("There is no such planned drill.", code="planned_drill_not_found")


def _wrong_state(planned: PlannedDrill, to: PlannedState) -> Conflict:
    return Conflict(f"The planned drill {_IS[PlannedState(planned.state)]} and cannot become {to.label.lower()}.", code="wrong_state", state=planned.state)


def _excused_already(planned: PlannedDrill) -> str:
    by = planned.excused_by
    who = name_of(by) if by is not None else "A lead"
    when = f"{planned.ended_at:%Y-%m-%d at %H:%M} UTC" if planned.ended_at is not None else "before"
    return f"{who} excused this drill already, {when}: {with_stop(planned.why)} Nothing more is to be done about it."


_IS = {state: f"is {state.label.lower()}" for state in PlannedState} | {
    PlannedState.PASSED: "has passed",
    PlannedState.FAILED: "has failed",
    PlannedState.MISSED: "was missed",
}


def _move(planned: PlannedDrill, to: PlannedState, event: str, *, actor: Actor, data: dict[str, Any], **fields: Any) -> None:
    """To a state that may follow, with its audit record. The row is locked. Raises Conflict `wrong_state`."""
    if to not in TRANSITIONS[PlannedState(planned.state)]:
        raise _wrong_state(planned, to)
    before = planned.state
    for name, value in (fields | {"state": to}).items():
        setattr(planned, name, value)
    planned.save(update_fields=["state", *fields])
    facts = {"plan": planned.plan.name, "slot": planned.slot.isoformat(), "from": before, "to": to}
    record(event=event, actor=actor, subject_type="planned_drill", subject_id=planned.pk, data={**facts, **data})
    put_away_notices(planned)
