"""Alerts, the rollbacks that they propose, and the one confirmation."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.alerts.domain.proposals import confirm_proposal, dismiss_proposal, get_proposal, list_proposals
from rollbackhub.alerts.domain.selectors import get_alert, list_alerts
from rollbackhub.api.alerts.serializers import AlertFilters, AlertRow, ConfirmRequest, DismissRequest, ProposalFilters, ProposalRow
from rollbackhub.api.idempotency import once
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.permissions import MayRollBack, MayRollBackInPerson, MayView
from rollbackhub.api.rollbacks.queries import add_addresses
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, OneView, PagedView
from rollbackhub.common.errors import Conflict
from rollbackhub.rollbacks.enums import Via


class LastHeardFirst(NewestFirstCursor):
    """By when they were last heard of."""

    ordering = ("-last_seen_at", "pk")


class NewestMadeFirst(NewestFirstCursor):
    """By when they were made."""

    ordering = ("-made_at", "pk")


class AlertList(PagedView):
    """All alerts."""

    permission_classes = [MayView]
    filters = AlertFilters
    pagination_class = LastHeardFirst
    serializer_class = AlertRow

    @extend_schema(operation_id="alerts_list", summary="Alerts, those heard of last first", responses=page_of(AlertRow, name="Alert"))
    def get(self, request: Request) -> Response:
        """What other systems posted to the hooks, one row for each fingerprint, and what came of it."""
        return self.paged(request)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        return list_alerts(**{name: str(value) for name, value in query.items()})


class AlertOne(OneView):
    """One alert."""

    permission_classes = [MayView]

    @extend_schema(operation_id="alerts_retrieve", summary="One alert", responses=AlertRow)
    def get(self, request: Request, alert_id: UUID) -> HttpResponseBase:
        """`outcome` says in words what came of it."""
        return self.answer(AlertRow(get_alert(alert_id)).data)


class ProposalList(PagedView):
    """All proposals."""

    permission_classes = [MayView]
    filters = ProposalFilters
    pagination_class = NewestMadeFirst
    serializer_class = ProposalRow

    @extend_schema(operation_id="alert_proposals_list", summary="Proposed rollbacks, newest first", responses=page_of(ProposalRow, name="AlertProposal"))
    def get(self, request: Request) -> Response:
        """`state=open`: those that wait for a decision, at most one for each alias."""
        return self.paged(request)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        return list_proposals(**query)


class ProposalOne(OneView):
    """One proposal."""

    permission_classes = [MayView]

    @extend_schema(operation_id="alert_proposals_retrieve", summary="One proposed rollback", responses=ProposalRow)
    def get(self, request: Request, proposal_id: UUID) -> HttpResponseBase:
        """As it was proposed. What would be done now: POST /api/v1/rollbacks/plan/."""
        return self.answer(ProposalRow(get_proposal(proposal_id)).data)


class ProposalConfirm(ApiView):
    """The one confirmation."""

    permission_classes = [MayRollBack]

    @extend_schema(operation_id="alert_proposals_confirm", summary="Confirm a proposed rollback", request=ConfirmRequest, responses=ProposalRow)
    def post(self, request: Request, proposal_id: UUID) -> Response:
        """Requests the rollback, with the alert as its detection: it starts within your authority, else it awaits approval. `rollback_id` names it.

        409 `plan_changed` when the plan is not the one of `plan_hash` any more, `proposal_ended`, `rollback_active`.
        """

        def act(key: str | None) -> Response:
            get_proposal(proposal_id)
            wanted = ConfirmRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            values = wanted.validated_data
            try:
                confirm_proposal(
                    proposal_id=proposal_id,
                    account=self.person,
                    actor=self.actor,
                    via=Via.API,
                    seen_plan_hash=values["plan_hash"],
                    reason=values["reason"],
                )
            except Conflict as error:
                raise add_addresses(error) from error
            return Response(ProposalRow(get_proposal(proposal_id)).data)

        return once(request, act)


class ProposalDismiss(ApiView):
    """Nothing is to be rolled back."""

    permission_classes = [MayRollBackInPerson]

    @extend_schema(operation_id="alert_proposals_dismiss", summary="Dismiss a proposed rollback", request=DismissRequest, responses=ProposalRow)
    def post(self, request: Request, proposal_id: UUID) -> Response:
        """With the reason, by a person who is signed in. The incident stays open. 409 `proposal_ended` when somebody was faster."""

        def act(key: str | None) -> Response:
            get_proposal(proposal_id)
            wanted = DismissRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            dismiss_proposal(proposal_id=proposal_id, account=self.person, actor=self.actor, reason=wanted.validated_data["reason"])
            return Response(ProposalRow(get_proposal(proposal_id)).data)

        return once(request, act)
