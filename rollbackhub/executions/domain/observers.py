"""Observing traffic and metrics for a step: reads by the connectors, keeps every sample, hands evidence to the checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollbackhub.common import clock
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.connectors.envoy import ClusterCounters, EnvoyConnector
from rollbackhub.connectors.prometheus import NoData, PrometheusConnector, Reading, VersionMetrics
from rollbackhub.executions.domain.context import StepContext, describe
from rollbackhub.executions.domain.mechanisms import BoundMechanism
from rollbackhub.executions.models import Sample
from rollbackhub.verification.evidence import Totals, TrafficSample


@dataclass(frozen=True, slots=True)
class Counters:
    """Whoever counts the alias's requests: its nodes, and how one is read (version label by candidate → counters by candidate)."""

    source: str
    nodes: Sequence[str]
    read: Callable[[str, Mapping[str, str]], dict[str, ClusterCounters]]


def counters_of(context: StepContext) -> Counters | None:
    """The gateways, or the mechanism when it counts requests. None when nothing counts them."""
    moved_by = context.mechanism()
    if moved_by is not None:
        return _counters_of_mechanism(context, moved_by)
    connector = context.connector("envoy")
    if not isinstance(connector, EnvoyConnector):
        return None
    return Counters("envoy cluster counters", connector.list_nodes(), lambda node_id, versions: connector.read_counters(node_id=node_id, clusters=versions))


def _counters_of_mechanism(context: StepContext, moved_by: BoundMechanism) -> Counters | None:
    shares = moved_by.shares(context.candidates("before"))
    if not moved_by.mechanism.counts_requests:
        return None

    def read(node_id: str, versions: Mapping[str, str]) -> dict[str, ClusterCounters]:
        counted = moved_by.mechanism.read_requests(target=moved_by.target, shares=shares)
        # By version, under the first candidate of each: the system may not tell candidates apart.
        first = {label: candidate for candidate, label in reversed(list(versions.items()))}
        return {first[label]: ClusterCounters(requests=found.requests, active=found.active) for label, found in counted.items() if label in first}

    return Counters(f"counters of {moved_by.name}", [moved_by.name], read)


class TrafficObserver:
    """Requests per version between two looks, from the gateways' own cluster counters."""

    def __init__(self, context: StepContext) -> None:
        self._context = context
        self._counters = counters_of(context)
        self._versions: dict[str, str] = {entry["id"]: entry["version_pin"] for entry in context.plan["weights_before"]}
        self._before: dict[str, dict[str, ClusterCounters]] = {}
        self.samples: list[TrafficSample] = []
        self.kept: Sample | None = None
        """What the last look kept."""
        self.errors: list[str] = []
        """What went wrong at the last look."""

    def look(self) -> TrafficSample | None:
        """Read all gateways. None at the first look: one reading of a counter says nothing."""
        self.kept = None
        if self._counters is None:
            self.errors = ["Nothing in the environment counts the alias's requests (no envoy connection, or a system that does not count)."]
            return None
        self.errors = []
        first = not self._before
        requests = dict.fromkeys(self._versions.values(), 0)
        active = dict.fromkeys(self._versions.values(), 0)
        per_gateway: dict[str, dict[str, int]] = {}
        complete = True
        for node_id in self._counters.nodes:
            try:
                counters = self._counters.read(node_id, self._versions)
            except RollbackHubError as error:
                self.errors.append(describe(error))
                self._before.pop(node_id, None)
                complete = False
                continue
            before = self._before.get(node_id)
            self._before[node_id] = counters
            grown = growth_of(before, counters)
            if grown is None:
                complete = False
                continue
            per_gateway[node_id] = {self._versions[cluster]: 0 for cluster in grown}
            for cluster, count in grown.items():
                requests[self._versions[cluster]] += count
                active[self._versions[cluster]] += counters[cluster].active
                per_gateway[node_id][self._versions[cluster]] += count
        if first and not self.errors:
            return None
        sample = TrafficSample(taken_at=clock.now(), requests=requests, active=active, complete=complete)
        self.kept = self._context.keep_sample(kind="traffic", source=self._counters.source, value=_traffic_value(sample, per_gateway, self.errors))
        sample = TrafficSample(taken_at=self.kept.taken_at, requests=requests, active=active, complete=complete)
        self.samples.append(sample)
        return sample


class ServedObserver:
    """Requests per version between two looks, from the metrics of the callers: for a roll-forward.

    There the fix takes over the bad version's candidate, so the gateways' counters cannot tell the two apart.
    """

    def __init__(self, context: StepContext) -> None:
        self._context = context
        self._metrics = MetricsObserver(context)
        self._before: dict[str, Totals] | None = None
        self.samples: list[TrafficSample] = []
        self.kept: Sample | None = None
        """What the last look kept."""
        self.errors: list[str] = []
        """What went wrong at the last look."""

    def look(self) -> TrafficSample | None:
        """Read the metrics. None at the first look, and when they cannot be read."""
        self.kept = None
        totals = self._metrics.look()
        self.errors = [] if totals is not None else [self._metrics.last_error]
        before, self._before = self._before, totals
        if before is None or totals is None:
            return None
        grown = {version: round(now.requests - before.get(version, Totals()).requests) for version, now in totals.items()}
        complete = all(count >= 0 for count in grown.values())
        requests = {version: max(count, 0) for version, count in grown.items()}
        sample = TrafficSample(taken_at=clock.now(), requests=requests, active={}, complete=complete)
        self.kept = self._context.keep_sample(kind="traffic", source="metrics of the callers", value=_traffic_value(sample, {}, self.errors))
        sample = TrafficSample(taken_at=self.kept.taken_at, requests=requests, active={}, complete=complete)
        self.samples.append(sample)
        return sample


def traffic_observer(context: StepContext) -> TrafficObserver | ServedObserver:
    """What can tell this execution's versions apart: the gateways' counters, or the callers' metrics."""
    return ServedObserver(context) if "fix_version" in context.plan else TrafficObserver(context)


def keep_counters(context: StepContext) -> None:
    """Keep what the gateways have counted so far, per version and gateway: exposure is reckoned from two of these samples.

    A gateway that does not answer is named in the sample; whoever reckons says so.
    """
    reading = counters_of(context)
    if reading is None:
        return
    versions: dict[str, str] = {entry["id"]: entry["version_pin"] for entry in context.plan["weights_before"]}
    per_gateway: dict[str, dict[str, int]] = {}
    errors: dict[str, str] = {}
    for node_id in reading.nodes:
        try:
            counters = reading.read(node_id, versions)
        except RollbackHubError as error:
            errors[node_id] = describe(error)
            continue
        counted = per_gateway.setdefault(node_id, dict.fromkeys(versions.values(), 0))
        for cluster, counter in counters.items():
            counted[versions[cluster]] += counter.requests
    context.keep_sample(kind="counters", source=reading.source, value={"per_gateway": per_gateway, "errors": errors})


class MetricsObserver:
    """Totals per version from the metrics endpoint."""

    def __init__(self, context: StepContext) -> None:
        self._context = context
        connector = context.connector("prometheus")
        self._connector = connector if isinstance(connector, PrometheusConnector) else None
        self.errors_in_a_row = 0
        self.silent_in_a_row = 0
        self.last_error = ""
        self.kept: Sample | None = None
        """What the last look kept."""

    def look(self) -> dict[str, Totals] | None:
        """Totals by version; None when the endpoint failed or has no such series (`last_error` says which)."""
        plan = self._context.plan
        source = self._connector.settings.source if self._connector else "no connection"
        try:
            if self._connector is None:
                raise RollbackHubError("The environment has no prometheus connection, so its metrics cannot be read.", code="no_connection")
            look = self._connector.read(environment=plan["environment"], alias=plan["alias"])
        except RollbackHubError as error:
            self.last_error = describe(error)
            silent = isinstance(error, NoData)
            self.errors_in_a_row, self.silent_in_a_row = (0, self.silent_in_a_row + 1) if silent else (self.errors_in_a_row + 1, self.silent_in_a_row)
            value = {"error": self.last_error, "configured": self._connector is not None, **({"no_data": True} if silent else {})}
            self.kept = self._context.keep_sample(kind="metrics", source=source, value=value)
            return None
        self.errors_in_a_row = 0
        found = look.totals.get(plan["alias"], {})
        self.kept = self._context.keep_sample(kind="metrics", source=source, value=_metrics_value(look, found))
        if not found:
            self.silent_in_a_row += 1
            self.last_error = f"{source} has no series for {plan['alias']} in {plan['environment']}."
            return None
        self.silent_in_a_row = 0
        self.last_error = ""
        return {version: Totals.of(metrics.as_dict()) for version, metrics in found.items()}


def totals_of(sample: Sample) -> dict[str, Totals]:
    """The totals that a kept metrics sample holds; empty when it holds an error."""
    if "error" in sample.value:
        return {}
    # Before sources told their time and query, the versions alone were kept.
    return {version: Totals.of(values) for version, values in sample.value.get("versions", sample.value).items()}


def _metrics_value(look: Reading, found: Mapping[str, VersionMetrics]) -> dict[str, Any]:
    """As it is kept: the totals, the query that gave them, and when they were true by the source's clock."""
    at_source = look.newest_at or look.source_now or look.read_at
    return {
        "versions": {version: metrics.as_dict() for version, metrics in found.items()},
        "query": look.query,
        "at_source": at_source.isoformat(),
        "configured": True,
    }


def summed(totals: dict[str, Totals], versions: list[str] | None = None) -> Totals:
    """The totals of these versions (all of them by default) together."""
    return sum((value for version, value in totals.items() if versions is None or version in versions), Totals())


def growth_of(before: dict[str, ClusterCounters] | None, now: dict[str, ClusterCounters]) -> dict[str, int] | None:
    """How much each cluster's counter grew; None on the first look and after a restart of the gateway.

    A cluster that was not there before has been born since: all of its requests are new.
    """
    if before is None:
        return None
    grown = {cluster: counters.requests - (before[cluster].requests if cluster in before else 0) for cluster, counters in now.items()}
    if any(count < 0 for count in grown.values()) or any(cluster not in now for cluster in before):
        return None
    return grown


def _traffic_value(sample: TrafficSample, per_gateway: dict[str, dict[str, int]], errors: list[str]) -> dict[str, Any]:
    total = sample.total
    value: dict[str, Any] = {
        "requests": dict(sample.requests),
        "shares": {version: round(count / total, 4) for version, count in sample.requests.items()} if total else {},
        "total": total,
        "active": dict(sample.active),
        "per_gateway": per_gateway,
        "complete": sample.complete,
    }
    return {**value, "errors": errors} if errors else value
