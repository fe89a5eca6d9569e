"""What the traffic generator counted, as a metrics endpoint that can be made to fail like a real one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from rollbackhub.lab.asgi import Receive, Scope, Send, send_answer

DURATION_BUCKETS = (0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5)
PLAIN = "text/plain; charset=utf-8"
NO_VERSION = "none"
"""The version label of requests that no version answered."""


class MetricsMode(StrEnum):
    """How the endpoint behaves for an environment."""

    NORMAL = "normal"
    DOWN = "down"
    """It answers 503."""
    SILENT = "silent"
    """It answers, without the environment's series."""


class TrafficMetrics:
    """Requests, negative feedback and latency by environment, alias and served version."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        by_version = ("environment", "alias", "version")
        self.requests = Counter("llm_requests", "Requests of the callers, by the version that served them", (*by_version, "code"), registry=self.registry)
        self.negative_feedback = Counter("llm_negative_feedback", "Answers that the (simulated) user disliked", by_version, registry=self.registry)
        self.durations = Histogram(
            "llm_request_duration_seconds", "From sending a request to the end of its answer", by_version, registry=self.registry, buckets=DURATION_BUCKETS
        )
        self.skipped = Counter("lab_requests_skipped", "Requests not sent because too many were under way", ("environment", "alias"), registry=self.registry)
        self.sticky_clients = Gauge("lab_sticky_clients", "Clients whose session holds them at a version", by_version, registry=self.registry)
        self.under_way = Gauge("lab_requests_under_way", "Requests sent and not answered yet", registry=self.registry)

    def answered(self, *, environment: str, alias: str, version: str, code: str, seconds: float, disliked: bool) -> None:
        """Count one answered request. The feedback counter exists from a version's first answer on: zero is not the same as no data."""
        labels = (environment, alias, version)
        self.requests.labels(*labels, code).inc()
        self.durations.labels(*labels).observe(seconds)
        self.negative_feedback.labels(*labels).inc(1 if disliked else 0)

    def failed(self, *, environment: str, alias: str, code: str) -> None:
        """Count one request that no version answered (`code` is the HTTP status, or what went wrong)."""
        self.requests.labels(environment, alias, NO_VERSION, code).inc()


class _Shown(Collector):
    """The registry's series of some environments, and those that belong to none."""

    def __init__(self, registry: CollectorRegistry, environments: Iterable[str]) -> None:
        self._registry = registry
        self._environments = frozenset({None, *environments})

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            samples = [sample for sample in metric.samples if sample.labels.get("environment") in self._environments]
            if samples:
                shown = Metric(metric.name, metric.documentation, metric.type, metric.unit)
                shown.samples = samples
                yield shown


class MetricsApp:
    """ASGI: `/metrics` shows every environment, `/metrics/<environment>` one, so that one can fail without the other."""

    def __init__(self, metrics: TrafficMetrics, environments: Iterable[str]) -> None:
        self._metrics = metrics
        self.modes: dict[str, MetricsMode] = dict.fromkeys(environments, MetricsMode.NORMAL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one scrape."""
        if scope["type"] != "http":
            return
        wanted = self._wanted(scope["path"])
        if scope["method"] not in ("GET", "HEAD") or not wanted:
            await send_answer(send, status=405 if wanted else 404, body=b"There are /metrics and /metrics/<environment>, to GET.\n", content_type=PLAIN)
            return
        if all(self.modes[environment] == MetricsMode.DOWN for environment in wanted):
            await send_answer(send, status=503, body=b"Switched off by the lab switch metrics_down.\n", content_type=PLAIN)
            return
        accept = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"), "")
        encoder, content_type = choose_encoder(accept)
        shown = _Shown(self._metrics.registry, (environment for environment in wanted if self.modes[environment] == MetricsMode.NORMAL))
        await send_answer(send, status=200, body=encoder(shown), content_type=content_type)

    def _wanted(self, path: str) -> list[str]:
        if path == "/metrics":
            return list(self.modes)
        environment = path.removeprefix("/metrics/")
        return [environment] if environment in self.modes else []
