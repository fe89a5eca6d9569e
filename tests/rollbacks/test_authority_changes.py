"""What counts is what the authority table and the roles say when it matters; a service account is never above its person."""

from __future__ import annotations

import datetime as dt

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.enums import Role
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden
from rollbackhub.rollbacks.domain.approvals import break_glass
from rollbackhub.rollbacks.domain.authority import set_rule
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.fixtures import Cast
from tests.rollbacks.conftest import ACTOR, approve, ask, events, run, seed_production, service_of, weight_of


def change(subject: str, role: Role) -> None:
    set_rule(subject=subject, role=role, tell_next_after_seconds=300, expires_after_seconds=3600, actor=ACTOR)


@pytest.mark.parametrize(
    ("person", "own_roles", "state"),
    [
        ("lead", [Role.ON_CALL], RollbackState.AWAITING_APPROVAL),
        ("lead", [Role.PLATFORM_LEAD], RollbackState.RUNNING),
        ("on_call", [Role.PLATFORM_LEAD], RollbackState.AWAITING_APPROVAL),
    ],
)
def test_service_account_has_the_lower_of_its_own_and_its_persons_authority(cast: Cast, person: str, own_roles: list[Role], state: RollbackState) -> None:
    bot = service_of(getattr(cast, person), *own_roles)
    assert ask(seed_production("dataset"), account=bot).state == state


def test_rule_that_was_raised_before_the_start_stops_the_start(cast: Cast, policy: RoutingPolicy) -> None:
    rollback = ask(policy, account=cast.on_call)
    change("model", Role.PLATFORM_LEAD)
    ended = run(rollback)
    assert (ended.state, weight_of(policy)) == (RollbackState.CANCELLED, 25)
    assert "no longer has the authority (Platform lead)" in ended.outcome


def test_rule_that_was_raised_while_it_waits_counts_for_the_approver(cast: Cast) -> None:
    waiting = ask(seed_production("dataset"), account=cast.on_call)
    change("dataset", Role.LEADERSHIP)
    with pytest.raises(Forbidden) as refusal:
        approve(waiting, cast.lead)
    assert refusal.value.code == "not_an_approver"
    assert Rollback.objects.get().required_role == Role.LEADERSHIP
    assert "rollback.authority_changed" in events(waiting)
    assert approve(waiting, cast.leadership).state == RollbackState.RUNNING


def test_break_glass_on_an_expired_request_is_refused_before_the_clock_job_ran(cast: Cast) -> None:
    waiting = ask(seed_production("dataset"), account=cast.on_call)
    Rollback.objects.filter(pk=waiting.pk).update(expires_at=clock.now() - dt.timedelta(seconds=1))
    with pytest.raises(Conflict) as refusal:
        break_glass(
            rollback_id=waiting.pk, account=cast.on_call, actor=actor_of(cast.on_call), reason="customers see wrong answers", plan_hash=waiting.plan_hash
        )
    assert refusal.value.code == "expired"
    assert Rollback.objects.get().authorised_at is None
