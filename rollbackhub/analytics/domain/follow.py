"""Facts follow executions and their rollbacks: one row a run that has ended, reckoned anew whenever its rollback has changed.

It is done beside them, as incidents are (docs/decisions/0014-incidents-follow.md): nothing that goes wrong here keeps anybody from
drilling or rolling back, and what was missed meanwhile is caught up with. A finished execution changes no more, so what is new about
a run is its rollback's, whose number says so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F, OuterRef, QuerySet, Subquery

from rollbackhub.analytics.enums import Measure, RunKind, RunSource
from rollbackhub.analytics.models import RunFact
from rollbackhub.common import clock
from rollbackhub.common.housekeeping import register_job
from rollbackhub.executions.domain.selectors import segments_of
from rollbackhub.executions.enums import DECIDED_BY_PEOPLE, ExecutionState, Segment
from rollbackhub.executions.models import Execution, Finding
from rollbackhub.rollbacks.domain.selectors import segments_of_rollback
from rollbackhub.rollbacks.enums import OPEN_STATES
from rollbackhub.rollbacks.models import Rollback, RollbackPart, RollForward

LOOKED_BACK = dt.timedelta(days=2)
"""How long ago the quick job's runs began at most; the thorough one looks at all."""

AT_ONCE = 500
"""Facts that are written together."""

FOLLOW_LOCK = 7_302_119
"""Held by whoever follows, so that nobody writes an older state over a newer one."""

OF_THE_WHOLE = (Segment.DETECT, Segment.DECIDE, Segment.AUTHORISE)
"""Segments of a rollback's decision; the others are each alias's own."""

MEASURED = {Segment(measure.value) for measure in Measure if measure != Measure.ROLLBACK}

KEPT = {"id", "source", "execution", "imported", "kind", "environment", "team", "artefact", "policy", "alias", "change_type"}
"""What a fact keeps from when it was made: an artefact that changes hands later takes no history along."""

REFRESHED = [field.name for field in RunFact._meta.concrete_fields if field.name not in KEPT]


def register() -> None:
    """Once, when the app is ready."""
    register_job("analytics.follow_runs", every_seconds=1, function=follow_runs)
    register_job("analytics.follow_what_was_missed", every_seconds=120, function=follow_what_was_missed, own_thread=True)


def follow_runs() -> int:
    """Write facts of runs that have just ended, and of rollbacks that may still change. Safe to run twice at once. Returns how many."""
    since = clock.now() - LOOKED_BACK
    open_or_new = Rollback.objects.filter(state__in=OPEN_STATES).values("pk").union(Rollback.objects.filter(created_at__gte=since).values("pk"), all=True)
    return _follow([*_oldest(_without_fact().filter(created_at__gte=since)), *_oldest(_behind(RunFact.objects.filter(rollback_id__in=open_or_new)))])


def follow_what_was_missed() -> int:
    """The same for all runs that there are: what was corrected long after, and what happened while nobody kept house."""
    return _follow([*_oldest(_without_fact()), *_oldest(_behind(RunFact.objects.filter(rollback_id__isnull=False)))])


def _without_fact() -> QuerySet[Execution]:
    return Execution.objects.filter(state=ExecutionState.FINISHED, run_fact=None).order_by("created_at")


def _behind(facts: QuerySet[RunFact]) -> QuerySet[Execution]:
    """The executions of those facts whose rollback has changed since."""
    number = Rollback.objects.filter(pk=OuterRef("rollback_id")).values("number")
    behind = facts.alias(present=Subquery(number)).filter(followed_number__lt=F("present"))
    return Execution.objects.filter(run_fact__in=behind).order_by("created_at")


def _oldest(executions: QuerySet[Execution]) -> list[UUID]:
    return list(executions.values_list("pk", flat=True)[:AT_ONCE])


def _follow(execution_ids: Sequence[UUID]) -> int:
    """Write their facts. What cannot be reckoned does not keep the others from it; raises at the end what went wrong."""
    if not execution_ids:
        return 0
    failed: list[Exception] = []
    with transaction.atomic():
        if not _alone():
            return 0
        facts = []
        rollbacks = _rollbacks_of(execution_ids)
        caught = _caught_by(execution_ids)
        for execution in Execution.objects.filter(pk__in=execution_ids, state=ExecutionState.FINISHED).select_related("policy__artefact").order_by("pk"):
            try:
                facts.append(fact_of(execution, codes=caught.get(execution.pk, ()), **rollbacks.get(execution.pk, {})))
            except (OperationalError, InterfaceError):
                raise
            except Exception as error:
                error.add_note(f"while reckoning the fact of execution {execution.pk}")
                failed.append(error)
        RunFact.objects.bulk_create(facts, update_conflicts=True, unique_fields=["execution"], update_fields=REFRESHED)
    if failed:
        raise ExceptionGroup("some runs could not be followed", failed)
    return len(facts)


def _alone() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [FOLLOW_LOCK])
        return bool(cursor.fetchone()[0])


def _rollbacks_of(execution_ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    """What belongs to each execution of production: its rollback, and its part or roll-forward. Two queries."""
    found: dict[UUID, dict[str, Any]] = {}
    for part in RollbackPart.objects.filter(execution__in=execution_ids).select_related("rollback"):
        if part.execution_id is not None:
            found[part.execution_id] = {"rollback": part.rollback, "part": part}
    for forward in RollForward.objects.filter(execution__in=execution_ids).select_related("rollback"):
        found[forward.execution_id] = {"rollback": forward.rollback, "forward": forward}
    return found


def _caught_by(execution_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """The codes of what each execution caught. One query."""
    found: dict[UUID, list[str]] = {}
    for execution_id, code in Finding.objects.filter(execution__in=execution_ids).order_by("code").values_list("execution", "code").distinct():
        found.setdefault(execution_id, []).append(code)
    return found


def fact_of(
    execution: Execution,
    *,
    codes: Sequence[str] = (),
    rollback: Rollback | None = None,
    part: RollbackPart | None = None,
    forward: RollForward | None = None,
) -> RunFact:
    """The fact of a finished execution, from its recorded instants and its rollback's. Nothing is saved; no query with `policy__artefact` at hand.

    The exposure is a whole rollback's and stands with its first alias. Segments that were not reached are null.
    """
    at = _decided_at(execution, rollback, forward)
    artefact = execution.policy.artefact
    seconds, target = execution.rollback_seconds, execution.target_seconds
    return RunFact(
        source=RunSource.HUB,
        execution=execution,
        rollback_id=rollback.pk if rollback else None,
        followed_number=rollback.number if rollback else 0,
        kind=RunKind(execution.kind),
        at=at,
        month=at.astimezone(dt.UTC).date().replace(day=1),
        environment_id=execution.environment_id,
        team_id=artefact.team_id,
        artefact=artefact,
        policy=execution.policy,
        alias=execution.policy.alias,
        change_type=execution.change_type,
        verdict=execution.verdict,
        outcome=forward.state if forward else rollback.state if rollback else execution.verdict,
        authority=rollback.required_role if rollback else "",
        authorised_how=rollback.authorised_how if rollback else "",
        rollback_seconds=seconds,
        target_seconds=target,
        hit=None if seconds is None or target is None else seconds <= target,
        exposure=_exposure_of(rollback) if rollback and part and part.position == 0 else None,
        exposure_estimated=rollback.exposure_estimated if rollback and part and part.position == 0 else None,
        is_whole=part is None or part.position == 0,
        finding_codes=list(codes),
        is_lab=execution.is_lab,
        **_seconds_by_segment(execution, rollback, forward),
    )


def _decided_at(execution: Execution, rollback: Rollback | None, forward: RollForward | None) -> dt.datetime:
    """A roll-forward that was turned back was decided before its rollback was: that one's own instant stands with its execution."""
    if execution.kind not in DECIDED_BY_PEOPLE:
        return execution.created_at
    decided_at = execution.decided_at if forward or rollback is None else rollback.decided_at
    return decided_at or execution.created_at


def _seconds_by_segment(execution: Execution, rollback: Rollback | None, forward: RollForward | None) -> dict[str, float | None]:
    found = {segment.segment: segment.seconds for segment in segments_of(execution) if segment.segment in MEASURED}
    if forward is not None and rollback is not None:
        # Without a detection, one that was turned back has the roll-forward's decision in its place: that is no detection.
        detected = rollback.detected_at is not None and execution.decided_at is not None and rollback.detected_at < execution.decided_at
        found[Segment.DETECT] = clock.seconds_between(rollback.detected_at, execution.decided_at) if detected else None
    elif rollback is not None:
        found = {segment: seconds for segment, seconds in found.items() if segment not in OF_THE_WHOLE}
        found |= {segment.segment: segment.seconds for segment in segments_of_rollback(rollback) if segment.segment in OF_THE_WHOLE}
    return {f"{segment}_seconds": found.get(segment) for segment in MEASURED}


def _exposure_of(rollback: Rollback) -> int | None:
    known = [requests for requests in (rollback.exposure_observed, rollback.exposure_estimated) if requests is not None]
    return sum(known) if known else None
