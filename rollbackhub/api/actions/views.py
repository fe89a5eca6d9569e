"""Actions: what is to be done out of drills and reviews, changing it, closing it, opening it again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.actions.domain.selectors import get_action, list_actions
from rollbackhub.actions.domain.transitions import change_action, close_action, reopen_action
from rollbackhub.actions.enums import ActionState
from rollbackhub.api.actions.permissions import MayAct
from rollbackhub.api.actions.serializers import ActionChange, ActionClose, ActionFilters, ActionReopen, ActionRow
from rollbackhub.api.idempotency import once
from rollbackhub.api.lookups import named_person
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.permissions import MayView
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, OneView, PagedView


class SoonestFirst(NewestFirstCursor):
    """By the day on which they are due."""

    ordering = ("due_on", "created_at", "pk")


class ActionList(PagedView):
    """All actions."""

    permission_classes = [MayView]
    filters = ActionFilters
    pagination_class = SoonestFirst
    serializer_class = ActionRow

    @extend_schema(operation_id="actions_list", summary="Actions, the soonest due first", responses=page_of(ActionRow, name="Action"))
    def get(self, request: Request) -> Response:
        """Out of drills' findings and of reviews. Every filter may be combined with every other."""
        return self.paged(request)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        if "owner" in query:
            query["owner"] = named_person(query["owner"])
        return list_actions(**query)


class ActionOne(OneView):
    """One action."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayAct}

    @extend_schema(operation_id="actions_retrieve", summary="One action", responses=ActionRow)
    def get(self, request: Request, action_id: UUID) -> HttpResponseBase:
        """`origin_url` is the page of what it came out of."""
        return self.answer(ActionRow(get_action(action_id)).data)

    @extend_schema(operation_id="actions_change", summary="Change an open action", request=ActionChange, responses=ActionRow)
    def post(self, request: Request, action_id: UUID) -> Response:
        """By its owner, or by who may drill; a new owner is told. 409 `wrong_state` when it is closed."""

        def act(key: str | None) -> Response:
            get_action(action_id)
            wanted = ActionChange(data=request.data)
            wanted.is_valid(raise_exception=True)
            values = dict(wanted.validated_data)
            if "owner" in values:
                values["owner"] = named_person(values["owner"])
            return Response(ActionRow(change_action(action_id=action_id, user=self.person, actor=self.actor, **values)).data)

        return once(request, act)


class ActionCloseView(ApiView):
    """Done, or not to be done."""

    permission_classes = [MayAct]

    @extend_schema(operation_id="actions_close", summary="Close an action", request=ActionClose, responses=ActionRow)
    def post(self, request: Request, action_id: UUID) -> Response:
        """By its owner, or by who may drill. What comes out of a drill closes itself with the next passed one that does not find it."""

        def act(key: str | None) -> Response:
            get_action(action_id)
            wanted = ActionClose(data=request.data)
            wanted.is_valid(raise_exception=True)
            state, reason = ActionState(wanted.validated_data["state"]), wanted.validated_data["reason"]
            return Response(ActionRow(close_action(action_id=action_id, user=self.person, actor=self.actor, state=state, reason=reason)).data)

        return once(request, act)


class ActionReopenView(ApiView):
    """Not done after all."""

    permission_classes = [MayAct]

    @extend_schema(operation_id="actions_reopen", summary="Open a closed action again", request=ActionReopen, responses=ActionRow)
    def post(self, request: Request, action_id: UUID) -> Response:
        """By its owner, or by who may drill, with the reason. 409 `wrong_state` while it is open.

        A closed postmortem that it came out of is published again.
        """

        def act(key: str | None) -> Response:
            get_action(action_id)
            wanted = ActionReopen(data=request.data)
            wanted.is_valid(raise_exception=True)
            return Response(ActionRow(reopen_action(action_id=action_id, user=self.person, actor=self.actor, **wanted.validated_data)).data)

        return once(request, act)
