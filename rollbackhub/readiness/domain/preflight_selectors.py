"""Reading the continuous preflight: its runs, and what is open."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Count, Q, QuerySet

from rollbackhub.readiness.models import PreflightFinding, PreflightRun


def list_runs() -> QuerySet[PreflightRun]:
    """The preflight of each environment, with the number of its open findings (`open_findings`). One query."""
    count = Count("environment__preflight_findings", filter=Q(environment__preflight_findings__closed_at=None))
    return PreflightRun.objects.select_related("environment").annotate(open_findings=count).order_by("environment__slug")


def list_findings(*, environment: str = "", alias: str = "", code: str = "", include_closed: bool = False) -> QuerySet[PreflightFinding]:
    """Findings, those last opened first. Of an alias: its own, and its environments'."""
    found = PreflightFinding.objects.select_related("environment", "policy").order_by("-first_seen_at", "-pk")
    if not include_closed:
        found = found.filter(closed_at=None)
    if environment:
        found = found.filter(environment__slug=environment)
    if alias:
        found = found.filter(Q(policy__alias=alias) | Q(policy=None, environment__policies__alias=alias)).distinct()
    return found.filter(code=code) if code else found


def list_open_findings(*, environments: Sequence[int]) -> QuerySet[PreflightFinding]:
    """Everything open in these environments; what concerns all aliases first. One query."""
    found = PreflightFinding.objects.select_related("environment", "policy").filter(environment__in=environments, closed_at=None)
    return found.order_by("environment__slug", "policy__alias", "code", "subject")
