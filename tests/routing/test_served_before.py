"""What to go back to when one version has everything: what served before it, by the history of production."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rollbackhub.executions.domain.path import paths_of
from rollbackhub.executions.domain.plan import build_plan
from rollbackhub.executions.enums import ExecutionKind
from rollbackhub.registry.models import Version
from rollbackhub.routing.domain.current import get_served_before
from rollbackhub.routing.domain.transitions import append_revision
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from rollbackhub.routing.xds.render import load_snapshot
from tests.routing.conftest import ACTOR, BAD, GOOD, seed_policy

NEW = "claude-sonnet-5"


def weigh(policy: RoutingPolicy, **weights: int) -> None:
    """The next revision; a release wrote it."""
    labels = {"new": NEW, "bad": BAD.version_pin, "good": GOOD.version_pin}
    policy.refresh_from_db()
    specs = [CandidateSpec(f"x:{labels[name]}:y", labels[name], weight) for name, weight in weights.items()]
    append_revision(policy_id=policy.pk, expected_revision=policy.revision_number, candidates=specs, actor=ACTOR, reason="test", release_id=1)
    policy.refresh_from_db()


@pytest.fixture
def production(db: None) -> RoutingPolicy:
    policy = seed_policy(environment="production")
    Version.objects.create(artefact=policy.artefact, label=NEW)
    return policy


def test_released_version_goes_back_to_what_it_replaced_and_not_to_the_first_of_the_others(production: RoutingPolicy) -> None:
    weigh(production, new=0, bad=0, good=100)
    weigh(production, new=50, bad=0, good=50)
    weigh(production, new=100, bad=0, good=0)
    plan = build_plan(policy=production, kind=ExecutionKind.ROLLBACK, bad_version=Version.objects.get(label=NEW)).content
    assert plan["good_versions"] == [GOOD.version_pin]
    assert [entry["weight"] for entry in plan["weights_rolled_back"]] == [0, 0, 100]
    path = paths_of([production], bad_versions={production.pk: Version.objects.get(label=NEW)})[production.pk]
    assert [version.label for version in path.targets] == [GOOD.version_pin]


def test_two_that_served_before_share_as_they_did(production: RoutingPolicy) -> None:
    weigh(production, new=0, bad=25, good=75)
    weigh(production, new=100, bad=0, good=0)
    plan = build_plan(policy=production, kind=ExecutionKind.ROLLBACK, bad_version=Version.objects.get(label=NEW)).content
    assert [entry["weight"] for entry in plan["weights_rolled_back"]] == [0, 25, 75]


def test_staging_drills_what_production_would_do(production: RoutingPolicy) -> None:
    staging = seed_policy(environment="staging")
    for policy in (production, staging):
        weigh(policy, new=0, bad=0, good=100)
        weigh(policy, new=100, bad=0, good=0)
    weigh(staging, new=0, bad=100, good=0)
    weigh(staging, new=100, bad=0, good=0)
    found = paths_of([production, staging], bad_versions=dict.fromkeys((production.pk, staging.pk), Version.objects.get(label=NEW)))
    assert {tuple(version.label for version in path.targets) for path in found.values()} == {(GOOD.version_pin,)}


def test_without_history_there_is_none_and_one_query_serves_many(production: RoutingPolicy) -> None:
    others = [seed_policy(environment="production", alias=f"other-{number}") for number in range(3)]
    with CaptureQueriesContext(connection) as queries:
        found = get_served_before({policy.pk: GOOD.version_pin for policy in [production, *others]})
    assert len(queries) == 1
    assert found == {policy.pk: {BAD.version_pin: 25} for policy in [production, *others]}
    assert get_served_before({}) == {}
    assert get_served_before({production.pk: "x"}) == {production.pk: {BAD.version_pin: 25, GOOD.version_pin: 75}}


def test_candidate_without_weight_is_not_told_to_gateways_so_that_it_cannot_keep_them_from_a_rollback(production: RoutingPolicy) -> None:
    weigh(production, new=0, bad=25, good=75)
    snapshot = load_snapshot(environment="production")
    assert snapshot is not None
    assert f"x:{BAD.version_pin}:y".encode() in snapshot.body
    assert NEW.encode() not in snapshot.body
