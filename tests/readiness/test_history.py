"""What is kept of a judgement: the present state for the board, and one row of history for each change, however many judge at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pytest

from rollbackhub.common.clock import now
from rollbackhub.readiness.domain.compute import compute_readiness, judge_now, keep_verdicts
from rollbackhub.readiness.domain.facts import facts_of
from rollbackhub.readiness.domain.reasons import judge_readiness
from rollbackhub.readiness.domain.selectors import list_changes, list_share_history, rollbackable_now
from rollbackhub.readiness.enums import ReadinessState
from rollbackhub.readiness.models import PreflightFinding, PreflightRun, Readiness, ReadinessChange
from rollbackhub.registry.models import Version
from rollbackhub.routing.models import RoutingPolicy
from tests.databases import FreshDatabase
from tests.factories.executions import ProcedureVersionFactory
from tests.factories.fixtures import Cast, make_cast
from tests.factories.readiness import PreflightFindingFactory, PreflightRunFactory
from tests.factories.registry import ConnectionFactory, EnvironmentFactory
from tests.factories.routing import RoutingPolicyFactory
from tests.readiness.fleet import make_fleet, prove
from tests.threads import at_once

HOUR = dt.timedelta(hours=1)


def make_proven_fleet(count: int) -> list[RoutingPolicy]:
    """So many aliases in production against which nothing speaks."""
    production = EnvironmentFactory(slug="production")
    ConnectionFactory(environment=production)
    PreflightRunFactory(environment=production)
    policies = make_fleet(count, environment=production)
    prove(policies)
    return policies


@pytest.fixture
def alias(cast: Cast) -> RoutingPolicy:
    """One alias that is ready."""
    return make_proven_fleet(1)[0]


def history(policy: RoutingPolicy) -> Sequence[tuple[str, bool, list[str]]]:
    """State, rollbackable and codes of each change, the oldest first."""
    return [(change.state, change.rollbackable, change.codes) for change in reversed(list_changes(policy_id=policy.pk))]


def test_history_has_one_row_for_each_change_and_none_for_looking(alias: RoutingPolicy) -> None:
    assert compute_readiness() == 1
    assert compute_readiness() == 0
    finding = PreflightFindingFactory(policy=alias, code="unreachable")
    assert compute_readiness() == 1
    # The same reason in other words is no change; the board says it anew all the same.
    PreflightFinding.objects.filter(pk=finding.pk).update(found="nothing at all")
    assert compute_readiness() == 0
    assert "nothing at all" in Readiness.objects.get().reasons[0]["sentence"]
    # Twice the same reason is none either, another reason is.
    PreflightFindingFactory(policy=alias, code="unreachable", subject="another gateway")
    assert compute_readiness() == 0
    PreflightFindingFactory(policy=alias, code="flag_moved")
    assert compute_readiness() == 1
    PreflightFinding.objects.update(closed_at=now())
    assert compute_readiness() == 1
    assert history(alias) == [
        ("ready", True, []),
        ("not_ready", False, ["unreachable"]),
        ("not_ready", False, ["flag_moved", "unreachable"]),
        ("ready", True, []),
    ]
    newest, *_, oldest = list_changes(policy_id=alias.pk)
    assert (newest.sentence, oldest.sentence) == ("", "")


def test_since_is_when_it_came_to_its_state_not_when_it_was_last_judged(alias: RoutingPolicy) -> None:
    begun = now()
    compute_readiness(at=begun)
    compute_readiness(at=begun + HOUR)
    found = Readiness.objects.get()
    assert (found.since, found.computed_at) == (begun, begun + HOUR)
    PreflightFindingFactory(policy=alias, code="unreachable")
    compute_readiness(at=begun + 2 * HOUR)
    PreflightFindingFactory(policy=alias, code="flag_moved")
    compute_readiness(at=begun + 2.5 * HOUR)
    found = Readiness.objects.get()
    assert (found.state, found.since) == ("not_ready", begun + 2 * HOUR)


def test_time_alone_is_a_change(alias: RoutingPolicy) -> None:
    begun = now()
    PreflightRun.objects.update(finished_at=begun + dt.timedelta(days=100))
    Version.objects.filter(artefact=alias.artefact, label="v3").update(provider_retires_at=begun + dt.timedelta(days=45))
    for days in (0, 10, 20, 46, 93):
        compute_readiness(at=begun + dt.timedelta(days=days))
    assert history(alias) == [
        ("ready", True, []),
        ("at_risk", True, ["provider_retires"]),
        ("not_ready", False, ["provider_retired"]),
        ("not_ready", False, ["provider_retired", "proof_expired"]),
    ]
    shares = list_share_history(since=begun - HOUR)
    assert [(share.rollbackable, share.total) for share in shares] == [(1, 1), (1, 1), (0, 1), (0, 1)]
    assert [share.percent for share in shares] == [100, 100, 0, 0]


def test_older_judgement_does_not_write_over_a_newer_one(alias: RoutingPolicy) -> None:
    slow = [(facts, judge_readiness(facts)) for facts in facts_of([alias]).values()]
    PreflightFindingFactory(policy=alias, code="unreachable")
    judge_now(alias)
    assert keep_verdicts(slow) == 0
    assert Readiness.objects.get().state == ReadinessState.NOT_READY
    assert len(history(alias)) == 1


def test_alias_that_went_while_it_was_judged_is_left_out(cast: Cast) -> None:
    ProcedureVersionFactory()
    there = RoutingPolicyFactory(environment__slug="production")
    gone = RoutingPolicyFactory(environment__slug="production", revision=False)
    judged = [(facts, judge_readiness(facts)) for facts in facts_of([there, gone]).values()]
    RoutingPolicy.objects.filter(pk=gone.pk).delete()
    assert keep_verdicts(judged) == 1
    assert list(Readiness.objects.values_list("policy_id", flat=True)) == [there.pk]


def test_judging_now_keeps_what_it_found(alias: RoutingPolicy) -> None:
    PreflightFindingFactory(policy=alias, code="unreachable")
    facts, verdict = judge_now(alias)
    assert (verdict.state, verdict.codes) == (ReadinessState.NOT_READY, ["unreachable"])
    assert Readiness.objects.get(policy=alias).computed_at == facts.now
    assert rollbackable_now().total == 1


def test_share_is_none_without_aliases_and_leaves_staging_out(cast: Cast) -> None:
    RoutingPolicyFactory()
    compute_readiness()
    share = rollbackable_now()
    assert (share.rollbackable, share.total, share.percent) == (0, 0, None)
    assert list_share_history(since=now() - HOUR) == []


def test_many_who_judge_at_once_write_each_change_once(fresh_database: FreshDatabase) -> None:
    make_cast()
    policies = make_proven_fleet(30)
    assert sum(int(str(count)) for count in at_once(6, lambda _: compute_readiness())) == 30
    assert ReadinessChange.objects.count() == Readiness.objects.count() == 30
    for policy in policies[:7]:
        PreflightFindingFactory(policy=policy, code="unreachable")
    assert sum(int(str(count)) for count in at_once(6, lambda _: compute_readiness())) == 7
    assert ReadinessChange.objects.count() == 37
