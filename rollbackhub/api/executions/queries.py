"""Executions as the API lists them: exact filters, cursor pages. (Pages search by part of a name: executions/domain/listing.py.)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from rollbackhub.common.errors import NotFound
from rollbackhub.executions.domain.listing import get_for_page
from rollbackhub.executions.enums import ExecutionKind
from rollbackhub.executions.models import Execution, Sample
from rollbackhub.routing.models import RoutingPolicy

_OWNERS = ("rollback_part", "roll_forward")
_EQUAL = ("kind", "state", "verdict", "change_type")


def list_executions(*, query: dict[str, Any], kinds: Sequence[ExecutionKind] | None = None) -> QuerySet[Execution]:
    """Executions that match the checked query parameters, without their plans. One query for a page of them."""
    found = Execution.objects.defer("plan").select_related("policy__artefact", "environment", "bad_version")
    found = found.select_related(*_OWNERS).defer("rollback_part__plan") if kinds is None else found.filter(kind__in=kinds)
    for name in _EQUAL:
        if name in query:
            found = found.filter(**{name: query[name]})
    if "alias" in query or "environment" in query:
        policies = RoutingPolicy.objects.all()
        if "alias" in query:
            policies = policies.filter(alias=query["alias"])
        if "environment" in query:
            policies = policies.filter(environment__slug=query["environment"])
        found = found.filter(policy__in=policies)
    if "created_after" in query:
        found = found.filter(created_at__gte=query["created_after"])
    if "created_before" in query:
        found = found.filter(created_at__lt=query["created_before"])
    return found


def get_execution(*, execution_id: UUID, kinds: Sequence[ExecutionKind] | None = None) -> Execution:
    """An execution with all that its detail shows. Raises NotFound. Five queries at most."""
    executions = Execution.objects.filter(kind__in=kinds).select_related("drill") if kinds else Execution.objects.select_related(*_OWNERS)
    execution = get_for_page(executions, execution_id=execution_id)
    if execution is None:
        raise _none(kinds)
    return execution


def list_samples_of(*, execution_id: UUID, query: dict[str, Any], kinds: Sequence[ExecutionKind] | None = None) -> QuerySet[Sample]:
    """The samples of an execution. Raises NotFound."""
    executions = Execution.objects.filter(pk=execution_id)
    if kinds is not None:
        executions = executions.filter(kind__in=kinds)
    if not executions.exists():
        raise _none(kinds)
    samples = Sample.objects.filter(execution_id=execution_id).select_related("attempt")
    return samples.filter(kind=query["kind"]) if "kind" in query else samples


def _none(kinds: Sequence[ExecutionKind] | None) -> NotFound:
    noun = "drill" if kinds else "execution"
    return NotFound(f"There is no such {noun}.", code=f"{noun}_not_found")
