"""Where versions stand: the table, and how traffic in production moves them."""

from __future__ import annotations

import itertools
import uuid

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.audit.actors import system_actor
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.common.errors import InvalidInput
from rollbackhub.registry.domain.holds import lift_hold, start_hold
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import Artefact, Version
from rollbackhub.registry.rules import LIFECYCLE, lifecycle_by_traffic, may_follow
from rollbackhub.routing.domain.transitions import append_revision, create_policy
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from tests.databases import FreshDatabase
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory, EnvironmentFactory, VersionFactory
from tests.factories.routing import candidate_id
from tests.threads import at_once

ACTOR = system_actor("test")
R, C, L, S, A, X, B = "registered", "canary", "live", "superseded", "archived", "retired", "rolled_back"
ALLOWED = {
    (R, C), (R, L), (R, B), (R, A), (R, X),
    (C, R), (C, L), (C, S), (C, B),
    (L, S), (L, B),
    (S, C), (S, L), (S, B), (S, A), (S, X),
    (B, C), (B, L), (B, A), (B, X),
    (A, C), (A, L), (A, B), (A, X),
    (X, A),
}  # fmt: skip
"""DESIGN.md §2, written once more by hand."""


@pytest.mark.parametrize(("before", "after"), list(itertools.product(Lifecycle.values, Lifecycle.values)))
def test_table_each_pair(before: str, after: str) -> None:
    assert may_follow(before, after) is ((before, after) in ALLOWED)


def test_table_names_every_state() -> None:
    assert set(LIFECYCLE) == set(Lifecycle)


@pytest.mark.parametrize("before", [state for state in Lifecycle.values if state != X])
@pytest.mark.parametrize(
    ("serves", "leads", "was_live"), [(False, False, False), (False, False, True), *itertools.product([True], [False, True], [False, True])]
)
def test_traffic_moves_only_as_the_table_says(before: str, serves: bool, leads: bool, was_live: bool) -> None:
    after = lifecycle_by_traffic(before, serves=serves, leads=leads, was_live=was_live)
    assert after == before or may_follow(before, after), (before, after)
    assert (after in (C, L)) == serves


@pytest.fixture
def artefact(db: None) -> Artefact:
    """A model."""
    found: Artefact = ArtefactFactory(slug="reasoner")
    return found


def make_policy(artefact: Artefact, weights: dict[str, int], *, alias: str = "smart", environment: str = "production") -> RoutingPolicy:
    """An alias, by the domain."""
    for label in weights:
        VersionFactory(artefact=artefact, label=label)
    return create_policy(
        environment=EnvironmentFactory(slug=environment), alias=alias, artefact=artefact, candidates=specs(weights), actor=ACTOR, reason="seed"
    )


def specs(weights: dict[str, int]) -> list[CandidateSpec]:
    """Candidates by their versions' labels."""
    return [CandidateSpec(candidate_id(label), label, weight) for label, weight in weights.items()]


def flip(policy: RoutingPolicy, weights: dict[str, int], *, effect_key: str | None = None) -> None:
    """A real flip."""
    for label in weights:
        VersionFactory(artefact=policy.artefact, label=label)
    number = RoutingPolicy.objects.values_list("revision_number", flat=True).get(pk=policy.pk)
    append_revision(policy_id=policy.pk, expected_revision=number, candidates=specs(weights), actor=ACTOR, reason="for a test", effect_key=effect_key)


def states(artefact: Artefact) -> dict[str, str]:
    """Label to lifecycle."""
    return dict(Version.objects.filter(artefact=artefact).values_list("label", "lifecycle"))


def test_release_through_canaries_moves_both_versions(artefact: Artefact) -> None:
    policy = make_policy(artefact, {"v1": 100})
    assert states(artefact) == {"v1": L}
    for percent in (1, 25, 50, 99):
        flip(policy, {"v1": 100 - percent, "v2": percent})
        assert states(artefact) == {"v1": L, "v2": C}, percent
    assert Version.objects.get(label="v1").superseded_at is None
    before = now()
    flip(policy, {"v1": 0, "v2": 100})
    assert states(artefact) == {"v1": S, "v2": L}
    superseded_at = Version.objects.get(label="v1").superseded_at
    assert superseded_at is not None
    assert before <= superseded_at <= now()
    moves = AuditEvent.objects.filter(event__startswith="version.").values_list("event", "data__version", "data__before", "data__after")
    assert sorted(moves) == [
        ("version.canary", "v2", R, C),
        ("version.live", "v1", R, L),
        ("version.live", "v2", C, L),
        ("version.superseded", "v1", L, S),
    ]


def test_canary_that_is_withdrawn_is_registered_again(artefact: Artefact) -> None:
    policy = make_policy(artefact, {"v1": 100})
    flip(policy, {"v1": 75, "v2": 25})
    flip(policy, {"v1": 100, "v2": 0})
    assert states(artefact) == {"v1": L, "v2": R}
    assert Version.objects.get(label="v2").superseded_at is None


def test_superseded_version_that_comes_back_is_live_without_a_window_and_then_superseded_anew(artefact: Artefact) -> None:
    policy = make_policy(artefact, {"v1": 100})
    flip(policy, {"v1": 0, "v2": 100})
    first = Version.objects.get(label="v1").superseded_at
    flip(policy, {"v1": 10, "v2": 90})
    assert states(artefact) == {"v1": C, "v2": L}
    flip(policy, {"v1": 0, "v2": 100})
    again = Version.objects.get(label="v1")
    assert again.lifecycle == S, "it was live before its canary"
    assert first is not None
    assert again.superseded_at is not None
    assert again.superseded_at > first
    flip(policy, {"v1": 100, "v2": 0})
    assert states(artefact) == {"v1": L, "v2": S}
    assert Version.objects.get(label="v1").superseded_at is None


def test_two_production_aliases_of_one_artefact_keep_a_version_live_until_both_have_left_it(artefact: Artefact) -> None:
    first, second = make_policy(artefact, {"v1": 100}, alias="first"), make_policy(artefact, {"v1": 100}, alias="second")
    flip(first, {"v1": 0, "v2": 100})
    assert states(artefact) == {"v1": L, "v2": L}
    flip(second, {"v1": 50, "v2": 50})
    assert states(artefact) == {"v1": L, "v2": L}
    flip(second, {"v1": 0, "v2": 100})
    assert states(artefact) == {"v1": S, "v2": L}


def test_another_artefacts_versions_and_staging_move_nothing(artefact: Artefact) -> None:
    make_policy(artefact, {"v1": 100})
    other = ArtefactFactory(slug="other")
    make_policy(other, {"v1": 100}, alias="other")
    staging = make_policy(artefact, {"v2": 100}, alias="smart", environment="staging")
    flip(staging, {"v2": 0, "v3": 100})
    assert states(artefact) == {"v1": L, "v2": R, "v3": R}
    assert states(other) == {"v1": L}


def test_first_revision_with_two_versions_the_larger_share_leads(artefact: Artefact) -> None:
    make_policy(artefact, {"v2": 25, "v1": 75})
    assert states(artefact) == {"v1": L, "v2": C}


def test_rolled_back_version_moves_on_when_a_rollback_is_undone_or_its_hold_is_lifted(artefact: Artefact, cast: Cast) -> None:
    policy = make_policy(artefact, {"v1": 75, "v2": 25})
    bad = Version.objects.get(label="v2")
    flip(policy, {"v1": 100, "v2": 0}, effect_key="rollback:flip")
    hold = start_hold(version=bad, rollback_id=uuid.uuid4(), actor=ACTOR)
    assert states(artefact) == {"v1": L, "v2": B}
    with pytest.raises(InvalidInput) as refused:
        flip(policy, {"v1": 75, "v2": 25})
    assert refused.value.code == "version_held"
    assert states(artefact) == {"v1": L, "v2": B}
    lift_hold(hold_id=hold.pk, user=cast.lead, actor=actor_of(cast.lead), reason="the fix is in")
    assert states(artefact) == {"v1": L, "v2": B}, "lifting gives no weight by itself"
    flip(policy, {"v1": 75, "v2": 25})
    assert states(artefact) == {"v1": L, "v2": C}
    flip(policy, {"v1": 0, "v2": 100})
    assert states(artefact) == {"v1": S, "v2": L}


@pytest.mark.parametrize("before", [A, S])
def test_version_that_was_put_away_serves_again_as_canary(before: str, artefact: Artefact) -> None:
    policy = make_policy(artefact, {"v1": 100})
    VersionFactory(artefact=artefact, label="v0", lifecycle=before, superseded_at=now())
    flip(policy, {"v1": 90, "v0": 10})
    assert states(artefact) == {"v1": L, "v0": C}


def test_refused_flip_moves_nobody(artefact: Artefact) -> None:
    policy = make_policy(artefact, {"v1": 100})
    VersionFactory(artefact=artefact, label="gone", lifecycle=X)
    with pytest.raises(InvalidInput, match="retired"):
        flip(policy, {"v1": 0, "gone": 100})
    assert states(artefact) == {"v1": L, "gone": X}


def test_flips_of_one_artefact_at_once_end_without_deadlock_and_as_the_traffic_says(fresh_database: FreshDatabase) -> None:
    artefact = ArtefactFactory(slug="reasoner")
    policies = [make_policy(artefact, {"v1": 100, "v2": 0}, alias=f"alias-{number}") for number in range(4)]
    for round_number in range(5):
        there, back = ({"v1": 0, "v2": 100}, {"v1": 100, "v2": 0}) if round_number % 2 else ({"v1": 100, "v2": 0}, {"v1": 0, "v2": 100})
        results = at_once(4, lambda index, there=there, back=back: flip(policies[index], there if index % 2 else back))  # type: ignore[misc]
        assert results == [None] * 4, results
        assert states(artefact) == {"v1": L, "v2": L}
    results = at_once(4, lambda index: flip(policies[index], {"v1": 0, "v2": 100}))
    assert results == [None] * 4, results
    assert states(artefact) == {"v1": S, "v2": L}
