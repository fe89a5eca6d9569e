"""Aliases: to read, to make, and what moves them."""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.aliases.queries import describe, list_policies
from rollbackhub.api.aliases.serializers import AliasDetail, AliasFilters, AliasRequest, AliasRow, BindingRequest, ReadinessDetail, ReadinessFilters
from rollbackhub.api.idempotency import created, once
from rollbackhub.api.lookups import get_environment, get_policy, no_policy
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.permissions import MayConfigure, MayView
from rollbackhub.api.policies.serializers import specs_of
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, OneView, PagedView
from rollbackhub.common.errors import InvalidInput
from rollbackhub.readiness.domain.report import report_readiness
from rollbackhub.registry.models import Artefact, Connection, Environment
from rollbackhub.routing.domain.transitions import bind_policy, create_policy
from rollbackhub.routing.models import RoutingPolicy


class ByAlias(NewestFirstCursor):
    """In the order of the names."""

    ordering = ("alias", "pk")


class AliasList(PagedView):
    """All aliases, and a new one."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayConfigure}
    filters = AliasFilters
    pagination_class = ByAlias
    serializer_class = AliasRow

    @extend_schema(operation_id="aliases_list", summary="Aliases per environment, by name", responses=page_of(AliasRow, name="Alias"))
    def get(self, request: Request) -> Response:
        """With present candidates, what the gateways serve, what runs, and the last drill."""
        paginator = self.pagination_class()
        page = paginator.paginate_queryset(list_policies(query=self.query()), request, self) or []
        return paginator.get_paginated_response(AliasRow(describe(page), many=True).data)

    @extend_schema(
        operation_id="aliases_create",
        summary="Make an alias in an environment, with its first weights",
        request=AliasRequest,
        responses={201: OpenApiResponse(AliasDetail, description="There; gateways or what moves it take it over from now")},
    )
    def post(self, request: Request) -> Response:
        """409 `policy_exists` when the environment has an alias of that name."""

        def act(key: str | None) -> Response:
            wanted = AliasRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            values = wanted.validated_data
            environment = get_environment(values["environment"])
            artefact = Artefact.objects.filter(slug=values["artefact"]).first()
            if artefact is None:
                sentence = f"There is no artefact {values['artefact']}."
                raise InvalidInput(sentence, code="artefact_not_found", fields={"artefact": [sentence]})
            policy = create_policy(
                environment=environment,
                alias=values["alias"],
                artefact=artefact,
                candidates=specs_of(values["candidates"]),
                actor=self.actor,
                reason=values["reason"],
                connection=_connection(environment, values.get("connection")),
                target=values.get("target", {}),
            )
            content = _detail(policy)
            return created(content, at=content["url"])

        return once(request, act)


class AliasBinding(ApiView):
    """What moves an alias."""

    permission_classes = [MayConfigure]

    @extend_schema(
        operation_id="aliases_bind",
        summary="Say what brings an alias to the system that serves it",
        request=BindingRequest,
        responses={200: OpenApiResponse(AliasDetail, description="Kept; nothing was moved, and the proof of its way back is stale")},
    )
    def post(self, request: Request, environment: str, alias: str) -> Response:
        """From now on its revisions are brought there. Raises 422 when connection, target and present weights do not fit together."""
        policy = get_policy(environment=environment, alias=alias)

        def act(key: str | None) -> Response:
            wanted = BindingRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            values = wanted.validated_data
            connection = _connection(policy.environment, values["connection"])
            bind_policy(policy_id=policy.pk, connection=connection, target=values.get("target", {}), actor=self.actor, reason=values["reason"])
            return Response(_detail(policy))

        return once(request, act)


def _connection(environment: Environment, name: str | None) -> Connection | None:
    if name is None:
        return None
    found = next((connection for connection in environment.connections.all() if connection.key == name), None)
    if found is None:
        # What was sent is not repeated: it may be a secret in the wrong place.
        keys = sorted(connection.key for connection in environment.connections.all())
        sentence = f"{environment.slug} has no connection of this name; there {'are ' + ', '.join(keys) if keys else 'is none'}."
        raise InvalidInput(sentence, code="invalid_target", fields={"connection": [sentence]})
    return found


def _detail(policy: RoutingPolicy) -> dict[str, Any]:
    found = list_policies(query={"environment": policy.environment.slug, "alias": policy.alias})
    return dict(AliasDetail(describe(list(found))[0]).data)


class AliasReadiness(OneView):
    """Could an alias be rolled back now, in time?"""

    permission_classes = [MayView]
    filters = ReadinessFilters

    @extend_schema(
        operation_id="aliases_readiness",
        summary="Could the alias be rolled back now? State, reasons and proof, judged at this instant",
        parameters=[ReadinessFilters],
        responses=ReadinessDetail,
    )
    def get(self, request: Request, alias: str) -> HttpResponseBase:
        """In production, unless `environment` says otherwise. Fit for a CI gate: let it pass when `state` is `ready`."""
        environment = self.query().get("environment", "production")
        policy = RoutingPolicy.objects.select_related("environment", "artefact").filter(environment__slug=environment, alias=alias).first()
        if policy is None:
            raise no_policy(environment=environment, alias=alias)
        return self.answer(ReadinessDetail(report_readiness([policy])[0]).data)


class AliasOne(OneView):
    """One alias in one environment."""

    permission_classes = [MayView]

    @extend_schema(operation_id="aliases_retrieve", summary="One alias in one environment", responses=AliasDetail)
    def get(self, request: Request, environment: str, alias: str) -> HttpResponseBase:
        """Poll it with If-None-Match to see a flip, its acknowledgement by the gateways, and drills."""
        policy = list_policies(query={"environment": environment, "alias": alias}).first()
        if policy is None:
            raise no_policy(environment=environment, alias=alias)
        return self.answer(AliasDetail(describe([policy])[0]).data)
