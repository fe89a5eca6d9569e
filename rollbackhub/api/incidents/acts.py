"""What is done to an incident: each is answered with the incident as it stands then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from incidents.domain.acts import (
    close_incident,
    declare_stable,
    give_up_command,
    hand_over_command,
    reopen_incident,
    set_severity,
    take_command,
)
from incidents.domain.affected import change_affected
from incidents.domain.selectors import get_incident
from incidents.enums import Severity
from incidents.models import Incident
from rollbackhub.api.fields import ApiSerializer
from rollbackhub.api.idempotency import once
from rollbackhub.api.incidents.bodies import (
    GIVE_UP,
    HAND_OVER,
    AffectedRequest,
    CloseIncidentRequest,
    CommandRequest,
    IncidentReasonRequest,
    SeverityRequest,
    StableRequest,
)
from rollbackhub.api.incidents.serializers import IncidentDetail
from rollbackhub.api.incidents.views import describe
from rollbackhub.api.lookups import named_person, named_policy
from rollbackhub.api.permissions import MayRespond
from rollbackhub.api.views import ApiView
from rollbackhub.common.errors import InvalidInput
from rollbackhub.registry.models import Version


class IncidentAct(ApiView):
    """Something that is done to an incident."""

    permission_classes = [MayRespond]
    body: ClassVar[type[ApiSerializer]] = IncidentReasonRequest

    def act(self, incident: Incident, values: Mapping[str, Any]) -> None:
        """The domain function with the checked body."""
        raise NotImplementedError

    def answer(self, request: Request, incident_id: UUID) -> Response:
        """Do it once."""

        def do(key: str | None) -> Response:
            incident = get_incident(incident_id)
            wanted = self.body(data=request.data)
            wanted.is_valid(raise_exception=True)
            self.act(incident, wanted.validated_data)
            return Response(describe(incident_id))

        return once(request, do)

    @property
    def who(self) -> dict[str, Any]:
        """Who acts, as domain functions take it."""
        return {"account": self.person, "actor": self.actor}


class IncidentSeverity(IncidentAct):
    """Its severity."""

    body = SeverityRequest

    @extend_schema(operation_id="incidents_severity", summary="Say how bad it is", request=SeverityRequest, responses=IncidentDetail)
    def post(self, request: Request, incident_id: UUID) -> Response:
        """In any state: that is often known late."""
        return self.answer(request, incident_id)

    def act(self, incident: Incident, values: Mapping[str, Any]) -> None:
        """Set it."""
        set_severity(incident_id=incident.pk, severity=Severity(values["severity"]), reason=values["reason"], **self.who)


class IncidentCommand(IncidentAct):
    """Its command."""

    body = CommandRequest

    @extend_schema(operation_id="incidents_command", summary="Take, hand over or give up the command", request=CommandRequest, responses=IncidentDetail)
    def post(self, request: Request, incident_id: UUID) -> Response:
        """409 `commander_changed` when somebody else than `instead_of` leads it by now; 403 `not_commander` for handing over what is another's."""
        return self.answer(request, incident_id)

    def act(self, incident: Incident, values: Mapping[str, Any]) -> None:
        """Do one of the three."""
        if values["act"] == GIVE_UP:
            give_up_command(incident_id=incident.pk, **self.who)
        elif values["act"] == HAND_OVER:
            if values["to"] is None:
                raise InvalidInput("Say to whom.", fields={"to": ["Needed to hand it over: a username."]})
            hand_over_command(incident_id=incident.pk, to=named_person(values["to"], field="to"), **self.who)
        else:
            seen = named_person(values["instead_of"], field="instead_of") if values["instead_of"] else None
            take_command(incident_id=incident.pk, instead_of=seen, **self.who)


class IncidentAffected(IncidentAct):
    """Whom it hurts and what it is about."""

    body = AffectedRequest

    @extend_schema(operation_id="incidents_affected", summary="Change the affected aliases and versions", request=AffectedRequest, responses=IncidentDetail)
    def post(self, request: Request, incident_id: UUID) -> Response:
        """409 `part_of_rollback` for what a rollback of the incident is about."""
        return self.answer(request, incident_id)

    def act(self, incident: Incident, values: Mapping[str, Any]) -> None:
        """Change them."""
        slug = incident.environment.slug
        aliases = {name: [named_policy(environment=slug, alias=alias) for alias in values[name]] for name in ("add_aliases", "remove_aliases")}
        versions = {name: [_named_version(entry, field=name) for entry in values[name]] for name in ("add_versions", "remove_versions")}
        change_affected(incident_id=incident.pk, **aliases, **versions, **self.who)  # type: ignore[arg-type]


class IncidentStable(IncidentAct):
    """That the harm is over."""

    body = StableRequest

    @extend_schema(operation_id="incidents_stable", summary="Say that the harm is over, with what shows it", request=StableRequest, responses=IncidentDetail)
    def post(self, request: Request, incident_id: UUID) -> Response:
        """Where no rollback has shown it. 409 `wrong_state` unless it is open."""
        return self.answer(request, incident_id)

    def act(self, incident: Incident, values: Mapping[str, Any]) -> None:
        """Say so."""
        declare_stable(incident_id=incident.pk, evidence=values["evidence"], at=values["at"], **self.who)


class IncidentClose(IncidentAct):
    """That all of it was looked at."""

    body = CloseIncidentRequest

    @extend_schema(operation_id="incidents_close", summary="Close an incident", request=CloseIncidentRequest, responses=IncidentDetail)
    def post(self, request: Request, incident_id: UUID) -> Response:
        """409 `rollback_running` while a rollback of it still goes on; 422 `reason_missing` where nothing has shown that the harm is over."""
        return self.answer(request, incident_id)

    def act(self, incident: Incident, values: Mapping[str, Any]) -> None:
        """Close it."""
        close_incident(incident_id=incident.pk, reason=values["reason"], **self.who)


class IncidentReopen(IncidentAct):
    """That it is not over."""

    @extend_schema(operation_id="incidents_reopen", summary="Open a stable or closed incident again", request=IncidentReasonRequest, responses=IncidentDetail)
    def post(self, request: Request, incident_id: UUID) -> Response:
        """With the reason. What rollbacks showed before does not count any more."""
        return self.answer(request, incident_id)

    def act(self, incident: Incident, values: Mapping[str, Any]) -> None:
        """Open it."""
        reopen_incident(incident_id=incident.pk, reason=values["reason"], **self.who)


def _named_version(entry: Mapping[str, str], *, field: str) -> Version:
    version = Version.objects.select_related("artefact").filter(artefact__slug=entry["artefact"], label=entry["version"]).first()
    if version is None:
        sentence = f"There is no version {entry['version']} of {entry['artefact']}."
        raise InvalidInput(sentence, fields={field: [sentence]})
    return version
