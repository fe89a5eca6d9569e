"""What a rollback makes of how its executions stop: the state, the words, and the ways on from there."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import Notice, User
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.actions.base import StepOutcome
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.enums import ExecutionState
from rollbackhub.registry.models import StabilityHold
from rollbackhub.rollbacks.domain.acts import close_rollback, retry_rollback, skip_failed_step, stop_rollback, undo_rollback
from rollbackhub.rollbacks.domain.transitions import find_active
from rollbackhub.rollbacks.domain.watch import resume_partially_restored
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import Gateway, PolicyRevision, RoutingPolicy
from tests.factories.fixtures import Cast
from tests.factories.routing import GatewayFactory
from tests.rollbacks.conftest import again, ask, ends, events, execution_of, passes, reroute, run, script, seed_production, token_actor, weight_of

LAGGING = ends(Verdict.FAILED, "1 of 2 gateways did not acknowledge.", lagging=["gw-7"], wanted=99)

STOPS = {
    "preflight": RollbackState.NEEDS_HUMAN,
    "flip": RollbackState.NEEDS_HUMAN,
    "propagate": RollbackState.PARTIALLY_RESTORED,
    "drain": RollbackState.PARTIALLY_RESTORED,
    "verify": RollbackState.VERIFICATION_FAILED,
}


def person(account: User, rollback: Rollback) -> dict[str, Any]:
    """Who acts on what."""
    return {"rollback_id": rollback.pk, "account": account, "actor": actor_of(account)}


def held(policy: RoutingPolicy) -> bool:
    return StabilityHold.objects.filter(version__artefact=policy.artefact, lifted_at=None).exists()


def stopped_at(step: str, policy: RoutingPolicy, cast: Cast, *, verdict: Verdict = Verdict.FAILED) -> Rollback:
    """A rollback that stopped at this step. The flip is a real one: it stops when somebody else has changed the policy."""
    if step == "flip":

        def changed_meanwhile(context: StepContext) -> StepOutcome:
            reroute(policy, bad=30)
            return passes(context)

        script("preflight", changed_meanwhile)
    else:
        script(step, ends(verdict, "not as wanted"))
    return run(ask(policy, account=cast.on_call))


def test_everything_passed_is_restored_then_verified_with_every_instant(policy: RoutingPolicy, cast: Cast) -> None:
    states: list[str] = []

    def look(context: StepContext) -> StepOutcome:
        states.append(Rollback.objects.get().state)
        return passes(context)

    for step in ("propagate", "drain", "verify"):
        script(step, look)
    rollback = run(ask(policy, account=cast.on_call))
    assert states == ["running", "running", "restored"]
    assert rollback.state == RollbackState.VERIFIED
    instants = [rollback.decided_at, rollback.authorised_at, rollback.started_at, rollback.executed_at, rollback.propagated_at, rollback.drained_at]
    assert all(instants)
    assert instants == sorted(instants)  # type: ignore[type-var]
    assert rollback.restored_at == max(rollback.propagated_at, rollback.drained_at)  # type: ignore[type-var]
    assert rollback.rollback_seconds == pytest.approx((rollback.restored_at - rollback.decided_at).total_seconds())  # type: ignore[operator]
    assert rollback.verified_at is not None
    assert (weight_of(policy), held(policy), find_active(policy)) == (0, True, None)
    assert events(rollback) == [
        "rollback.requested",
        "rollback.authorised",
        "rollback.started",
        "rollback.restored",
        "rollback.exposure_reckoned",
        "rollback.verified",
    ]


@pytest.mark.parametrize("step", STOPS)
@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.ERROR])
def test_stop_at_a_step_says_how_far_things_got(policy: RoutingPolicy, cast: Cast, step: str, verdict: Verdict) -> None:
    rollback = stopped_at(step, policy, cast, verdict=verdict)
    assert rollback.state == STOPS[step]
    restored = step == "verify"
    assert (rollback.restored_at is not None, rollback.rollback_seconds is not None, held(policy)) == (restored, restored, restored)
    assert rollback.verified_at is None
    assert find_active(policy) == rollback, "it keeps the alias until somebody says how it goes on"
    with pytest.raises(Conflict) as caught:
        ask(policy, account=cast.lead)
    assert (caught.value.code, caught.value.extra["rollback_id"]) == ("rollback_active", str(rollback.pk))
    words = {
        "preflight": "nothing was changed, v2 keeps its weight",
        "flip": "changed by somebody else",
        "propagate": "the flip is written, but it is not observed that v2 gets no traffic",
        "drain": "the flip is written, but it is not observed that v2 gets no traffic",
        "verify": "Traffic is restored, but it is not shown that the harm is over",
    }
    assert words[step] in rollback.outcome
    assert weight_of(policy) == {"preflight": 25, "flip": 30}.get(step, 0)


@pytest.mark.parametrize("step", [step for step in STOPS if step != "flip"])
def test_retry_by_the_on_call_engineer_finishes_it(policy: RoutingPolicy, cast: Cast, step: str) -> None:
    rollback = stopped_at(step, policy, cast)
    script(step, None)
    for account in (cast.auditor, cast.stranger):
        with pytest.raises(Forbidden):
            retry_rollback(**person(account, rollback))
    resumed = retry_rollback(**person(cast.on_call, rollback))
    assert resumed.state == (RollbackState.RESTORED if step == "verify" else RollbackState.RUNNING)
    rollback = run(rollback)
    assert (rollback.state, weight_of(policy), held(policy)) == (RollbackState.VERIFIED, 0, True)
    assert events(rollback).count("rollback.resumed") == 1
    assert PolicyRevision.objects.filter(policy=policy).count() == 2
    with pytest.raises(Conflict):
        retry_rollback(**person(cast.on_call, rollback))


def test_lagging_gateways_are_named_and_it_goes_on_by_itself_when_they_follow(policy: RoutingPolicy, cast: Cast) -> None:
    script("propagate", LAGGING)
    rollback = run(ask(policy, account=cast.on_call))
    assert rollback.state == RollbackState.PARTIALLY_RESTORED
    assert "gw-7" in rollback.outcome
    assert rollback.restored_at is None
    gateway: Gateway = GatewayFactory(environment=policy.environment, node_id="gw-7")
    Gateway.objects.filter(pk=gateway.pk).update(applied_number=98)
    assert resume_partially_restored() == 0
    Gateway.objects.filter(pk=gateway.pk).update(applied_number=99)
    script("propagate", None)
    assert resume_partially_restored() == 1
    assert resume_partially_restored() == 0
    assert again(rollback).state == RollbackState.RUNNING
    assert run(rollback).state == RollbackState.VERIFIED


def test_gateway_that_vanished_from_the_table_is_not_taken_for_one_that_follows(policy: RoutingPolicy, cast: Cast) -> None:
    script("propagate", LAGGING)
    rollback = run(ask(policy, account=cast.on_call))
    assert resume_partially_restored() == 0
    assert again(rollback).state == RollbackState.PARTIALLY_RESTORED


# Skipping.


def test_skip_is_a_leads_with_a_reason(policy: RoutingPolicy, cast: Cast) -> None:
    rollback = stopped_at("verify", policy, cast)
    for account in (cast.on_call, cast.admin, cast.auditor, cast.stranger):
        with pytest.raises(Forbidden):
            skip_failed_step(**person(account, rollback), reason="seen by hand")
    with pytest.raises(Forbidden):
        skip_failed_step(rollback_id=rollback.pk, account=cast.lead, actor=token_actor(cast.lead), reason="seen by hand")
    with pytest.raises(InvalidInput):
        skip_failed_step(**person(cast.lead, rollback), reason=" ")
    assert again(rollback).state == RollbackState.VERIFICATION_FAILED


def test_skipped_verification_is_closed_and_never_called_verified(policy: RoutingPolicy, cast: Cast) -> None:
    rollback = stopped_at("verify", policy, cast)
    skip_failed_step(**person(cast.lead, rollback), reason="seen by hand")
    rollback = run(rollback)
    assert (rollback.state, rollback.verified_at) == (RollbackState.CLOSED, None)
    assert "steps were skipped" in rollback.outcome
    assert "rollback.step_skipped" in events(rollback)
    assert held(policy)


@pytest.mark.parametrize("step", ["propagate", "drain"])
def test_skipped_observation_is_never_called_restored(policy: RoutingPolicy, cast: Cast, step: str) -> None:
    rollback = stopped_at(step, policy, cast)
    skip_failed_step(**person(cast.lead, rollback), reason="the gateway is gone")
    rollback = run(rollback)
    assert (rollback.state, rollback.restored_at, rollback.rollback_seconds) == (RollbackState.CLOSED, None, None)
    assert "rollback.restored" not in events(rollback)
    # What was flipped stays out all the same.
    assert (held(policy), weight_of(policy), find_active(policy)) == (True, 0, None)


def test_flip_cannot_be_skipped(policy: RoutingPolicy, cast: Cast) -> None:
    rollback = stopped_at("flip", policy, cast)
    with pytest.raises(InvalidInput) as caught:
        skip_failed_step(**person(cast.lead, rollback), reason="let it be")
    assert caught.value.code == "step_not_skippable"
    assert again(rollback).state == RollbackState.NEEDS_HUMAN


# Putting back.


@pytest.mark.parametrize("step", ["preflight", "propagate", "drain"])
def test_undo_before_restoration_puts_the_weights_back(policy: RoutingPolicy, cast: Cast, step: str) -> None:
    rollback = stopped_at(step, policy, cast)
    for account in (cast.auditor, cast.stranger):
        with pytest.raises(Forbidden):
            undo_rollback(**person(account, rollback), reason="wrong alias")
    assert undo_rollback(**person(cast.on_call, rollback), reason="wrong alias").state == RollbackState.UNDOING
    rollback = run(rollback)
    assert (rollback.state, weight_of(policy), find_active(policy)) == (RollbackState.UNDONE, 25, None)
    assert rollback.closed_at is not None
    assert rollback.restored_at is None
    assert ("nothing was changed" if step == "preflight" else "put back as before") in rollback.outcome


def test_undo_after_restoration_takes_a_lead_and_lifts_the_hold(policy: RoutingPolicy, cast: Cast) -> None:
    rollback = stopped_at("verify", policy, cast)
    with pytest.raises(Forbidden) as caught:
        undo_rollback(**person(cast.on_call, rollback), reason="it was not this")
    assert caught.value.code == "hold_stands"
    assert (again(rollback).state, held(policy), weight_of(policy)) == (RollbackState.VERIFICATION_FAILED, True, 0)
    assert execution_of(rollback).state == ExecutionState.NEEDS_HUMAN
    undo_rollback(**person(cast.lead, rollback), reason="it was not this")
    rollback = run(rollback)
    assert (rollback.state, held(policy), weight_of(policy)) == (RollbackState.UNDONE, False, 25)
    hold = StabilityHold.objects.get()
    assert (hold.lifted_by, hold.lift_reason) == (cast.lead, "Put back: it was not this")


def test_undo_never_overwrites_somebody_elses_change_and_then_needs_a_person(policy: RoutingPolicy, cast: Cast) -> None:
    rollback = stopped_at("drain", policy, cast)
    reroute(policy, bad=10)
    undo_rollback(**person(cast.on_call, rollback), reason="wrong alias")
    rollback = run(rollback)
    assert (rollback.state, weight_of(policy)) == (RollbackState.NEEDS_HUMAN, 10)
    closed = close_rollback(**person(cast.lead, rollback), reason="looked at it")
    assert (closed.state, find_active(policy)) == (RollbackState.CLOSED, None)
    assert not held(policy), "it has weight: a hold would only keep people from mending it"


def test_undo_that_stopped_and_is_given_up_holds_nothing_that_serves(policy: RoutingPolicy, cast: Cast) -> None:
    rollback = stopped_at("drain", policy, cast)
    script("restore_gateways", LAGGING)
    undo_rollback(**person(cast.on_call, rollback), reason="wrong alias")
    run(rollback)
    close_rollback(**person(cast.on_call, rollback), reason="good enough")
    assert (weight_of(policy), held(policy)) == (25, False)
    reroute(policy, bad=20)


def test_undo_that_stopped_is_retried_and_ends_undone(policy: RoutingPolicy, cast: Cast) -> None:
    rollback = stopped_at("drain", policy, cast)
    script("restore_gateways", LAGGING)
    undo_rollback(**person(cast.on_call, rollback), reason="wrong alias")
    assert run(rollback).state == RollbackState.NEEDS_HUMAN
    script("restore_gateways", None)
    assert retry_rollback(**person(cast.on_call, rollback)).state == RollbackState.UNDOING
    assert run(rollback).state == RollbackState.UNDONE


# Stopping and closing.


def test_stop_before_the_first_step_ends_it_with_nothing_changed(policy: RoutingPolicy, cast: Cast) -> None:
    rollback = ask(policy, account=cast.on_call)
    with pytest.raises(Forbidden):
        stop_rollback(**person(cast.stranger, rollback), reason="not now")
    stopped = stop_rollback(**person(cast.on_call, rollback), reason="not now")
    assert (stopped.state, weight_of(policy), find_active(policy)) == (RollbackState.CANCELLED, 25, None)
    assert "nothing was changed" in stopped.outcome
    with pytest.raises(Conflict):
        stop_rollback(**person(cast.on_call, rollback), reason="again")


@pytest.mark.parametrize(("step", "state"), [("preflight", "needs_human"), ("drain", "partially_restored"), ("verify", "verification_failed")])
def test_stop_in_the_middle_of_a_step_waits_for_a_person(policy: RoutingPolicy, cast: Cast, step: str, state: str) -> None:
    def waits_for_ever(context: StepContext) -> StepOutcome:
        stop_rollback(**person(cast.on_call, Rollback.objects.get()), reason="enough seen")
        while True:
            context.pause(0.01)

    script(step, waits_for_ever)
    rollback = run(ask(policy, account=cast.on_call))
    assert rollback.state == state
    assert "enough seen" in rollback.outcome
    script(step, None)
    retry_rollback(**person(cast.on_call, rollback))
    assert run(rollback).state == RollbackState.VERIFIED


def test_verified_rollback_is_closed_by_whoever_may_roll_back(policy: RoutingPolicy, cast: Cast) -> None:
    rollback = run(ask(policy, account=cast.on_call))
    with pytest.raises(Forbidden):
        close_rollback(**person(cast.stranger, rollback), reason="done")
    closed = close_rollback(**person(cast.on_call, rollback), reason="done")
    assert (closed.state, closed.closed_at is not None) == (RollbackState.CLOSED, True)
    with pytest.raises(Conflict):
        close_rollback(**person(cast.on_call, rollback), reason="again")


@pytest.mark.parametrize("step", STOPS)
def test_stopped_rollback_may_be_given_up_and_leads_are_told_when_something_was_changed(policy: RoutingPolicy, cast: Cast, step: str) -> None:
    rollback = stopped_at(step, policy, cast)
    with pytest.raises(Forbidden):
        close_rollback(rollback_id=rollback.pk, account=cast.lead, actor=token_actor(cast.lead), reason="leave it")
    closed = close_rollback(**person(cast.on_call, rollback), reason="leave it")
    assert (closed.state, closed.verified_at, find_active(policy)) == (RollbackState.CLOSED, None, None)
    changed = step not in ("preflight", "flip")
    assert Notice.objects.filter(user=cast.lead, key__startswith="given-up").exists() == changed
    assert held(policy) == changed
    assert closed.outcome.count("leave it") >= 1


@pytest.mark.parametrize("act", [retry_rollback, skip_failed_step, undo_rollback, close_rollback])
def test_acts_on_a_rollback_that_runs_or_waits_are_conflicts(policy: RoutingPolicy, cast: Cast, dataset: RoutingPolicy, act: Any) -> None:
    more = {} if act is retry_rollback else {"reason": "let us see"}
    running, waiting = ask(policy, account=cast.on_call), ask(dataset, account=cast.on_call)
    for rollback in (running, waiting):
        before = again(rollback).state
        with pytest.raises(Conflict) as caught:
            act(**person(cast.lead, rollback), **more)
        assert caught.value.code == "wrong_state"
        assert again(rollback).state == before


# Several aliases.


@pytest.fixture
def pair(db: None) -> tuple[RoutingPolicy, RoutingPolicy]:
    """The prompt and the model of one release."""
    return seed_production("prompt", alias="answer-prompt"), seed_production("model", alias="answer-model")


def test_coordinated_rollback_runs_in_its_order_and_is_restored_after_the_last(pair: tuple[RoutingPolicy, RoutingPolicy], cast: Cast) -> None:
    prompt, model = pair
    seen: list[tuple[str, str, int, int]] = []

    def look(context: StepContext) -> StepOutcome:
        seen.append((context.plan["alias"], Rollback.objects.get().state, weight_of(prompt), weight_of(model)))
        return passes(context)

    script("verify", look)
    rollback = run(ask(prompt, model, account=cast.lead))
    assert seen == [("answer-prompt", "running", 0, 25), ("answer-model", "restored", 0, 0)]
    assert rollback.state == RollbackState.VERIFIED
    first, second = execution_of(rollback, 0), execution_of(rollback, 1)
    assert rollback.restored_at == second.restored_at
    assert rollback.verified_at == second.verified_at
    assert first.finished_at is not None
    assert first.finished_at <= second.created_at
    assert held(prompt)
    assert held(model)


@pytest.mark.parametrize(
    ("step", "state", "stands"),
    [
        ("preflight", RollbackState.NEEDS_HUMAN, "answer-model: nothing was changed, v2 keeps its weight."),
        ("propagate", RollbackState.PARTIALLY_RESTORED, "answer-model: the flip is written, but it is not observed that v2 gets no traffic."),
        ("drain", RollbackState.PARTIALLY_RESTORED, "answer-model: the flip is written, but it is not observed that v2 gets no traffic."),
    ],
)
def test_second_alias_fails_and_the_words_say_what_stands_where(
    pair: tuple[RoutingPolicy, RoutingPolicy], cast: Cast, step: str, state: RollbackState, stands: str
) -> None:
    prompt, model = pair
    script(step, LAGGING, alias="answer-model")
    rollback = run(ask(prompt, model, account=cast.lead))
    assert (rollback.state, rollback.restored_at) == (state, None)
    assert f"answer-prompt: restored and verified without v2. {stands}" in rollback.outcome
    assert (held(prompt), held(model)) == (True, False)
    for alias in pair:
        assert find_active(alias) == rollback
    script(step, None, alias="answer-model")
    retry_rollback(**person(cast.on_call, rollback))
    rollback = run(rollback)
    assert (rollback.state, weight_of(prompt), weight_of(model)) == (RollbackState.VERIFIED, 0, 0)
    assert PolicyRevision.objects.filter(policy__in=pair).count() == 4, "nothing was done twice"


@pytest.mark.parametrize("step", ["preflight", "drain", "verify"])
def test_first_alias_fails_and_the_second_is_not_begun(pair: tuple[RoutingPolicy, RoutingPolicy], cast: Cast, step: str) -> None:
    prompt, model = pair
    script(step, LAGGING, alias="answer-prompt")
    rollback = run(ask(prompt, model, account=cast.lead))
    assert rollback.state in (RollbackState.NEEDS_HUMAN, RollbackState.PARTIALLY_RESTORED)
    assert "answer-model: not begun, v2 keeps its weight." in rollback.outcome
    assert weight_of(model) == 25
    script(step, None, alias="answer-prompt")
    retry_rollback(**person(cast.on_call, rollback))
    assert run(rollback).state == RollbackState.VERIFIED


def test_coordinated_rollback_with_a_skipped_observation_is_not_restored(pair: tuple[RoutingPolicy, RoutingPolicy], cast: Cast) -> None:
    prompt, model = pair
    script("drain", LAGGING, alias="answer-prompt")
    rollback = run(ask(prompt, model, account=cast.lead))
    skip_failed_step(**person(cast.lead, rollback), reason="no traffic at night")
    rollback = run(rollback)
    assert (rollback.state, rollback.restored_at, rollback.rollback_seconds) == (RollbackState.CLOSED, None, None)
    assert weight_of(model) == 0
    assert "answer-model: restored and verified without v2" in rollback.outcome
    assert "answer-prompt: the flip is written, but it is not observed" in rollback.outcome


def test_second_alias_given_up_says_what_stands_where_and_frees_both(pair: tuple[RoutingPolicy, RoutingPolicy], cast: Cast) -> None:
    prompt, model = pair
    script("preflight", LAGGING, alias="answer-model")
    rollback = run(ask(prompt, model, account=cast.lead))
    closed = close_rollback(**person(cast.lead, rollback), reason="the model may stay")
    assert closed.state == RollbackState.CLOSED
    assert "answer-prompt: restored and verified without v2. answer-model: nothing was changed" in closed.outcome
    assert (find_active(prompt), find_active(model)) == (None, None)


def test_second_alias_undone_leaves_the_first_restored_and_says_so(pair: tuple[RoutingPolicy, RoutingPolicy], cast: Cast) -> None:
    prompt, model = pair
    script("drain", LAGGING, alias="answer-model")
    rollback = run(ask(prompt, model, account=cast.lead))
    undo_rollback(**person(cast.on_call, rollback), reason="the model is fine")
    rollback = run(rollback)
    assert (weight_of(prompt), weight_of(model)) == (0, 25)
    assert rollback.state == RollbackState.CLOSED
    assert "answer-prompt: restored and verified without v2. answer-model: put back as before, v2 has its weight again." in rollback.outcome


def test_second_alias_whose_weights_were_changed_and_put_back_is_finished_by_a_retry(pair: tuple[RoutingPolicy, RoutingPolicy], cast: Cast) -> None:
    prompt, model = pair
    rollback = ask(prompt, model, account=cast.lead)
    reroute(model, bad=40)
    rollback = run(rollback)
    assert (rollback.state, weight_of(prompt), weight_of(model)) == (RollbackState.NEEDS_HUMAN, 0, 40)
    assert "answer-prompt: restored and verified without v2" in rollback.outcome
    assert "answer-model: nothing was changed, v2 keeps its weight" in rollback.outcome
    reroute(model, bad=25)
    retry_rollback(**person(cast.on_call, rollback))
    rollback = run(rollback)
    assert (rollback.state, weight_of(prompt), weight_of(model)) == (RollbackState.VERIFIED, 0, 0)
