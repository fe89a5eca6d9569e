"""Addresses of calendar feeds. The calendars themselves are at /drills/calendar/."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.calendar_feeds import views

urlpatterns = [
    path("calendar-feeds/", views.FeedList.as_view(), name="calendar-feeds"),
    path("calendar-feeds/<int:feed_id>/", views.FeedOne.as_view(), name="calendar-feed"),
    path("calendar-feeds/<int:feed_id>/revoke/", views.FeedRevoke.as_view(), name="calendar-feed-revoke"),
]
