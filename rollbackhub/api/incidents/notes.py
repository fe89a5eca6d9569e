"""What people write about an incident: notes with every text that they had, and corrections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from incidents.domain.corrections import correct_detection, correct_exposure, correct_impact, list_corrections, withdraw_correction
from incidents.domain.notes import add_note, edit_note, get_note, withdraw_note
from incidents.domain.selectors import get_incident
from incidents.enums import Matter
from incidents.models import IncidentCorrection
from rollbackhub.api.idempotency import created, once
from rollbackhub.api.incidents.bodies import CorrectionRequest, IncidentReasonRequest, NoteEditRequest, NoteRequest
from rollbackhub.api.incidents.serializers import CorrectionRow, IncidentDetail, NoteDetail, NoteRow, incident_path
from rollbackhub.api.incidents.views import describe
from rollbackhub.api.permissions import MayRespond, MayView
from rollbackhub.api.views import ApiView, OneView
from rollbackhub.common.errors import InvalidInput


class IncidentNotes(OneView):
    """The notes of an incident."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayRespond}

    @extend_schema(operation_id="incidents_notes_list", summary="The notes of an incident, by what they are about", responses=NoteRow(many=True))
    def get(self, request: Request, incident_id: UUID) -> HttpResponseBase:
        """As they are now, withdrawn ones too."""
        return self.answer(NoteRow(get_incident(incident_id).notes.order_by("about_at", "pk"), many=True).data)

    @extend_schema(
        operation_id="incidents_notes_create",
        summary="Write a note",
        request=NoteRequest,
        responses={201: OpenApiResponse(NoteDetail, description="It stands on the timeline at the instant that it is about")},
    )
    def post(self, request: Request, incident_id: UUID) -> Response:
        """In any state of the incident."""

        def act(key: str | None) -> Response:
            get_incident(incident_id)
            wanted = NoteRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            note = add_note(incident_id=incident_id, account=self.person, actor=self.actor, **wanted.validated_data)
            return created(NoteDetail(note).data, at=f"{incident_path(incident_id)}notes/{note.pk}/")

        return once(request, act)


class IncidentNoteOne(OneView):
    """One note."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayRespond}

    @extend_schema(operation_id="incidents_notes_retrieve", summary="One note with every text that it had", responses=NoteDetail)
    def get(self, request: Request, incident_id: UUID, note_id: int) -> HttpResponseBase:
        """The newest text first."""
        return self.answer(NoteDetail(get_note(incident_id=incident_id, note_id=note_id)).data)

    @extend_schema(operation_id="incidents_notes_change", summary="Write a note anew", request=NoteEditRequest, responses=NoteDetail)
    def post(self, request: Request, incident_id: UUID, note_id: int) -> Response:
        """409 `note_moved`, with the present `text` and its `number`, when somebody else has written since `based_on`: nothing is overwritten."""

        def act(key: str | None) -> Response:
            get_note(incident_id=incident_id, note_id=note_id)
            wanted = NoteEditRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            note = edit_note(incident_id=incident_id, note_id=note_id, account=self.person, actor=self.actor, **wanted.validated_data)
            return Response(NoteDetail(note).data)

        return once(request, act)


class IncidentNoteWithdraw(ApiView):
    """Taking a note back."""

    permission_classes = [MayRespond]

    @extend_schema(operation_id="incidents_notes_withdraw", summary="Withdraw a note", request=IncidentReasonRequest, responses=NoteDetail)
    def post(self, request: Request, incident_id: UUID, note_id: int) -> Response:
        """It stays, struck, with who and why."""

        def act(key: str | None) -> Response:
            get_note(incident_id=incident_id, note_id=note_id)
            wanted = IncidentReasonRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            note = withdraw_note(incident_id=incident_id, note_id=note_id, account=self.person, actor=self.actor, **wanted.validated_data)
            return Response(NoteDetail(note).data)

        return once(request, act)


class IncidentCorrections(OneView):
    """What people corrected."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayRespond}

    @extend_schema(operation_id="incidents_corrections_list", summary="The corrections of an incident, newest first", responses=CorrectionRow(many=True))
    def get(self, request: Request, incident_id: UUID) -> HttpResponseBase:
        """Those that stand (`ended_at` null) and those that do no more."""
        return self.answer(CorrectionRow(list_corrections(get_incident(incident_id)), many=True).data)

    @extend_schema(
        operation_id="incidents_corrections_create",
        summary="Correct a figure of an incident",
        request=CorrectionRequest,
        responses={201: OpenApiResponse(CorrectionRow, description="It stands instead of what is reckoned until it is withdrawn")},
    )
    def post(self, request: Request, incident_id: UUID) -> Response:
        """Another correction of the same matter takes the place of the first."""

        def act(key: str | None) -> Response:
            get_incident(incident_id)
            wanted = CorrectionRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            correction = self._correct(incident_id, wanted.validated_data)
            return created(CorrectionRow(correction).data, at=f"{incident_path(incident_id)}corrections/")

        return once(request, act)

    def _correct(self, incident_id: UUID, values: Mapping[str, Any]) -> IncidentCorrection:
        common = {"incident_id": incident_id, "reason": values["reason"], "account": self.person, "actor": self.actor}
        if values["matter"] == Matter.EXPOSURE:
            return correct_exposure(observed=values["observed"], estimated=values["estimated"], **common)
        if values["matter"] == Matter.IMPACT:
            return correct_impact(impact=values["impact"], **common)
        if values["detected_at"] is None:
            raise InvalidInput("Say when it was noticed.", code="detected_at_missing", fields={"detected_at": ["Needed for this matter."]})
        return correct_detection(detected_at=values["detected_at"], detected_by=values["detected_by"], **common)


class IncidentCorrectionWithdraw(ApiView):
    """Taking a correction back."""

    permission_classes = [MayRespond]

    @extend_schema(operation_id="incidents_corrections_withdraw", summary="Withdraw a correction", request=IncidentReasonRequest, responses=IncidentDetail)
    def post(self, request: Request, incident_id: UUID, correction_id: int) -> Response:
        """What is reckoned stands again. 404 `correction_not_found` when it stands no more."""

        def act(key: str | None) -> Response:
            get_incident(incident_id)
            wanted = IncidentReasonRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            withdraw_correction(incident_id=incident_id, correction_id=correction_id, account=self.person, actor=self.actor, **wanted.validated_data)
            return Response(describe(incident_id))

        return once(request, act)
