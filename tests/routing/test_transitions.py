"""Flips: compare-and-set, once per effect key, and refused by the database when the rules are broken."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.registry.models import Version
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.domain.transitions import append_revision, create_policy
from rollbackhub.routing.models import Candidate, PolicyRevision, RoutingPolicy, RoutingState
from rollbackhub.routing.rules import CandidateSpec
from tests.databases import FreshDatabase
from tests.routing.conftest import ACTOR, BAD, GOOD, seed_policy
from tests.threads import at_once

ROLLED_BACK = [CandidateSpec(BAD.candidate_id, BAD.version_pin, 0), CandidateSpec(GOOD.candidate_id, GOOD.version_pin, 100)]


def flip(policy: RoutingPolicy, *, expected: int = 1, candidates: list[CandidateSpec] | None = None, key: str | None = None) -> PolicyRevision:
    return append_revision(policy_id=policy.pk, expected_revision=expected, candidates=candidates or ROLLED_BACK, actor=ACTOR, reason="test", effect_key=key)


def test_flip_appends_a_revision_and_counts_the_routing_state_up(policy: RoutingPolicy) -> None:
    revision = flip(policy)
    policy.refresh_from_db()
    assert (revision.number, policy.revision_number) == (2, 2)
    assert get_candidates(policy=policy) == ROLLED_BACK
    assert get_candidates(policy=policy, number=1) == [BAD, GOOD]
    assert RoutingState.objects.get().number == revision.routing_number == 2


def test_flip_is_audited_with_the_weights_before_and_after(policy: RoutingPolicy) -> None:
    flip(policy)
    event = AuditEvent.objects.get(event="policy.revision_appended", data__revision=2)
    assert event.data["weights_before"] == {BAD.candidate_id: 25, GOOD.candidate_id: 75}
    assert event.data["weights_after"] == {BAD.candidate_id: 0, GOOD.candidate_id: 100}


def test_flip_from_a_revision_that_has_moved_is_a_conflict_and_changes_nothing(policy: RoutingPolicy) -> None:
    flip(policy)
    with pytest.raises(Conflict, match="at revision 2, not 1") as caught:
        flip(policy, candidates=[BAD, GOOD])
    assert caught.value.code == "revision_moved"
    assert PolicyRevision.objects.count() == 2


def test_flip_with_the_same_effect_key_twice_writes_once(policy: RoutingPolicy) -> None:
    assert flip(policy, key="execution:flip") == flip(policy, key="execution:flip")
    assert PolicyRevision.objects.count() == 2


@pytest.mark.parametrize(
    ("candidates", "sentence"),
    [
        ([CandidateSpec("x", "claude-9", 100)], "claude-9 is not registered"),
        ([CandidateSpec("x", GOOD.version_pin, 60)], "sum to 100"),
        ([GOOD, GOOD], "stands twice"),
    ],
)
def test_flip_to_candidates_that_are_no_policy_is_refused(policy: RoutingPolicy, candidates: list[CandidateSpec], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        flip(policy, candidates=candidates)
    assert PolicyRevision.objects.count() == 1


def test_flip_that_gives_a_retired_version_traffic_is_refused(policy: RoutingPolicy) -> None:
    flip(policy)
    Version.objects.filter(label=BAD.version_pin).update(lifecycle="retired")
    policy.refresh_from_db()
    with pytest.raises(InvalidInput, match="retired"):
        flip(policy, expected=2, candidates=[BAD, GOOD])


def test_retired_version_gets_no_weight_in_the_database_either(policy: RoutingPolicy) -> None:
    flip(policy)
    Version.objects.filter(label=BAD.version_pin).update(lifecycle="retired")
    version = Version.objects.get(label=BAD.version_pin)
    with transaction.atomic():
        revision = PolicyRevision.objects.create(policy=policy, number=9, routing_number=9, reason="sql", actor_label="sql")
        with pytest.raises(IntegrityError, match="is retired and may get no weight"):
            Candidate.objects.create(revision=revision, position=0, candidate_id="c", version=version, weight=100)
        transaction.set_rollback(True)


def test_flip_of_an_unknown_policy_is_not_found(db: None) -> None:
    with pytest.raises(NotFound):
        append_revision(policy_id=0, expected_revision=0, candidates=ROLLED_BACK, actor=ACTOR, reason="test")


def test_create_policy_that_exists_is_a_conflict(policy: RoutingPolicy) -> None:
    with pytest.raises(Conflict, match="already exists"):
        create_policy(environment=policy.environment, alias=policy.alias, artefact=policy.artefact, candidates=[BAD, GOOD], actor=ACTOR, reason="again")


def insert_by_sql(policy: RoutingPolicy, weights: tuple[int, ...]) -> None:
    """A revision that no domain function has looked at."""
    version = Version.objects.get(label=GOOD.version_pin)
    with transaction.atomic():
        revision = PolicyRevision.objects.create(policy=policy, number=9, routing_number=9, reason="sql", actor_label="sql")
        for position, weight in enumerate(weights):
            Candidate.objects.create(revision=revision, position=position, candidate_id=f"c{position}", version=version, weight=weight)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.mark.parametrize("weights", [(0, 0), (50, 49), (100, 1), (101,)])
def test_the_database_refuses_weights_that_make_no_policy(policy: RoutingPolicy, weights: tuple[int, ...]) -> None:
    with pytest.raises(DatabaseError):
        insert_by_sql(policy, weights)
    assert PolicyRevision.objects.count() == 1


def test_the_database_refuses_to_change_a_revision(policy: RoutingPolicy) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        PolicyRevision.objects.update(reason="rewritten")
    with pytest.raises(DatabaseError), transaction.atomic():
        Candidate.objects.update(weight=50)


def test_ten_flips_at_once_append_one_revision(fresh_database: FreshDatabase) -> None:
    policy = seed_policy()
    results = at_once(10, lambda _: flip(policy))
    assert sum(isinstance(result, Conflict) for result in results) == 9
    assert PolicyRevision.objects.filter(policy=policy).count() == 2
