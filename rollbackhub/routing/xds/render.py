"""From an environment's policies to the route table that Envoy takes (envoy.config.route.v3.RouteConfiguration)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connection

ROUTE_TYPE = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
VERSION_HEADER = "x-rollbackhub-version"
CANDIDATE_HEADER = "x-rollbackhub-candidate"

# One statement, so that the number and the candidates belong to the same snapshot of the database.
_SNAPSHOT_SQL = """
    SELECT coalesce(s.number, 0), p.alias, c.candidate_id, v.label, c.weight
    FROM registry_environment e
    LEFT JOIN routing_routingstate s ON s.environment_id = e.id
    LEFT JOIN routing_routingpolicy p ON p.environment_id = e.id AND p.connection_id IS NULL
    LEFT JOIN routing_policyrevision r ON r.policy_id = p.id AND r.number = p.revision_number
    LEFT JOIN routing_candidate c ON c.revision_id = r.id
    LEFT JOIN registry_version v ON v.id = c.version_id
    WHERE e.slug = %s
    ORDER BY p.alias, c.position
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What an environment's gateways should serve: the routing state's number, and the answer's bytes (the same for everyone)."""

    environment: str
    number: int
    body: bytes


def load_snapshot(*, environment: str) -> Snapshot | None:
    """Read an environment's present policies and render them. None when there is no such environment. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_SNAPSHOT_SQL, [environment])
        rows = cursor.fetchall()
    if not rows:
        return None
    number = rows[0][0]
    table = route_table(environment=environment, rows=[row[1:] for row in rows if row[2] is not None])
    answer = {"version_info": str(number), "type_url": ROUTE_TYPE, "nonce": str(number), "resources": [{"@type": ROUTE_TYPE, **table}]}
    return Snapshot(environment=environment, number=number, body=json.dumps(answer, separators=(",", ":")).encode())


def route_table(*, environment: str, rows: Iterable[tuple[str, str, str, int]]) -> dict[str, Any]:
    """The route table for (alias, candidate id, version label, weight) rows in order.

    `/<alias>/…` goes to one Envoy cluster per candidate, named by the candidate's id, by weight; the chosen version travels in a header.
    A candidate without weight is left out: a cluster that a gateway does not have makes it refuse the whole table, and what gets no traffic
    must not keep it from taking a rollback.
    """
    clusters: dict[str, list[dict[str, Any]]] = {}
    for alias, candidate_id, version, weight in rows:
        if not weight:
            continue
        headers = [_header(VERSION_HEADER, version), _header(CANDIDATE_HEADER, candidate_id)]
        clusters.setdefault(alias, []).append({"name": candidate_id, "weight": weight, "request_headers_to_add": headers})
    routes = [
        {"name": alias, "match": {"prefix": f"/{alias}/"}, "route": {"prefix_rewrite": "/", "timeout": "60s", "weighted_clusters": {"clusters": weighted}}}
        for alias, weighted in clusters.items()
    ]
    return {
        "name": environment,
        "virtual_hosts": [{"name": environment, "domains": ["*"], "routes": routes}],
        # A route to a cluster that the gateway does not have is refused whole (and becomes a finding), instead of answering 503 in silence.
        "validate_clusters": True,
    }


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
