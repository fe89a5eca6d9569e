"""What has to be so before a rollback acts, and the words for what is not. A drill's preflight and the continuous one both say it by these.

Each looks at one thing that was read already, and gives a finding for what is not as expected; none reads anything itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rollbackhub.common.errors import RollbackHubError
from rollbackhub.connectors.base import PermissionMissing
from rollbackhub.connectors.envoy import ClusterMembers, ServedRoutes
from rollbackhub.executions.enums import FindingCode
from rollbackhub.executions.findings import FindingDraft
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.routing.models import Gateway
from rollbackhub.routing.rules import CandidateSpec
from rollbackhub.verification.specs import CheckSpec, Probe
from rollbackhub.verification.written import address_problem


def check_revision(*, alias: str, expected: int, found: int) -> list[FindingDraft]:
    """The policy stands where the plan has it."""
    if found == expected:
        return []
    remedy = "Somebody changed the policy since the plan was frozen. Start again with a new plan."
    return [FindingDraft(FindingCode.CONFIG_MISMATCH, f"policy of {alias}", f"revision {expected}", f"revision {found}", remedy)]


def check_targets(*, labels: Iterable[str], lifecycles: Mapping[str, str]) -> list[FindingDraft]:
    """The versions to go back to are registered and not retired."""
    return [
        FindingDraft(
            FindingCode.TARGET_RETIRED,
            f"version {label}",
            "a version that can serve",
            str(lifecycles.get(label, "not registered")),
            "Restore the version, or choose another target.",
        )
        for label in labels
        if lifecycles.get(label, Lifecycle.RETIRED) == Lifecycle.RETIRED
    ]


def check_probes(checks: Iterable[CheckSpec]) -> list[FindingDraft]:
    """What the verification asks may be called: after the flip it would be too late to learn that it may not."""
    asked = [(check, address_problem(check)) for check in checks if isinstance(check, Probe)]
    remedy = "Give the probe another address, or have an administrator allow its host."
    return [
        FindingDraft(FindingCode.CONFIG_MISMATCH, f"probe {check.key}", "an address that RollbackHub may call", problem.rstrip("."), remedy)
        for check, problem in asked
        if problem
    ]


def no_gateways(*, environment: str, problem: str = "none") -> FindingDraft:
    """There is nothing that says where the gateways are."""
    remedy = "Add an envoy connection with the gateways' admin addresses."
    return FindingDraft(FindingCode.CONFIG_MISMATCH, f"connections of {environment}", "an envoy connection", problem, remedy)


def gateway_failed(*, node_id: str, error: RollbackHubError) -> FindingDraft:
    """A gateway's admin interface could not be read."""
    if isinstance(error, PermissionMissing):
        remedy = "Let RollbackHub read /config_dump and /stats there: a rollback is observed by them."
        return FindingDraft(FindingCode.PERMISSION_MISSING, f"gateway {node_id}", "an admin interface that lets RollbackHub read", error.message, remedy)
    remedy = "Start the gateway, or mend its admin address."
    return FindingDraft(FindingCode.UNREACHABLE, f"gateway {node_id}", "an admin interface that answers", error.message, remedy)


def check_routes(*, node_id: str, alias: str, expected: Mapping[str, int], served: ServedRoutes) -> list[FindingDraft]:
    """The gateway routes the alias with the policy's weights."""
    found = served.weights.get(alias)
    if found is None:
        there = sorted(served.weights)
        named = ", ".join(there[:10]) + (f" and {len(there) - 10} more" if len(there) > 10 else "")
        return [
            FindingDraft(
                FindingCode.FLAG_MOVED,
                f"gateway {node_id}",
                f"a route for {alias}",
                f"routes for {named or 'no alias at all'}",
                "Find where the alias went, and mend the gateway or the policy.",
            )
        ]
    if _served(found) == _served(expected):
        return []
    source = "" if served.version else " (a table of its own, not the hub's)"
    remedy = "The gateway does not serve by the policy: a flip here would change nothing. Point it at the hub again."
    return [FindingDraft(FindingCode.CONFIG_MISMATCH, f"gateway {node_id}", _weights(_served(expected)), _weights(found) + source, remedy)]


def _served(weights: Mapping[str, int]) -> dict[str, int]:
    """What gets traffic: gateways are not told of the rest."""
    return {cluster: weight for cluster, weight in weights.items() if weight}


def check_clusters(*, node_id: str, targets: Iterable[CandidateSpec], members: Mapping[str, ClusterMembers]) -> list[FindingDraft]:
    """The gateway can send requests to what would serve after the rollback. One finding a version."""
    missing: dict[str, list[str]] = {}
    for candidate in targets:
        found = members.get(candidate.candidate_id)
        if found is None:
            missing.setdefault(candidate.version_pin, []).append(f"no cluster {candidate.candidate_id}")
        elif not found.serving:
            what = f"{found.hosts} failing" if found.hosts else "no"
            missing.setdefault(candidate.version_pin, []).append(f"{what} {'host' if found.hosts == 1 else 'hosts'} in {candidate.candidate_id}")
    return [
        FindingDraft(
            FindingCode.UNREACHABLE,
            f"version {label} at gateway {node_id}",
            "a cluster with a host that is not failing",
            ", ".join(problems),
            "Bring the version's servers back, or choose another target.",
        )
        for label, problems in missing.items()
    ]


def check_refusals(gateways: Iterable[Gateway]) -> list[FindingDraft]:
    """No live gateway has refused what the hub gave it."""
    return [
        FindingDraft(
            FindingCode.CONFIG_MISMATCH,
            f"gateway {gateway.node_id} and its routes",
            f"routing state {gateway.refused_number} applied",
            f"refused: {gateway.refusal}",
            "Mend the gateway's configuration (often a cluster that it does not have).",
        )
        for gateway in gateways
        if gateway.refused_number is not None
    ]


def check_observed(*, gateways: Iterable[Gateway], nodes: Iterable[str]) -> list[FindingDraft]:
    """Every live gateway has an admin address."""
    return [
        FindingDraft(
            FindingCode.CONFIG_MISMATCH,
            f"gateway {node_id}",
            "an admin address in the envoy connection",
            "none",
            "Add its admin address: traffic that is not observed proves nothing.",
        )
        for node_id in sorted({gateway.node_id for gateway in gateways} - set(nodes))
    ]


def check_asking(*, gateways: Iterable[Gateway], nodes: Sequence[str]) -> list[FindingDraft]:
    """Every gateway with an admin address asks the hub for its routes."""
    live = {gateway.node_id for gateway in gateways}
    return [
        FindingDraft(
            FindingCode.FLAG_MOVED,
            f"gateway {node_id} and the hub",
            "a gateway that asks the hub for its routes",
            "it has not asked lately",
            "Point the gateway at the hub again.",
        )
        for node_id in nodes
        if node_id not in live
    ]


def check_current(*, gateways: Iterable[Gateway], number: int) -> list[FindingDraft]:
    """Every live gateway has applied the environment's routing state. One that refused it says so itself."""
    return [
        FindingDraft(
            FindingCode.CONFIG_MISMATCH,
            f"gateway {gateway.node_id} and its revision",
            f"routing state {number} applied",
            f"still at {gateway.applied_number}",
            "See whether the gateway runs and reaches the hub; until then it serves the old weights.",
        )
        for gateway in gateways
        if gateway.applied_number < number and gateway.refused_number is None
    ]


METRICS = "metrics endpoint"


def metrics_failed(error: RollbackHubError) -> FindingDraft:
    """The metrics endpoint could not be read."""
    if isinstance(error, PermissionMissing):
        remedy = "Let RollbackHub read the metrics: without them no rollback is verified."
        return FindingDraft(FindingCode.PERMISSION_MISSING, METRICS, "metrics per served version", error.message, remedy)
    return metrics_unreachable(error.message)


def metrics_unreachable(found: str) -> FindingDraft:
    """The metrics endpoint does not answer as one."""
    remedy = "Check the prometheus connection of the environment."
    return FindingDraft(FindingCode.UNREACHABLE, METRICS, "metrics per served version", found, remedy)


def metrics_missing(found: str) -> FindingDraft:
    """The metrics endpoint has not what verifying needs."""
    return FindingDraft(FindingCode.CONFIG_MISMATCH, METRICS, "series for the alias, by version", found, "Check the names and labels of the metrics.")


def _weights(weights: Mapping[str, int]) -> str:
    return ", ".join(f"{cluster} {weight} %" for cluster, weight in weights.items())
