"""Deliveries: what was told and what became of it; dead letters are sent again or discarded."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.fields import NoBody
from rollbackhub.api.idempotency import once
from rollbackhub.api.notification_deliveries.serializers import DeliveryFilters, DiscardRequest, MessageDeliveryRow, MessageDeliveryWhole
from rollbackhub.api.permissions import MayConfigure, MayView
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, OneView, PagedView
from rollbackhub.notifications.domain.deliveries import discard, send_again
from rollbackhub.notifications.domain.selectors import get_delivery, list_deliveries


class DeliveryList(PagedView):
    """All deliveries."""

    permission_classes = [MayView]
    filters = DeliveryFilters
    serializer_class = MessageDeliveryRow

    @extend_schema(
        operation_id="notification_deliveries_list", summary="Deliveries, newest first", responses=page_of(MessageDeliveryRow, name="NotificationDelivery")
    )
    def get(self, request: Request) -> Response:
        """`state=dead` lists what could not be delivered and waits for a person."""
        return self.paged(request)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        return list_deliveries(**query)


class DeliveryOne(OneView):
    """One delivery."""

    permission_classes = [MayView]

    @extend_schema(operation_id="notification_deliveries_retrieve", summary="One delivery, with every try", responses=MessageDeliveryWhole)
    def get(self, request: Request, delivery_id: UUID) -> HttpResponseBase:
        """What it says, where it went, and what each try came to."""
        return self.answer(MessageDeliveryWhole(get_delivery(delivery_id)).data)


class DeliverySendAgain(ApiView):
    """Once more."""

    permission_classes = [MayConfigure]

    @extend_schema(operation_id="notification_deliveries_send_again", summary="Send a dead letter again", request=NoBody, responses=MessageDeliveryWhole)
    def post(self, request: Request, delivery_id: UUID) -> Response:
        """From the start, now. 409 `wrong_state` unless it is dead, `channel_off` when its channel is off."""

        def act(key: str | None) -> Response:
            get_delivery(delivery_id)
            NoBody(data=request.data).is_valid(raise_exception=True)
            send_again(delivery_id=delivery_id, user=self.person, actor=self.actor)
            return Response(MessageDeliveryWhole(get_delivery(delivery_id)).data)

        return once(request, act)


class DeliveryDiscard(ApiView):
    """No more."""

    permission_classes = [MayConfigure]

    @extend_schema(operation_id="notification_deliveries_discard", summary="Discard a message", request=DiscardRequest, responses=MessageDeliveryWhole)
    def post(self, request: Request, delivery_id: UUID) -> Response:
        """A dead letter, or one that still waits; with the reason. 409 `wrong_state` while it is being sent or when it has ended."""

        def act(key: str | None) -> Response:
            get_delivery(delivery_id)
            wanted = DiscardRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            discard(delivery_id=delivery_id, reason=wanted.validated_data["reason"], user=self.person, actor=self.actor)
            return Response(MessageDeliveryWhole(get_delivery(delivery_id)).data)

        return once(request, act)
