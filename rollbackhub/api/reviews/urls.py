"""Addresses of reviews."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.reviews import views

urlpatterns = [
    path("reviews/", views.ReviewList.as_view(), name="reviews"),
    path("reviews/<uuid:review_id>/", views.ReviewOne.as_view(), name="review"),
    path("reviews/<uuid:review_id>/prepare/", views.ReviewPrepare.as_view(), name="review-prepare"),
]
