"""A release from its plan to its end, and everything that must not pass."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import Notice
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.executions.models import Execution
from rollbackhub.readiness.models import PreflightRun
from rollbackhub.registry.domain.holds import start_hold
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import Version
from rollbackhub.releases.domain.gate import Gate, check_gate
from rollbackhub.releases.domain.rehearsal import rehearse_release
from rollbackhub.releases.domain.selectors import get_release, list_releasable_versions, list_releases
from rollbackhub.releases.domain.transitions import abandon_release, bypass_gate
from rollbackhub.releases.enums import ReleaseState
from rollbackhub.releases.models import Release, ReleaseStep
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.domain.transitions import append_revision
from rollbackhub.routing.models import PolicyRevision, RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from tests.databases import FreshDatabase
from tests.factories.accounts import ApiTokenFactory
from tests.factories.executions import FindingFactory
from tests.factories.readiness import PreflightFindingFactory
from tests.factories.registry import ConnectionFactory
from tests.releases.conftest import ALIAS, NEW, NEW_CANDIDATE, OLD, OLD_CANDIDATE, Stage, make_stage
from tests.rollbacks.conftest import ACTOR
from tests.threads import at_once


def missing(gate: Gate) -> list[str]:
    return [condition.code for condition in gate.missing]


def bypass(stage: Stage, release: Release, *, account: Any = None, reason: str = "the provider shuts the old one down tonight", actor: Any = None) -> Release:
    account = account or stage.cast.lead
    return bypass_gate(release_id=release.pk, account=account, actor=actor or actor_of(account), reason=reason)


def abandon(stage: Stage, release: Release, reason: str = "not wanted") -> Release:
    return abandon_release(release_id=release.pk, account=stage.cast.on_call, actor=actor_of(stage.cast.on_call), reason=reason)


# From the plan to live.


def test_release_is_planned_with_the_change_types_steps_and_changes_nothing(stage: Stage) -> None:
    release = stage.release()
    assert (release.state, release.steps, release.from_version, release.candidate_id) == (ReleaseState.PLANNED, [1, 5, 25, 50, 100], stage.old, NEW_CANDIDATE)
    assert stage.weights() == {OLD: 100}
    assert AuditEvent.objects.get(event="release.created").data["to"] == NEW


def test_release_whose_way_back_was_rehearsed_goes_live_step_by_step_and_keeps_it(stage: Stage) -> None:
    release = stage.release()
    execution = stage.rehearsed(release)
    for step, percent in enumerate(release.steps):
        taken = stage.promote(release)
        assert (taken.number, taken.percent, stage.weights()) == (step, percent, {NEW: percent, OLD: 100 - percent})
        assert taken.revision.release_id == release.pk
    release.refresh_from_db()
    assert (release.state, release.next_step) == (ReleaseState.LIVE, 5)
    assert release.live_at is not None
    rehearsed = next(condition for condition in release.gate_answer["conditions"] if condition["code"] == "rehearsed")
    assert rehearsed["evidence"]["execution"] == str(execution.pk)
    lifecycles = dict(Version.objects.values_list("label", "lifecycle"))
    assert lifecycles == {NEW: Lifecycle.LIVE, OLD: Lifecycle.SUPERSEDED}
    with pytest.raises(Conflict) as refusal:
        stage.promote(release)
    assert refusal.value.code == "wrong_state"


def test_next_release_supersedes_the_one_before(stage: Stage) -> None:
    first = stage.release(steps=[100])
    stage.rehearsed(first)
    stage.promote(first)
    newest = Version.objects.create(artefact=stage.new.artefact, label="sonnet-6")
    second = stage.release(to_version=newest, steps=[100])
    bypass(stage, second)
    stage.promote(second)
    assert list(Release.objects.order_by("pk").values_list("state", flat=True)) == [ReleaseState.SUPERSEDED, ReleaseState.LIVE]
    assert second.from_version == stage.new


def test_candidate_of_the_way_back_stays_in_the_policy_at_zero(stage: Stage) -> None:
    release = stage.release(steps=[100])
    stage.rehearsed(release)
    stage.promote(release)
    assert stage.weights() == {NEW: 100, OLD: 0}


# The gate.


def test_gate_without_rehearsal_is_closed_and_names_that_alone(stage: Stage) -> None:
    release = stage.release()
    assert missing(check_gate(release)) == ["rehearsed"]
    with pytest.raises(Conflict) as refusal:
        stage.promote(release)
    assert refusal.value.code == "gate_closed"
    assert [condition["code"] for condition in refusal.value.extra["conditions"]] == ["rehearsed"]  # type: ignore[attr-defined]
    assert stage.weights() == {OLD: 100}


@pytest.mark.parametrize("verdict", ["failed", "inconclusive"])
def test_gate_after_a_rehearsal_that_did_not_pass_is_closed(stage: Stage, verdict: str) -> None:
    release = stage.release()
    execution = stage.rehearsed(release, verdict="failed")
    if verdict == "inconclusive":
        Execution.objects.filter(pk=execution.pk).update(verdict=verdict)
    assert missing(check_gate(release)) == ["rehearsed"]


@pytest.mark.parametrize("found", [0, 1, 2])
def test_gate_after_a_failed_rehearsal_says_what_it_caught_in_words_and_links_it(stage: Stage, found: int) -> None:
    release = stage.release()
    execution = stage.rehearsed(release, verdict="failed")
    for number in range(found):
        remedy = "Point it at the hub again"
        FindingFactory(execution=execution, subject=f"gateway-{number}", expected="25 % on v2.", found="nothing at all.", remedy=remedy)
    (condition,) = check_gate(release).missing
    assert condition.url == f"/drills/{execution.pk}/"
    assert "config_mismatch" not in condition.sentence
    assert ".." not in condition.sentence + condition.remedy
    ending = ["UTC.", "found nothing at all.", "found nothing at all and 1 finding more."][found]
    assert condition.sentence.startswith("The last rehearsal failed on ")
    assert condition.sentence.endswith(ending)
    if found:
        assert "UTC. Configuration mismatch: gateway-0: expected 25 % on v2, found nothing at all" in condition.sentence
        assert condition.remedy == "Point it at the hub again. Then rehearse it again."
        assert len(condition.evidence["findings"]) == found
    else:
        assert condition.remedy == "See why, mend it, and rehearse it again."


def test_gate_says_what_the_preflight_found_in_words(stage: Stage) -> None:
    for subject in ("gateway-1", "gateway-2"):
        PreflightFindingFactory(policy=stage.production, code="flag_moved", subject=subject, expected="on.", found="off.", remedy="Turn it on")
    condition = next(condition for condition in check_gate(stage.release()).missing if condition.code == "target_reachable")
    assert condition.sentence.startswith("The preflight found: The flag has moved: gateway-")
    assert condition.sentence.endswith(": expected on, found off and 1 thing more.")
    assert condition.remedy == "Turn it on."


def test_gate_after_the_path_changed_says_what_changed(stage: Stage) -> None:
    release = stage.release()
    stage.rehearsed(release)
    assert check_gate(release).passes
    other = Version.objects.create(artefact=stage.old.artefact, label="sonnet-3", digest="sha256:sonnet-3", lifecycle=Lifecycle.SUPERSEDED)
    candidates = [CandidateSpec(OLD_CANDIDATE, OLD, 100), CandidateSpec("anthropic:sonnet-3:eu", other.label, 0)]
    append_revision(policy_id=stage.production.pk, expected_revision=1, candidates=candidates, actor=ACTOR, reason="keep an older one, too")
    (condition,) = check_gate(get_release(release.pk)).missing
    assert "none → sonnet-3" in condition.sentence


def test_gate_with_a_rehearsal_that_is_too_old_is_closed(stage: Stage) -> None:
    release = stage.release()
    execution = stage.rehearsed(release)
    Execution.objects.filter(pk=execution.pk).update(finished_at=clock.now() - dt.timedelta(days=93))
    assert missing(check_gate(release)) == ["rehearsed"]


def test_gate_asks_for_a_target_that_is_not_held_and_not_shut_down(stage: Stage) -> None:
    release = stage.release()
    stage.rehearsed(release)
    Version.objects.filter(pk=stage.old.pk).update(provider_retires_at=clock.now() - dt.timedelta(minutes=1))
    assert missing(check_gate(get_release(release.pk))) == ["target_retained"]
    Version.objects.filter(pk=stage.old.pk).update(provider_retires_at=None)
    start_hold(version=stage.old, rollback_id=Rollback().pk, actor=ACTOR)
    assert missing(check_gate(get_release(release.pk))) == ["target_retained"]


def test_gate_asks_for_a_preflight_that_looked_lately_and_found_nothing(stage: Stage) -> None:
    release = stage.release()
    stage.rehearsed(release)
    finding = PreflightFindingFactory(policy=stage.production)
    assert missing(check_gate(release)) == ["target_reachable"]
    finding.closed_at = clock.now()
    finding.save()
    assert check_gate(release).passes
    PreflightRun.objects.update(finished_at=clock.now() - dt.timedelta(hours=4))
    assert missing(check_gate(release)) == ["target_reachable"]


def test_gate_without_anybody_who_may_decide_is_closed(stage: Stage) -> None:
    release = stage.release()
    stage.rehearsed(release)
    for person in (stage.cast.on_call, stage.cast.lead, stage.cast.leadership):
        person.is_active = False
        person.save()
    for person in (stage.cast.admin,):
        person.is_active = False
        person.save()
    assert missing(check_gate(get_release(release.pk))) == ["authority_known"]


def test_gate_is_asked_at_the_first_step_only(stage: Stage) -> None:
    release = stage.release()
    execution = stage.rehearsed(release)
    stage.promote(release)
    Execution.objects.filter(pk=execution.pk).update(verdict="failed")
    assert stage.promote(release).percent == 5


# The bypass.


def test_bypass_by_a_lead_opens_the_gate_and_stays_on_the_record(stage: Stage) -> None:
    release = bypass(stage, stage.release())
    assert stage.promote(release).percent == 1
    release.refresh_from_db()
    assert (release.bypassed_by, [found["code"] for found in release.bypassed_conditions]) == (stage.cast.lead, ["rehearsed"])
    assert release.gate_answer["bypassed"] is True
    assert release.gate_answer["passes"] is False
    assert list(list_releases(bypassed=True)) == [release]
    assert AuditEvent.objects.get(event="release.gate_bypassed").data["conditions"] == ["rehearsed"]
    assert set(Notice.objects.values_list("user", flat=True)) == {stage.cast.leadership.pk}


@pytest.mark.parametrize("who", ["on_call", "auditor", "admin", "stranger"])
def test_bypass_by_anybody_else_is_refused(stage: Stage, who: str) -> None:
    release = stage.release()
    with pytest.raises(Forbidden):
        bypass(stage, release, account=getattr(stage.cast, who))
    release.refresh_from_db()
    assert release.bypassed_at is None


def test_bypass_by_a_token_is_refused(stage: Stage) -> None:
    token = ApiTokenFactory(user=stage.cast.lead, scopes=["release"])
    with pytest.raises(Forbidden) as refusal:
        bypass(stage, stage.release(), actor=actor_of(stage.cast.lead, token=token))
    assert refusal.value.code == "token_not_allowed"


def test_bypass_needs_a_reason_a_closed_gate_and_a_release_that_has_not_begun(stage: Stage) -> None:
    release = stage.release()
    with pytest.raises(InvalidInput):
        bypass(stage, release, reason="hurry")
    stage.rehearsed(release)
    with pytest.raises(Conflict) as refusal:
        bypass(stage, release)
    assert refusal.value.code == "gate_open"
    stage.promote(release)
    with pytest.raises(Conflict) as refusal:
        bypass(stage, release)
    assert refusal.value.code == "wrong_state"


# What cannot be released.


@pytest.mark.parametrize("who", ["leadership", "auditor", "stranger"])
def test_release_by_somebody_who_may_not_is_refused(stage: Stage, who: str) -> None:
    with pytest.raises(Forbidden):
        stage.release(account=getattr(stage.cast, who))


def test_release_of_what_cannot_ship_is_refused_with_the_reason(stage: Stage) -> None:
    def code_of(**values: object) -> str:
        with pytest.raises(InvalidInput) as refusal:
            stage.release(**values)  # type: ignore[arg-type]
        return refusal.value.code

    assert code_of(to_version=stage.old) == "already_serving"
    assert code_of(policy=stage.staging) == "not_production"
    assert code_of(steps=[50, 10]) == "invalid_steps"
    assert code_of(from_version=stage.new) == "same_version"
    assert code_of(candidate_id=OLD_CANDIDATE) == "candidate_taken"
    for bad in ("two words", "x" * 161, "bell\x07", "nul\x00", "turned\u202e"):
        assert code_of(candidate_id=bad) == "invalid_candidate"
    Version.objects.filter(pk=stage.new.pk).update(lifecycle=Lifecycle.RETIRED)
    stage.new.refresh_from_db()
    assert code_of() == "version_retired"
    Version.objects.filter(pk=stage.new.pk).update(lifecycle=Lifecycle.REGISTERED)
    stage.new.refresh_from_db()
    start_hold(version=stage.new, rollback_id=Rollback().pk, actor=ACTOR)
    assert code_of() == "version_held"
    assert not Release.objects.exists()
    assert not list_releasable_versions(stage.production).exists()


def test_release_where_one_version_serves_at_a_time_has_one_step(stage: Stage) -> None:
    connection = ConnectionFactory(environment=stage.production.environment, connector="mlflow", settings={"address": "http://127.0.0.1:9"})
    RoutingPolicy.objects.filter(pk=stage.production.pk).update(connection=connection, target={"model": "reasoner", "alias": "live"})
    with pytest.raises(InvalidInput) as refusal:
        stage.release(steps=[5, 100])
    assert (refusal.value.code, list(refusal.value.fields)) == ("not_splittable", ["steps"])
    assert "mlflow serves one version at a time" in refusal.value.message
    assert stage.release().steps == [100]


def test_release_with_a_candidate_that_the_balancer_has_no_servers_of_is_refused_when_planned(stage: Stage) -> None:
    settings = {"sockets": {"lb": "unix:/run/haproxy.sock"}}
    connection = ConnectionFactory(environment=stage.production.environment, connector="haproxy", settings=settings)
    target = {"backend": "models", "servers": {OLD_CANDIDATE: ["old1"], "green": ["new1"]}}
    RoutingPolicy.objects.filter(pk=stage.production.pk).update(connection=connection, target=target)
    with pytest.raises(InvalidInput) as refusal:
        stage.release()
    assert (refusal.value.code, list(refusal.value.fields)) == ("invalid_candidate", ["candidate_id"])
    assert f"no servers of {NEW_CANDIDATE} in models: it has those of {OLD_CANDIDATE}, green." in refusal.value.message
    assert not Release.objects.exists()
    assert stage.release(candidate_id="green").steps == [1, 5, 25, 50, 100]


def test_second_release_of_the_alias_is_pointed_to_the_first(stage: Stage) -> None:
    release = stage.release()
    with pytest.raises(Conflict) as refusal:
        stage.release()
    assert (refusal.value.code, refusal.value.extra["url"]) == ("release_open", f"/releases/{release.pk}/")


def test_same_idempotency_key_gives_the_same_release_and_another_request_is_refused(stage: Stage) -> None:
    release = stage.release(idempotency_key="ci-1")
    assert stage.release(idempotency_key="ci-1") == release
    other = Version.objects.create(artefact=stage.new.artefact, label="sonnet-6")
    with pytest.raises(Conflict) as refusal:
        stage.release(idempotency_key="ci-1", to_version=other)
    assert refusal.value.code == "idempotency_key_reused"


# Between the steps.


def test_step_that_somebody_took_already_is_told(stage: Stage) -> None:
    release = stage.release()
    stage.rehearsed(release)
    stage.promote(release, step=0)
    with pytest.raises(Conflict) as refusal:
        stage.promote(release, step=0)
    assert refusal.value.code == "step_taken"
    assert ReleaseStep.objects.count() == 1


def test_weights_that_somebody_changed_are_not_overwritten(stage: Stage) -> None:
    release = stage.release()
    stage.rehearsed(release)
    stage.promote(release)
    candidates = [CandidateSpec(NEW_CANDIDATE, NEW, 40), CandidateSpec(OLD_CANDIDATE, OLD, 60)]
    append_revision(policy_id=stage.production.pk, expected_revision=2, candidates=candidates, actor=ACTOR, reason="by hand")
    with pytest.raises(Conflict) as refusal:
        stage.promote(release)
    assert refusal.value.code == "policy_changed"
    back = [CandidateSpec(NEW_CANDIDATE, NEW, 1), CandidateSpec(OLD_CANDIDATE, OLD, 99)]
    append_revision(policy_id=stage.production.pk, expected_revision=3, candidates=back, actor=ACTOR, reason="put back")
    assert stage.promote(release).percent == 5


def test_abandon_without_weight_ends_it_and_with_weight_leads_to_the_rollback(stage: Stage) -> None:
    release = stage.release()
    stage.rehearsed(release)
    stage.promote(release)
    with pytest.raises(Conflict) as refusal:
        abandon(stage, release)
    assert (refusal.value.code, refusal.value.extra["url"]) == (
        "has_weight",
        f"/rollbacks/start/production/?alias={ALIAS}&bad_version.{ALIAS}={NEW}",
    )
    candidates = [CandidateSpec(NEW_CANDIDATE, NEW, 0), CandidateSpec(OLD_CANDIDATE, OLD, 100)]
    append_revision(policy_id=stage.production.pk, expected_revision=2, candidates=candidates, actor=ACTOR, reason="by hand")
    assert abandon(stage, release).state == ReleaseState.ABANDONED
    assert stage.release().pk != release.pk


def test_release_that_does_not_exist_is_not_found(stage: Stage) -> None:
    with pytest.raises(NotFound):
        stage.promote(Release(pk=0), step=0)


# Rehearsing.


def test_rehearsal_gives_staging_the_candidates_of_production_and_runs_the_way_back(stage: Stage) -> None:
    release = stage.release()
    execution = rehearse_release(release_id=release.pk, account=stage.cast.on_call, actor=actor_of(stage.cast.on_call))
    assert (execution.kind, execution.bad_version, execution.policy_id) == ("rehearsal", stage.new, stage.staging.pk)
    assert stage.weights(stage.staging) == {NEW: 0, OLD: 100}
    assert PolicyRevision.objects.get(policy=stage.staging, number=2).release_id == release.pk
    # What it would prove is exactly what the gate asks for.
    Execution.objects.filter(pk=execution.pk).update(
        state="finished", verdict="passed", finished_at=clock.now(), restored_at=clock.now(), verified_at=clock.now()
    )
    assert check_gate(get_release(release.pk)).passes


def test_rehearsal_while_staging_is_busy_or_missing_is_refused_and_changes_nothing(stage: Stage) -> None:
    release = stage.release()
    rehearse_release(release_id=release.pk, account=stage.cast.on_call, actor=actor_of(stage.cast.on_call))
    with pytest.raises(Conflict) as refusal:
        rehearse_release(release_id=release.pk, account=stage.cast.on_call, actor=actor_of(stage.cast.on_call))
    assert refusal.value.code == "already_running"
    assert RoutingPolicy.objects.get(pk=stage.staging.pk).revision_number == 2
    RoutingPolicy.objects.filter(pk=stage.staging.pk).update(alias="elsewhere")
    with pytest.raises(InvalidInput) as missing_staging:
        rehearse_release(release_id=release.pk, account=stage.cast.on_call, actor=actor_of(stage.cast.on_call))
    assert missing_staging.value.code == "no_staging"


def test_first_weight_outside_of_a_release_is_refused_in_production(stage: Stage) -> None:
    candidates = [CandidateSpec(NEW_CANDIDATE, NEW, 5), CandidateSpec(OLD_CANDIDATE, OLD, 95)]
    with pytest.raises(InvalidInput) as refusal:
        append_revision(policy_id=stage.production.pk, expected_revision=1, candidates=candidates, actor=ACTOR, reason="by hand")
    assert refusal.value.code == "release_needed"
    append_revision(policy_id=stage.staging.pk, expected_revision=1, candidates=candidates, actor=ACTOR, reason="staging is free")


# At once.


def test_two_promotes_at_once_take_one_step(fresh_database: FreshDatabase) -> None:
    stage = make_stage()
    release = stage.release()
    stage.rehearsed(release)
    barrier = threading.Barrier(2)

    def act(index: int) -> object:
        barrier.wait(timeout=20)
        return stage.promote(release, step=0, account=(stage.cast.on_call, stage.cast.lead)[index])

    results = at_once(2, act)
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "ReleaseStep"]
    assert next(result.code for result in results if isinstance(result, Conflict)) == "step_taken"
    assert ReleaseStep.objects.count() == 1


def test_two_releases_at_once_are_one(fresh_database: FreshDatabase) -> None:
    stage = make_stage()
    results = at_once(2, lambda index: stage.release(account=(stage.cast.on_call, stage.cast.lead)[index]))
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "Release"]
    assert Release.objects.count() == 1
