"""From bodies to what they mean, and from rollbacks to what is answered."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from rollbackhub.accounts.domain.actors import name_of
from rollbackhub.api.lookups import get_policy, get_version
from rollbackhub.api.rollbacks.serializers import RollbackDetail, rollback_path
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.executions.models import Sample
from rollbackhub.registry.models import Version
from rollbackhub.rollbacks.domain.authority import list_approvers
from rollbackhub.rollbacks.domain.coordination import Coordination, coordinate, get_coordinated
from rollbackhub.rollbacks.domain.proposal import Target
from rollbackhub.rollbacks.domain.selectors import get_rollback, list_rollbacks, rollback_report
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Rollback, RollbackPart, RollForward
from rollbackhub.routing.models import RoutingPolicy


def get_target(*, environment: str, alias: str, bad_version: str | None, prefix: str = "") -> Target:
    """An alias that a body names. Raises InvalidInput, with the name of the field behind `prefix`."""
    try:
        policy = get_policy(environment=environment, alias=alias)
    except NotFound as error:
        raise InvalidInput(error.message, code=error.code, fields={f"{prefix}alias": [error.message]}) from error
    if not bad_version:
        return Target(policy=policy)
    try:
        return Target(policy=policy, bad_version=get_version(policy=policy, label=bad_version))
    except InvalidInput as error:
        raise InvalidInput(error.message, code=error.code, fields={f"{prefix}{name}": texts for name, texts in error.fields.items()}) from error


def get_fix_version(*, policy: RoutingPolicy, label: str) -> Version:
    """The fixed version that a body names. Raises InvalidInput."""
    version = Version.objects.filter(artefact_id=policy.artefact_id, label=label).first()
    if version is None:
        sentence = f"{label} is not a version of {policy.artefact.slug}. Register it first."
        raise InvalidInput(sentence, code="roll_forward_invalid", fields={"fix_version": [sentence]})
    return version


def get_targets(values: Mapping[str, Any]) -> list[Target]:
    """The aliases of a checked PlanRequest. Raises InvalidInput."""
    if values["alias"]:
        return [get_target(environment=values["environment"], alias=values["alias"], bad_version=values["bad_version"])]
    if not values.get("aliases"):
        # No query an alias: the procedure's steps came with their policies.
        return [Target(policy=step.policy) for step in get_coordinated(values["coordinated"]).steps.all()]
    return [
        get_target(environment=values["environment"], alias=entry["alias"], bad_version=entry["bad_version"], prefix=f"aliases.{number}.")
        for number, entry in enumerate(values["aliases"])
    ]


def get_coordination(values: Mapping[str, Any], targets: Sequence[Target]) -> Coordination | None:
    """What the coordinated procedure of a checked PlanRequest says about these aliases; None without one. Raises NotFound, InvalidInput."""
    if values["coordinated"] is None:
        return None
    return coordinate(get_coordinated(values["coordinated"]), [target.policy for target in targets])


def find_rollbacks(query: Mapping[str, Any]) -> QuerySet[Rollback]:
    """The rollbacks that match the checked query parameters, with their parts."""
    exact = {name: query[name] for name in ("state", "environment", "alias", "change_type") if name in query}
    found = list_rollbacks(**exact, only_open=query.get("open", False))
    if "created_after" in query:
        found = found.filter(created_at__gte=query["created_after"])
    if "created_before" in query:
        found = found.filter(created_at__lt=query["created_before"])
    return found


def list_samples_of_rollback(*, rollback_id: UUID, query: Mapping[str, Any]) -> QuerySet[Sample]:
    """What all executions of a rollback observed, those of earlier plans and of roll-forwards included. Raises NotFound."""
    parts = list(RollbackPart.objects.filter(rollback=rollback_id).values_list("execution_id", "earlier_executions"))
    if not parts:
        raise NotFound("There is no such rollback.", code="rollback_not_found")
    wanted = {execution_id for execution_id, _ in parts if execution_id} | {UUID(str(earlier)) for _, several in parts for earlier in several}
    wanted |= set(RollForward.objects.filter(rollback=rollback_id).values_list("execution_id", flat=True))
    samples = Sample.objects.filter(execution__in=wanted).select_related("attempt", "execution__policy").defer("execution__plan")
    if "alias" in query:
        samples = samples.filter(execution__policy__alias=query["alias"])
    return samples.filter(kind=query["kind"]) if "kind" in query else samples


def describe(rollback_id: UUID) -> dict[str, Any]:
    """A rollback as RollbackDetail answers it. Raises NotFound."""
    rollback = get_rollback(rollback_id)
    report = rollback_report(rollback)
    plans = {part.policy.alias: part.plan for part in rollback.parts.select_related("policy")}
    for part in report["parts"]:
        plan = plans[part["alias"]]
        part["weights"] = {"before": plan["weights_before"], "rolled_back": plan["weights_rolled_back"]}
        execution = part["execution"]
        if execution is not None:
            execution["url"] = f"/api/v1/executions/{execution['id']}/"
            for name in ("created_at", "finished_at"):
                execution[name] = dt.datetime.fromisoformat(execution[name]) if execution[name] else None
    waits = rollback.state == RollbackState.AWAITING_APPROVAL
    approvers = list_approvers(rollback.required_role, principal=rollback.principal) if waits else []
    content = {
        **report,
        "url": rollback_path(rollback.pk),
        "page": f"/rollbacks/{rollback.pk}/",
        "samples_url": f"{rollback_path(rollback.pk)}samples/",
        "requested_via": rollback.requested_via,
        "created_at": rollback.created_at,
        "plan_hash": rollback.plan_hash,
        "expires_at": rollback.expires_at,
        "approvers": [{"username": person.username, "name": name_of(person)} for person in approvers],
        "approvals": rollback.approvals.select_related("user"),
        "review_is_open": rollback.review_is_open,
        "roll_forwards": rollback.roll_forwards.select_related("fix_version", "started_by"),
        "is_lab": rollback.is_lab,
    }
    return dict(RollbackDetail(content).data)


def add_addresses(error: Conflict) -> Conflict:
    """The refusal, with the API's address of what stands in the way."""
    if "rollback_id" in error.extra:
        error.extra["api_url"] = rollback_path(error.extra["rollback_id"])
    elif "execution_id" in error.extra:
        resource = "drills" if error.extra.get("execution_kind") == "drill" else "executions"
        error.extra["api_url"] = f"/api/v1/{resource}/{error.extra['execution_id']}/"
    return error
