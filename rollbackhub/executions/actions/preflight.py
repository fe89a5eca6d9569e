"""Look before acting: does everything stand where the procedure expects it?"""

from __future__ import annotations

from rollbackhub.common.errors import RollbackHubError
from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import Promise
from rollbackhub.connectors.envoy import EnvoyConnector, ServedRoutes
from rollbackhub.executions.actions.base import Action, FindingDraft, Params, StepOutcome
from rollbackhub.executions.domain.context import StepContext, describe
from rollbackhub.executions.domain.observers import MetricsObserver, keep_counters
from rollbackhub.executions.enums import ExecutionKind, FindingCode
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import Version
from rollbackhub.routing.domain.gateways import list_live_gateways
from rollbackhub.routing.models import RoutingPolicy


class Preflight(Action):
    """Changes nothing. What is not as expected becomes a finding; a finding here stops the procedure before anything happened."""

    name = "preflight"
    promise = Promise.READ_ONLY
    params_type = Params

    def run(self, context: StepContext, params: Params) -> StepOutcome:
        """Passed when policy, target version and gateways are as the plan says. Metrics are read too: they are the baseline."""
        stopping = [*_policy_findings(context), *_target_findings(context)]
        of_gateways = _gateway_findings(context)
        # In production one gateway that is ill must not keep the others on the bad version: flip, and let observing name who did not follow.
        findings = stopping if context.execution.kind == ExecutionKind.ROLLBACK else stopping + of_gateways
        keep_counters(context)
        context.in_the_middle()
        # The metrics are needed for verifying, not for acting: if they are down, verifying says so, and a rollback goes on.
        metrics = MetricsObserver(context)
        metrics.look()
        seen = "; ".join(_in_words(finding) for finding in of_gateways)
        note = f" Metrics cannot be read ({metrics.last_error})." if metrics.last_error else ""
        if findings:
            message = "; ".join(_in_words(finding) for finding in findings) + "."
            return StepOutcome(Verdict.FAILED, message + note, findings=tuple(stopping + of_gateways))
        if of_gateways:
            return StepOutcome(Verdict.PASSED, f"Policy and target version are as the procedure expects. Gateways: {seen}." + note, findings=tuple(of_gateways))
        return StepOutcome(Verdict.PASSED, "Policy, target version and gateways are as the procedure expects." + note)


def _in_words(finding: FindingDraft) -> str:
    return f"{finding.subject}: expected {finding.expected}, found {finding.found}"


def _policy_findings(context: StepContext) -> list[FindingDraft]:
    number = RoutingPolicy.objects.values_list("revision_number", flat=True).get(pk=context.execution.policy_id)
    if number == context.expected_revision():
        return []
    remedy = "Somebody changed the policy since the plan was frozen. Start again with a new plan."
    return [
        FindingDraft(FindingCode.CONFIG_MISMATCH, f"policy of {context.plan['alias']}", f"revision {context.expected_revision()}", f"revision {number}", remedy)
    ]


def _target_findings(context: StepContext) -> list[FindingDraft]:
    versions = Version.objects.filter(artefact__slug=context.plan["artefact"], label__in=context.good_versions)
    lifecycles = dict(versions.values_list("label", "lifecycle"))
    return [
        FindingDraft(
            FindingCode.TARGET_RETIRED,
            f"version {label}",
            "a version that can serve",
            str(lifecycles.get(label, "not registered")),
            "Restore the version, or choose another target.",
        )
        for label in context.good_versions
        if lifecycles.get(label, Lifecycle.RETIRED) == Lifecycle.RETIRED
    ]


def _gateway_findings(context: StepContext) -> list[FindingDraft]:
    environment = context.plan["environment"]
    connector = context.connector("envoy")
    if not isinstance(connector, EnvoyConnector):
        remedy = "Add an envoy connection with the gateways' admin addresses."
        return [FindingDraft(FindingCode.CONFIG_MISMATCH, f"connections of {environment}", "an envoy connection", "none", remedy)]
    findings: list[FindingDraft] = []
    nodes = connector.list_nodes()
    routes: dict[str, object] = {}
    for node_id in nodes:
        try:
            served = connector.read_routes(node_id=node_id)
        except RollbackHubError as error:
            routes[node_id] = describe(error)
            findings.append(
                FindingDraft(
                    FindingCode.UNREACHABLE,
                    f"gateway {node_id}",
                    "an admin interface that answers",
                    error.message,
                    "Start the gateway, or mend its admin address.",
                )
            )
            continue
        routes[node_id] = served.weights.get(context.plan["alias"])
        findings += _route_findings(context, node_id, served)
    context.keep_sample(kind="routes", source="envoy config_dump", value=routes)
    gateways = list_live_gateways(environment_id=context.execution.environment_id)
    live = {gateway.node_id for gateway in gateways}
    findings += [
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
    findings += [
        FindingDraft(
            FindingCode.CONFIG_MISMATCH,
            f"gateway {node_id}",
            "an admin address in the envoy connection",
            "none",
            "Add its admin address: traffic that is not observed proves nothing.",
        )
        for node_id in sorted(live - set(nodes))
    ]
    findings += [
        FindingDraft(
            FindingCode.FLAG_MOVED,
            f"gateway {node_id} and the hub",
            "a gateway that asks the hub for its routes",
            "it has not asked lately",
            "Point the gateway at the hub again.",
        )
        for node_id in nodes
        if node_id not in live and not any(finding.subject.startswith(f"gateway {node_id}") for finding in findings)
    ]
    return findings


def _route_findings(context: StepContext, node_id: str, served: ServedRoutes) -> list[FindingDraft]:
    alias = context.plan["alias"]
    expected = {entry["id"]: entry["weight"] for entry in context.plan["weights_before"]}
    found = served.weights.get(alias)
    if found is None:
        there = ", ".join(sorted(served.weights)) or "no alias at all"
        return [
            FindingDraft(
                FindingCode.FLAG_MOVED,
                f"gateway {node_id}",
                f"a route for {alias}",
                f"routes for {there}",
                "Find where the alias went, and mend the gateway or the policy.",
            )
        ]
    if found == expected:
        return []
    source = "" if served.version else " (a table of its own, not the hub's)"
    remedy = "The gateway does not serve by the policy: a flip here would change nothing. Point it at the hub again."
    return [FindingDraft(FindingCode.CONFIG_MISMATCH, f"gateway {node_id}", _weights(expected), _weights(found) + source, remedy)]


def _weights(weights: dict[str, int]) -> str:
    return ", ".join(f"{cluster} {weight} %" for cluster, weight in weights.items())
