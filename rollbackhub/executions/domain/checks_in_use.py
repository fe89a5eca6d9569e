"""By which checks an artefact's rollbacks are verified now, and which aliases are verified otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollbackhub.executions.domain.looks import ACTION, TEMPLATE_PARAMS, checks_of
from rollbackhub.executions.domain.path import current_procedures, list_connections
from rollbackhub.registry.models import Artefact
from rollbackhub.verification.specs import Check, parse_checks, template


@dataclass(frozen=True, slots=True)
class ChecksInUse:
    """`checks`: the artefact's own, or the template's with the margins of the procedure that verifies by them."""

    checks: list[Check]
    is_own: bool
    by_checks: list[str]
    """Aliases whose procedure verifies by these checks: `smart-reasoner in Staging`."""
    otherwise: list[str]
    """Aliases whose procedure verifies by what is served."""
    without: list[str]
    """Aliases that have no procedure yet."""


def checks_in_use(artefact: Artefact) -> ChecksInUse:
    """Three queries. Raises InvalidInput when what is stored is no check any more."""
    procedures = current_procedures(list_connections())
    by_checks: list[str] = []
    otherwise: list[str] = []
    without: list[str] = []
    params = dict(TEMPLATE_PARAMS)
    for policy in artefact.policies.select_related("environment", "artefact").order_by("alias", "environment__slug"):
        procedure = procedures.of(policy)
        name = f"{policy.alias} in {policy.environment.name}"
        if procedure is None:
            without.append(name)
            continue
        step = next((step for step in procedure.steps if step["action"] == ACTION), None)
        if step is None:
            otherwise.append(name)
        else:
            by_checks.append(name)
            params |= step.get("params") or {}
    plan: dict[str, Any] = {"change_type": artefact.change_type, **({"checks": artefact.checks} if artefact.checks is not None else {})}
    return ChecksInUse(checks_of(plan, params), artefact.checks is not None, by_checks, otherwise, without)


def template_checks(artefact: Artefact, params: Mapping[str, Any] = TEMPLATE_PARAMS) -> list[Check]:
    """The template of its change type. No query."""
    wanted = template(artefact.change_type, feedback_points=params["feedback_margin"], latency_ratio=params["latency_ratio"], consecutive=params["consecutive"])
    return parse_checks(wanted)
