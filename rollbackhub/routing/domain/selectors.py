"""Reading routing policies for pages."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import F, QuerySet

from rollbackhub.common.errors import NotFound
from rollbackhub.routing.domain.deliveries import FETCHED
from rollbackhub.routing.domain.gateways import live_since
from rollbackhub.routing.models import Gateway, PolicyRevision, RoutingPolicy


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """A gateway against a routing state that it should serve."""

    gateway: Gateway
    is_live: bool
    acknowledged: bool

    @property
    def refuses(self) -> bool:
        """Whether what it refused is newer than what it has applied."""
        return self.gateway.refused_number is not None and self.gateway.refused_number > self.gateway.applied_number


def get_policy(*, environment: str, alias: str) -> RoutingPolicy:
    """A policy by its environment's slug and its alias. Raises NotFound. One query."""
    fetched = RoutingPolicy.objects.select_related("environment", "artefact", "artefact__team", *FETCHED)
    policy = fetched.filter(environment__slug=environment, alias=alias).first()
    if policy is None:
        raise NotFound(f"There is no alias {alias} in {environment}.", code="policy_not_found")
    return policy


def list_policies(*, query: str = "", environment: str = "") -> QuerySet[RoutingPolicy]:
    """Policies whose alias contains the query, by alias."""
    policies = RoutingPolicy.objects.select_related("environment", "artefact").order_by("alias", "environment__slug")
    if query:
        policies = policies.filter(alias__icontains=query)
    if environment:
        policies = policies.filter(environment__slug=environment)
    return policies


def get_present_revisions(policies: list[RoutingPolicy]) -> dict[int, PolicyRevision]:
    """The present revision of each policy with its candidates, by policy id. Three queries."""
    found = PolicyRevision.objects.filter(policy__in=policies, number=F("policy__revision_number")).prefetch_related("candidates__version")
    return {revision.policy_id: revision for revision in found}


def list_revisions(*, policy_id: int, before: int | None = None, size: int = 20) -> tuple[list[PolicyRevision], bool]:
    """The newest revisions (or those before a number), with candidates, and whether there are older ones. Three queries."""
    found = PolicyRevision.objects.filter(policy_id=policy_id).order_by("-number")
    if before is not None:
        found = found.filter(number__lt=before)
    rows = list(found.prefetch_related("candidates__version")[: size + 1])
    return rows[:size], len(rows) > size


def list_gateway_rows(*, environment_id: int, routing_number: int) -> list[GatewayRow]:
    """All gateways of an environment against a routing state; those that are silent or behind first. One query."""
    since = live_since()
    rows = [
        GatewayRow(gateway, is_live=gateway.last_seen_at >= since, acknowledged=gateway.applied_number >= routing_number)
        for gateway in Gateway.objects.filter(environment_id=environment_id).order_by("node_id")
    ]
    return sorted(rows, key=lambda row: (row.acknowledged, not row.is_live))
