"""Rehearsing a release in staging: the way back is run before the way there is begun."""

from __future__ import annotations

import hashlib

from django.core.cache import cache
from django.db import transaction

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.executions.domain.plan import build_plan
from rollbackhub.executions.domain.transitions import start_execution
from rollbackhub.executions.enums import ExecutionKind
from rollbackhub.executions.models import Execution
from rollbackhub.registry.enums import EnvironmentKind
from rollbackhub.releases.domain.planning import rehearsal_candidates
from rollbackhub.releases.domain.reach import cluster_missing_in_words, gateways_without, require_cluster
from rollbackhub.releases.domain.selectors import get_release
from rollbackhub.releases.enums import OPEN_STATES
from rollbackhub.releases.models import Release, ReleaseRehearsal
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.domain.transitions import append_revision
from rollbackhub.routing.models import RoutingPolicy

PAGE_SECONDS = 1.0
"""A page waits no longer for a gateway."""

REMEMBERED_SECONDS = 15


def rehearse_release(*, release_id: int, account: User, actor: Actor) -> Execution:
    """Give staging the candidates that production will have, and run the rollback of the new version there, on the engine that drills use.

    Raises Forbidden, NotFound, InvalidInput `no_staging`, Conflict (`wrong_state`, `already_running`, `revision_moved`, `cluster_missing`).
    """
    require(user=account, capability=Capability.RELEASE)
    release = get_release(release_id)
    if release.state not in OPEN_STATES:
        raise Conflict(
            f"This release is {release.get_state_display().lower()}: there is nothing to rehearse.", code="wrong_state", url=f"/releases/{release.pk}/"
        )
    staging = _staging_of(release)
    require_cluster(staging, candidate_id=release.candidate_id)
    with transaction.atomic():
        present = get_candidates(policy=staging)
        wanted = rehearsal_candidates(release, get_candidates(policy=release.policy))
        if present != wanted:
            append_revision(
                policy_id=staging.pk,
                expected_revision=staging.revision_number,
                candidates=wanted,
                actor=actor,
                reason=f"Release {release.pk}: the candidates that production will have, for a rehearsal",
                release_id=release.pk,
            )
            staging.refresh_from_db(fields=["revision_number"])
        plan = build_plan(policy=staging, kind=ExecutionKind.REHEARSAL, bad_version=release.to_version)
        execution = start_execution(kind=ExecutionKind.REHEARSAL, policy=staging, plan=plan, actor=actor, user=account)
        ReleaseRehearsal.objects.create(release=release, execution=execution)
        data = {"execution": str(execution.pk), "environment": staging.environment.slug, "staging_changed": present != wanted}
        record(event="release.rehearsal_started", actor=actor, subject_type="release", subject_id=release.pk, data=data)
        return execution


def why_not_rehearsed(release: Release) -> str:
    """Why a rehearsal of it would be refused now, as a sentence; empty when nothing is known to stand in its way.

    For pages that offer it: what gateways answer is remembered for some seconds, and one that does not answer at once is left out.
    """
    try:
        staging = _staging_of(release)
    except InvalidInput as error:
        return error.message
    key = f"rehearsal-clusters-{staging.environment_id}-{hashlib.sha256(release.candidate_id.encode()).hexdigest()}"
    without = cache.get(key)
    if without is None:
        without = gateways_without(staging, candidate_id=release.candidate_id, seconds=PAGE_SECONDS)
        cache.set(key, without, REMEMBERED_SECONDS)
    return cluster_missing_in_words(staging, candidate_id=release.candidate_id, gateways=without) if without else ""


def _staging_of(release: Release) -> RoutingPolicy:
    found = (
        RoutingPolicy.objects.select_related("environment", "artefact", "artefact__team")
        .filter(alias=release.policy.alias, artefact_id=release.policy.artefact_id, environment__kind=EnvironmentKind.STAGING)
        .order_by("environment__slug")
        .first()
    )
    if found is None:
        raise InvalidInput(
            f"{release.policy.alias} stands in no staging environment, so it cannot be rehearsed. Add it to one first.",
            code="no_staging",
            fields={"environment": ["Add the alias to a staging environment."]},
        )
    return found
