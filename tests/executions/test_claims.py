"""A claim is one worker's, for the length of a lease; whoever lost it writes nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.errors import LeaseLost
from rollbackhub.executions.domain.claims import Claim, claim_execution, release_claim
from rollbackhub.executions.domain.sweep import take_due
from rollbackhub.executions.enums import ExecutionState
from rollbackhub.executions.models import Execution
from rollbackhub.routing.models import RoutingPolicy
from tests.databases import FreshDatabase
from tests.executions.conftest import FLIP, start
from tests.routing.conftest import seed_policy
from tests.threads import at_once


def expire(execution: Execution) -> None:
    Execution.objects.filter(pk=execution.pk).update(lease_until=Now() - timedelta(seconds=1))


def claimed(execution: Execution, worker: str = "worker-1") -> Claim:
    claim = claim_execution(execution_id=execution.pk, worker=worker)
    assert claim is not None
    return claim


def test_claim_starts_the_execution_and_is_audited(policy: RoutingPolicy) -> None:
    execution = start(policy, FLIP)
    claim = claimed(execution)
    execution.refresh_from_db()
    assert (claim.fence, execution.state, execution.claimed_by) == (1, ExecutionState.RUNNING, "worker-1")
    assert AuditEvent.objects.get(event="execution.started").data == {"worker": "worker-1", "fence": 1}


def test_claim_that_is_held_cannot_be_had(policy: RoutingPolicy) -> None:
    execution = start(policy, FLIP)
    claimed(execution)
    assert claim_execution(execution_id=execution.pk, worker="worker-2") is None


def test_claim_after_the_lease_has_a_higher_fence_and_counts_as_resumed(policy: RoutingPolicy) -> None:
    execution = start(policy, FLIP)
    claimed(execution)
    expire(execution)
    assert claimed(execution, "worker-2").fence == 2
    assert AuditEvent.objects.filter(event="execution.resumed").count() == 1


@pytest.mark.parametrize("state", [ExecutionState.NEEDS_HUMAN, ExecutionState.FINISHED, ExecutionState.CANCELLED])
def test_claim_of_what_is_not_to_run_cannot_be_had(policy: RoutingPolicy, state: ExecutionState) -> None:
    execution = start(policy, FLIP)
    Execution.objects.filter(pk=execution.pk).update(state=state, verdict="error")
    assert claim_execution(execution_id=execution.pk, worker="worker-1") is None


def test_fenced_write_after_somebody_else_claimed_is_lost_whole(policy: RoutingPolicy) -> None:
    execution = start(policy, FLIP)
    stale = claimed(execution)
    expire(execution)
    claimed(execution, "worker-2")
    with pytest.raises(LeaseLost), stale.fenced():
        Execution.objects.filter(pk=execution.pk).update(outcome="written by a ghost")
    execution.refresh_from_db()
    assert execution.outcome == ""


def test_fenced_write_after_the_lease_is_lost_even_if_nobody_claimed(policy: RoutingPolicy) -> None:
    execution = start(policy, FLIP)
    stale = claimed(execution)
    expire(execution)
    with pytest.raises(LeaseLost):
        stale.renew()


def test_fenced_write_renews_the_lease(policy: RoutingPolicy) -> None:
    execution = start(policy, FLIP)
    claim = claimed(execution)
    execution.refresh_from_db()
    before = execution.lease_until
    Execution.objects.filter(pk=execution.pk).update(lease_until=Now() + timedelta(milliseconds=500))
    claim.renew()
    execution.refresh_from_db()
    assert before is not None
    assert execution.lease_until is not None
    assert execution.lease_until > before - timedelta(milliseconds=100)


def test_released_claim_can_be_had_at_once(policy: RoutingPolicy) -> None:
    execution = start(policy, FLIP)
    release_claim(claimed(execution))
    # In one transaction clock_timestamp() goes on, so the lease that ended a moment ago has ended.
    assert claimed(execution, "worker-2").fence == 2


def test_twenty_workers_at_once_get_one_claim(fresh_database: FreshDatabase) -> None:
    execution = start(seed_policy(), FLIP)
    claims = at_once(20, lambda number: claim_execution(execution_id=execution.pk, worker=f"worker-{number}"))
    assert len(claims) == 20
    assert sum(isinstance(claim, Claim) for claim in claims) == 1
    assert claims.count(None) == 19


def test_due_is_what_was_never_published_and_only_once(policy: RoutingPolicy) -> None:
    execution = start(policy, FLIP)
    (due,) = take_due()
    assert (due.execution_id, due.resumed, due.unclaimed) == (execution.pk, False, False)
    assert take_due() == []


def test_due_again_when_nobody_claimed_within_the_grace(policy: RoutingPolicy) -> None:
    execution = start(policy, FLIP)
    take_due()
    Execution.objects.filter(pk=execution.pk).update(published_at=Now() - timedelta(seconds=60))
    (due,) = take_due()
    assert due.unclaimed


def test_due_when_the_lease_has_ended_but_not_before(policy: RoutingPolicy) -> None:
    execution = start(policy, FLIP)
    claimed(execution)
    assert take_due() == []
    expire(execution)
    (due,) = take_due()
    assert (due.resumed, due.unclaimed) == (True, False)
    assert take_due() == [], "it does not flood"


def test_four_sweepers_at_once_take_each_execution_once(fresh_database: FreshDatabase) -> None:
    for index in range(30):
        start(seed_policy(alias=f"alias-{index}"), FLIP)
    rounds = at_once(4, lambda _: take_due())
    taken = [due.execution_id for found in rounds if isinstance(found, list) for due in found]
    assert len(taken) == len(set(taken)) == 30
