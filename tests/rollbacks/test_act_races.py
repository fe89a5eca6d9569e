"""Several who act on one stopped rollback in the same moment, and people who act while the engine does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.actions.base import StepOutcome
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.rollbacks.domain.acts import close_rollback, correct_detection, retry_rollback, skip_failed_step, stop_rollback, undo_rollback
from rollbackhub.rollbacks.domain.watch import resume_partially_restored
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import Gateway, PolicyRevision
from tests.databases import FreshDatabase
from tests.factories.fixtures import Cast, make_cast
from tests.factories.routing import GatewayFactory
from tests.rollbacks import invariants
from tests.rollbacks.conftest import again, ask, ends, events, passes, run, script, seed_production
from tests.threads import at_once

ROUNDS = 5


def acts_of(rollback: Rollback, cast: Cast) -> list[Callable[[], Any]]:
    """Everything that lets a stopped rollback go on, by a lead."""
    values: dict[str, Any] = {"rollback_id": rollback.pk, "account": cast.lead, "actor": actor_of(cast.lead)}
    return [
        lambda: retry_rollback(**values),
        lambda: skip_failed_step(**values, reason="seen by hand"),
        lambda: undo_rollback(**values, reason="wrong alias"),
        lambda: close_rollback(**values, reason="leave it"),
    ]


@pytest.mark.parametrize("step", ["propagate", "verify"])
def test_one_of_all_acts_on_a_stopped_rollback_wins(fresh_database: FreshDatabase, step: str) -> None:
    cast = make_cast()
    script(step, ends(Verdict.FAILED))
    for number in range(ROUNDS):
        rollback = run(ask(seed_production("model", alias=f"alias-{number}"), account=cast.on_call))
        acts = acts_of(rollback, cast)
        results = at_once(4, lambda index, acts=acts: acts[index]())  # type: ignore[misc]
        refused = [result for result in results if isinstance(result, Exception)]
        assert all(isinstance(error, RollbackHubError) and error.code == "wrong_state" for error in refused), refused
        assert len(refused) == 3
        invariants.all_hold()


def test_laggard_that_follows_while_a_person_retries_lets_it_go_on_once(fresh_database: FreshDatabase) -> None:
    cast = make_cast()
    for number in range(ROUNDS):
        policy = seed_production("model", alias=f"alias-{number}")
        gateway: Gateway = GatewayFactory(environment=policy.environment, node_id="gw-7")
        Gateway.objects.filter(pk=gateway.pk).update(applied_number=9)
        script("propagate", ends(Verdict.FAILED, lagging=["gw-7"], wanted=9))
        rollback = run(ask(policy, account=cast.on_call))
        retry = acts_of(rollback, cast)[0]
        at_once(4, lambda index, retry=retry: retry() if index == 0 else resume_partially_restored())  # type: ignore[misc]
        assert events(rollback).count("rollback.resumed") == 1
        script("propagate", None)
        assert run(rollback).state == RollbackState.VERIFIED


def test_two_workers_and_people_who_look_at_the_same_rollback_do_nothing_twice(fresh_database: FreshDatabase) -> None:
    cast = make_cast()

    def slowly(context: StepContext) -> StepOutcome:
        context.pause(0.05)
        return passes(context)

    for step in ("preflight", "propagate", "drain", "verify"):
        script(step, slowly)
    policy = seed_production("model", alias="smart-reasoner")
    rollback = ask(policy, account=cast.on_call)
    lead: dict[str, Any] = {"rollback_id": rollback.pk, "account": cast.lead, "actor": actor_of(cast.lead)}

    def act(index: int) -> Any:
        if index < 3:
            return run(rollback, worker=f"worker-{index}")
        if index == 3:
            # Rollback first, then what the engine locks the other way round.
            for minutes in range(1, 12):
                correct_detection(**lead, detected_at=rollback.decided_at - dt.timedelta(minutes=minutes), reason="better so")
            return None
        return [error.code for error in (refusal(acts_of(rollback, cast)[0]) for _ in range(10)) if error]

    results = at_once(5, act)
    assert [result for result in results if isinstance(result, Exception)] == []
    rollback = again(rollback)
    assert rollback.state == RollbackState.VERIFIED
    assert PolicyRevision.objects.filter(policy=policy).count() == 2
    assert events(rollback).count("rollback.detection_corrected") == 11
    invariants.all_hold()


def refusal(act: Callable[[], Any]) -> RollbackHubError | None:
    try:
        act()
    except RollbackHubError as error:
        return error
    return None


def test_stop_in_the_moment_of_the_claim_ends_cancelled_or_waits_for_a_person(fresh_database: FreshDatabase) -> None:
    cast = make_cast()
    for number in range(ROUNDS):
        policy = seed_production("model", alias=f"alias-{number}")
        rollback = ask(policy, account=cast.on_call)
        values: dict[str, Any] = {"rollback_id": rollback.pk, "account": cast.on_call, "actor": actor_of(cast.on_call), "reason": "not now"}
        results = at_once(2, lambda index, rollback=rollback, values=values: stop_rollback(**values) if index else run(rollback))  # type: ignore[misc]
        refused = [result for result in results if isinstance(result, Exception)]
        assert all(isinstance(error, RollbackHubError) and error.code == "wrong_state" for error in refused), refused
        # Too late: it had ended. In time: nothing was changed, or somebody says how it goes on.
        stopped = (RollbackState.CANCELLED, RollbackState.NEEDS_HUMAN, RollbackState.PARTIALLY_RESTORED, RollbackState.VERIFICATION_FAILED)
        assert again(rollback).state in ((RollbackState.VERIFIED,) if refused else (*stopped, RollbackState.VERIFIED))
        invariants.all_hold()
