"""Readiness of many aliases: what is judged, what is kept, and with how many queries."""

from __future__ import annotations

import pytest

from rollbackhub.executions.domain.path import paths_of
from rollbackhub.executions.domain.proof import proofs_of
from rollbackhub.executions.enums import ProofState
from rollbackhub.readiness.domain.compute import compute_readiness, judge_now
from rollbackhub.readiness.domain.selectors import list_share_history, rollbackable_now
from rollbackhub.readiness.enums import ReadinessState
from rollbackhub.readiness.models import Readiness, ReadinessChange
from rollbackhub.routing.models import RoutingPolicy
from tests.dashboard.world import World, make_world
from tests.factories.fixtures import Cast


@pytest.fixture
def world(cast: Cast) -> World:
    return make_world()


def production(alias: str) -> RoutingPolicy:
    return RoutingPolicy.objects.select_related("environment", "artefact").get(alias=alias, environment__slug="production")


def test_every_alias_is_judged_and_a_second_time_changes_nothing(world: World) -> None:
    assert compute_readiness() == RoutingPolicy.objects.count() == Readiness.objects.count()
    assert compute_readiness() == 0
    assert ReadinessChange.objects.count() == RoutingPolicy.objects.count()


def test_alias_that_was_never_drilled_is_not_ready_and_says_so(world: World) -> None:
    _, verdict = judge_now(production("legacy-classifier"))
    assert verdict.state == ReadinessState.NOT_READY
    assert "never_drilled" in verdict.codes


def test_drill_in_staging_proves_the_path_in_production(world: World) -> None:
    policy = production("smart-reasoner")
    paths = paths_of([policy])
    proof = proofs_of(paths)[policy.pk]
    assert proof.state == ProofState.VALID, proof.in_words
    assert proof.run is not None
    assert proof.run.execution_id == world.passed.pk


def test_share_is_counted_with_its_history(world: World) -> None:
    compute_readiness()
    share = rollbackable_now()
    assert share.total == 3
    history = list_share_history(since=share.at.replace(year=2000))
    assert (history[-1].rollbackable, history[-1].total) == (share.rollbackable, share.total)
