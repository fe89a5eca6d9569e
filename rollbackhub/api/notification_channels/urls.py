"""Addresses of channels."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.notification_channels import views

urlpatterns = [
    path("notification-channels/", views.ChannelList.as_view(), name="notification-channels"),
    path("notification-channels/<uuid:channel_id>/", views.ChannelOne.as_view(), name="notification-channel"),
    path("notification-channels/<uuid:channel_id>/test/", views.ChannelTest.as_view(), name="notification-channel-test"),
]
