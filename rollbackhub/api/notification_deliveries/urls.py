"""Addresses of deliveries."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.notification_deliveries import views

urlpatterns = [
    path("notification-deliveries/", views.DeliveryList.as_view(), name="notification-deliveries"),
    path("notification-deliveries/<uuid:delivery_id>/", views.DeliveryOne.as_view(), name="notification-delivery"),
    path("notification-deliveries/<uuid:delivery_id>/send-again/", views.DeliverySendAgain.as_view(), name="notification-delivery-send-again"),
    path("notification-deliveries/<uuid:delivery_id>/discard/", views.DeliveryDiscard.as_view(), name="notification-delivery-discard"),
]
