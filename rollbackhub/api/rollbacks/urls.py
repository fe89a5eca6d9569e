"""Addresses of rollbacks, roll-forwards and holds."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.rollbacks.views import acts, decisions, forward, holds, requests

ONE = "rollbacks/<uuid:rollback_id>/"

urlpatterns = [
    path("rollbacks/", requests.RollbackList.as_view(), name="rollbacks"),
    path("rollbacks/plan/", requests.RollbackPlan.as_view(), name="rollback-plan"),
    path(ONE, requests.RollbackOne.as_view(), name="rollback"),
    path(f"{ONE}samples/", requests.RollbackSamples.as_view(), name="rollback-samples"),
    path(f"{ONE}approve/", decisions.RollbackApprove.as_view(), name="rollback-approve"),
    path(f"{ONE}reject/", decisions.RollbackReject.as_view(), name="rollback-reject"),
    path(f"{ONE}withdraw/", decisions.RollbackWithdraw.as_view(), name="rollback-withdraw"),
    path(f"{ONE}break-glass/", decisions.RollbackBreakGlass.as_view(), name="rollback-break-glass"),
    path(f"{ONE}sign-review/", decisions.RollbackSignReview.as_view(), name="rollback-sign-review"),
    path(f"{ONE}retry/", acts.RollbackRetry.as_view(), name="rollback-retry"),
    path(f"{ONE}skip/", acts.RollbackSkip.as_view(), name="rollback-skip"),
    path(f"{ONE}undo/", acts.RollbackUndo.as_view(), name="rollback-undo"),
    path(f"{ONE}stop/", acts.RollbackStop.as_view(), name="rollback-stop"),
    path(f"{ONE}close/", acts.RollbackClose.as_view(), name="rollback-close"),
    path(f"{ONE}correct-detection/", acts.RollbackCorrectDetection.as_view(), name="rollback-correct-detection"),
    path(f"{ONE}roll-back-instead/", acts.RollbackInstead.as_view(), name="rollback-instead"),
    path("roll-forwards/", forward.RollForwardList.as_view(), name="roll-forwards"),
    path("holds/", holds.HoldList.as_view(), name="holds"),
    path("holds/<int:hold_id>/lift/", holds.HoldLift.as_view(), name="hold-lift"),
]
