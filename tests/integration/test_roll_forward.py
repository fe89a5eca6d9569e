"""The other way out, on a real gateway: a fix that holds, and one that does not and is rolled back in its turn.

With the lab's prompt, whose versions are told apart by the gateway's header: a registered version that the lab does not know is a good
one, and one that bears the bad model's label is as bad as that.
"""

from __future__ import annotations

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.common.clock import seconds_between
from rollbackhub.common.errors import InvalidInput
from rollbackhub.executions.models import CheckResult
from rollbackhub.lab.catalogue import BAD_MODEL, SUPPORT_ANSWER
from rollbackhub.registry.models import Artefact, StabilityHold, Version
from rollbackhub.rollbacks.domain import roll_forward
from rollbackhub.rollbacks.domain.proposal import Target
from rollbackhub.rollbacks.domain.roll_forward import SkippedGate, failed_roll_forward, roll_back_instead, start_roll_forward
from rollbackhub.rollbacks.enums import RollbackState, RollForwardState, Via
from rollbackhub.rollbacks.models import Rollback, RollForward
from rollbackhub.routing.rules import CandidateSpec
from tests.integration.hub import QUICK_CHECKS
from tests.integration.production import Production, effect_keys, executions_of, say

ALIAS = SUPPORT_ANSWER.alias
BAD, GOOD = (candidate.version_pin for candidate in SUPPORT_ANSWER.candidates)
BAD_WEIGHT = 40
CANARY = SkippedGate(gate="canary", name="Olga Call", reason="one word in the prompt")


def ship(production: Production, label: str) -> RollForward:
    """Ship a version of this label on the fast track, in the place of a bad version that has much traffic."""
    policy = production.policy(ALIAS)
    fix, _ = Version.objects.get_or_create(artefact=policy.artefact, label=label, defaults={"digest": f"sha256:{label}"})
    weights = (BAD_WEIGHT, 100 - BAD_WEIGHT)
    production.route(
        ALIAS, [CandidateSpec(entry.candidate_id, entry.version_pin, weight) for entry, weight in zip(SUPPORT_ANSWER.candidates, weights, strict=True)]
    )
    production.wait_gateways()
    on_call = production.cast.on_call
    return start_roll_forward(
        target=Target(production.policy(ALIAS)),
        fix_version=fix,
        account=on_call,
        actor=actor_of(on_call),
        reason="the fix is one word",
        skipped_gates=[CANARY],
        via=Via.PAGE,
    )


def held_labels(rollback: Rollback) -> set[str]:
    """The versions under hold because of it."""
    return set(StabilityHold.objects.filter(rollback_id=rollback.pk, lifted_at=None).values_list("version__label", flat=True))


def test_fix_that_holds_takes_the_bad_versions_weight_and_closes_the_rollback(production: Production) -> None:
    forward = ship(production, "support-answer-v14")
    rollback = production.wait_for(forward.rollback_id, RollbackState.ROLLED_FORWARD, RollbackState.NEEDS_HUMAN, timeout_seconds=90)
    assert rollback.state == RollbackState.ROLLED_FORWARD, rollback.outcome
    forward.refresh_from_db()
    say(f"roll-forward {seconds_between(forward.created_at, forward.ended_at):.1f} s: {rollback.outcome}")
    assert (forward.state, forward.skipped_gates) == (RollForwardState.HELD, [{"gate": "canary", "name": "Olga Call", "reason": "one word in the prompt"}])
    assert production.weights(ALIAS) == {"support-answer-v14": BAD_WEIGHT, GOOD: 100 - BAD_WEIGHT}
    assert effect_keys(forward.execution) == ["forward_1", "forward_2"]
    assert held_labels(rollback) == {BAD}
    assert rollback.closed_at is not None
    served = {production.call_model(ALIAS) for _ in range(40)}
    assert served == {(200, "support-answer-v14"), (200, GOOD)}
    with pytest.raises(InvalidInput) as held:
        production.route(ALIAS, [CandidateSpec(entry.candidate_id, entry.version_pin, entry.weight) for entry in SUPPORT_ANSWER.candidates])
    assert held.value.code == "version_held"


STRICT: list[dict[str, object]] = [
    {"kind": "traffic_share", "key": "traffic_share"},
    {"kind": "metric_baseline", "key": "negative_feedback", "metric": "negative_feedback", "margin_ratio": 0.5, "failure_limit": 2},
]
"""The fix's users complain six times as often as the good version's."""


def test_fix_that_does_not_hold_is_rolled_back_with_one_click(production: Production, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roll_forward, "HOLD_LIMIT_SECONDS", 60)
    Artefact.objects.filter(slug=ALIAS).update(checks=STRICT)
    try:
        forward = ship(production, BAD_MODEL)
    finally:
        Artefact.objects.filter(slug=ALIAS).update(checks=QUICK_CHECKS)
    stopped = production.wait_for(forward.rollback_id, RollbackState.NEEDS_HUMAN, RollbackState.ROLLED_FORWARD, timeout_seconds=120)
    assert stopped.state == RollbackState.NEEDS_HUMAN, stopped.outcome
    say(stopped.outcome)
    waiting = failed_roll_forward(stopped)
    assert waiting is not None
    assert (waiting.pk, waiting.state) == (forward.pk, RollForwardState.FAILED)
    assert CheckResult.objects.get(execution=forward.execution_id, check_name="negative_feedback").verdict == "failed"
    assert production.weights(ALIAS)[BAD_MODEL] == 25
    on_call = production.cast.on_call
    roll_back_instead(rollback_id=stopped.pk, account=on_call, actor=actor_of(on_call))
    ended = production.wait_for(stopped.pk)
    say(f"rollback_seconds {ended.rollback_seconds:.2f}")
    assert production.weights(ALIAS)[GOOD] == 100
    assert [effect_keys(execution) for execution in executions_of(ended.pk)] == [["flip"]]
    assert held_labels(ended) == {BAD, BAD_MODEL}
    assert {production.call_model(ALIAS) for _ in range(20)} == {(200, GOOD)}
