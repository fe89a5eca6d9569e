"""Acts on a rollback that runs or has stopped: stop, retry, skip, put back, close, correct, turn back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.fields import NoBody
from rollbackhub.api.permissions import MayLeadInPerson
from rollbackhub.api.rollbacks.bodies import DetectionRequest, ReasonRequest
from rollbackhub.api.rollbacks.serializers import RollbackDetail
from rollbackhub.api.rollbacks.views.base import RollbackAction
from rollbackhub.rollbacks.domain.acts import close_rollback, correct_detection, retry_rollback, skip_failed_step, stop_rollback, undo_rollback
from rollbackhub.rollbacks.domain.roll_forward import roll_back_instead


class RollbackRetry(RollbackAction):
    """Go on."""

    @extend_schema(operation_id="rollbacks_retry", summary="Try the step again that stopped it", request=NoBody, responses=RollbackDetail)
    def post(self, request: Request, rollback_id: UUID) -> Response:
        """409 `wrong_state` unless it has stopped at a step."""
        return self.answer(request, rollback_id)

    def act(self, rollback_id: UUID, values: Mapping[str, Any]) -> None:
        """Go on."""
        retry_rollback(rollback_id=rollback_id, account=self.person, actor=self.actor)


class RollbackSkip(RollbackAction):
    """Go on without a step."""

    permission_classes = [MayLeadInPerson]
    body = ReasonRequest

    @extend_schema(operation_id="rollbacks_skip", summary="Go on without the step that stopped it", request=ReasonRequest, responses=RollbackDetail)
    def post(self, request: Request, rollback_id: UUID) -> Response:
        """A lead, in a session only. What the step was to observe stays unobserved, and the rollback says so."""
        return self.answer(request, rollback_id)

    def act(self, rollback_id: UUID, values: Mapping[str, Any]) -> None:
        """Skip it."""
        skip_failed_step(rollback_id=rollback_id, account=self.person, actor=self.actor, reason=values["reason"])


class RollbackUndo(RollbackAction):
    """Put back."""

    body = ReasonRequest

    @extend_schema(operation_id="rollbacks_undo", summary="Put the weights back as they were before", request=ReasonRequest, responses=RollbackDetail)
    def post(self, request: Request, rollback_id: UUID) -> Response:
        """Of a rollback that has stopped. Once the version is under hold it takes a lead (403 `hold_stands`)."""
        return self.answer(request, rollback_id)

    def act(self, rollback_id: UUID, values: Mapping[str, Any]) -> None:
        """Put back."""
        undo_rollback(rollback_id=rollback_id, account=self.person, actor=self.actor, reason=values["reason"])


class RollbackStop(RollbackAction):
    """Stop."""

    body = ReasonRequest

    @extend_schema(operation_id="rollbacks_stop", summary="Stop a rollback that runs", request=ReasonRequest, responses=RollbackDetail)
    def post(self, request: Request, rollback_id: UUID) -> Response:
        """Before its first step it ends having changed nothing; later it waits for a person."""
        return self.answer(request, rollback_id)

    def act(self, rollback_id: UUID, values: Mapping[str, Any]) -> None:
        """Stop it."""
        stop_rollback(rollback_id=rollback_id, account=self.person, actor=self.actor, reason=values["reason"])


class RollbackClose(RollbackAction):
    """Close."""

    body = ReasonRequest

    @extend_schema(
        operation_id="rollbacks_close", summary="Close a verified rollback, or give up one that has stopped", request=ReasonRequest, responses=RollbackDetail
    )
    def post(self, request: Request, rollback_id: UUID) -> Response:
        """Giving up what is not restored and verified is for a person in a session; leads are told when something was changed already."""
        return self.answer(request, rollback_id)

    def act(self, rollback_id: UUID, values: Mapping[str, Any]) -> None:
        """Close it."""
        close_rollback(rollback_id=rollback_id, account=self.person, actor=self.actor, reason=values["reason"])


class RollbackCorrectDetection(RollbackAction):
    """Correct the clock's first instant."""

    permission_classes = [MayLeadInPerson]
    body = DetectionRequest

    @extend_schema(operation_id="rollbacks_correct_detection", summary="Correct when it was detected", request=DetectionRequest, responses=RollbackDetail)
    def post(self, request: Request, rollback_id: UUID) -> Response:
        """A lead, in a session only. The exposure is reckoned again; old and new go to the audit log."""
        return self.answer(request, rollback_id)

    def act(self, rollback_id: UUID, values: Mapping[str, Any]) -> None:
        """Correct it."""
        correct_detection(rollback_id=rollback_id, account=self.person, actor=self.actor, detected_at=values["detected_at"], reason=values["reason"])


class RollbackInstead(RollbackAction):
    """Back from a roll-forward."""

    @extend_schema(operation_id="rollbacks_roll_back_instead", summary="Roll back after all", request=NoBody, responses=RollbackDetail)
    def post(self, request: Request, rollback_id: UUID) -> Response:
        """Of a roll-forward whose fix does not hold. 409 `wrong_state` otherwise."""
        return self.answer(request, rollback_id)

    def act(self, rollback_id: UUID, values: Mapping[str, Any]) -> None:
        """Turn back."""
        roll_back_instead(rollback_id=rollback_id, account=self.person, actor=self.actor)
