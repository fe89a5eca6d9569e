"""What runs prove: by age, by what came later, by shape and by environment."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from rollbackhub.common.clock import now
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain.path import paths_of
from rollbackhub.executions.domain.proof import proofs_of
from rollbackhub.executions.enums import ExecutionKind, ExecutionState, ProofState
from rollbackhub.executions.models import Execution
from rollbackhub.registry.models import Artefact
from rollbackhub.routing.domain.transitions import create_policy
from rollbackhub.routing.models import RoutingPolicy
from tests.executions.proofs import ACTOR, NEXT, OLD, Proven, drilled, make_proven, spec
from tests.factories.executions import FindingFactory
from tests.factories.registry import EnvironmentFactory
from tests.factories.routing import BAD, GOOD, RoutingPolicyFactory

DAY = dt.timedelta(days=1)
SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def proven(db: None) -> Proven:
    return make_proven()


def later(execution: Execution, *, by: dt.timedelta = SECOND) -> Execution:
    """Requested and ended after everything before it."""
    execution.created_at = now() + by
    execution.finished_at = now() + by
    execution.save(update_fields=["created_at", "finished_at"])
    return execution


def unclear(verdict: Verdict) -> dict[str, Any]:
    return {"finished_run": True, "verdict": verdict, "finished_at": now()}


@pytest.mark.parametrize(("stakes", "days"), [("high", 31), ("standard", 92)])
def test_proof_expires_by_the_stakes_to_the_second(stakes: str, days: int, proven: Proven) -> None:
    Artefact.objects.filter(pk=proven.artefact.pk).update(stakes=stakes)
    ended = proven.drill.finished_at
    assert ended is not None
    states = [proven.proof(at=ended + days * DAY + over).state for over in (-SECOND, dt.timedelta(0), SECOND)]
    assert states == [ProofState.VALID, ProofState.VALID, ProofState.EXPIRED]
    proof = proven.proof(at=ended + days * DAY + SECOND)
    assert proof.expires_at == ended + days * DAY
    assert "too long ago" in proof.in_words


def test_raised_stakes_expire_a_proof_that_was_young_enough(proven: Proven) -> None:
    Artefact.objects.filter(pk=proven.artefact.pk).update(stakes="standard")
    at = now() + 40 * DAY
    assert proven.proof(at=at).state == ProofState.VALID
    Artefact.objects.filter(pk=proven.artefact.pk).update(stakes="high")
    assert proven.proof(at=at).state == ProofState.EXPIRED


def test_old_and_changed_is_stale_and_says_what(proven: Proven) -> None:
    proven.revise([*proven.candidates(), spec(NEXT, 0)])
    proof = proven.proof(at=now() + 400 * DAY)
    assert (proof.state, len(proof.changes)) == (ProofState.STALE, 1)


def test_never_drilled_is_missing(proven: Proven) -> None:
    Execution.objects.all().delete()
    proof = proven.proof()
    assert (proof.state, proof.run, proof.expires_at) == (ProofState.MISSING, None, None)
    assert proof.in_words == "Never drilled: this path has no proof."


@pytest.mark.parametrize("values", [{"state": ExecutionState.QUEUED}, {"running": True}], ids=["queued", "running"])
def test_drill_that_has_not_ended_proves_nothing_yet(values: dict[str, Any], proven: Proven) -> None:
    Execution.objects.all().delete()
    drilled(proven.staging, finished_run=False, passed=False, **values)
    assert proven.proof().state == ProofState.MISSING


def test_rollback_in_production_is_no_proof(proven: Proven) -> None:
    """Nobody saw it put back; and a passed rollback has changed what serves."""
    Execution.objects.all().delete()
    drilled(proven.production, kind=ExecutionKind.ROLLBACK)
    assert proven.proof().state == ProofState.MISSING


def test_later_failed_run_of_the_same_path_fails_the_proof_with_what_it_caught(proven: Proven) -> None:
    failed = later(drilled(proven.staging, failed=True))
    FindingFactory(execution=failed, code="config_mismatch", subject="gateway staging-1")
    proof = proven.proof()
    assert (proof.state, proof.run and proof.run.execution_id) == (ProofState.FAILED, failed.pk)
    assert [finding.subject for finding in proof.findings] == ["gateway staging-1"]
    assert "configuration mismatch: gateway staging-1" in proof.in_words
    again = later(drilled(proven.staging), by=2 * SECOND)
    proof = proven.proof()
    assert (proof.state, proof.findings) == (ProofState.VALID, [])
    assert proof.run is not None
    assert proof.run.execution_id == again.pk


@pytest.mark.parametrize("verdict", [Verdict.INCONCLUSIVE, Verdict.ERROR])
def test_later_run_that_showed_nothing_leaves_the_proof_and_is_named(verdict: Verdict, proven: Proven) -> None:
    run = drilled(proven.staging, **unclear(verdict))
    later(run)
    proof = proven.proof()
    assert (proof.state, proof.unclear and proof.unclear.execution_id) == (ProofState.VALID, run.pk)
    later(drilled(proven.staging), by=2 * SECOND)
    assert proven.proof().unclear is None


def test_run_that_showed_nothing_alone_is_missing_and_named(proven: Proven) -> None:
    Execution.objects.all().delete()
    run = drilled(proven.staging, **unclear(Verdict.INCONCLUSIVE))
    proof = proven.proof()
    assert (proof.state, proof.unclear and proof.unclear.execution_id) == (ProofState.MISSING, run.pk)


def test_passed_rehearsal_is_proof_as_a_drill_is(proven: Proven) -> None:
    Execution.objects.all().delete()
    drilled(proven.staging, kind=ExecutionKind.REHEARSAL)
    proof = proven.proof()
    assert (proof.state, proof.run and proof.run.kind) == (ProofState.VALID, "rehearsal")


@pytest.mark.parametrize("ended", [{}, {"failed": True}], ids=["passed", "failed"])
def test_later_rehearsal_of_another_shape_leaves_the_live_path_proven(ended: dict[str, Any], proven: Proven) -> None:
    """The next release is rehearsed in staging; what is live in production keeps its own proof."""
    proven.revise([spec(NEXT, 25), spec(BAD, 75)], policy=proven.staging)
    later(drilled(proven.staging, kind=ExecutionKind.REHEARSAL, **ended))
    proof = proven.proof()
    assert (proof.state, proof.run and proof.run.execution_id) == (ProofState.VALID, proven.drill.pk)
    assert proven.proof(proven.staging).state == (ProofState.FAILED if ended else ProofState.VALID)


def test_run_before_paths_were_recorded_proves_nothing_about_now(proven: Proven) -> None:
    plan = {key: value for key, value in proven.drill.plan.items() if key != "path"}
    Execution.objects.all().delete()
    drilled(proven.staging, plan=plan, fingerprint="0" * 64)
    proof = proven.proof()
    assert proof.state == ProofState.STALE
    assert proof.changes[0].in_words.startswith("procedure (the whole path): run before paths were recorded →")


def test_drill_in_another_staging_environment_counts(proven: Proven) -> None:
    Execution.objects.all().delete()
    second = create_policy(
        environment=EnvironmentFactory(slug="staging-2"),
        alias="smart-reasoner",
        artefact=proven.artefact,
        candidates=[spec(BAD, 25), spec(GOOD, 75), spec(OLD, 0)],
        actor=ACTOR,
        reason="test",
    )
    drilled(second)
    proof = proven.proof()
    assert (proof.state, proof.run and proof.run.environment) == (ProofState.VALID, "staging-2")
    proven.connect("staging-2", "envoy", {"admins": {"x": "http://x:1"}})
    assert [change.what for change in proven.proof().changes] == ["staging-2 / envoy"]
    assert proven.proof(proven.staging).state == ProofState.STALE
    Execution.objects.all().delete()
    drilled(proven.staging)
    proven.connect("staging-2", "envoy", {"admins": {"y": "http://y:1"}})
    assert proven.proof().state == ProofState.VALID, "another environment's connection has no part in what staging proved"


def test_same_alias_with_another_artefact_proves_nothing(proven: Proven) -> None:
    other = RoutingPolicyFactory(environment__slug="sandbox", alias="smart-reasoner")
    assert proven.proof(other).state == ProofState.MISSING


def test_path_without_a_way_back_has_no_valid_proof(proven: Proven) -> None:
    proven.revise([spec(BAD, 100)])
    proof = proven.proof()
    assert proof.state == ProofState.STALE
    assert [change.in_words for change in proof.changes] == [f"target (version): {GOOD} → none"]


def test_proofs_of_many_aliases_take_two_queries(proven: Proven, django_assert_num_queries: Any) -> None:
    for number in range(12):
        drilled(RoutingPolicyFactory(alias=f"alias-{number}"), **({"failed": True} if number % 2 else {}))
    policies = list(RoutingPolicy.objects.select_related("environment", "artefact"))
    with django_assert_num_queries(5):
        paths = paths_of(policies)
    with django_assert_num_queries(2):
        proofs = proofs_of(paths)
    states = [proof.state for proof in proofs.values()]
    assert (states.count(ProofState.VALID), states.count(ProofState.FAILED)) == (8, 6)
