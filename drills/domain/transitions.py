"""The only writers of drills."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from drills.models import Drill
from rollbackhub.accounts.models import User
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.common.shown_text import spoken
from rollbackhub.executions.domain.plan import build_plan
from rollbackhub.executions.domain.transitions import start_execution
from rollbackhub.executions.enums import ExecutionKind
from rollbackhub.registry.enums import EnvironmentKind
from rollbackhub.registry.models import Version
from rollbackhub.routing.models import RoutingPolicy


def start_drill(
    *, policy: RoutingPolicy, actor: Actor, user: User | None, bad_version: Version | None = None, idempotency_key: str | None = None, note: str = ""
) -> Drill:
    """Freeze the plan of a drill on this alias and queue it. The same idempotency key of the same owner gives the same drill.

    Raises InvalidInput (not staging, nothing to roll back), NotFound (no procedure), Conflict `already_running` or `idempotency_key_reused`.
    """
    owner = f"token:{actor.token_id}" if actor.token_id else f"{actor.kind}:{actor.user_id or actor.label}"
    if idempotency_key is not None:
        before = find_by_idempotency_key(owner=owner, key=idempotency_key)
        if before is not None:
            return _same_request(before, policy=policy, bad_version=bad_version)
    if policy.environment.kind != EnvironmentKind.STAGING:
        raise InvalidInput(
            f"Drills run in staging, and {policy.environment.slug} is {policy.environment.get_kind_display().lower()}."
            " Drill the alias in a staging environment.",
            code="not_staging",
            fields={"environment": ["Choose a staging environment."]},
        )
    if bad_version is not None and bad_version.artefact_id != policy.artefact_id:
        raise InvalidInput(
            f"{bad_version.label} is not a version of {policy.artefact.slug}.",
            code="version_not_in_policy",
            fields={"bad_version": ["Choose a version that the alias serves."]},
        )
    note = spoken(note, field="note")[:300]
    plan = build_plan(policy=policy, kind=ExecutionKind.DRILL, bad_version=bad_version)
    try:
        with transaction.atomic():
            execution = start_execution(kind=ExecutionKind.DRILL, policy=policy, plan=plan, actor=actor, user=user)
            drill = Drill.objects.create(execution=execution, idempotency_key=idempotency_key, idempotency_owner=owner if idempotency_key else "", note=note)
            record(event="drill.requested", actor=actor, subject_type="drill", subject_id=execution.pk, data={"alias": policy.alias, "note": note})
            return drill
    except (IntegrityError, Conflict):
        # Two requests with one key at once: the other one made the drill.
        before = find_by_idempotency_key(owner=owner, key=idempotency_key) if idempotency_key is not None else None
        if before is None:
            raise
        return _same_request(before, policy=policy, bad_version=bad_version)


def find_by_idempotency_key(*, owner: str, key: str) -> Drill | None:
    """The drill that this owner's key has started."""
    return Drill.objects.select_related("execution").filter(idempotency_owner=owner, idempotency_key=key).first()


def _same_request(drill: Drill, *, policy: RoutingPolicy, bad_version: Version | None) -> Drill:
    execution = drill.execution
    if execution.policy_id != policy.pk or (bad_version is not None and execution.bad_version_id != bad_version.pk):
        raise Conflict("This idempotency key was used for another request. Use a new key.", code="idempotency_key_reused", url=f"/drills/{drill.pk}/")
    return drill
