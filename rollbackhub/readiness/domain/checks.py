"""The continuous preflight's checks: what was read against what the policies say. They read nothing and change nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from rollbackhub.executions.domain import path_checks
from rollbackhub.executions.domain.mechanisms import to_finding
from rollbackhub.executions.domain.path import PathNow
from rollbackhub.executions.enums import FindingCode
from rollbackhub.executions.findings import FindingDraft
from rollbackhub.readiness.domain.looking import Seen
from rollbackhub.routing.models import Gateway
from rollbackhub.routing.rules import CandidateSpec
from rollbackhub.verification.specs import parse_checks


class Check(StrEnum):
    """The names of the checks. Only the check that found something closes it."""

    CONNECTION = "connection"
    GATEWAYS = "gateways"
    ROUTES = "gateway_routes"
    CLUSTERS = "clusters"
    TARGETS = "targets"
    METRICS = "metrics"
    MECHANISM = "mechanism"
    RUNBOOK = "runbook"
    PROBES = "probes"


OF_FLIPS = (Check.ROUTES, Check.MECHANISM)
"""What is seen in the middle of a flip is right the next moment."""

OF_GATEWAYS = (Check.GATEWAYS, Check.ROUTES, Check.CLUSTERS)
NODE = re.compile(r"gateway (.+?)( and (?:its routes|its revision|the hub))?$")

LONGEST_SUBJECT = 200

Key = tuple[str, int | None, str, str]
"""Check, policy (None: the whole environment), code, subject: what makes two sightings one finding."""


@dataclass(frozen=True, slots=True)
class Found:
    """A finding of one check about one policy, or about the whole environment (None)."""

    check: Check
    policy_id: int | None
    draft: FindingDraft

    @property
    def key(self) -> Key:
        """What makes it the same finding the next time."""
        return (self.check, self.policy_id, self.draft.code, self.draft.subject)


@dataclass(slots=True)
class State:
    """What the hub says: the policies with their paths, the gateways that asked lately, the environment's routing state."""

    environment: str
    paths: Mapping[int, PathNow]
    gateways: Sequence[Gateway]
    number: int

    @property
    def revisions(self) -> dict[int, int]:
        """The revision at which each policy stands."""
        return {policy_id: path.policy.revision_number for policy_id, path in self.paths.items()}

    @property
    def by_gateways(self) -> dict[int, PathNow]:
        """Paths whose aliases gateways take from the hub."""
        return {policy_id: path for policy_id, path in self.paths.items() if path.policy.connection_id is None}

    @property
    def verified(self) -> list[PathNow]:
        """Paths whose procedure verifies by metrics."""
        return [path for path in self.paths.values() if path.procedure and any(step["action"] == "verify" for step in path.procedure.steps)]


@dataclass(slots=True)
class Outcome:
    """What the checks found, and what they could not look at."""

    found: dict[Key, Found] = field(default_factory=dict)
    unsure: set[Key] = field(default_factory=set)
    """Seen once, or while the policy was being flipped: neither opened nor closed."""
    not_run: set[Check] = field(default_factory=set)
    blind: set[str] = field(default_factory=set)
    """Gateways that could not be read."""
    metrics_late: bool = False
    """Nobody knows whether the metrics endpoint answers."""
    late_policies: set[int] = field(default_factory=set)
    """Aliases whose mechanism was not read in time."""
    skipped: list[str] = field(default_factory=list)
    """What was not looked at, in words."""

    def add(self, check: Check, policy_id: int | None, drafts: Sequence[FindingDraft]) -> None:
        """Keep findings of a check."""
        for draft in drafts:
            found = Found(check, policy_id, replace(draft, subject=draft.subject[:LONGEST_SUBJECT]))
            self.found[found.key] = found

    def may_close(self, key: Key) -> bool:
        """Whether the check that would find this again did look, and did not find it."""
        check, policy_id, _, subject = key
        if key in self.found or key in self.unsure:
            return False
        if check == Check.METRICS and policy_id is None:
            # Whether the endpoint can be read is seen each time; only what it says about the aliases is not.
            return not self.metrics_late
        if check in self.not_run or (check == Check.MECHANISM and policy_id in self.late_policies):
            return False
        node = NODE.search(subject) if check in OF_GATEWAYS else None
        if node is None or node[1] not in self.blind:
            return True
        # What gateways told the hub is known even while they cannot be read. That one asks no more is not said twice of one that is down.
        return check == Check.GATEWAYS and node[2] in (" and its routes", " and its revision")


def target_candidates(path: PathNow) -> list[CandidateSpec]:
    """What would serve after the rollback."""
    return [candidate for candidate in path.rolled_back if candidate.weight > 0]


def after_rollback(path: PathNow) -> list[CandidateSpec]:
    """The candidates as a rollback would leave them; as they are when there is nothing to go back to."""
    return path.rolled_back or path.candidates


def run_checks(state: State, seen: Seen) -> Outcome:
    """Every check, over all aliases of the environment."""
    outcome = Outcome()
    _check_gateways(state, seen, outcome)
    _check_metrics(state, seen, outcome)
    _check_mechanisms(state, seen, outcome)
    for policy_id, path in state.paths.items():
        labels = [version.label for version in path.targets]
        lifecycles = {version.label: version.lifecycle for version in path.targets}
        outcome.add(Check.TARGETS, policy_id, path_checks.check_targets(labels=labels, lifecycles=lifecycles))
        outcome.add(Check.RUNBOOK, policy_id, _check_runbook(path))
    for path in state.verified:
        if path.policy.artefact.checks is not None:
            outcome.add(Check.PROBES, path.policy.pk, path_checks.check_probes(parse_checks(path.policy.artefact.checks)))
    return outcome


def _check_gateways(state: State, seen: Seen, outcome: Outcome) -> None:
    if not state.by_gateways:
        return
    if seen.no_envoy:
        outcome.add(Check.CONNECTION, None, [path_checks.no_gateways(environment=state.environment, problem=seen.no_envoy)])
        outcome.not_run |= set(OF_GATEWAYS)
        outcome.skipped.append(f"Gateways, their routes and clusters: no envoy connection ({seen.no_envoy}).")
        return
    outcome.blind = {*seen.failed, *seen.late}
    outcome.skipped += [f"Routes and clusters of gateway {node_id}: {error.message}" for node_id, error in seen.failed.items()]
    outcome.skipped += [f"Gateway {node_id}: the run's time was over before it was read." for node_id in seen.late]
    outcome.add(Check.GATEWAYS, None, [path_checks.gateway_failed(node_id=node_id, error=error) for node_id, error in seen.failed.items()])
    outcome.add(Check.GATEWAYS, None, path_checks.check_refusals(state.gateways))
    outcome.add(Check.GATEWAYS, None, path_checks.check_observed(gateways=state.gateways, nodes=seen.nodes))
    outcome.add(Check.GATEWAYS, None, path_checks.check_asking(gateways=state.gateways, nodes=sorted(seen.routes)))
    outcome.add(Check.GATEWAYS, None, path_checks.check_current(gateways=state.gateways, number=state.number))
    for policy_id, path in state.by_gateways.items():
        if not path.candidates:
            continue
        expected = {candidate.candidate_id: candidate.weight for candidate in path.candidates}
        targets = target_candidates(path)
        for node_id, served in seen.routes.items():
            outcome.add(Check.ROUTES, policy_id, path_checks.check_routes(node_id=node_id, alias=path.policy.alias, expected=expected, served=served))
            outcome.add(Check.CLUSTERS, policy_id, path_checks.check_clusters(node_id=node_id, targets=targets, members=seen.members[node_id]))


def _check_mechanisms(state: State, seen: Seen, outcome: Outcome) -> None:
    """What the systems that serve by themselves say of the aliases that the hub moves there."""
    for policy_id, problems in seen.mechanisms.items():
        outcome.add(Check.MECHANISM, policy_id, [to_finding(problem) for problem in problems])
    outcome.late_policies = set(seen.mechanisms_late)
    outcome.skipped += [
        f"{state.paths[policy_id].policy.alias}: the run's time was over before what moves it was read." for policy_id in sorted(outcome.late_policies)
    ]


def _check_metrics(state: State, seen: Seen, outcome: Outcome) -> None:
    """Without a metrics connection nothing is found here: readiness says itself that nothing would be verified."""
    if seen.metrics_late:
        outcome.metrics_late = True
        outcome.not_run.add(Check.METRICS)
        outcome.skipped.append("Metrics: the run's time was over before they were read.")
        return
    if seen.metrics_failed is not None:
        if state.verified:
            outcome.add(Check.METRICS, None, [path_checks.metrics_failed(seen.metrics_failed)])
        outcome.not_run.add(Check.METRICS)
        outcome.skipped.append(f"Metrics of each alias: {seen.metrics_failed.message}")
        return
    for path in state.verified:
        missing = seen.metrics_missing.get(path.policy.alias)
        if missing:
            outcome.add(Check.METRICS, path.policy.pk, [path_checks.metrics_missing(f"no {', '.join(missing)} for {path.policy.alias} in {state.environment}")])


def _check_runbook(path: PathNow) -> list[FindingDraft]:
    procedure = path.procedure.procedure if path.procedure else None
    if procedure is None or not procedure.runbook_url or not procedure.runbook_problem:
        return []
    return [
        FindingDraft(
            FindingCode.DOCS_STALE,
            f"runbook of {procedure.name}",
            f"a page at {procedure.runbook_url}",
            procedure.runbook_problem,
            "Bring the runbook back, or have an administrator mend its address.",
        )
    ]


def confirmed(first: Outcome, second: Outcome, *, flipped: set[int]) -> Outcome:
    """What both looks found. The rest of either is unsure: a gateway in the middle of a flip is no finding.

    `flipped`: policies that were changed during the second look. A system that does not answer need not say so in the same words twice.
    """
    result = Outcome(not_run=second.not_run, blind=second.blind, metrics_late=second.metrics_late, late_policies=second.late_policies, skipped=second.skipped)
    for key, found in second.found.items():
        before = first.found.get(key)
        same = before is not None and (before.draft == found.draft or found.draft.code in (FindingCode.UNREACHABLE, FindingCode.PERMISSION_MISSING))
        if same and not (found.check in OF_FLIPS and found.policy_id in flipped):
            result.found[key] = found
        else:
            result.unsure.add(key)
    result.unsure |= {key for key, found in first.found.items() if found.check in OF_FLIPS and found.policy_id in flipped and key not in result.found}
    return result
