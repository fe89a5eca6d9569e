"""Whether what a release writes reaches what serves the alias: asked before the first weight, and before each next step."""

from __future__ import annotations

from rollbackhub.common.errors import Conflict, InvalidInput, RollbackHubError
from rollbackhub.common.sentences import counted, with_stop, without_stop
from rollbackhub.connectors.envoy import EnvoyConnector
from rollbackhub.registry.models import Connection
from rollbackhub.routing.domain.deliveries import delivery_of
from rollbackhub.routing.domain.gateways import list_live_gateways, not_acknowledged
from rollbackhub.routing.models import PolicyRevision, RoutingPolicy

CALL_SECONDS = 2.0


def require_cluster(policy: RoutingPolicy, *, candidate_id: str) -> None:
    """Raise Conflict `cluster_missing` when a gateway answers that it has no cluster for the candidate: it would refuse the routes of every alias.

    A gateway that does not answer is the preflight's matter. Reads the network: never inside a transaction.
    """
    if policy.connection_id is not None:
        return
    connection = Connection.objects.filter(environment_id=policy.environment_id, connector=EnvoyConnector.name).first()
    if connection is None:
        return
    try:
        connector = EnvoyConnector(EnvoyConnector.parse_settings(connection.settings), timeout_seconds=CALL_SECONDS)
    except InvalidInput:
        # The preflight says what is wrong with the connection.
        return
    without = []
    for node_id in connector.list_nodes():
        try:
            members = connector.read_members(node_id=node_id, clusters=[candidate_id])
        except RollbackHubError:
            continue
        if candidate_id not in members:
            without.append(node_id)
    if without:
        names = ", ".join(without[:5]) + (f" and {len(without) - 5} more" if len(without) > 5 else "")
        raise Conflict(
            f"{names} {'has' if len(without) == 1 else 'have'} no cluster {candidate_id} and would refuse the routes of every alias in"
            f" {policy.environment.slug}. Add the cluster to the gateways, or plan the release with a candidate that they have.",
            code="cluster_missing",
            gateways=without,
        )


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
