"""Two who decide in the same moment, and two clocks: each in a connection and a transaction of its own."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import Notice, User
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict
from rollbackhub.executions.models import Execution
from rollbackhub.rollbacks.domain.approvals import break_glass, expire_requests, tell_next_levels, withdraw_rollback
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Approval, Rollback
from tests.databases import FreshDatabase
from tests.factories.accounts import UserFactory
from tests.factories.fixtures import Cast, make_cast
from tests.rollbacks.conftest import again, approve, ask, events, reject, seed_production
from tests.threads import at_once

ROUNDS = 6


def codes(results: list[Any]) -> list[str]:
    """How each ended: `done`, or the code of the refusal."""
    return sorted(result.code if isinstance(result, Conflict) else type(result).__name__ if isinstance(result, Exception) else "done" for result in results)


def waiting(number: int, cast: Cast) -> Rollback:
    return ask(seed_production("dataset", alias=f"corpus-{number}"), account=cast.on_call)


def test_two_approvals_race_and_one_wins(fresh_database: FreshDatabase) -> None:
    cast = make_cast()
    approvers: list[User] = [cast.lead, cast.leadership, cast.admin, UserFactory(roles=[Role.PLATFORM_LEAD])]
    for number in range(ROUNDS):
        rollback = waiting(number, cast)
        results = at_once(4, lambda index, rollback=rollback: approve(rollback, approvers[index]))  # type: ignore[misc]
        assert codes(results) == ["already_decided"] * 3 + ["done"]
        assert "was faster" in next(result for result in results if isinstance(result, Conflict)).message
        assert Approval.objects.filter(rollback=rollback).count() == 1
        assert Execution.objects.filter(rollback_part__rollback=rollback).count() == 1
        assert events(rollback).count("rollback.authorised") == 1


def test_approval_and_rejection_race_and_one_wins(fresh_database: FreshDatabase) -> None:
    cast = make_cast()
    for number in range(ROUNDS):
        rollback = waiting(number, cast)
        acts: list[Callable[[], Rollback]] = [
            lambda rollback=rollback: approve(rollback, cast.lead),  # type: ignore[misc]
            lambda rollback=rollback: reject(rollback, cast.leadership),  # type: ignore[misc]
        ]
        results = at_once(2, lambda index, acts=acts: acts[index]())  # type: ignore[misc]
        assert codes(results) == ["already_decided", "done"]
        decided, now = Approval.objects.get(rollback=rollback), again(rollback)
        assert now.state == {"approved": RollbackState.RUNNING, "rejected": RollbackState.REJECTED}[decided.decision]
        assert Execution.objects.filter(rollback_part__rollback=rollback).count() == (decided.decision == "approved")


def test_approval_and_expiry_race_and_one_wins(fresh_database: FreshDatabase) -> None:
    cast = make_cast()
    seen: Counter[str] = Counter()
    for number in range(ROUNDS):
        rollback = waiting(number, cast)
        # It expires while both are on their way.
        Rollback.objects.filter(pk=rollback.pk).update(expires_at=clock.now() + dt.timedelta(milliseconds=20))

        def act(index: int, rollback: Rollback = rollback) -> Any:
            if index:
                return approve(rollback, cast.lead)
            while not expire_requests() and again(rollback).state == RollbackState.AWAITING_APPROVAL:
                clock.sleep(0.002)
            return "the clock was there"

        results = at_once(2, act)
        now = again(rollback)
        seen[now.state] += 1
        runs = Execution.objects.filter(rollback_part__rollback=rollback).count()
        if now.state == RollbackState.RUNNING:
            assert (codes(results), Approval.objects.filter(rollback=rollback).count(), runs) == (["done", "done"], 1, 1)
        else:
            assert now.state == RollbackState.EXPIRED
            assert (codes(results), Approval.objects.filter(rollback=rollback).count(), runs) == (["done", "expired"], 0, 0)
        assert events(rollback).count("rollback.expired") == (now.state == RollbackState.EXPIRED)
    assert sum(seen.values()) == ROUNDS


def test_approval_withdrawal_and_break_glass_race_and_one_wins(fresh_database: FreshDatabase) -> None:
    cast = make_cast()
    for number in range(ROUNDS):
        rollback = waiting(number, cast)
        on_call = actor_of(cast.on_call)
        values: dict[str, Any] = {"rollback_id": rollback.pk, "account": cast.on_call, "actor": on_call}
        acts: list[Callable[[], Rollback]] = [
            lambda rollback=rollback: approve(rollback, cast.lead),  # type: ignore[misc]
            lambda values=values: withdraw_rollback(**values, reason="no longer"),  # type: ignore[misc]
            lambda values=values, rollback=rollback: break_glass(**values, reason="it cannot wait any longer", plan_hash=rollback.plan_hash),  # type: ignore[misc]
        ]
        results = at_once(3, lambda index, acts=acts: acts[index]())  # type: ignore[misc]
        assert codes(results).count("done") == 1
        assert set(codes(results)) <= {"done", "wrong_state", "already_decided"}
        now = again(rollback)
        how = {"approval": 1, "break_glass": 0, "": 0}[now.authorised_how]
        assert Approval.objects.filter(rollback=rollback).count() == how
        assert Execution.objects.filter(rollback_part__rollback=rollback).count() == (now.state == RollbackState.RUNNING)


@pytest.mark.parametrize("due_seconds_ago", [1, 600])
def test_next_level_is_told_once_although_two_jobs_run_at_once(fresh_database: FreshDatabase, due_seconds_ago: int) -> None:
    cast = make_cast()
    rollback = waiting(0, cast)
    assert tell_next_levels() == 0
    assert not Notice.objects.filter(user=cast.leadership).exists()
    Rollback.objects.filter(pk=rollback.pk).update(tell_next_at=clock.now() - dt.timedelta(seconds=due_seconds_ago))
    at_once(4, lambda _: tell_next_levels())
    assert tell_next_levels() == 0
    assert events(rollback).count("rollback.next_level_told") == 1
    told = Notice.objects.filter(key__startswith=f"escalated:{rollback.pk}")
    assert sorted(notice.user_id for notice in told) == sorted([cast.leadership.pk, cast.admin.pk])
    assert again(rollback).state == RollbackState.AWAITING_APPROVAL


def test_next_level_is_not_told_of_what_was_decided(fresh_database: FreshDatabase) -> None:
    cast = make_cast()
    rollback = waiting(0, cast)
    Rollback.objects.filter(pk=rollback.pk).update(tell_next_at=clock.now() - dt.timedelta(seconds=1))
    approve(rollback, cast.lead)
    assert tell_next_levels() == 0
    assert not Notice.objects.filter(user=cast.leadership).exists()


def test_two_coordinated_requests_in_opposite_order_race_and_one_wins(fresh_database: FreshDatabase) -> None:
    cast = make_cast()
    for number in range(ROUNDS):
        pair = [seed_production("dataset", alias=f"corpus-{number}"), seed_production("model", alias=f"model-{number}")]
        results = at_once(4, lambda index, pair=pair: ask(*(pair if index % 2 else pair[::-1]), account=cast.lead))  # type: ignore[misc]
        assert codes(results) == ["done"] + ["rollback_active"] * 3
        assert Rollback.objects.filter(parts__policy__in=pair).distinct().count() == 1
