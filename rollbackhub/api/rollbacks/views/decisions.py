"""Decisions about requests: approve, reject, withdraw, break the glass, sign the review."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.accounts.reauthentication import password_entered_at
from rollbackhub.api.permissions import MayApproveInPerson, MayLeadInPerson, MayRollBackInPerson
from rollbackhub.api.rollbacks.bodies import ApproveRequest, BreakGlassRequest, ReasonRequest, RejectRequest, ReviewRequest
from rollbackhub.api.rollbacks.serializers import RollbackDetail
from rollbackhub.api.rollbacks.views.base import RollbackAction
from rollbackhub.common.errors import Forbidden
from rollbackhub.rollbacks.domain.approvals import approve_rollback, break_glass, reject_rollback, sign_review, withdraw_rollback
from rollbackhub.rollbacks.enums import Via


class Decision(RollbackAction):
    """An approver's decision: in a session whose password was entered a short while ago."""

    permission_classes = [MayApproveInPerson]

    def decide(self, rollback_id: UUID, values: Mapping[str, Any], *, reauthenticated_at: dt.datetime | None) -> None:
        """The domain function."""
        raise NotImplementedError

    def act(self, rollback_id: UUID, values: Mapping[str, Any]) -> None:
        """Decide; a refusal for want of the password says where to enter it."""
        try:
            self.decide(rollback_id, values, reauthenticated_at=password_entered_at(self.request._request))
        except Forbidden as error:
            if error.code == "reauthentication_required":
                error.extra["url"] = reverse("account_reauthenticate")
            raise


class RollbackApprove(Decision):
    """Approve."""

    body = ApproveRequest

    @extend_schema(operation_id="rollbacks_approve", summary="Approve a request, and start it", request=ApproveRequest, responses=RollbackDetail)
    def post(self, request: Request, rollback_id: UUID) -> Response:
        """In a session only. 409 `plan_changed` when the plan is not the one of your `plan_hash`, `already_decided` when somebody was faster, `expired`."""
        return self.answer(request, rollback_id)

    def decide(self, rollback_id: UUID, values: Mapping[str, Any], *, reauthenticated_at: dt.datetime | None) -> None:
        """Approve it."""
        approve_rollback(
            rollback_id=rollback_id,
            approver=self.person,
            actor=self.actor,
            plan_hash=values["plan_hash"],
            reauthenticated_at=reauthenticated_at,
            via=Via.API,
            reason=values["reason"],
        )


class RollbackReject(Decision):
    """Reject."""

    body = RejectRequest

    @extend_schema(operation_id="rollbacks_reject", summary="Reject a request", request=RejectRequest, responses=RollbackDetail)
    def post(self, request: Request, rollback_id: UUID) -> Response:
        """In a session only. The same plan is not asked for again."""
        return self.answer(request, rollback_id)

    def decide(self, rollback_id: UUID, values: Mapping[str, Any], *, reauthenticated_at: dt.datetime | None) -> None:
        """Reject it."""
        reject_rollback(
            rollback_id=rollback_id,
            approver=self.person,
            actor=self.actor,
            plan_hash=values["plan_hash"],
            reauthenticated_at=reauthenticated_at,
            via=Via.API,
            reason=values["reason"],
        )


class RollbackWithdraw(RollbackAction):
    """Take back."""

    body = ReasonRequest

    @extend_schema(operation_id="rollbacks_withdraw", summary="Take a request back", request=ReasonRequest, responses=RollbackDetail)
    def post(self, request: Request, rollback_id: UUID) -> Response:
        """Its requester, or a lead, while it waits for approval."""
        return self.answer(request, rollback_id)

    def act(self, rollback_id: UUID, values: Mapping[str, Any]) -> None:
        """Withdraw it."""
        withdraw_rollback(rollback_id=rollback_id, account=self.person, actor=self.actor, reason=values["reason"])


class RollbackBreakGlass(RollbackAction):
    """Start without approval."""

    permission_classes = [MayRollBackInPerson]
    body = BreakGlassRequest

    @extend_schema(operation_id="rollbacks_break_glass", summary="Start a request that waits, alone", request=BreakGlassRequest, responses=RollbackDetail)
    def post(self, request: Request, rollback_id: UUID) -> Response:
        """In a session only. Every lead is told, and the review stays open until one signs it."""
        return self.answer(request, rollback_id)

    def act(self, rollback_id: UUID, values: Mapping[str, Any]) -> None:
        """Break the glass."""
        break_glass(rollback_id=rollback_id, account=self.person, actor=self.actor, reason=values["reason"], plan_hash=values["plan_hash"])


class RollbackSignReview(RollbackAction):
    """Sign."""

    permission_classes = [MayLeadInPerson]
    body = ReviewRequest

    @extend_schema(operation_id="rollbacks_sign_review", summary="Sign the review of a break-glass", request=ReviewRequest, responses=RollbackDetail)
    def post(self, request: Request, rollback_id: UUID) -> Response:
        """A lead who did not break it, in a session only."""
        return self.answer(request, rollback_id)

    def act(self, rollback_id: UUID, values: Mapping[str, Any]) -> None:
        """Sign it."""
        sign_review(rollback_id=rollback_id, account=self.person, actor=self.actor, note_text=values["note"])
