"""The record of an incident on one page: when it was triggered, who decided by what authority, when it was executed and verified, by what evidence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, QuerySet

from incidents.domain.selectors import list_parts_of, list_rollbacks_of
from incidents.domain.summary import authority_in_words
from incidents.models import Incident
from rollbackhub.executions.domain.selectors import SegmentTime
from rollbackhub.executions.enums import REHEARSES
from rollbackhub.executions.models import CheckResult, Execution, Finding
from rollbackhub.rollbacks.domain.selectors import segments_of_rollback
from rollbackhub.rollbacks.models import Approval, Rollback, RollbackPart

DRILLS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class RollbackRecord:
    """One rollback as the record has it."""

    rollback: Rollback
    parts: list[RollbackPart]
    authority: str
    """In words: by what authority it was carried out."""
    approvals: list[Approval]
    segments: list[SegmentTime]
    checks: list[tuple[str, CheckResult]]
    """Alias and check: the evidence of the verification."""

    @property
    def aliases(self) -> str:
        """Whom it rolls back."""
        return ", ".join(part.policy.alias for part in self.parts)


@dataclass(frozen=True, slots=True)
class OnePage:
    """What the record says of its rollbacks, of the drills of their paths, and of what those caught."""

    rollbacks: list[RollbackRecord]
    drills: list[Execution]
    """The newest drills and rehearsals of its aliases' paths before the decision (before it was opened, where nothing was decided)."""
    drilled_since: list[Execution]
    """Those that began afterwards: they prove nothing of how it was then."""
    findings: list[Finding]
    """What its rollbacks and the drills before it caught."""


def one_page_of(incident: Incident) -> OnePage:
    """The record. Eight queries for any number of rollbacks."""
    parts = list_parts_of(incident)
    runs = {part.execution_id: part for part in parts if part.execution_id is not None}
    approvals = list(Approval.objects.filter(rollback__incident_link__incident=incident).select_related("user").order_by("decided_at", "pk"))
    checks = list(CheckResult.objects.filter(execution__in=list(runs)).order_by("decided_at", "pk"))
    rollbacks = [
        RollbackRecord(
            rollback=rollback,
            parts=(own := [part for part in parts if part.rollback_id == rollback.pk]),
            authority=authority_in_words(rollback),
            approvals=[approval for approval in approvals if approval.rollback_id == rollback.pk],
            segments=segments_of_rollback(rollback, executions=[part.execution for part in own if part.execution is not None]),
            checks=[
                (runs[check.execution_id].policy.alias, check)
                for check in checks
                if check.execution_id in runs and runs[check.execution_id].rollback_id == rollback.pk
            ],
        )
        for rollback in list_rollbacks_of(incident)
    ]
    decided = min((entry.rollback.decided_at for entry in rollbacks), default=incident.opened_at)
    runs_of_paths = _drills_of(incident)
    drills, since = _newest(runs_of_paths.filter(created_at__lt=decided)), _newest(runs_of_paths.filter(created_at__gte=decided))
    findings = list_findings_of([*runs, *(drill.pk for drill in drills)])
    return OnePage(rollbacks=rollbacks, drills=drills, drilled_since=since, findings=findings)


def list_drills_of(incident: Incident) -> list[Execution]:
    """The newest drills and rehearsals of its aliases' paths, wherever they are rehearsed: the same alias of the same artefact. Two queries."""
    return _newest(_drills_of(incident))


def _newest(drills: QuerySet[Execution]) -> list[Execution]:
    return list(drills.order_by("-created_at")[:DRILLS_SHOWN])


def _drills_of(incident: Incident) -> QuerySet[Execution]:
    """One query now, for the paths."""
    paths = Q(pk__in=[])
    for alias, artefact_id in incident.aliases.values_list("alias", "artefact"):
        paths |= Q(policy__alias=alias, policy__artefact=artefact_id)
    return Execution.objects.filter(paths, kind__in=REHEARSES).select_related("policy__environment").defer("plan")


def list_findings_of(execution_ids: Iterable[UUID]) -> list[Finding]:
    """What these executions caught, in order. One query."""
    return list(Finding.objects.filter(execution__in=list(execution_ids)).select_related("execution").order_by("found_at", "pk"))
