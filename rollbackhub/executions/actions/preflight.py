"""Look before acting: does everything stand where the procedure expects it?"""

from __future__ import annotations

from rollbackhub.common.errors import RollbackHubError
from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import Promise
from rollbackhub.connectors.envoy import EnvoyConnector
from rollbackhub.connectors.mechanism import Problem, ProblemCode
from rollbackhub.executions.actions.base import Action, Params, StepOutcome, parse_params
from rollbackhub.executions.domain import path_checks
from rollbackhub.executions.domain.context import StepContext, describe
from rollbackhub.executions.domain.looks import ACTION
from rollbackhub.executions.domain.mechanisms import BoundMechanism, JobLook, job_problems, problems_of, to_finding
from rollbackhub.executions.domain.observers import MetricsObserver, keep_counters
from rollbackhub.executions.enums import ExecutionKind
from rollbackhub.executions.findings import FindingDraft
from rollbackhub.registry.models import Version
from rollbackhub.routing.domain.gateways import list_live_gateways
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from rollbackhub.verification.specs import parse_checks

# How often a mechanism that does not answer is asked, and the seconds between.
LOOKS = 3
PAUSE_SECONDS = 0.5


class Preflight(Action):
    """Changes nothing. What is not as expected becomes a finding; a finding here stops the procedure before anything happened."""

    name = "preflight"
    promise = Promise.READ_ONLY
    params_type = Params

    def run(self, context: StepContext, params: Params) -> StepOutcome:
        """Passed when policy, target version and gateways are as the plan says. Metrics are read too: they are the baseline."""
        stopping = [*_policy_findings(context), *_target_findings(context)]
        of_probes = _probe_findings(context)
        if context.execution.kind != ExecutionKind.ROLLBACK:
            stopping += of_probes
            of_probes = []
        moved_by = context.mechanism()
        if moved_by is not None:
            return _look_at_mechanism(context, moved_by, stopping, beside=of_probes)
        of_gateways = _gateway_findings(context)
        # In production one gateway that is ill must not keep the others on the bad version: flip, and let observing name who did not follow.
        findings = stopping if context.execution.kind == ExecutionKind.ROLLBACK else stopping + of_gateways
        keep_counters(context)
        context.in_the_middle()
        # The metrics are needed for verifying, not for acting: if they are down, verifying says so, and a rollback goes on.
        metrics = MetricsObserver(context)
        metrics.look()
        seen = "; ".join(finding.in_words for finding in of_gateways)
        note = f" Metrics cannot be read ({metrics.last_error})." if metrics.last_error else ""
        note += _in_words(of_probes)
        if findings:
            message = "; ".join(finding.in_words for finding in findings) + "."
            return StepOutcome(Verdict.FAILED, message + note, findings=tuple(stopping + of_gateways + of_probes))
        if of_gateways:
            return StepOutcome(
                Verdict.PASSED, f"Policy and target version are as the procedure expects. Gateways: {seen}." + note, findings=tuple(of_gateways + of_probes)
            )
        return StepOutcome(Verdict.PASSED, "Policy, target version and gateways are as the procedure expects." + note, findings=tuple(of_probes))


def _look_at_mechanism(context: StepContext, moved_by: BoundMechanism, stopping: list[FindingDraft], *, beside: list[FindingDraft]) -> StepOutcome:
    """A system that is not as expected is not acted on, in production neither: what it would do to it is not known. `beside` stops nothing."""
    problems = _problems(context, moved_by)
    context.keep_sample(kind="mechanism", source=moved_by.name, value={"problems": [problem.in_words for problem in problems]})
    keep_counters(context)
    context.in_the_middle()
    note = ""
    if any(step["action"] == "verify" for step in context.plan["steps"]):
        metrics = MetricsObserver(context)
        metrics.look()
        note = f" Metrics cannot be read ({metrics.last_error})." if metrics.last_error else ""
    note += _in_words(beside)
    findings = (*stopping, *(to_finding(problem) for problem in problems))
    if findings:
        return StepOutcome(Verdict.FAILED, "; ".join(finding.in_words for finding in findings) + "." + note, findings=(*findings, *beside))
    return StepOutcome(Verdict.PASSED, f"Policy, target version and {moved_by.name} are as the procedure expects." + note, findings=tuple(beside))


def _problems(context: StepContext, moved_by: BoundMechanism) -> list[Problem]:
    """What stands in the way. Who did not answer is asked again: one slow answer must not stop a rollback before it began."""
    for look in range(1, LOOKS + 1):
        problems = problems_of(moved_by, before=moved_by.shares(context.candidates("before")), wanted=moved_by.shares(_wanted(context)))
        problems += job_problems(_jobs(context), environment=context.plan["environment"])
        if look == LOOKS or all(problem.code != ProblemCode.UNREACHABLE for problem in problems):
            break
        context.pause(PAUSE_SECONDS)
    return problems


def _in_words(findings: list[FindingDraft]) -> str:
    return "".join(f" {finding.in_words}." for finding in findings)


def _probe_findings(context: StepContext) -> list[FindingDraft]:
    """Probes that could not be asked. What a rollback in production is verified by must not keep it from being rolled back."""
    if "checks" not in context.plan or all(step["action"] != ACTION for step in context.plan["steps"]):
        return []
    return path_checks.check_probes(parse_checks(context.plan["checks"]))


def _wanted(context: StepContext) -> list[CandidateSpec]:
    """What the procedure will bring the system to in the end: rolled back, or (roll-forward) its last stage."""
    stages = sorted(key for key in context.plan if key.startswith("weights_forward_"))
    return context.candidates(stages[-1].removeprefix("weights_") if stages else "rolled_back")


def _jobs(context: StepContext) -> list[JobLook]:
    steps = [step for step in context.plan["steps"] if step["action"] == "run_job" and not step.get("undo")]
    wanted = {(params.job, params.connection): None for params in (parse_params(action=step["action"], params=step["params"]) for step in steps)}
    return [JobLook(job, connection, context.job_runner(connection)) for job, connection in wanted]


def _policy_findings(context: StepContext) -> list[FindingDraft]:
    number = RoutingPolicy.objects.values_list("revision_number", flat=True).get(pk=context.execution.policy_id)
    return path_checks.check_revision(alias=context.plan["alias"], expected=context.expected_revision(), found=number)


def _target_findings(context: StepContext) -> list[FindingDraft]:
    versions = Version.objects.filter(artefact__slug=context.plan["artefact"], label__in=context.good_versions)
    return path_checks.check_targets(labels=context.good_versions, lifecycles=dict(versions.values_list("label", "lifecycle")))


def _gateway_findings(context: StepContext) -> list[FindingDraft]:
    connector = context.connector("envoy")
    if not isinstance(connector, EnvoyConnector):
        return [path_checks.no_gateways(environment=context.plan["environment"])]
    alias = context.plan["alias"]
    expected = {entry["id"]: entry["weight"] for entry in context.plan["weights_before"]}
    # A roll-forward goes back to nothing.
    targets = [CandidateSpec.from_dict(entry) for entry in context.plan.get("weights_rolled_back", ()) if entry["weight"] > 0]
    findings: list[FindingDraft] = []
    nodes = connector.list_nodes()
    routes: dict[str, object] = {}
    for node_id in nodes:
        try:
            served = connector.read_routes(node_id=node_id)
            members = connector.read_members(node_id=node_id, clusters=[target.candidate_id for target in targets])
        except RollbackHubError as error:
            routes[node_id] = describe(error)
            findings.append(path_checks.gateway_failed(node_id=node_id, error=error))
            continue
        routes[node_id] = served.weights.get(alias)
        findings += path_checks.check_routes(node_id=node_id, alias=alias, expected=expected, served=served)
        findings += path_checks.check_clusters(node_id=node_id, targets=targets, members=members)
    context.keep_sample(kind="routes", source="envoy config_dump", value=routes)
    gateways = list_live_gateways(environment_id=context.execution.environment_id)
    findings += path_checks.check_refusals(gateways)
    findings += path_checks.check_observed(gateways=gateways, nodes=nodes)
    # Whoever is named already needs no second finding for not asking.
    unnamed = [node_id for node_id in nodes if not any(finding.subject.split(" and ")[0] == f"gateway {node_id}" for finding in findings)]
    return findings + path_checks.check_asking(gateways=gateways, nodes=unnamed)
