"""Reads Envoy's counters and the routes that it has applied."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pydantic import Field, field_validator

from rollbackhub.common.errors import TransientError
from rollbackhub.common.http import guarded_get
from rollbackhub.connectors.base import REFUSALS, Connector, ConnectorSettings, PermissionMissing

MAX_STATS_BYTES = 8_000_000
MAX_CONFIG_BYTES = 32_000_000
MOST_NAMED = 50
"""Clusters that a query names one by one; for more it asks for all."""


class EnvoySettings(ConnectorSettings):
    """Where the admin interface of each gateway is, by the gateway's node id."""

    admins: dict[str, str] = Field(min_length=1)

    @field_validator("admins")
    @classmethod
    def _are_addresses(cls, admins: dict[str, str]) -> dict[str, str]:
        for node_id, address in admins.items():
            if not re.fullmatch(r"https?://[^/\s@]+", address):
                # Not repeated: it may hold a password.
                raise ValueError(f"the admin address of {node_id} must look like http://127.0.0.1:9901")
        return admins


@dataclass(frozen=True, slots=True)
class ClusterCounters:
    """Requests that a gateway has sent to a cluster since it started, and those under way now."""

    requests: int
    active: int


@dataclass(frozen=True, slots=True)
class ClusterMembers:
    """Hosts that a gateway has for a cluster, and those of them that it would send requests to."""

    hosts: int
    serving: int


@dataclass(frozen=True, slots=True)
class ServedRoutes:
    """What a gateway routes by: weight per cluster for each alias, and the version that the hub gave it (None: not from the hub)."""

    weights: dict[str, dict[str, int]]
    version: str | None


class EnvoyConnector(Connector[EnvoySettings]):
    """The gateways of one environment."""

    name = "envoy"
    settings_type = EnvoySettings

    def list_nodes(self) -> list[str]:
        """The node ids of the gateways, sorted."""
        return sorted(self.settings.admins)

    def read_counters(self, *, node_id: str, clusters: Iterable[str]) -> dict[str, ClusterCounters]:
        """The counters of these clusters on one gateway. A cluster that it does not know is absent.

        Raises TransientError when the gateway does not answer or not in the expected shape.
        """
        by_stat = {_stat_name(cluster): cluster for cluster in clusters}
        pattern = r"^cluster\.(" + "|".join(re.escape(name) for name in sorted(by_stat)) + r")\.upstream_rq_(total|active)$"
        content = self._get_json(node_id, "/stats", {"format": "json", "filter": pattern}, max_bytes=MAX_STATS_BYTES)
        values: dict[str, dict[str, int]] = {}
        for stat in content.get("stats", []):
            if "value" not in stat:
                continue
            prefix, _, kind = stat["name"].rpartition(".upstream_rq_")
            cluster = by_stat.get(prefix.removeprefix("cluster."))
            if cluster is not None:
                values.setdefault(cluster, {})[kind] = int(stat["value"])
        return {cluster: ClusterCounters(requests=found["total"], active=found.get("active", 0)) for cluster, found in values.items() if "total" in found}

    def read_members(self, *, node_id: str, clusters: Iterable[str]) -> dict[str, ClusterMembers]:
        """How many hosts of these clusters serve, as the gateway sees them. A cluster that it does not know is absent.

        The gauges of the statistics, not `/clusters`: they are a tenth as large, and the same permission is needed for the counters.
        Raises TransientError, PermissionMissing.
        """
        by_stat = {_stat_name(cluster): cluster for cluster in clusters}
        if not by_stat:
            return {}
        names = "|".join(re.escape(name) for name in sorted(by_stat)) if len(by_stat) <= MOST_NAMED else ".+"
        query = {"format": "json", "filter": rf"^cluster\.({names})\.membership_(total|healthy|degraded)$"}
        content = self._get_json(node_id, "/stats", query, max_bytes=MAX_STATS_BYTES)
        values: dict[str, dict[str, int]] = {}
        for stat in content.get("stats", []):
            prefix, _, kind = str(stat.get("name", "")).rpartition(".membership_")
            cluster = by_stat.get(prefix.removeprefix("cluster."))
            if cluster is not None and "value" in stat:
                values.setdefault(cluster, {})[kind] = int(stat["value"])
        # A degraded host is sent requests when too few healthy ones are left.
        return {
            cluster: ClusterMembers(hosts=found["total"], serving=found.get("healthy", 0) + found.get("degraded", 0))
            for cluster, found in values.items()
            if "total" in found
        }

    def read_routes(self, *, node_id: str) -> ServedRoutes:
        """The routes that one gateway has applied. Raises TransientError when it does not answer, PermissionMissing."""
        content = self._get_json(node_id, "/config_dump", {"mask": "dynamic_route_configs,static_route_configs"}, max_bytes=MAX_CONFIG_BYTES)
        weights: dict[str, dict[str, int]] = {}
        version: str | None = None
        for dump in content.get("configs", []):
            if not str(dump.get("@type", "")).endswith("RoutesConfigDump"):
                continue
            for entry in dump.get("static_route_configs", []):
                weights.update(_weights_of(entry.get("route_config", {})))
            for entry in dump.get("dynamic_route_configs", []):
                weights.update(_weights_of(entry.get("route_config", {})))
                version = entry.get("version_info", version)
        return ServedRoutes(weights=weights, version=version)

    def _get_json(self, node_id: str, path: str, query: dict[str, str], *, max_bytes: int) -> dict[str, Any]:
        address = self.settings.admins[node_id]
        answer = guarded_get(f"{address}{path}?{urlencode(query)}", timeout_seconds=self.timeout_seconds, max_bytes=max_bytes)
        if answer.status in REFUSALS:
            raise PermissionMissing(f"The admin interface of {node_id} answered HTTP {answer.status} to {path}.")
        if answer.status != 200:
            raise TransientError(f"The admin interface of {node_id} answered HTTP {answer.status} to {path}.")
        content = answer.json()
        if not isinstance(content, dict):
            raise TransientError(f"The admin interface of {node_id} answered {path} in an unknown shape.")
        return content


def _weights_of(route_config: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Weight per cluster by alias; the alias is the first part of the path that a route matches."""
    found: dict[str, dict[str, int]] = {}
    for host in route_config.get("virtual_hosts", []):
        for route in host.get("routes", []):
            alias = str(route.get("match", {}).get("prefix", "")).strip("/")
            target = route.get("route", {})
            if "weighted_clusters" in target:
                found[alias] = {cluster["name"]: int(cluster.get("weight", 0)) for cluster in target["weighted_clusters"].get("clusters", [])}
            elif "cluster" in target:
                found[alias] = {target["cluster"]: 100}
    return found


def _stat_name(cluster: str) -> str:
    """Envoy writes ':' in a cluster's name as '_' in the names of its statistics."""
    return cluster.replace(":", "_")
