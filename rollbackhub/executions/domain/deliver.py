"""Bringing revisions to the systems that serve by them, where nobody but the hub does: what a release, a person or the API has written.

A revision that an execution wrote is delivered by that execution's own step. What an alias is bound to anew is looked at first: nothing is moved by
binding. One process delivers a policy at a time, by a claim that ends with
its time; a revision always has the same key, so that a delivery whose process died is taken up without a second effect.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection, transaction

from rollbackhub.audit.actors import system_actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import RollbackHubError, TransientError
from rollbackhub.common.failpoints import failpoint
from rollbackhub.connectors.base import Promise
from rollbackhub.connectors.mechanism import Share
from rollbackhub.executions.domain.mechanisms import BoundMechanism, bind_mechanism
from rollbackhub.executions.enums import ACTIVE_STATES
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.domain.deliveries import mark_delivered
from rollbackhub.routing.models import Delivery, PolicyRevision, RoutingPolicy

logger = logging.getLogger(__name__)

ACTOR = system_actor("delivery")
CLAIM_SECONDS = 60
TIMEOUT_SECONDS = 20.0
LOOK_SECONDS = 3.0
"""While a person waits for the page."""
RETRY_SECONDS = 5
AGAIN_SECONDS = 60
"""After a refusal, which a person has to mend."""

_CLAIM_SQL = """
    INSERT INTO routing_delivery AS d (policy_id, number, trying, problem, claimed_until)
    SELECT p.id, 0, p.revision_number, '', clock_timestamp() + make_interval(secs => %(seconds)s)
    FROM routing_routingpolicy p
    JOIN routing_policyrevision r ON r.policy_id = p.id AND r.number = p.revision_number
    LEFT JOIN routing_delivery known ON known.policy_id = p.id
    WHERE p.connection_id IS NOT NULL
        AND (r.effect_key IS NULL OR coalesce(known.number, 0) = 0)
        AND p.revision_number > coalesce(known.number, 0)
        AND (known.claimed_until IS NULL OR known.claimed_until < clock_timestamp())
        AND (known.trying IS DISTINCT FROM p.revision_number OR known.claimed_until IS NOT NULL OR known.due_at <= clock_timestamp())
        AND NOT EXISTS (SELECT FROM executions_execution x WHERE x.policy_id = p.id AND x.state = ANY(%(active)s))
    ORDER BY p.id
    LIMIT 1
    ON CONFLICT (policy_id) DO UPDATE SET trying = excluded.trying, claimed_until = excluded.claimed_until, due_at = NULL
        WHERE d.claimed_until IS NULL OR d.claimed_until < clock_timestamp()
    RETURNING d.policy_id, d.trying, d.claimed_until,
        (SELECT k.claimed_until IS NOT NULL AND k.trying = d.trying FROM routing_delivery k WHERE k.policy_id = d.policy_id)
"""
"""The last column: whether the same delivery was begun before and never ended (a subquery sees the row as it was before this statement)."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was found where an alias is bound to, in words."""

    is_right: bool
    words: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to deliver this revision until then."""

    policy_id: int
    number: int
    until: dt.datetime
    interrupted: bool


def deliver_due() -> int:
    """Deliver every policy whose system is behind. Returns how many were brought to their revision."""
    done = 0
    while (claim := _claim()) is not None:
        done += deliver(claim)
    return done


def _claim() -> Claim | None:
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM_SQL, {"seconds": CLAIM_SECONDS, "active": list(ACTIVE_STATES)})
        row = cursor.fetchone()
    return Claim(row[0], row[1], row[2], bool(row[3])) if row else None


def deliver(claim: Claim) -> bool:
    """Bring one system to the claimed revision. False when that was not possible: why is kept, and shown."""
    policy = RoutingPolicy.objects.select_related("environment", "artefact", "connection").get(pk=claim.policy_id)
    failpoint("deliver", scope=policy.alias)
    try:
        note = _apply(policy, claim)
    except TransientError as error:
        _keep_problem(claim, policy, error, again_seconds=RETRY_SECONDS)
        return False
    except RollbackHubError as error:
        _keep_problem(claim, policy, error, again_seconds=AGAIN_SECONDS)
        return False
    failpoint("delivered", scope=policy.alias)
    with transaction.atomic():
        if not Delivery.objects.select_for_update().filter(pk=claim.policy_id, claimed_until=claim.until).exists():
            # Somebody else goes on with it: the same key has no second effect.
            return False
        mark_delivered(policy_id=policy.pk, number=claim.number)
        data = {"alias": policy.alias, "environment": policy.environment.slug, "revision": claim.number, "native": note}
        record(event="policy.delivered", actor=ACTOR, subject_type="policy", subject_id=policy.pk, data=data)
    return True


def mechanism_of(policy: RoutingPolicy, *, timeout_seconds: float) -> BoundMechanism:
    """What moves this alias. The policy must have a connection. Raises InvalidInput when its settings are wrong."""
    assert policy.connection is not None
    return bind_mechanism(
        connector=policy.connection.connector,
        name=policy.connection.key,
        settings=policy.connection.settings,
        target=policy.target,
        artefact=policy.artefact.slug,
        timeout_seconds=timeout_seconds,
    )


def _apply(policy: RoutingPolicy, claim: Claim) -> str:
    moved_by = mechanism_of(policy, timeout_seconds=TIMEOUT_SECONDS)
    wanted = moved_by.shares(get_candidates(policy=policy, number=claim.number))
    delivered = Delivery.objects.values_list("number", flat=True).get(pk=policy.pk)
    if not delivered:
        return _look(moved_by, claim, wanted)
    if claim.interrupted and moved_by.mechanism.promise == Promise.AT_LEAST_ONCE:
        seen = moved_by.mechanism.observe(target=moved_by.target, wanted=wanted)
        if not seen.reached:
            raise RollbackHubError(
                f"The process that delivered revision {claim.number} was lost, and {moved_by.name} may be told only once: it shows {seen.found}."
                " Look there, then write the weights again.",
                code="delivery_unknown",
            )
        return seen.found
    before = moved_by.shares(get_candidates(policy=policy, number=delivered))
    revision = PolicyRevision.objects.get(policy=policy, number=claim.number)
    applied = moved_by.mechanism.apply(
        target=moved_by.target,
        before=before,
        wanted=wanted,
        key=f"policy-{policy.pk}-revision-{claim.number}",
        reason=f"{policy.alias} in {policy.environment.slug} to revision {claim.number} by {revision.actor_label}: {revision.reason} (RollbackHub)",
    )
    return applied.revision


def _look(moved_by: BoundMechanism, claim: Claim, wanted: Sequence[Share]) -> str:
    """What an alias was bound to says what stands there already; what that is, is found. Raises RollbackHubError when it is something else."""
    seen = moved_by.mechanism.observe(target=moved_by.target, wanted=wanted)
    if not seen.reached:
        raise RollbackHubError(
            f"{moved_by.name} shows {seen.found}, not {seen.expected}. Nothing is moved by binding: correct the target, write the weights that stand"
            f" there, or bring it to revision {claim.number} there.",
            code="not_as_bound",
        )
    return seen.found


def look_at_binding(policy: RoutingPolicy) -> Look:
    """What stands where the alias is bound to, looked at once within LOOK_SECONDS a call, for whoever has just said so. The policy must have a connection."""
    moved_by = mechanism_of(policy, timeout_seconds=LOOK_SECONDS)
    try:
        seen = moved_by.mechanism.observe(target=moved_by.target, wanted=moved_by.shares(get_candidates(policy=policy)))
    except RollbackHubError as error:
        return Look(False, f"It was kept, but {moved_by.name} could not be looked at: {error.message}")
    if not seen.reached:
        return Look(
            False, f"It was kept, but {moved_by.name} shows {seen.found}, not {seen.expected}. Nothing was moved there: see whether the target is right."
        )
    return Look(True, f"{moved_by.name} shows {seen.found}.")


def _keep_problem(claim: Claim, policy: RoutingPolicy, error: RollbackHubError, *, again_seconds: int) -> None:
    logger.warning("Revision %s of %s was not delivered: %s", claim.number, policy, error.message)
    with transaction.atomic():
        kept = Delivery.objects.select_for_update().filter(pk=claim.policy_id, claimed_until=claim.until).first()
        if kept is None:
            return
        is_new = kept.problem != error.message
        kept.problem, kept.claimed_until, kept.due_at = error.message, None, clock.now() + dt.timedelta(seconds=again_seconds)
        kept.save(update_fields=["problem", "claimed_until", "due_at"])
        if is_new:
            data = {"alias": policy.alias, "environment": policy.environment.slug, "revision": claim.number, "problem": error.message}
            record(event="policy.delivery_failed", actor=ACTOR, subject_type="policy", subject_id=policy.pk, data=data)
