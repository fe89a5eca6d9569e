"""The other way out: the fix holds and the rollback closes, or it does not and one goes back; the skipped gates stay on the record."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.domain.transitions import revoke_role
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput
from rollbackhub.common.verdict import Verdict
from rollbackhub.registry.domain.holds import list_standing_holds
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import Environment, StabilityHold, Version
from rollbackhub.rollbacks.domain.acts import close_rollback, retry_rollback, skip_failed_step, stop_rollback, undo_rollback
from rollbackhub.rollbacks.domain.proposal import Target
from rollbackhub.rollbacks.domain.roll_forward import SkippedGate, failed_roll_forward, roll_back_instead, start_roll_forward
from rollbackhub.rollbacks.domain.transitions import find_active
from rollbackhub.rollbacks.enums import RollbackState, Via
from rollbackhub.rollbacks.models import Rollback, RollForward
from rollbackhub.routing.domain.transitions import append_revision
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from tests.factories.fixtures import Cast
from tests.rollbacks import invariants
from tests.rollbacks.conftest import ACTOR, BAD, GOOD, again, ask, candidates, ends, fresh, run, script, service_of, token_actor, weight_of

FIX = "v3"
CANARY = SkippedGate("canary", "Lee Lead", "one word in a prompt")

pytestmark = pytest.mark.usefixtures("scripted_actions")


@pytest.fixture
def fix(policy: RoutingPolicy) -> Version:
    """The version with the small fix."""
    return Version.objects.create(artefact=policy.artefact, label=FIX, digest="sha256:fix")


def forward(policy: RoutingPolicy, account: User, **values: Any) -> Rollback:
    """Ship the fix in the bad version's place; the rollback of it, not run yet."""
    asked: dict[str, Any] = {
        "target": Target(fresh(policy)),
        "fix_version": Version.objects.get(artefact=policy.artefact_id, label=FIX),
        "account": account,
        "actor": actor_of(account),
        "reason": "one word",
        "skipped_gates": [CANARY],
        "via": Via.PAGE,
    }
    return start_roll_forward(**asked | values).rollback


def person(account: User, rollback: Rollback) -> dict[str, Any]:
    return {"rollback_id": rollback.pk, "account": account, "actor": actor_of(account)}


def failed(policy: RoutingPolicy, cast: Cast, step: str = "hold_1") -> Rollback:
    script(step, ends(Verdict.FAILED, "the feedback is no better"))
    rollback = run(forward(policy, cast.on_call))
    script(step, None)
    return rollback


def weights(policy: RoutingPolicy) -> tuple[int, int, int]:
    """Of the good, the bad and the fixed version."""
    return weight_of(policy, GOOD), weight_of(policy, BAD), weight_of(policy, FIX)


def test_fix_that_holds_closes_the_rollback_and_the_bad_version_is_held(policy: RoutingPolicy, fix: Version, cast: Cast) -> None:
    rollback = forward(policy, cast.on_call, percents=(10, 100))
    assert (rollback.state, find_active(policy)) == (RollbackState.ROLLING_FORWARD, rollback)
    rollback = run(rollback)
    assert (rollback.state, rollback.restored_at, find_active(policy)) == (RollbackState.ROLLED_FORWARD, None, None)
    assert weights(policy) == (75, 0, 25)
    row = RollForward.objects.get()
    assert (row.state, row.skipped_gates) == ("held", [{"gate": "canary", "name": "Lee Lead", "reason": "one word in a prompt"}])
    assert AuditEvent.objects.get(event="rollback.rolling_forward").data["skipped_gates"] == row.skipped_gates
    assert [hold.version.label for hold in list_standing_holds()] == [BAD]
    invariants.all_hold()


def test_fix_ships_where_new_versions_come_by_a_release_only_and_says_which_gates_it_skipped(policy: RoutingPolicy, fix: Version, cast: Cast) -> None:
    Environment.objects.filter(pk=policy.environment_id).update(releases_only=True)
    by_hand = [CandidateSpec("anthropic:fix:eu", FIX, 10), *candidates(0)]
    by_hand[-1] = CandidateSpec(by_hand[-1].candidate_id, by_hand[-1].version_pin, 90)
    with pytest.raises(InvalidInput) as refusal:
        append_revision(policy_id=policy.pk, expected_revision=fresh(policy).revision_number, candidates=by_hand, actor=ACTOR, reason="by hand")
    assert refusal.value.code == "release_needed"
    rollback = run(forward(policy, cast.on_call, percents=(10, 100)))
    assert (rollback.state, weights(policy)) == (RollbackState.ROLLED_FORWARD, (75, 0, 25))
    assert [gate["gate"] for gate in RollForward.objects.get(rollback=rollback).skipped_gates] == ["canary"]


def test_fix_that_does_not_hold_needs_a_person_and_is_turned_back(policy: RoutingPolicy, fix: Version, cast: Cast) -> None:
    rollback = failed(policy, cast)
    assert rollback.state == RollbackState.NEEDS_HUMAN
    assert failed_roll_forward(rollback) is not None
    assert weights(policy) == (75, 0, 25)
    with pytest.raises(Forbidden):
        roll_back_instead(**person(cast.stranger, rollback))
    turned = roll_back_instead(**person(cast.on_call, rollback))
    assert (turned.state, turned.parts.get().bad_version, failed_roll_forward(turned)) == (RollbackState.RUNNING, fix, None)
    rollback = run(rollback)
    assert (rollback.state, weights(policy)) == (RollbackState.VERIFIED, (100, 0, 0))
    assert {hold.version.label for hold in list_standing_holds()} == {BAD, FIX}
    assert rollback.rollback_seconds == pytest.approx((rollback.restored_at - rollback.decided_at).total_seconds())  # type: ignore[operator]
    invariants.all_hold()


def test_turning_back_twice_is_refused(policy: RoutingPolicy, fix: Version, cast: Cast) -> None:
    rollback = failed(policy, cast)
    roll_back_instead(**person(cast.on_call, rollback))
    with pytest.raises(Conflict):
        roll_back_instead(**person(cast.on_call, rollback))
    script("preflight", ends(Verdict.FAILED))
    rollback = run(rollback)
    assert rollback.state == RollbackState.NEEDS_HUMAN
    with pytest.raises(Conflict) as caught:
        roll_back_instead(**person(cast.on_call, rollback))
    assert caught.value.code == "wrong_state"
    invariants.all_hold()
    script("preflight", None)
    retry_rollback(**person(cast.on_call, rollback))
    assert run(rollback).state == RollbackState.VERIFIED


def test_turning_back_what_runs_holds_or_never_went_forward_is_refused(policy: RoutingPolicy, fix: Version, cast: Cast, dataset: RoutingPolicy) -> None:
    running = forward(policy, cast.on_call)
    with pytest.raises(Conflict):
        roll_back_instead(**person(cast.on_call, running))
    assert run(running).state == RollbackState.ROLLED_FORWARD
    with pytest.raises(Conflict):
        roll_back_instead(**person(cast.on_call, running))
    with pytest.raises(Conflict):
        roll_back_instead(**person(cast.on_call, ask(dataset, account=cast.on_call)))


def test_failed_fix_is_tried_again(policy: RoutingPolicy, fix: Version, cast: Cast) -> None:
    rollback = failed(policy, cast)
    with pytest.raises(Conflict) as caught:
        undo_rollback(**person(cast.on_call, rollback), reason="put it back")
    assert caught.value.code == "nothing_to_undo"
    assert retry_rollback(**person(cast.on_call, rollback)).state == RollbackState.ROLLING_FORWARD
    assert RollForward.objects.get().state == "running"
    assert run(rollback).state == RollbackState.ROLLED_FORWARD


@pytest.mark.parametrize("step", ["drain", "hold_1"])
def test_fix_whose_observation_was_skipped_has_not_held_and_can_be_given_up(policy: RoutingPolicy, fix: Version, cast: Cast, step: str) -> None:
    rollback = failed(policy, cast, step)
    skip_failed_step(**person(cast.lead, rollback), reason="no traffic at night")
    rollback = run(rollback)
    assert rollback.state == RollbackState.NEEDS_HUMAN
    assert RollForward.objects.get().state == "failed"
    invariants.all_hold()
    with pytest.raises(Conflict):
        retry_rollback(**person(cast.on_call, rollback))
    assert close_rollback(**person(cast.on_call, rollback), reason="leave it").state == RollbackState.CLOSED
    assert find_active(policy) is None


def test_fix_whose_observation_was_skipped_can_be_turned_back(policy: RoutingPolicy, fix: Version, cast: Cast) -> None:
    rollback = failed(policy, cast)
    skip_failed_step(**person(cast.lead, rollback), reason="no traffic at night")
    run(rollback)
    roll_back_instead(**person(cast.on_call, rollback))
    assert run(rollback).state == RollbackState.VERIFIED


@pytest.mark.parametrize("step", ["preflight", "hold_1"])
def test_failed_fix_is_given_up(policy: RoutingPolicy, fix: Version, cast: Cast, step: str) -> None:
    rollback = failed(policy, cast, step)
    closed = close_rollback(**person(cast.on_call, rollback), reason="leave it")
    assert (closed.state, find_active(policy)) == (RollbackState.CLOSED, None)
    # What the first stage has taken out stays out.
    assert StabilityHold.objects.filter(version__label=BAD).exists() == (rollback.roll_forwards.get().execution.executed_at is not None)
    invariants.all_hold()


def test_stop_before_it_begins_closes_it_with_nothing_changed(policy: RoutingPolicy, fix: Version, cast: Cast) -> None:
    rollback = forward(policy, cast.on_call)
    assert stop_rollback(**person(cast.on_call, rollback), reason="not now").state == RollbackState.CLOSED
    assert (weights(policy), find_active(policy)) == ((75, 25, 0), None)


def test_requester_who_loses_the_role_before_the_start_ships_nothing(policy: RoutingPolicy, fix: Version, cast: Cast) -> None:
    rollback = forward(policy, cast.on_call)
    revoke_role(user=cast.on_call, role=Role.ON_CALL, actor=ACTOR)
    assert run(rollback).state == RollbackState.CLOSED
    assert weights(policy) == (75, 25, 0)


def nothing_begun(policy: RoutingPolicy) -> None:
    assert not Rollback.objects.exists()
    assert weights(policy) == (75, 25, 0)


@pytest.mark.parametrize(
    ("gates", "field"),
    [
        ([], "gate_canary"),
        ([SkippedGate("eval", "Lee Lead", "no time")], "gate_canary"),
        ([SkippedGate("canary", " ", "no time")], "gate_canary"),
        ([SkippedGate("canary", "Lee Lead", "")], "gate_canary"),
        ([CANARY, SkippedGate("eval", "", "no time")], "gate_eval"),
        ([CANARY, CANARY], "skipped_gates"),
        ([CANARY, SkippedGate("weather", "Lee Lead", "no time")], "skipped_gates"),
    ],
)
def test_each_skipped_gate_needs_a_name_and_a_reason(policy: RoutingPolicy, fix: Version, cast: Cast, gates: list[SkippedGate], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        forward(policy, cast.on_call, skipped_gates=gates)
    assert field in caught.value.fields
    nothing_begun(policy)


@pytest.mark.parametrize("percents", [(), (50,), (100, 25), (25, 25, 100), (0, 100), (25, 101), (1, 2, 3, 4, 5, 100)])
def test_stages_that_are_none_are_refused(policy: RoutingPolicy, fix: Version, cast: Cast, percents: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput):
        forward(policy, cast.on_call, percents=percents)
    nothing_begun(policy)


def test_version_that_is_no_fix_is_refused(policy: RoutingPolicy, fix: Version, cast: Cast, dataset: RoutingPolicy) -> None:
    for version in (*Version.objects.filter(artefact=policy.artefact, label__in=(BAD, GOOD)), Version.objects.filter(artefact=dataset.artefact).first()):
        with pytest.raises(InvalidInput):
            forward(policy, cast.on_call, fix_version=version)
    Version.objects.filter(pk=fix.pk).update(lifecycle=Lifecycle.RETIRED)
    with pytest.raises(InvalidInput):
        forward(policy, cast.on_call)
    nothing_begun(policy)


def test_it_takes_the_authority_of_the_rollback_by_a_person(policy: RoutingPolicy, fix: Version, dataset: RoutingPolicy, cast: Cast) -> None:
    for account in (cast.admin, cast.auditor, cast.stranger):
        with pytest.raises(Forbidden):
            forward(policy, account)
    service = service_of(cast.on_call, Role.ON_CALL)
    for account, actor in ((cast.on_call, token_actor(cast.on_call)), (service, actor_of(service))):
        with pytest.raises(Forbidden) as caught:
            forward(policy, account, actor=actor)
        assert caught.value.code == "token_not_allowed"
    Version.objects.create(artefact=dataset.artefact, label=FIX, digest="sha256:fix")
    with pytest.raises(Forbidden) as caught:
        forward(dataset, cast.on_call)
    assert caught.value.code == "not_authorised"
    nothing_begun(policy)
    assert forward(dataset, cast.lead).state == RollbackState.ROLLING_FORWARD


def test_alias_that_is_held_by_a_rollback_is_refused_and_the_other_way_round(policy: RoutingPolicy, fix: Version, cast: Cast) -> None:
    first = forward(policy, cast.on_call)
    for act in (forward, lambda policy, account: ask(policy, account=account)):
        with pytest.raises(Conflict) as caught:
            act(policy, cast.lead)
        assert (caught.value.code, caught.value.extra["rollback_id"]) == ("rollback_active", str(first.pk))
    assert again(first).state == RollbackState.ROLLING_FORWARD
