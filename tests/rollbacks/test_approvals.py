"""Approvals: bound to the plan, by people, with a fresh password, one decision, in time."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.domain.notices import list_unread, tell
from rollbackhub.accounts.domain.transitions import revoke_role, set_active
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import Notice, User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput
from rollbackhub.executions.enums import ExecutionState
from rollbackhub.executions.models import Execution
from rollbackhub.rollbacks.domain.approvals import break_glass, expire_requests, list_open_reviews, list_waiting_for, sign_review, withdraw_rollback
from rollbackhub.rollbacks.domain.proposal import Target, propose_rollback
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Approval, Rollback
from rollbackhub.routing.domain.transitions import append_revision
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from tests.factories.accounts import UserFactory
from tests.factories.fixtures import Cast
from tests.rollbacks.conftest import ACTOR, GOOD, REASON, again, approve, ask, events, fresh, reject, reroute, run, service_of, token_actor, weight_of


@pytest.fixture
def waiting(cast: Cast, dataset: RoutingPolicy) -> Rollback:
    """The on-call engineer has asked for what takes a lead."""
    return ask(dataset, account=cast.on_call)


def unchanged(rollback: Rollback, policy: RoutingPolicy) -> None:
    """Nothing was decided and nothing done."""
    now = again(rollback)
    assert (now.state, now.authorised_how, now.authorised_by) == (RollbackState.AWAITING_APPROVAL, "", None)
    assert not Approval.objects.filter(rollback=rollback).exists()
    assert not Execution.objects.filter(rollback_part__rollback=rollback).exists()
    assert weight_of(policy) == 25


def let_expire(rollback: Rollback) -> None:
    Rollback.objects.filter(pk=rollback.pk).update(expires_at=clock.now() - dt.timedelta(seconds=1))


# What an approval is bound to.


def test_approved_request_runs_and_is_verified(waiting: Rollback, cast: Cast, dataset: RoutingPolicy) -> None:
    approved = approve(waiting, cast.lead, reason="go")
    assert (approved.state, approved.authorised_how, approved.authorised_by) == (RollbackState.RUNNING, "approval", cast.lead)
    approval = Approval.objects.get(rollback=waiting)
    assert (approval.user, approval.role, approval.plan_hash) == (cast.lead, Role.PLATFORM_LEAD, waiting.plan_hash)
    assert run(waiting).state == RollbackState.VERIFIED
    assert weight_of(dataset) == 0
    assert {"rollback.requested", "rollback.escalated", "rollback.approved", "rollback.authorised", "rollback.started"} <= set(events(waiting))
    assert Notice.objects.filter(user=cast.on_call, key=f"approved:{waiting.pk}").count() == 1


def test_policy_that_changed_meanwhile_voids_the_approval_and_shows_a_new_plan(waiting: Rollback, cast: Cast, dataset: RoutingPolicy) -> None:
    seen = waiting.plan_hash
    reroute(dataset, bad=40)
    with pytest.raises(Conflict) as caught:
        approve(waiting, cast.lead)
    assert caught.value.code == "plan_changed"
    unchanged_state = again(waiting)
    assert (unchanged_state.state, unchanged_state.plan_number) == (RollbackState.AWAITING_APPROVAL, 2)
    assert unchanged_state.plan_hash != seen
    assert not Approval.objects.exists()
    assert waiting.parts.get().plan["weights_before"][0]["weight"] == 40
    changed = AuditEvent.objects.get(event="rollback.plan_changed")
    assert changed.data == {"before": seen, "after": unchanged_state.plan_hash}
    # The earlier hash is void for ever; the new one counts.
    with pytest.raises(Conflict) as caught:
        approve(waiting, cast.lead, plan_hash=seen)
    assert caught.value.code == "plan_changed"
    approve(again(waiting), cast.lead)
    assert run(waiting).state == RollbackState.VERIFIED
    assert weight_of(dataset) == 0


def test_policy_that_changed_and_changed_back_is_another_plan(waiting: Rollback, cast: Cast, dataset: RoutingPolicy) -> None:
    reroute(dataset, bad=40)
    reroute(dataset, bad=25)
    with pytest.raises(Conflict) as caught:
        approve(waiting, cast.lead)
    assert caught.value.code == "plan_changed"


def test_policy_that_changes_between_approval_and_start_stops_before_anything_is_written(waiting: Rollback, cast: Cast, dataset: RoutingPolicy) -> None:
    approve(waiting, cast.lead)
    reroute(dataset, bad=40)
    stopped = run(waiting)
    assert stopped.state == RollbackState.NEEDS_HUMAN
    assert "changed by somebody else" in stopped.outcome
    assert weight_of(dataset) == 40


def test_plan_of_an_execution_is_frozen_by_the_database(waiting: Rollback, cast: Cast) -> None:
    approve(waiting, cast.lead)
    execution = Execution.objects.get(rollback_part__rollback=waiting)
    with pytest.raises(IntegrityError), transaction.atomic():
        Execution.objects.filter(pk=execution.pk).update(plan=execution.plan | {"bad_version": GOOD})


def test_plan_of_a_later_alias_that_was_tampered_with_after_approval_does_not_start(cast: Cast, dataset: RoutingPolicy, policy: RoutingPolicy) -> None:
    waiting = ask(dataset, policy, account=cast.on_call)
    approve(waiting, cast.lead)
    second = waiting.parts.get(position=1)
    second.plan = second.plan | {"weights_rolled_back": second.plan["weights_before"]}
    second.save(update_fields=["plan"])
    cancelled = run(waiting)
    assert cancelled.state == RollbackState.CANCELLED
    assert "not the one that was approved" in cancelled.outcome
    assert (weight_of(dataset), weight_of(policy)) == (25, 25)


def test_request_whose_version_has_no_weight_any_more_is_withdrawn_when_somebody_approves(waiting: Rollback, cast: Cast, dataset: RoutingPolicy) -> None:
    reroute(dataset, bad=0)
    with pytest.raises(Conflict) as caught:
        approve(waiting, cast.lead)
    assert caught.value.code == "wrong_state"
    assert again(waiting).state == RollbackState.WITHDRAWN
    assert "nothing left to do" in again(waiting).outcome


def test_request_whose_version_left_the_policy_is_withdrawn_when_somebody_approves(waiting: Rollback, cast: Cast, dataset: RoutingPolicy) -> None:
    only = [CandidateSpec("anthropic:v1:ap-south-1", GOOD, 100)]
    append_revision(policy_id=dataset.pk, expected_revision=1, candidates=only, actor=ACTOR, reason="taken out")
    with pytest.raises(Conflict) as caught:
        approve(waiting, cast.lead)
    assert caught.value.code == "wrong_state"
    assert again(waiting).state == RollbackState.WITHDRAWN


def test_new_plan_is_told_to_those_who_may_approve_it(waiting: Rollback, cast: Cast, dataset: RoutingPolicy) -> None:
    part = waiting.parts.get()
    type(part.bad_version).objects.filter(pk=part.bad_version_id).update(is_strategic=True)
    with pytest.raises(Forbidden) as caught:
        approve(waiting, cast.lead)
    assert caught.value.code == "not_an_approver"
    now = again(waiting)
    assert (now.required_role, now.plan_number) == (Role.LEADERSHIP, 2)
    assert Notice.objects.filter(user=cast.leadership, url=f"/rollbacks/{waiting.pk}/").exists()


# Who approves, and with what.


@pytest.mark.parametrize("seconds_ago", [None, 301, 86_400])
def test_password_that_is_too_old_or_was_never_entered_is_asked_for(waiting: Rollback, cast: Cast, dataset: RoutingPolicy, seconds_ago: float | None) -> None:
    for decide in (approve, reject):
        with pytest.raises(Forbidden) as caught:
            decide(waiting, cast.lead, seconds_ago=seconds_ago)
        assert caught.value.code == "reauthentication_required"
    unchanged(waiting, dataset)


def test_password_of_less_than_five_minutes_ago_is_enough(waiting: Rollback, cast: Cast) -> None:
    assert approve(waiting, cast.lead, seconds_ago=295).state == RollbackState.RUNNING


def test_nobody_approves_their_own_request(db: None, dataset: RoutingPolicy) -> None:
    both = UserFactory(roles=[Role.ON_CALL, Role.ADMIN])
    waiting = ask(dataset, account=both)
    for decide in (approve, reject):
        with pytest.raises(Forbidden) as caught:
            decide(waiting, both)
        assert caught.value.code == "own_request"
    unchanged(waiting, dataset)
    assert waiting not in list_waiting_for(both)


def test_own_request_through_a_second_token_is_refused(cast: Cast, dataset: RoutingPolicy) -> None:
    admin = cast.admin
    waiting = ask(dataset, account=admin, actor=token_actor(admin))
    with pytest.raises(Forbidden) as caught:
        approve(waiting, admin, actor=token_actor(admin))
    assert caught.value.code == "token_not_allowed"
    with pytest.raises(Forbidden) as caught:
        approve(waiting, admin)
    assert caught.value.code == "own_request"
    unchanged(waiting, dataset)


def test_person_does_not_approve_what_their_service_account_asked_for(cast: Cast, dataset: RoutingPolicy) -> None:
    waiting = ask(dataset, account=service_of(cast.admin, Role.ON_CALL))
    assert waiting.principal == cast.admin
    with pytest.raises(Forbidden) as caught:
        approve(waiting, cast.admin)
    assert caught.value.code == "own_request"
    unchanged(waiting, dataset)


@pytest.mark.parametrize("of", ["on_call", "lead", "admin"])
def test_service_account_approves_nothing(waiting: Rollback, cast: Cast, dataset: RoutingPolicy, of: str) -> None:
    service = service_of(getattr(cast, of), Role.PLATFORM_LEAD, Role.ADMIN)
    for actor in (actor_of(service), token_actor(service)):
        with pytest.raises(Forbidden) as caught:
            approve(waiting, service, actor=actor)
        assert caught.value.code == "token_not_allowed"
    unchanged(waiting, dataset)


def test_approver_whose_role_was_removed_is_refused_even_with_a_stale_object(waiting: Rollback, cast: Cast, dataset: RoutingPolicy) -> None:
    stale = User.objects.get(pk=cast.lead.pk)
    assert Role.PLATFORM_LEAD in stale.roles
    revoke_role(user=User.objects.get(pk=cast.lead.pk), role=Role.PLATFORM_LEAD, actor=ACTOR)
    with pytest.raises(Forbidden) as caught:
        approve(waiting, stale, stale=True)
    assert caught.value.code == "not_an_approver"
    unchanged(waiting, dataset)


def test_deactivated_approver_is_refused_even_with_a_stale_object(waiting: Rollback, cast: Cast, dataset: RoutingPolicy) -> None:
    stale = User.objects.get(pk=cast.lead.pk)
    set_active(user=User.objects.get(pk=cast.lead.pk), active=False, actor=ACTOR)
    with pytest.raises(Forbidden):
        approve(waiting, stale, stale=True)
    with pytest.raises(Forbidden):
        approve(waiting, cast.lead)
    unchanged(waiting, dataset)


@pytest.mark.parametrize("lost", ["role", "account"])
def test_approver_who_loses_it_between_approval_and_start_stops_the_start(waiting: Rollback, cast: Cast, dataset: RoutingPolicy, lost: str) -> None:
    approve(waiting, cast.lead)
    if lost == "role":
        revoke_role(user=cast.lead, role=Role.PLATFORM_LEAD, actor=ACTOR)
    else:
        set_active(user=cast.lead, active=False, actor=ACTOR)
    ended = run(waiting)
    execution = Execution.objects.get(rollback_part__rollback=waiting)
    assert (ended.state, execution.state, execution.attempts.count()) == (RollbackState.CANCELLED, ExecutionState.CANCELLED, 0)
    assert ended.started_at is None
    assert weight_of(dataset) == 25
    assert AuditEvent.objects.filter(event="execution.refused").count() == 1
    # The alias is free again.
    assert ask(dataset, account=cast.leadership).state == RollbackState.RUNNING


def test_requester_who_loses_the_role_before_the_start_stops_the_start(cast: Cast, policy: RoutingPolicy) -> None:
    rollback = ask(policy, account=cast.on_call)
    revoke_role(user=cast.on_call, role=Role.ON_CALL, actor=ACTOR)
    ended = run(rollback)
    assert ended.state == RollbackState.CANCELLED
    assert "no longer has the authority" in ended.outcome
    assert weight_of(policy) == 25


# Time.


def test_approval_after_expiry_is_refused_and_ends_the_request(waiting: Rollback, cast: Cast, dataset: RoutingPolicy) -> None:
    let_expire(waiting)
    with pytest.raises(Conflict) as caught:
        approve(waiting, cast.lead)
    assert caught.value.code == "expired"
    ended = again(waiting)
    assert (ended.state, Approval.objects.count()) == (RollbackState.EXPIRED, 0)
    with pytest.raises(Conflict) as caught:
        approve(waiting, cast.lead)
    assert caught.value.code == "expired"
    assert weight_of(dataset) == 25
    assert ask(dataset, account=cast.on_call).state == RollbackState.AWAITING_APPROVAL


def test_expired_requests_end_by_the_clock_and_their_requester_is_told_once(waiting: Rollback, cast: Cast) -> None:
    assert expire_requests() == 0
    let_expire(waiting)
    assert expire_requests() == 1
    assert expire_requests() == 0
    assert again(waiting).state == RollbackState.EXPIRED
    assert Notice.objects.filter(user=cast.on_call, key=f"expired:{waiting.pk}").count() == 1
    assert events(waiting).count("rollback.expired") == 1


# Rejection and withdrawal.


def test_rejected_plan_is_not_asked_for_again_but_another_plan_is(waiting: Rollback, cast: Cast, dataset: RoutingPolicy) -> None:
    rejected = reject(waiting, cast.lead, reason="wait for the index")
    assert (rejected.state, Approval.objects.get().decision) == (RollbackState.REJECTED, "rejected")
    with pytest.raises(Conflict) as caught:
        ask(dataset, account=cast.on_call)
    assert (caught.value.code, caught.value.extra["rollback_id"]) == ("rejected_plan", str(waiting.pk))
    assert "wait for the index" in caught.value.message
    # Whoever has the authority needs nobody's leave.
    assert propose_rollback(targets=[Target(fresh(dataset))], account=cast.lead).alone
    reroute(dataset, bad=30)
    again_asked = ask(dataset, account=cast.on_call)
    assert again_asked.state == RollbackState.AWAITING_APPROVAL
    assert Notice.objects.filter(user=cast.on_call, key=f"rejected:{waiting.pk}").count() == 1


def test_rejected_plan_in_another_scope_is_another_plan(waiting: Rollback, cast: Cast, dataset: RoutingPolicy, policy: RoutingPolicy) -> None:
    reject(waiting, cast.lead)
    assert ask(dataset, policy, account=cast.on_call).state == RollbackState.AWAITING_APPROVAL


def test_rejected_plan_may_be_started_by_a_lead_or_by_break_glass(waiting: Rollback, cast: Cast, dataset: RoutingPolicy) -> None:
    reject(waiting, cast.lead)
    broken = ask(dataset, account=cast.on_call, break_glass_reason="customers see wrong answers now")
    assert (broken.state, broken.authorised_how) == (RollbackState.RUNNING, "break_glass")


def test_rejection_needs_a_reason(waiting: Rollback, cast: Cast, dataset: RoutingPolicy) -> None:
    with pytest.raises(InvalidInput):
        reject(waiting, cast.lead, reason=" ")
    unchanged(waiting, dataset)


def test_withdrawal_is_the_requesters_or_a_leads(waiting: Rollback, cast: Cast, dataset: RoutingPolicy) -> None:
    other = UserFactory(roles=[Role.ON_CALL])
    for account in (other, cast.admin, cast.auditor, cast.stranger):
        with pytest.raises(Forbidden):
            withdraw_rollback(rollback_id=waiting.pk, account=account, actor=actor_of(account), reason="no longer")
    unchanged(waiting, dataset)
    assert withdraw_rollback(rollback_id=waiting.pk, account=cast.on_call, actor=actor_of(cast.on_call), reason="no longer").state == RollbackState.WITHDRAWN
    with pytest.raises(Conflict) as caught:
        approve(waiting, cast.lead)
    assert caught.value.code == "wrong_state"
    second = ask(dataset, account=cast.on_call)
    assert withdraw_rollback(rollback_id=second.pk, account=cast.lead, actor=actor_of(cast.lead), reason="no longer").state == RollbackState.WITHDRAWN


# Break-glass.


def test_break_glass_starts_alone_tells_every_lead_once_and_its_review_stays_open(cast: Cast, dataset: RoutingPolicy) -> None:
    second_lead = UserFactory(username="lead2", roles=[Role.PLATFORM_LEAD, Role.LEADERSHIP])
    broken = ask(dataset, account=cast.on_call, break_glass_reason="customers see wrong answers now")
    assert (broken.state, broken.authorised_how, broken.authorised_by) == (RollbackState.RUNNING, "break_glass", cast.on_call)
    told = Notice.objects.filter(key=f"break-glass:{broken.pk}")
    assert sorted(notice.user_id for notice in told) == sorted([cast.lead.pk, cast.leadership.pk, second_lead.pk])
    assert events(broken).count("rollback.glass_broken") == 1
    assert run(broken).state == RollbackState.VERIFIED
    assert list(list_open_reviews()) == [broken]
    for account in (cast.on_call, cast.admin, cast.auditor, cast.stranger):
        with pytest.raises(Forbidden):
            sign_review(rollback_id=broken.pk, account=account, actor=actor_of(account), note_text="looked at it")
    with pytest.raises(Forbidden) as caught:
        sign_review(rollback_id=broken.pk, account=cast.lead, actor=token_actor(cast.lead), note_text="looked at it")
    assert caught.value.code == "token_not_allowed"
    with pytest.raises(InvalidInput):
        sign_review(rollback_id=broken.pk, account=cast.lead, actor=actor_of(cast.lead), note_text="")
    assert again(broken).review_is_open
    signed = sign_review(rollback_id=broken.pk, account=cast.lead, actor=actor_of(cast.lead), note_text="it was right")
    assert (signed.reviewed_by, signed.review_is_open) == (cast.lead, False)
    assert not list_open_reviews()
    with pytest.raises(Conflict) as conflict:
        sign_review(rollback_id=broken.pk, account=cast.leadership, actor=actor_of(cast.leadership), note_text="me too")
    assert conflict.value.code == "already_signed"


def test_lead_who_broke_the_glass_does_not_sign_the_review(cast: Cast, dataset: RoutingPolicy) -> None:
    broken = ask(dataset, account=cast.lead, strategic=True, break_glass_reason="customers see wrong answers now")
    assert broken.authorised_how == "break_glass"
    with pytest.raises(Forbidden) as caught:
        sign_review(rollback_id=broken.pk, account=cast.lead, actor=actor_of(cast.lead), note_text="it was right")
    assert caught.value.code == "own_request"
    assert sign_review(rollback_id=broken.pk, account=cast.leadership, actor=actor_of(cast.leadership), note_text="it was right").reviewed_by == cast.leadership


def test_glass_is_broken_on_a_request_that_waits_and_only_for_the_plan_that_was_seen(waiting: Rollback, cast: Cast, dataset: RoutingPolicy) -> None:
    seen = waiting.plan_hash
    reroute(dataset, bad=30)
    values: dict[str, Any] = {"rollback_id": waiting.pk, "account": cast.on_call, "actor": actor_of(cast.on_call), "reason": "customers see wrong answers now"}
    with pytest.raises(Conflict) as caught:
        break_glass(**values, plan_hash=seen)
    assert caught.value.code == "plan_changed"
    unchanged_state = again(waiting)
    assert unchanged_state.state == RollbackState.AWAITING_APPROVAL
    broken = break_glass(**values, plan_hash=unchanged_state.plan_hash)
    assert (broken.state, broken.break_glass_reason) == (RollbackState.RUNNING, "customers see wrong answers now")
    with pytest.raises(Conflict):
        approve(waiting, cast.lead)


def test_break_glass_is_refused_to_tokens_services_and_those_not_on_call(waiting: Rollback, cast: Cast, dataset: RoutingPolicy, policy: RoutingPolicy) -> None:
    reason = "customers see wrong answers now"
    service = service_of(cast.on_call, Role.ON_CALL)
    tries = [
        (cast.on_call, token_actor(cast.on_call)),
        (service, actor_of(service)),
        (service, token_actor(service)),
        (cast.admin, actor_of(cast.admin)),
        (cast.auditor, actor_of(cast.auditor)),
        (cast.stranger, actor_of(cast.stranger)),
    ]
    for account, actor in tries:
        with pytest.raises(Forbidden):
            break_glass(rollback_id=waiting.pk, account=account, actor=actor, reason=reason, plan_hash=waiting.plan_hash)
        with pytest.raises(Forbidden):
            ask(policy, account=account, actor=actor, strategic=True, break_glass_reason=reason)
    unchanged(waiting, dataset)
    assert Rollback.objects.count() == 1


@pytest.mark.parametrize("reason", ["", "   ", "now!", " too short"])
def test_break_glass_needs_a_typed_reason(waiting: Rollback, cast: Cast, dataset: RoutingPolicy, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        break_glass(rollback_id=waiting.pk, account=cast.on_call, actor=actor_of(cast.on_call), reason=reason, plan_hash=waiting.plan_hash)
    assert "break_glass_reason" in caught.value.fields
    unchanged(waiting, dataset)


def test_break_glass_of_somebody_who_goes_off_call_does_not_start(cast: Cast, dataset: RoutingPolicy) -> None:
    broken = ask(dataset, account=cast.on_call, break_glass_reason="customers see wrong answers now")
    revoke_role(user=cast.on_call, role=Role.ON_CALL, actor=ACTOR)
    assert run(broken).state == RollbackState.CANCELLED
    assert weight_of(dataset) == 25


def test_own_authority_needs_no_glass_to_break(cast: Cast, policy: RoutingPolicy) -> None:
    rollback = ask(policy, account=cast.on_call, break_glass_reason="customers see wrong answers now")
    assert (rollback.authorised_how, rollback.reason) == ("own", REASON)
    assert not list_open_reviews()


# Notices.


def test_decision_puts_away_what_asked_the_other_approvers_for_it(waiting: Rollback, cast: Cast) -> None:
    second = UserFactory(username="lead2", roles=[Role.PLATFORM_LEAD])
    tell(people=[second, cast.lead], key=f"approve:{waiting.pk}:1", subject="Approval wanted")
    tell(people=[second], key=f"approve:{uuid.uuid4()}:1", subject="Another one")
    approve(waiting, cast.lead)
    assert [notice.subject for notice in list_unread(second)] == ["Another one"]
    assert Notice.objects.filter(user=cast.lead, key__startswith="approve:", read_at=None).count() == 0
