"""A version under hold that is put back on the system that moves it: seen, said, and the rollback open again until it is mended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import Notice
from rollbackhub.executions.domain.deliver import deliver_due
from rollbackhub.executions.domain.transitions import request_cancel
from rollbackhub.executions.enums import ExecutionKind
from rollbackhub.registry.models import Version
from rollbackhub.rollbacks.domain.proposal import Target
from rollbackhub.rollbacks.domain.transitions import request_rollback
from rollbackhub.rollbacks.domain.watch import watch_mechanisms
from rollbackhub.rollbacks.enums import RollbackState, Via
from rollbackhub.rollbacks.models import Rollback
from tests.executions.test_mechanisms import World
from tests.factories.fixtures import Cast
from tests.rollbacks.conftest import ACTOR, again, events, execution_of, run


@pytest.fixture
def world(db: None, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, "production")
    assert deliver_due() == 1
    yield made
    made.service.stop()


@pytest.fixture
def verified(world: World, cast: Cast) -> Rollback:
    world.policy.refresh_from_db()
    asked = request_rollback(
        targets=[Target(world.policy, Version.objects.get(label="v2"))], account=cast.lead, actor=actor_of(cast.lead), reason="bad answers", via=Via.PAGE
    )
    rollback = run(asked)
    assert (rollback.state, world.running()) == (RollbackState.VERIFIED, "v1"), rollback.outcome
    return rollback


def push(world: World, label: str) -> None:
    """Somebody restores a version by hand, around the hub."""
    world.bare.push({"agent/version.txt": f"{label}\n", "agent/code.py": f"# {label}\n"}, subject=f"{label} by hand")


def test_held_version_that_is_put_back_by_hand_opens_the_rollback_again_until_it_is_mended(world: World, verified: Rollback) -> None:
    assert watch_mechanisms() == 0
    push(world, "v2")
    assert watch_mechanisms() == 1
    opened = again(verified)
    assert opened.state == RollbackState.VERIFICATION_FAILED
    assert "while v2 is under hold" in opened.outcome
    finding = execution_of(verified).findings.get(code="not_restored")
    assert "git" in finding.subject
    assert finding.expected != finding.found
    assert Notice.objects.filter(subject__contains="support-agent in production was moved around the hub while v2 is under hold").exists()
    assert watch_mechanisms() == 1
    assert events(verified).count("rollback.reopened") == 1, "said once"
    push(world, "v1")
    assert watch_mechanisms() == 0
    assert again(verified).state == RollbackState.VERIFIED
    assert events(verified)[-1] == "rollback.verified_again"


def test_system_that_does_not_answer_is_neither_moved_nor_mended(world: World, verified: Rollback) -> None:
    settings = world.connection.settings
    world.connection.settings = {**settings, "remote": settings["remote"] + "-gone"}
    world.connection.save()
    assert watch_mechanisms() == 0
    assert again(verified).state == RollbackState.VERIFIED


def test_alias_that_something_moves_just_now_is_looked_at_later(world: World, verified: Rollback) -> None:
    push(world, "v2")
    drill = world.start(ExecutionKind.REHEARSAL)
    assert watch_mechanisms() == 0
    request_cancel(execution_id=drill.pk, actor=ACTOR, reason="not now")
    assert watch_mechanisms() == 1
