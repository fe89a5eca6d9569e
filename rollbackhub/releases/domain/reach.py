"""Whether what a release writes reaches what serves the alias: asked before the first weight, and before each next step."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from rollbackhub.common.errors import Conflict, InvalidInput, RollbackHubError
from rollbackhub.common.sentences import counted, with_stop, without_stop
from rollbackhub.connectors.envoy import EnvoyConnector
from rollbackhub.registry.models import Connection
from rollbackhub.routing.domain.deliveries import delivery_of
from rollbackhub.routing.domain.gateways import list_live_gateways, not_acknowledged
from rollbackhub.routing.models import PolicyRevision, RoutingPolicy

CALL_SECONDS = 2.0
AT_ONCE = 8
"""Gateways that are asked at the same time."""


def require_cluster(policy: RoutingPolicy, *, candidate_id: str) -> None:
    """Raise Conflict `cluster_missing` when a gateway answers that it has no cluster for the candidate: it would refuse the routes of every alias.

    A gateway that does not answer is the preflight's matter. Reads the network: never inside a transaction.
    """
    without = gateways_without(policy, candidate_id=candidate_id)
    if without:
        raise Conflict(cluster_missing_in_words(policy, candidate_id=candidate_id, gateways=without), code="cluster_missing", gateways=without)


def cluster_missing_in_words(policy: RoutingPolicy, *, candidate_id: str, gateways: Sequence[str]) -> str:
    """Which gateways have no cluster for the candidate, what that would do, and what to do about it."""
    names = ", ".join(gateways[:5]) + (f" and {len(gateways) - 5} more" if len(gateways) > 5 else "")
    return (
        f"{names} {'has' if len(gateways) == 1 else 'have'} no cluster {candidate_id} and would refuse the routes of every alias in"
        f" {policy.environment.slug}. Add the cluster to the gateways, or plan the release with a candidate that they have."
    )


def gateways_without(policy: RoutingPolicy, *, candidate_id: str, seconds: float = CALL_SECONDS) -> list[str]:
    """The gateways that answer, each within `seconds`, that they have no cluster for the candidate. Reads the network, and one query."""
    if policy.connection_id is not None:
        return []
    connection = Connection.objects.filter(environment_id=policy.environment_id, connector=EnvoyConnector.name).first()
    if connection is None:
        return []
    try:
        connector = EnvoyConnector(EnvoyConnector.parse_settings(connection.settings), timeout_seconds=seconds)
    except InvalidInput:
        # The preflight says what is wrong with the connection.
        return []

    def lacks(node_id: str) -> bool:
        try:
            return candidate_id not in connector.read_members(node_id=node_id, clusters=[candidate_id])
        except RollbackHubError:
            return False

    nodes = connector.list_nodes()
    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="reach") as pool:
        return [node_id for node_id, missing in zip(nodes, pool.map(lacks, nodes), strict=True) if missing]


def lagging(policy: RoutingPolicy) -> str:
    """Why the policy's present revision does not serve everywhere yet, as a sentence; empty when it does. Two queries."""
    state = delivery_of(policy)
    if state is not None:
        return "" if state.is_current else f"{with_stop(state.in_words)} {with_stop(state.problem)}".rstrip()
    wanted = PolicyRevision.objects.filter(policy=policy, number=policy.revision_number).values_list("routing_number", flat=True).first() or 0
    gateways = list_live_gateways(environment_id=policy.environment_id)
    behind = not_acknowledged(gateways, routing_number=wanted)
    if not behind:
        return ""
    names = ", ".join(gateway.node_id for gateway in behind[:5]) + (f" and {len(behind) - 5} more" if len(behind) > 5 else "")
    refusal = next((gateway.refusal for gateway in behind if gateway.refused_number is not None), "")
    said = f" Refused: {without_stop(refusal)}." if refusal else ""
    does = "does" if len(behind) == 1 else "do"
    return f"{len(behind)} of {counted(len(gateways), 'live gateway')} {does} not serve it yet: {names}.{said}"


def require_taken(policy: RoutingPolicy) -> None:
    """Raise Conflict `not_taken_yet` while what was written last does not serve everywhere."""
    why = lagging(policy)
    if why:
        sentence = f"The last step is written, and does not serve everywhere. {why} Mend that, or roll back; the next step waits for it."
        raise Conflict(sentence, code="not_taken_yet")
