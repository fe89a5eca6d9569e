"""Reading an environment's real systems for the continuous preflight: each gateway once, the metrics once, bounded in parallel and in time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, cast

from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput, RollbackHubError
from rollbackhub.connectors.base import connector_type
from rollbackhub.connectors.envoy import ClusterMembers, EnvoyConnector, ServedRoutes
from rollbackhub.connectors.mechanism import Problem, Share
from rollbackhub.connectors.prometheus import PrometheusConnector
from rollbackhub.executions.domain.mechanisms import BoundMechanism, JobLook, job_problems, problems_of

AT_ONCE = 8
"""Gateways that are read at the same time."""

CALL_SECONDS = 5.0
"""Each call's time."""


@dataclass(slots=True)
class Seen:
    """What was read of one environment, and what could not be."""

    nodes: list[str] = field(default_factory=list)
    """Gateways that have an admin address."""
    routes: dict[str, ServedRoutes] = field(default_factory=dict)
    members: dict[str, dict[str, ClusterMembers]] = field(default_factory=dict)
    failed: dict[str, RollbackHubError] = field(default_factory=dict)
    """Gateways whose admin interface could not be read."""
    late: list[str] = field(default_factory=list)
    """Gateways that were not read before the run's time was over."""
    no_envoy: str = ""
    """Why no gateway can be read at all; "" when they can."""
    metrics_missing: dict[str, list[str]] = field(default_factory=dict)
    """Names of metrics that are not there, by alias."""
    metrics_failed: RollbackHubError | None = None
    metrics_late: bool = False
    """They were not read before the run's time was over."""
    mechanisms: dict[int, list[Problem]] = field(default_factory=dict)
    """What stands in the way of moving aliases, by the policy's id."""
    mechanisms_late: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MechanismLook:
    """What is asked of one mechanism: whether it could take the alias from `before` to `wanted`. Read from the database beforehand."""

    policy_id: int
    environment: str
    moved_by: BoundMechanism
    before: Sequence[Share]
    wanted: Sequence[Share]
    jobs: Sequence[JobLook] = ()


def look_at(
    *,
    environment: str,
    connections: Mapping[str, dict[str, Any]],
    clusters: Collection[str],
    aliases: Collection[str],
    mechanisms: Sequence[MechanismLook] = (),
    deadline: float,
) -> Seen:
    """Read the gateways' routes and clusters, whether the metrics of these aliases are there, and what moves the others. `deadline`: by clock.monotonic().

    Never raises for what another system does: that is what is looked for. Uses no database, so that its threads need no connection.
    """
    seen = Seen()
    with_metrics = _metrics_connector(connections, seen)
    gateways = _gateway_connector(connections, seen)
    pool = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="preflight")
    try:
        metrics = pool.submit(_read_metrics, with_metrics, environment, aliases) if with_metrics else None
        reading = {node_id: pool.submit(_read_gateway, gateways, node_id, clusters) for node_id in seen.nodes} if gateways else {}
        moving = {look.policy_id: pool.submit(_look_at_mechanism, look) for look in mechanisms}
        asked: list[Future[Any]] = [*reading.values(), *moving.values()]
        if metrics is not None:
            asked.append(metrics)
        wait(asked, timeout=max(deadline - clock.monotonic(), 0))
        for node_id, future in reading.items():
            if not future.done():
                seen.late.append(node_id)
                continue
            found = future.result()
            if isinstance(found, RollbackHubError):
                seen.failed[node_id] = found
            else:
                seen.routes[node_id], seen.members[node_id] = found
        for policy_id, looking in moving.items():
            if looking.done():
                seen.mechanisms[policy_id] = looking.result()
            else:
                seen.mechanisms_late.append(policy_id)
        if metrics is not None:
            answer = metrics.result() if metrics.done() else {}
            seen.metrics_late = not metrics.done()
            if isinstance(answer, RollbackHubError):
                seen.metrics_failed = answer
            else:
                seen.metrics_missing = answer
    finally:
        # What still runs ends by its own time limit; nobody waits for it.
        pool.shutdown(wait=False, cancel_futures=True)
    return seen


def _look_at_mechanism(look: MechanismLook) -> list[Problem]:
    return problems_of(look.moved_by, before=look.before, wanted=look.wanted) + job_problems(look.jobs, environment=look.environment)


def _gateway_connector(connections: Mapping[str, dict[str, Any]], seen: Seen) -> EnvoyConnector | None:
    if EnvoyConnector.name not in connections:
        seen.no_envoy = "none"
        return None
    try:
        kind = connector_type(EnvoyConnector.name)
        connector = cast(EnvoyConnector, kind(kind.parse_settings(connections[EnvoyConnector.name]), timeout_seconds=CALL_SECONDS))
    except InvalidInput as error:
        seen.no_envoy = error.message
        return None
    seen.nodes = connector.list_nodes()
    return connector


def _metrics_connector(connections: Mapping[str, dict[str, Any]], seen: Seen) -> PrometheusConnector | None:
    if PrometheusConnector.name not in connections:
        return None
    try:
        kind = connector_type(PrometheusConnector.name)
        return cast(PrometheusConnector, kind(kind.parse_settings(connections[PrometheusConnector.name]), timeout_seconds=CALL_SECONDS))
    except InvalidInput as error:
        seen.metrics_failed = error
        return None


def _read_gateway(connector: EnvoyConnector, node_id: str, clusters: Collection[str]) -> tuple[ServedRoutes, dict[str, ClusterMembers]] | RollbackHubError:
    try:
        return connector.read_routes(node_id=node_id), connector.read_members(node_id=node_id, clusters=clusters)
    except RollbackHubError as error:
        return error


def _read_metrics(connector: PrometheusConnector, environment: str, aliases: Collection[str]) -> dict[str, list[str]] | RollbackHubError:
    try:
        return connector.read_missing(environment=environment, aliases=aliases)
    except RollbackHubError as error:
        return error
