"""Addresses of postmortems."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.postmortems import views

urlpatterns = [
    path("postmortems/", views.PostmortemList.as_view(), name="postmortems"),
    path("postmortems/search/", views.PostmortemSearch.as_view(), name="postmortem-search"),
    path("postmortems/<uuid:postmortem_id>/", views.PostmortemOne.as_view(), name="postmortem"),
    path("postmortems/<uuid:postmortem_id>/sections/<slug:section>/", views.PostmortemSection.as_view(), name="postmortem-section"),
    path("postmortems/<uuid:postmortem_id>/factors/<slug:question>/", views.PostmortemFactor.as_view(), name="postmortem-factor"),
    path("postmortems/<uuid:postmortem_id>/causes/", views.PostmortemCauses.as_view(), name="postmortem-causes"),
    path("postmortems/<uuid:postmortem_id>/review/", views.PostmortemReview.as_view(), name="postmortem-review"),
    path("postmortems/<uuid:postmortem_id>/approve/", views.PostmortemApprove.as_view(), name="postmortem-approve"),
    path("postmortems/<uuid:postmortem_id>/ask-changes/", views.PostmortemAskChanges.as_view(), name="postmortem-ask-changes"),
    path("postmortems/<uuid:postmortem_id>/take-back/", views.PostmortemTakeBack.as_view(), name="postmortem-take-back"),
    path("postmortems/<uuid:postmortem_id>/publish/", views.PostmortemPublish.as_view(), name="postmortem-publish"),
    path("postmortems/<uuid:postmortem_id>/close/", views.PostmortemClose.as_view(), name="postmortem-close"),
    path("postmortems/<uuid:postmortem_id>/actions/", views.PostmortemActions.as_view(), name="postmortem-actions"),
    path("postmortems/<uuid:postmortem_id>/actions/<uuid:action_id>/gating/", views.PostmortemGating.as_view(), name="postmortem-gating"),
]
