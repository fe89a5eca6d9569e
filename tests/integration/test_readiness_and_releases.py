"""On real gateways: the chapter's opening incident as the board would have foretold it, and a release from its closed gate to its rollback."""

from __future__ import annotations

import itertools

import pytest

from drills.domain.transitions import start_drill
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.executions.models import Execution
from rollbackhub.lab.catalogue import SMART_REASONER, SUPPORT_ANSWER
from rollbackhub.lab.envoy import GatewayMode
from rollbackhub.readiness.domain.compute import compute_readiness
from rollbackhub.readiness.domain.preflight import claim_run, request_run, run_preflight
from rollbackhub.readiness.models import PreflightFinding, Readiness, ReadinessChange
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import Environment, Version
from rollbackhub.releases.domain.gate import check_gate
from rollbackhub.releases.domain.rehearsal import rehearse_release
from rollbackhub.releases.domain.selectors import get_release
from rollbackhub.releases.domain.transitions import create_release, follow_rollbacks, promote_release
from rollbackhub.releases.enums import ReleaseState
from rollbackhub.releases.models import Release, ReleaseStep
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from tests.integration.hub import ACTOR, steps_of
from tests.integration.production import Releasing, say

ALIAS = SUPPORT_ANSWER.alias
SLOT, OLD_CANDIDATE = (candidate.candidate_id for candidate in SUPPORT_ANSWER.candidates)
WITHDRAWN, OLD = (candidate.version_pin for candidate in SUPPORT_ANSWER.candidates)
NEW = "support-answer-v14"


def look(environment: str) -> list[str]:
    """Run the preflight of an environment now; what it finds about the alias."""
    deadline = clock.monotonic() + 60
    while clock.monotonic() < deadline:
        request_run(environment=environment, actor=ACTOR)
        claim = claim_run(environment_id=Environment.objects.get(slug=environment).pk)
        if claim is not None:
            run_preflight(claim)
            break
        clock.sleep(0.2)
    found = PreflightFinding.objects.filter(environment__slug=environment, closed_at=None)
    return [f"{finding.code} {finding.subject}: {finding.found}" for finding in found if finding.policy is None or finding.policy.alias == ALIAS]


def promote(releasing: Releasing, release: Release) -> ReleaseStep:
    """The next step, by on-call; then the gateways follow."""
    account = releasing.cast.on_call
    step = promote_release(release_id=release.pk, account=account, actor=actor_of(account), expected_step=Release.objects.get(pk=release.pk).next_step)
    releasing.wait_gateways()
    return step


def served(releasing: Releasing, *, wanted: str, seconds: float = 20) -> bool:
    """Whether a caller is answered by this version."""
    deadline = clock.monotonic() + seconds
    while clock.monotonic() < deadline:
        status, version = releasing.call_model(ALIAS)
        assert status == 200
        if version == wanted:
            return True
    return False


def said(environment: str = "production", alias: str = SMART_REASONER.alias) -> tuple[str, list[str]]:
    """What the board says of an alias: its state, and the codes of its reasons."""
    compute_readiness()
    found = Readiness.objects.get(policy__alias=alias, policy__environment__slug=environment)
    return found.state, [reason["code"] for reason in found.reasons]


def drill_in_staging(releasing: Releasing) -> Execution:
    """A drill of the chapter's alias, to its end."""
    policy = RoutingPolicy.objects.select_related("environment", "artefact").get(alias=SMART_REASONER.alias, environment__slug="staging")
    return releasing.wait_ended(start_drill(policy=policy, actor=ACTOR, user=None).execution_id, timeout_seconds=120)


def test_opening_incident_was_on_the_board_before_it_happened(releasing: Releasing) -> None:
    """The chapter's: the flag had been renamed months ago, and nobody knew before the night of the incident."""
    assert look("production") == []
    # Without drills the board said so before the incident.
    state, codes = said()
    assert (state, codes[0]) == ("not_ready", "never_drilled")

    # With one, the night before, it named what the rollback would have met.
    releasing.world.set_gateway_mode("staging", GatewayMode.OWN_TABLE)
    releasing.world.wait_ready()
    night_before = drill_in_staging(releasing)
    assert night_before.verdict == "failed", steps_of(night_before)
    state, codes = said()
    assert (state, codes[0]) == ("not_ready", "config_mismatch")
    reason = Readiness.objects.get(policy__alias=SMART_REASONER.alias, policy__environment__slug="production").reasons[0]
    assert "staging-gateway-1" in reason["sentence"]
    assert reason["url"] == f"/drills/{night_before.pk}/"
    say(f"the night before: {reason['sentence']} {reason['remedy']}")

    # Mended, and drilled again.
    releasing.world.set_gateway_mode("staging", GatewayMode.FOLLOWING)
    releasing.world.wait_ready()
    releasing.wait_gateways("staging")
    mended = drill_in_staging(releasing)
    assert mended.verdict == "passed", (mended.outcome, steps_of(mended))
    assert said() == ("ready", [])
    history = ReadinessChange.objects.filter(policy__alias=SMART_REASONER.alias, policy__environment__slug="production").order_by("at", "id")
    # The housekeeper judges, too; what comes second among the reasons may have changed in between.
    told = [first for first, _ in itertools.groupby(change.codes[0] if change.codes else "ready" for change in history)]
    assert told == ["never_drilled", "config_mismatch", "ready"]


def test_release_is_rehearsed_shipped_by_steps_and_rolled_back(releasing: Releasing) -> None:
    releasing.route(ALIAS, [CandidateSpec(SLOT, WITHDRAWN, 0), CandidateSpec(OLD_CANDIDATE, OLD, 100)])
    releasing.wait_gateways()
    policy, on_call = releasing.policy(ALIAS), releasing.cast.on_call
    new = Version.objects.create(artefact=policy.artefact, label=NEW, digest=f"sha256:{NEW}")

    # By hand nobody gives it its first weight.
    with pytest.raises(InvalidInput, match="never served"):
        releasing.route(ALIAS, [CandidateSpec(SLOT, NEW, 5), CandidateSpec(OLD_CANDIDATE, OLD, 95)])

    release = create_release(policy=policy, to_version=new, account=on_call, actor=actor_of(on_call), candidate_id=SLOT, steps=[25, 50, 100])
    assert look("production") == []
    assert [condition.code for condition in check_gate(get_release(release.pk)).missing] == ["rehearsed"]
    with pytest.raises(Conflict) as closed:
        promote(releasing, release)
    assert closed.value.code == "gate_closed"
    assert releasing.weights(ALIAS) == {WITHDRAWN: 0, OLD: 100}

    begun = clock.monotonic()
    rehearsal = releasing.wait_ended(rehearse_release(release_id=release.pk, account=on_call, actor=actor_of(on_call)).pk, timeout_seconds=120)
    assert rehearsal.verdict == "passed", (rehearsal.outcome, steps_of(rehearsal))
    gate = check_gate(get_release(release.pk))
    assert gate.passes, gate.as_dict()
    assert next(found for found in gate.conditions if found.code == "rehearsed").evidence["execution"] == str(rehearsal.pk)
    say(f"rehearsal {clock.monotonic() - begun:.1f} s, rolled back in {rehearsal.rollback_seconds:.2f} s")

    assert promote(releasing, release).percent == 25
    assert served(releasing, wanted=NEW)
    assert promote(releasing, release).percent == 50
    assert Version.objects.get(pk=new.pk).lifecycle == Lifecycle.CANARY

    rollback = releasing.wait_for(releasing.roll_back(ALIAS), RollbackState.VERIFIED, RollbackState.VERIFICATION_FAILED, RollbackState.NEEDS_HUMAN)
    assert rollback.state == RollbackState.VERIFIED, rollback.outcome
    assert releasing.weights(ALIAS) == {NEW: 0, OLD: 100}
    follow_rollbacks()
    release.refresh_from_db()
    assert (release.state, release.end_reason) == (ReleaseState.ROLLED_BACK, f"Rollback {str(rollback.pk)[:8]} took it out.")
    with pytest.raises(Conflict):
        promote(releasing, release)
    assert Execution.objects.filter(kind="rehearsal").count() == 1
    say(f"rolled back in {rollback.rollback_seconds:.2f} s")
