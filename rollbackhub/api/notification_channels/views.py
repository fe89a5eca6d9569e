"""Channels: where teams read."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.fields import NoBody
from rollbackhub.api.idempotency import created, once
from rollbackhub.api.lookups import named_team
from rollbackhub.api.notification_channels.serializers import ChannelFilters, NotificationChannelChange, NotificationChannelRequest, NotificationChannelRow
from rollbackhub.api.notification_deliveries.serializers import MessageDeliveryRow
from rollbackhub.api.permissions import MayConfigure, MayView
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, OneView, PagedView
from rollbackhub.notifications.domain.channels import change_channel, make_channel, send_test
from rollbackhub.notifications.domain.selectors import get_channel, get_delivery, list_channels


class ChannelList(PagedView):
    """All channels."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayConfigure}
    filters = ChannelFilters
    serializer_class = NotificationChannelRow

    @extend_schema(
        operation_id="notification_channels_list", summary="Channels, newest first", responses=page_of(NotificationChannelRow, name="NotificationChannel")
    )
    def get(self, request: Request) -> Response:
        """With how each does: last delivered, last failure and why, dead letters."""
        return self.paged(request)

    @extend_schema(
        operation_id="notification_channels_create",
        summary="Add a channel",
        request=NotificationChannelRequest,
        responses={201: OpenApiResponse(NotificationChannelRow, description="Send a test, then say what it is to tell")},
    )
    def post(self, request: Request) -> Response:
        """Its address is a secret: named by reference, read anew for each message. 409 `channel_exists` when the team has one of this name."""

        def act(key: str | None) -> Response:
            wanted = NotificationChannelRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            values = dict(wanted.validated_data)
            channel = make_channel(user=self.person, actor=self.actor, **{**values, "team": named_team(values["team"])})
            content = NotificationChannelRow(get_channel(channel.pk)).data
            return created(content, at=content["url"])

        return once(request, act)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        return list_channels(**query)


class ChannelOne(OneView):
    """One channel."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayConfigure}

    @extend_schema(operation_id="notification_channels_retrieve", summary="One channel", responses=NotificationChannelRow)
    def get(self, request: Request, channel_id: UUID) -> HttpResponseBase:
        """And how it does."""
        return self.answer(NotificationChannelRow(get_channel(channel_id)).data)

    @extend_schema(operation_id="notification_channels_change", summary="Change a channel", request=NotificationChannelChange, responses=NotificationChannelRow)
    def post(self, request: Request, channel_id: UUID) -> Response:
        """Turned off, nothing goes there any more."""

        def act(key: str | None) -> Response:
            get_channel(channel_id)
            wanted = NotificationChannelChange(data=request.data)
            wanted.is_valid(raise_exception=True)
            change_channel(channel_id=channel_id, user=self.person, actor=self.actor, **wanted.validated_data)
            return Response(NotificationChannelRow(get_channel(channel_id)).data)

        return once(request, act)


class ChannelTest(ApiView):
    """A test message."""

    permission_classes = [MayConfigure]

    @extend_schema(
        operation_id="notification_channels_test",
        summary="Send a test message",
        request=NoBody,
        responses={201: OpenApiResponse(MessageDeliveryRow, description="On its way: its delivery says what becomes of it")},
    )
    def post(self, request: Request, channel_id: UUID) -> Response:
        """Tried once, within a second or two. 409 `channel_off` when the channel is off."""

        def act(key: str | None) -> Response:
            get_channel(channel_id)
            NoBody(data=request.data).is_valid(raise_exception=True)
            delivery = send_test(channel_id=channel_id, user=self.person, actor=self.actor)
            content = MessageDeliveryRow(get_delivery(delivery.pk)).data
            return created(content, at=content["url"])

        return once(request, act)
