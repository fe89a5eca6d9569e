"""Gateways' admin interfaces and a metrics endpoint that answer as Envoy and Prometheus do, for tests of what is made of the answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rollbackhub.audit.actors import system_actor
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.domain.transitions import append_revision
from rollbackhub.routing.models import Candidate, Gateway, RoutingPolicy, RoutingState
from rollbackhub.routing.rules import CandidateSpec
from tests.factories.registry import ConnectionFactory
from tests.factories.routing import GatewayFactory

METRICS = ("llm_requests_total", "llm_negative_feedback_total", "llm_request_duration_seconds_sum", "llm_request_duration_seconds_count")


@dataclass
class Systems:
    """What the fakes answer. Each gateway has a path of its own: `/<node id>`."""

    port: int = 0
    routes: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    """Weight by candidate, by alias, by node."""
    version: dict[str, str | None] = field(default_factory=dict)
    """Routing state by node; None: a static table."""
    clusters: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    """Hosts and healthy hosts by candidate, by node."""
    status: dict[str, int] = field(default_factory=dict)
    """HTTP status other than 200, by node or `metrics`."""
    metrics: str = ""
    calls: list[str] = field(default_factory=list)
    before_answer: Any = None
    """Called with the path before each answer."""

    def follow(self, environment: Any, *nodes: str) -> None:
        """Have these nodes serve exactly what the hub says at this moment."""
        rows = Candidate.objects.filter(revision__policy__environment=environment).select_related("revision__policy", "version")
        routes: dict[str, dict[str, int]] = {}
        series: list[str] = []
        for row in rows:
            policy = row.revision.policy
            if row.revision.number == policy.revision_number:
                routes.setdefault(policy.alias, {})[row.candidate_id] = row.weight
                labels = f'environment="{environment.slug}",alias="{policy.alias}",version="{row.version.label}"'
                series += [f"{name}{{{labels}}} 10" for name in METRICS]
        number = RoutingState.objects.get(environment=environment).number
        for node in nodes:
            self.routes[node] = {alias: dict(weights) for alias, weights in routes.items()}
            self.version[node] = str(number)
            self.clusters[node] = {candidate: (1, 1) for weights in routes.values() for candidate in weights}
            GatewayFactory(environment=environment, node_id=node)
        Gateway.objects.filter(environment=environment, node_id__in=nodes).update(applied_number=number)
        self.metrics = "\n".join(series) + "\n"

    def connect(self, environment: Any, *nodes: str) -> None:
        """Connections that lead here, and nodes that follow."""
        # An admin address has no path, so each node is told apart by its loopback address.
        admins = {node: f"http://127.0.0.{index + 1}:{self.port}" for index, node in enumerate(nodes)}
        self._nodes = dict(zip((f"127.0.0.{index + 1}" for index in range(len(nodes))), nodes, strict=True))
        ConnectionFactory(environment=environment, connector="envoy", settings={"admins": admins})
        ConnectionFactory(environment=environment, connector="prometheus", settings={"endpoint": f"http://127.0.0.1:{self.port}/metrics"})
        self.follow(environment, *nodes)

    def answer(self, host: str, path: str) -> tuple[int, bytes]:
        """Status and body."""
        parts = urlsplit(path)
        node = self._nodes.get(host, "")
        if self.before_answer:
            self.before_answer(parts.path)
        if parts.path == "/metrics":
            self.calls.append("metrics")
            return self.status.get("metrics", 200), self.metrics.encode()
        self.calls.append(f"{node} {parts.path}")
        status = self.status.get(node, 200)
        if parts.path == "/config_dump":
            return status, json.dumps(self._config(node)).encode()
        assert parse_qs(parts.query)["format"] == ["json"]
        stats = []
        for candidate, (hosts, healthy) in self.clusters[node].items():
            name = candidate.replace(":", "_")
            members = {"total": hosts, "healthy": healthy, "degraded": 0}
            stats += [{"name": f"cluster.{name}.membership_{kind}", "value": value} for kind, value in members.items()]
        return status, json.dumps({"stats": stats}).encode()

    def _config(self, node: str) -> dict[str, Any]:
        routes = []
        for alias, found in self.routes[node].items():
            clusters = [{"name": name, "weight": weight} for name, weight in found.items()]
            routes.append({"match": {"prefix": f"/{alias}/"}, "route": {"weighted_clusters": {"clusters": clusters}}})
        table = {"route_config": {"virtual_hosts": [{"routes": routes}]}}
        version = self.version[node]
        key = "dynamic_route_configs" if version else "static_route_configs"
        entry = {**table, "version_info": version} if version else table
        return {"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.RoutesConfigDump", key: [entry]}]}


@contextmanager
def running_systems() -> Iterator[Systems]:
    """The fakes, on a free port of every loopback address."""
    systems = Systems()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, body = systems.answer(self.connection.getsockname()[0], self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 64
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Callers may hang up: that is what some tests are about."""

    server = Server(("0.0.0.0", 0), Handler)
    systems.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield systems
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def flip(policy: RoutingPolicy, weights: dict[str, int]) -> None:
    """Through the domain."""
    policy.refresh_from_db()
    specs = [CandidateSpec(spec.candidate_id, spec.version_pin, weights[spec.version_pin]) for spec in get_candidates(policy=policy)]
    append_revision(policy_id=policy.pk, expected_revision=policy.revision_number, candidates=specs, actor=system_actor("test"), reason="test")
