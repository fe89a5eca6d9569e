"""A bad version that is seen to serve after the drain: what was restored is not any more, in state, clock and words, until it is observed again."""

from __future__ import annotations

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.actions.base import StepOutcome
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.rollbacks.domain.acts import retry_rollback, skip_failed_step, stop_rollback
from rollbackhub.rollbacks.domain.selectors import rollback_report
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.fixtures import Cast
from tests.rollbacks.conftest import Play, again, ask, ends, events, execution_of, run, script, seed_production
from tests.rollbacks.invariants import all_hold
from tests.rollbacks.test_exposure import counts, keeps, reads_metrics
from tests.rollbacks.test_following import held, person


def sights(verdict: Verdict = Verdict.FAILED, *, drained: bool = False, states: list[str] | None = None) -> Play:
    """A verification that sees the bad version serve, and ends so; `drained`: at its last look it sees that nothing goes there any more."""

    def play(context: StepContext) -> StepOutcome:
        context.served_again()
        if states is not None:
            states.append(Rollback.objects.get().state)
        now = clock.now()
        return StepOutcome(verdict, "v2 still served 2 of 57 requests.", at=now, drained_at=now if drained else None)

    return play


def sees_it_drained(verdict: Verdict) -> Play:
    def play(context: StepContext) -> StepOutcome:
        now = clock.now()
        return StepOutcome(verdict, "Nothing goes to v2.", at=now, drained_at=now)

    return play


def test_sighting_takes_restored_back_at_once_and_leaves_it_partially_restored(policy: RoutingPolicy, cast: Cast) -> None:
    states: list[str] = []
    script("verify", sights(states=states))
    rollback = run(ask(policy, account=cast.on_call))
    assert states == ["running"], "it is not said to be restored while it is seen that it is not"
    assert rollback.state == RollbackState.PARTIALLY_RESTORED
    assert (rollback.restored_at, rollback.drained_at, rollback.rollback_seconds) == (None, None, None)
    execution = execution_of(rollback)
    assert (execution.restored_at, execution.drained_at, execution.rollback_seconds) == (None, None, None)
    assert "Traffic is restored" not in rollback.outcome
    assert "It is not restored while clients get the bad version" in rollback.outcome
    assert "not observed that v2 gets no traffic" in rollback.outcome
    assert held(policy), "the version stays out all the same"
    assert [event for event in events(rollback) if "restored" in event] == ["rollback.restored", "rollback.restored_revoked", "rollback.partially_restored"]
    was = AuditEvent.objects.get(event="rollback.restored_revoked").data
    assert was["restored_at"]
    assert was["rollback_seconds"] > 0
    all_hold()


@pytest.mark.parametrize("verdict", [Verdict.PASSED, Verdict.FAILED])
def test_verifying_again_that_sees_it_drained_restores_it_then_and_not_before(policy: RoutingPolicy, cast: Cast, verdict: Verdict) -> None:
    script("verify", sights())
    rollback = run(ask(policy, account=cast.on_call))
    script("verify", sees_it_drained(verdict))
    before = clock.now()
    resumed = retry_rollback(**person(cast.on_call, rollback))
    assert resumed.state == RollbackState.RUNNING
    rollback = run(rollback)
    assert rollback.state == (RollbackState.VERIFIED if verdict == Verdict.PASSED else RollbackState.VERIFICATION_FAILED)
    assert rollback.restored_at is not None
    assert rollback.restored_at >= before, "the clock ends when it was seen, not at the drain that was none"
    assert rollback.rollback_seconds == pytest.approx((rollback.restored_at - rollback.decided_at).total_seconds())
    all_hold()


def test_verifying_again_that_sees_it_serve_after_all_revokes_once_more(policy: RoutingPolicy, cast: Cast) -> None:
    script("verify", ends(Verdict.FAILED, "Negative feedback is 9 %."))
    rollback = run(ask(policy, account=cast.on_call))
    assert rollback.state == RollbackState.VERIFICATION_FAILED
    script("verify", sights())
    retry_rollback(**person(cast.on_call, rollback))
    assert run(rollback).state == RollbackState.PARTIALLY_RESTORED
    all_hold()


def test_sighting_that_is_over_within_the_step_is_restored_at_the_later_drain(policy: RoutingPolicy, cast: Cast) -> None:
    script("verify", sights(Verdict.PASSED, drained=True))
    rollback = run(ask(policy, account=cast.on_call))
    assert rollback.state == RollbackState.VERIFIED
    assert events(rollback).count("rollback.restored") == 2
    all_hold()


def test_verification_that_shows_nothing_after_a_sighting_is_still_partially_restored(policy: RoutingPolicy, cast: Cast) -> None:
    script("verify", sights())
    rollback = run(ask(policy, account=cast.on_call))
    script("verify", ends(Verdict.ERROR, "The metrics could not be read."))
    retry_rollback(**person(cast.on_call, rollback))
    assert run(rollback).state == RollbackState.PARTIALLY_RESTORED
    all_hold()


def test_drain_that_a_person_skipped_is_not_observed_by_the_verification(policy: RoutingPolicy, cast: Cast) -> None:
    script("drain", ends(Verdict.FAILED))
    rollback = run(ask(policy, account=cast.on_call))
    skip_failed_step(**person(cast.lead, rollback), reason="I looked at the access logs")
    script("verify", sees_it_drained(Verdict.PASSED))
    rollback = run(rollback)
    assert (rollback.state, rollback.restored_at) == (RollbackState.CLOSED, None)
    all_hold()


def test_metrics_that_could_not_be_read_leave_it_partially_restored_with_what_to_do(policy: RoutingPolicy, cast: Cast) -> None:
    script("drain", ends(Verdict.ERROR, "By the gateways' counters v2 got 0 of 60 requests. The callers' metrics cannot be read.", unseen=True))
    rollback = run(ask(policy, account=cast.on_call))
    assert rollback.state == RollbackState.PARTIALLY_RESTORED
    for words in ("by the gateways' counters alone", "Mend the callers' metrics, then try the step again", "decide: a lead may skip the step"):
        assert words in rollback.outcome


def test_exposure_goes_on_until_the_bad_version_was_seen_last(policy: RoutingPolicy, cast: Cast) -> None:
    script("preflight", reads_metrics(500, counters=(counts(a=100),)))
    script("drain", keeps(counts(a=101)))

    def play(context: StepContext) -> StepOutcome:
        reads_metrics(530)(context)
        return sights()(context)

    script("verify", play)
    rollback = run(ask(policy, account=cast.on_call))
    assert rollback.state == RollbackState.PARTIALLY_RESTORED
    assert rollback_report(rollback)["exposure"]["observed"] == 30


def test_alias_of_several_that_is_seen_to_serve_stops_all_as_partially_restored(cast: Cast) -> None:
    pair = [seed_production("prompt", alias="one"), seed_production("model", alias="two")]
    script("verify", sights(), alias="one")
    rollback = run(ask(*pair, account=cast.lead))
    assert rollback.state == RollbackState.PARTIALLY_RESTORED
    script("verify", sees_it_drained(Verdict.PASSED), alias="one")
    retry_rollback(rollback_id=rollback.pk, account=cast.lead, actor=actor_of(cast.lead))
    assert run(rollback).state == RollbackState.VERIFIED
    all_hold()


def test_stop_by_a_person_after_a_sighting_does_not_say_restored(policy: RoutingPolicy, cast: Cast) -> None:
    def play(context: StepContext) -> StepOutcome:
        context.served_again()
        stop_rollback(**person(cast.on_call, Rollback.objects.get()), reason="enough of it")
        return StepOutcome(Verdict.ERROR, "Stopped by a person.")

    script("verify", play)
    rollback = run(ask(policy, account=cast.on_call))
    assert again(rollback).state == RollbackState.PARTIALLY_RESTORED
    all_hold()
