"""What could be rolled back after a rollback: readiness, plans, drills and proposals answer one question with one answer."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rollbackhub.common.clock import now
from rollbackhub.common.errors import InvalidInput
from rollbackhub.executions.domain.path import paths_of
from rollbackhub.executions.domain.plan import build_plan
from rollbackhub.executions.enums import ExecutionKind
from rollbackhub.readiness.domain.compute import compute_readiness
from rollbackhub.readiness.domain.facts import facts_of
from rollbackhub.readiness.domain.mistakes import list_mistakes
from rollbackhub.readiness.domain.reasons import judge_readiness
from rollbackhub.readiness.domain.report import report_readiness
from rollbackhub.readiness.domain.selectors import rollbackable_now
from rollbackhub.readiness.enums import ReadinessState
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import StabilityHold, Version
from rollbackhub.rollbacks.domain.proposal import Target, propose_rollback
from rollbackhub.routing.models import RoutingPolicy
from tests.dashboard.people import client_of, page
from tests.executions.proofs import drilled
from tests.factories.executions import ProcedureVersionFactory
from tests.factories.fixtures import Cast
from tests.factories.readiness import PreflightRunFactory
from tests.factories.registry import ArtefactFactory, ConnectionFactory, EnvironmentFactory, VersionFactory
from tests.factories.rollbacks import StabilityHoldFactory
from tests.factories.routing import BAD, GOOD, PolicyRevisionFactory, RoutingPolicyFactory

OLD = "claude-sonnet-4"


@dataclass
class RolledBack:
    """`reasoner`: `BAD` was in canary, was proven, and was rolled back in production; it is under hold."""

    production: RoutingPolicy
    staging: RoutingPolicy

    def fresh(self, policy: RoutingPolicy | None = None) -> RoutingPolicy:
        """A policy as it stands."""
        return RoutingPolicy.objects.select_related("environment", "artefact").get(pk=(policy or self.production).pk)

    def version(self, label: str) -> Version:
        """One of its versions."""
        return Version.objects.get(artefact=self.production.artefact, label=label)


def roll_back(*, older: bool = False) -> RolledBack:
    """The rows that a rollback leaves. `older`: the version that served before both is kept in the policy at 0 %."""
    environments = [EnvironmentFactory(slug=slug) for slug in ("production", "staging")]
    for environment in environments:
        ConnectionFactory(environment=environment)
        PreflightRunFactory(environment=environment, started_at=now() - dt.timedelta(minutes=1))
    ProcedureVersionFactory()
    artefact = ArtefactFactory(slug="reasoner-model")
    for days, (label, lifecycle) in enumerate(((OLD, Lifecycle.SUPERSEDED), (GOOD, Lifecycle.LIVE), (BAD, Lifecycle.CANARY))):
        VersionFactory(artefact=artefact, label=label, lifecycle=lifecycle, created_at=now() - dt.timedelta(days=9 - days))
    kept = {OLD: 0} if older else {}
    made = [RoutingPolicyFactory(environment=environment, alias="reasoner", artefact=artefact, revision=False) for environment in environments]
    alias = RolledBack(*made)
    for policy in made:
        if older:
            PolicyRevisionFactory(policy=policy, weights={BAD: 0, GOOD: 0, OLD: 100})
        PolicyRevisionFactory(policy=policy, weights={BAD: 25, GOOD: 75, **kept})
    drilled(alias.staging)
    assert judge_readiness(facts_of([alias.fresh()])[alias.production.pk]).codes == []
    PolicyRevisionFactory(policy=alias.production, weights={BAD: 0, GOOD: 100, **kept})
    Version.objects.filter(artefact=artefact, label=BAD).update(lifecycle=Lifecycle.ROLLED_BACK)
    StabilityHoldFactory(version=alias.version(BAD))
    return alias


def test_after_a_rollback_readiness_says_that_nobody_can_go_back_now(cast: Cast) -> None:
    alias = roll_back()
    (report,) = report_readiness([alias.fresh()])
    assert (report["state"], report["rollbackable"], report["bad_version"]) == ("not_ready", False, GOOD)
    assert [target["version"] for target in report["targets"]] == [BAD]
    (reason,) = report["reasons"]
    assert reason["code"] == "target_held"
    assert f"A rollback now would go back to {BAD}, and nobody can: {BAD} is under a stability hold until" in reason["sentence"]
    assert "have a lead lift the hold" in reason["sentence"]
    assert "Keep another version that served before in the policy" in reason["remedy"]


def test_share_page_and_mistakes_do_not_count_it(cast: Cast) -> None:
    alias = roll_back()
    compute_readiness()
    assert (rollbackable_now().rollbackable, rollbackable_now().total) == (0, 1)
    text = page(client_of(cast.on_call), f"/readiness/production/{alias.production.alias}/")
    assert "Yes: nothing speaks against it" not in text
    assert '<p class="answer-words">No.</p>' in text
    gone = next(mistake for mistake in list_mistakes()[0] if mistake.code == "previous_gone")
    assert [offender.why for offender in gone.offenders] == [f"{BAD} is under a stability hold until {StabilityHold.objects.get().ends_at:%Y-%m-%d}."]


def test_rollback_that_nobody_named_is_refused_and_says_both_halves_at_once(cast: Cast) -> None:
    alias = roll_back()
    with pytest.raises(InvalidInput) as caught:
        propose_rollback(targets=[Target(alias.fresh())], account=cast.on_call)
    assert caught.value.code == "nothing_to_roll_back"
    assert f"serves {GOOD} alone, and there is nothing to go back to ({BAD} is under a stability hold until" in caught.value.message
    assert "have a lead lift the hold" in caught.value.message
    with pytest.raises(InvalidInput) as named:
        propose_rollback(targets=[Target(alias.fresh(), alias.version(GOOD))], account=cast.on_call)
    assert named.value.code == "target_held"


def test_hold_does_not_count_in_staging_and_the_drill_stays_what_it_was(cast: Cast) -> None:
    alias = roll_back()
    staging = alias.fresh(alias.staging)
    assert judge_readiness(facts_of([staging])[staging.pk]).codes == []
    plan = build_plan(policy=staging, kind=ExecutionKind.DRILL)
    assert (plan.bad_version.label, plan.content["good_versions"]) == (BAD, [GOOD])


def test_hold_that_is_over_leaves_a_way_back_that_has_to_be_drilled(cast: Cast) -> None:
    alias = roll_back()
    StabilityHold.objects.update(started_at=now() - dt.timedelta(days=9), ends_at=now() - dt.timedelta(days=2))
    verdict = judge_readiness(facts_of([alias.fresh()])[alias.production.pk])
    assert verdict.codes == ["proof_stale"]
    with pytest.raises(InvalidInput, match=f"{BAD} was rolled back.*Name {GOOD} if it is bad itself"):
        propose_rollback(targets=[Target(alias.fresh())], account=cast.on_call)


def test_version_kept_from_before_is_the_way_back_and_its_drill_proves_it(cast: Cast) -> None:
    alias = roll_back(older=True)
    facts = facts_of([alias.fresh()])[alias.production.pk]
    assert facts.path.bad == alias.version(GOOD)
    assert [version.label for version in facts.path.targets] == [OLD]
    assert judge_readiness(facts).codes == ["proof_stale"]
    with pytest.raises(InvalidInput, match=f"Name {GOOD} if it is bad itself: that goes back to {OLD}"):
        propose_rollback(targets=[Target(alias.fresh())], account=cast.on_call)
    named = propose_rollback(targets=[Target(alias.fresh(), alias.version(GOOD))], account=cast.on_call)
    drill = build_plan(policy=alias.fresh(alias.staging), kind=ExecutionKind.DRILL)
    assert named.parts[0].plan.content["good_versions"] == drill.content["good_versions"] == [OLD]
    assert drill.bad_version == alias.version(GOOD)
    drilled(alias.staging)
    verdict = judge_readiness(facts_of([alias.fresh()])[alias.production.pk])
    assert (verdict.state, verdict.rollbackable) == (ReadinessState.READY, True)


def test_drill_of_other_candidates_than_productions_takes_out_the_version_under_test(cast: Cast) -> None:
    alias = roll_back(older=True)
    VersionFactory(artefact=alias.production.artefact, label="claude-sonnet-5", created_at=now())
    PolicyRevisionFactory(policy=alias.staging, weights={BAD: 0, GOOD: 100, OLD: 0, "claude-sonnet-5": 0})
    assert build_plan(policy=alias.fresh(alias.staging), kind=ExecutionKind.DRILL).bad_version.label == "claude-sonnet-5"


def test_new_version_without_weight_is_not_what_a_rollback_in_production_would_take_out(cast: Cast) -> None:
    production = EnvironmentFactory(slug="production")
    ProcedureVersionFactory()
    policy = RoutingPolicyFactory(environment=production, alias="reasoner", revision={BAD: 100, GOOD: 0})
    PolicyRevisionFactory(policy=policy, weights={"claude-sonnet-5": 0, BAD: 0, GOOD: 100})
    policy.refresh_from_db()
    path = paths_of([policy])[policy.pk]
    assert path.bad is not None
    assert (path.bad.label, [version.label for version in path.targets]) == (GOOD, [BAD])
    proposal = propose_rollback(targets=[Target(policy, path.bad)], account=cast.on_call)
    assert proposal.parts[0].plan.bad_version == path.bad
    assert proposal.parts[0].plan.content["good_versions"] == [BAD]


def test_queries_stay_the_same_for_many_that_serve_one_version_alone(cast: Cast) -> None:
    ProcedureVersionFactory()
    policies = []
    counts = []
    for number in range(6):
        for slug in ("production", "staging"):
            policy = RoutingPolicyFactory(environment=EnvironmentFactory(slug=slug), alias=f"alias-{number}")
            PolicyRevisionFactory(policy=policy, weights={BAD: 0, GOOD: 100})
            policies.append(policy)
        if number in (0, 5):
            with CaptureQueriesContext(connection) as captured:
                paths_of(policies)
            counts.append(len(captured))
    assert counts == [6, 6]
