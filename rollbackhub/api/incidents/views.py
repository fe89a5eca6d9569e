"""Incidents: which there are, one with all that is known of it, its timeline, opening one, and what it is called."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from incidents.domain.acts import can_lead, change_details
from incidents.domain.opening import open_incident
from incidents.domain.selectors import get_incident, list_incidents
from incidents.domain.timeline import Timeline
from incidents.enums import Severity, Source
from rollbackhub.api.idempotency import created, once
from rollbackhub.api.incidents.bodies import DetailsRequest, IncidentFilters, OpenIncidentRequest
from rollbackhub.api.incidents.serializers import IncidentDetail, IncidentRow, TimelineDetail
from rollbackhub.api.lookups import named_environment, named_policy
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.permissions import MayRespond, MayView
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import OneView, PagedView
from rollbackhub.common.errors import InvalidInput


class NewestOpenedFirst(NewestFirstCursor):
    """By the instant at which they were opened."""

    ordering = ("-opened_at", "-pk")


def describe(incident_id: UUID) -> Any:
    """An incident as IncidentDetail answers it. Raises NotFound."""
    return IncidentDetail(get_incident(incident_id)).data


class IncidentList(PagedView):
    """All incidents, and opening one."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayRespond}
    filters = IncidentFilters
    pagination_class = NewestOpenedFirst
    serializer_class = IncidentRow

    @extend_schema(operation_id="incidents_list", summary="Incidents, newest first", responses=page_of(IncidentRow, name="Incident"))
    def get(self, request: Request) -> Response:
        """Every filter may be combined with every other."""
        return self.paged(request)

    @extend_schema(
        operation_id="incidents_create",
        summary="Open an incident by hand",
        request=OpenIncidentRequest,
        responses={201: OpenApiResponse(IncidentDetail, description="Open. Rollbacks of its aliases join it for 7 days")},
    )
    def post(self, request: Request) -> Response:
        """Rollbacks open theirs by themselves, or join one that is not closed."""

        def act(key: str | None) -> Response:
            wanted = OpenIncidentRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            values = dict(wanted.validated_data)
            environment = named_environment(values.pop("environment"))
            policies = [named_policy(environment=environment.slug, alias=alias) for alias in dict.fromkeys(values.pop("aliases"))]
            leads = values.pop("take_command")
            if leads and not can_lead(self.person):
                sentence = "A service account cannot lead it: a person who can sign in does."
                raise InvalidInput(sentence, code="cannot_lead", fields={"take_command": [sentence]})
            incident = open_incident(
                environment=environment,
                policies=policies,
                severity=Severity(values.pop("severity")),
                source=Source.PERSON,
                actor=self.actor,
                commander=self.person if leads else None,
                **values,
            )
            content = describe(incident.pk)
            return created(content, at=content["url"])

        return once(request, act)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        return list_incidents(**query)


class IncidentOne(OneView):
    """One incident."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayRespond}

    @extend_schema(operation_id="incidents_retrieve", summary="One incident", responses=IncidentDetail)
    def get(self, request: Request, incident_id: UUID) -> HttpResponseBase:
        """With what its rollbacks know of it; a person's correction stands instead of what is reckoned."""
        return self.answer(describe(incident_id))

    @extend_schema(operation_id="incidents_change", summary="Change its title or summary", request=DetailsRequest, responses=IncidentDetail)
    def post(self, request: Request, incident_id: UUID) -> Response:
        """In any state; old and new are on the audit log. 409 `details_moved`, with the present texts and their hash, when somebody has written since."""

        def act(key: str | None) -> Response:
            get_incident(incident_id)
            wanted = DetailsRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            change_details(incident_id=incident_id, account=self.person, actor=self.actor, **wanted.validated_data)
            return Response(describe(incident_id))

        return once(request, act)


class IncidentTimeline(OneView):
    """Its timeline."""

    permission_classes = [MayView]

    @extend_schema(operation_id="incidents_timeline_retrieve", summary="What happened, in order", responses=TimelineDetail)
    def get(self, request: Request, incident_id: UUID) -> HttpResponseBase:
        """Computed from the audit log, the steps of its rollbacks and people's notes: nothing has to be written for it."""
        timeline = Timeline(get_incident(incident_id))
        return self.answer(TimelineDetail({"lines": timeline.lines, "is_whole": timeline.is_whole}).data)
