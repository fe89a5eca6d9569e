"""A version that is given weight while it is retired, on real connections: one of the two happens, never both, in either order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.audit.actors import system_actor
from rollbackhub.common.clock import monotonic, sleep
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.registry.domain.lifecycle import retire_version
from rollbackhub.registry.models import Version
from rollbackhub.routing.domain.transitions import append_revision
from rollbackhub.routing.models import Candidate, RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from tests.databases import FreshDatabase
from tests.factories.fixtures import make_cast
from tests.factories.routing import candidate_id
from tests.registry.interlocks import Scene, make_scene
from tests.threads import at_once

REFUSED = (RollbackHubError, DatabaseError)
Act = Callable[[], Any]


def acts_on(scene: Scene, lead: User, *, environment: str = "production") -> dict[str, Act]:
    """Ways to give weight and ways to retire."""
    version = scene.version
    policy = getattr(scene, environment)

    def flip() -> Any:
        number = RoutingPolicy.objects.values_list("revision_number", flat=True).get(pk=policy.pk)
        candidates = [CandidateSpec(candidate_id("v1"), "v1", 40), CandidateSpec(candidate_id("v2"), "v2", 60)]
        return append_revision(policy_id=policy.pk, expected_revision=number, candidates=candidates, actor=system_actor("test"), reason="ship it")

    def retire() -> Any:
        return retire_version(version_id=version.pk, account=lead, actor=actor_of(lead), reason="its provider has deleted it")

    def retire_by_sql() -> Any:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE registry_version SET lifecycle = 'retired' WHERE id = %s", [version.pk])

    return {"flip": flip, "retire": retire, "retire by SQL": retire_by_sql}


def stands(scene: Scene) -> tuple[bool, bool]:
    """Whether the version is retired, and whether it has weight anywhere."""
    served = any(
        Candidate.objects.filter(revision__policy=policy, revision__number=policy.revision_number, version=scene.version, weight__gt=0).exists()
        for policy in RoutingPolicy.objects.filter(artefact=scene.artefact)
    )
    return Version.objects.get(pk=scene.version.pk).lifecycle == "retired", served


def wait_until_somebody_waits() -> None:
    """Until a connection of this database waits for another one's lock."""
    end = monotonic() + 10
    while monotonic() < end:
        with connection.cursor() as cursor:
            # Within a transaction the activity is shown as it was when it was first looked at.
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0")
            if cursor.fetchone()[0]:
                return
        sleep(0.02)
    raise AssertionError("nobody waits: the second act did not run into the first")


@pytest.mark.parametrize("environment", ["production", "staging"])
@pytest.mark.parametrize(("first", "second"), [("flip", "retire"), ("flip", "retire by SQL"), ("retire", "flip"), ("retire by SQL", "flip")])
def test_second_waits_for_the_first_and_is_refused(first: str, second: str, environment: str, fresh_database: FreshDatabase) -> None:
    lead, scene = make_cast().lead, make_scene()
    acts = acts_on(scene, lead, environment=environment)
    begun = threading.Event()

    def act(number: int) -> str:
        if number == 0:
            with transaction.atomic():
                acts[first]()
                begun.set()
                wait_until_somebody_waits()
            return first
        assert begun.wait(10)
        acts[second]()
        return second

    results = at_once(2, act)
    assert first in results
    refused = [result for result in results if isinstance(result, Exception)]
    assert len(refused) == 1
    assert isinstance(refused[0], REFUSED)
    assert "still needed" in str(refused[0]) or "retired" in str(refused[0])
    assert stands(scene) == (first != "flip", first == "flip")


@pytest.mark.parametrize("how", ["retire", "retire by SQL"])
def test_both_at_the_same_instant_never_both(how: str, fresh_database: FreshDatabase) -> None:
    lead = make_cast().lead
    for number in range(12):
        scene = make_scene(f"alias-{number}")
        acts = acts_on(scene, lead)
        results = at_once(2, lambda index, acts=acts: acts["flip" if index else how]())  # type: ignore[misc]
        refused = [result for result in results if isinstance(result, Exception)]
        assert len(refused) == 1, results
        assert isinstance(refused[0], REFUSED)
        assert stands(scene) in ((True, False), (False, True))


def test_two_proven_versions_at_the_same_instant_leave_one(fresh_database: FreshDatabase) -> None:
    lead = make_cast().lead
    for number in range(8):
        scene = make_scene(f"alias-{number}")
        versions = [scene.version, scene.other("v3")]
        for version in versions:
            scene.proves(version.label)

        def retire(index: int, versions: list[Version] = versions) -> Any:
            if index % 2:
                return retire_version(version_id=versions[index].pk, account=lead, actor=actor_of(lead), reason="its provider has deleted it")
            with connection.cursor() as cursor:
                cursor.execute("UPDATE registry_version SET lifecycle = 'retired' WHERE id = %s", [versions[index].pk])
            return None

        results = at_once(2, retire)
        refused = [result for result in results if isinstance(result, Exception)]
        assert len(refused) == 1, results
        assert "only version to which going back is proven" in str(refused[0])
        assert Version.objects.filter(artefact=scene.artefact, lifecycle="retired").count() == 1
