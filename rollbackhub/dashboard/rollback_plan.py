"""What the page of a rollback says before anything happens: which aliases its address names, and each one's plan in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from rollbackhub.common.durations import in_words
from rollbackhub.common.errors import NotFound
from rollbackhub.dashboard.plans import weights_yaml
from rollbackhub.executions.actions import parse_params
from rollbackhub.executions.domain.proof import Proof
from rollbackhub.executions.enums import Segment
from rollbackhub.registry.models import Version
from rollbackhub.rollbacks.domain.coordination import Coordination, coordinate, get_coordinated
from rollbackhub.rollbacks.domain.proposal import ProposedPart, Target, proofs_for, targets_of
from rollbackhub.rollbacks.models import CoordinatedProcedure, Rollback, RollbackPart
from rollbackhub.routing.domain.selectors import get_present_revisions
from rollbackhub.routing.models import RoutingPolicy

OBSERVED = (Segment.PROPAGATE, Segment.DRAIN, Segment.VERIFY)
MOVES = {
    "envoy": "its gateways take the new weights; their counters show the traffic",
    "mlflow": "the alias is moved back there and read again; what its clients still keep is waited out",
    "haproxy": "its servers take the new weights; its own counters show the traffic",
    "git": "a new commit brings the content back; what uses it says which version runs",
    "delta": "the table is restored to what it was, and read again",
    "deploy": "it is told to deploy the version back, and asked until that runs",
}
"""What a rollback does with the connection that moves the alias, by its connector."""
METRICS = "read for feedback and latency"
READS_METRICS = ("verify", "await_traffic")
"""The actions that ask the metrics endpoint."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What an address asks for: aliases in their order, for each the bad version if one is named, and whether it is declared strategic."""

    environment: str
    policies: list[RoutingPolicy]
    served: dict[str, list[Version]]
    """Of each alias: the versions that have weight now."""
    bad: dict[str, Version]
    strategic: bool
    coordination: Coordination | None = None
    """What the coordinated procedure says that the address names."""

    @property
    def targets(self) -> list[Target]:
        """As the domain takes them."""
        return [Target(policy=policy, bad_version=self.bad.get(policy.alias)) for policy in self.policies]

    @property
    def aliases(self) -> list[str]:
        """Their names, in order."""
        return [policy.alias for policy in self.policies]

    def address(self, *, aliases: Sequence[str] | None = None) -> str:
        """The address of this choice, or of the same with other aliases or another order."""
        names = list(self.aliases if aliases is None else aliases)
        query: list[tuple[str, str]] = [("alias", name) for name in names]
        query += [(f"bad_version.{name}", self.bad[name].label) for name in names if name in self.bad]
        if self.coordination is not None:
            query.append(("coordinated", self.coordination.slug))
        if self.strategic:
            query.append(("strategic", "1"))
        return f"{reverse('rollbacks:start', args=[self.environment])}?{urlencode(query)}"


def read_choice(request: HttpRequest, *, environment: str) -> Choice:
    """The choice that the address names: aliases, or a coordinated procedure, all of it or those of its aliases that are named beside it.

    An alias that serves one version alone has that named, unless another was rolled back before it: who asks twice does not mean the good one.
    Raises NotFound (an alias, a version or a procedure that is not there), InvalidInput (not in the procedure, or in another order).
    Four queries for any number, two more with a coordinated procedure, six when an alias serves one version alone.
    """
    names = list(dict.fromkeys(request.GET.getlist("alias")))
    procedure = _coordinated(request.GET.get("coordinated", ""), environment=environment)
    if procedure is not None and not names:
        names = [step.policy.alias for step in procedure.steps.all()]
    # PostgreSQL takes no NUL, so no alias has one.
    known = [name for name in names if "\x00" not in name]
    found = {
        policy.alias: policy
        for policy in RoutingPolicy.objects.select_related("environment", "artefact", "artefact__team").filter(environment__slug=environment, alias__in=known)
    }
    missing = [name for name in names if name not in found]
    if missing:
        raise NotFound(f"There is no alias {', '.join(missing)[:200]} in {environment}.", code="policy_not_found")
    policies = [found[name] for name in names]
    served = served_versions(policies)
    bad: dict[str, Version] = {}
    for name in names:
        label = request.GET.get(f"bad_version.{name}", "")
        if not label:
            continue
        version = next((version for version in served[name] if version.label == label), None)
        if version is None:
            raise NotFound(f"{name} does not serve a version {label[:120]} now.", code="version_not_in_policy")
        bad[name] = version
    alone = [found[name] for name in names if name not in bad and len(served[name]) == 1]
    for target in targets_of(alone) if alone else ():
        if target.bad_version is not None:
            bad[target.policy.alias] = target.bad_version
    strategic = request.GET.get("strategic", "").lower() in ("1", "on", "true", "yes")
    coordination = coordinate(procedure, policies) if procedure is not None else None
    return Choice(environment=environment, policies=policies, served=served, bad=bad, strategic=strategic, coordination=coordination)


def _coordinated(slug: str, *, environment: str) -> CoordinatedProcedure | None:
    if not slug:
        return None
    found = get_coordinated(slug)
    if found.environment.slug != environment:
        raise NotFound(f"{found.name} is for {found.environment.slug}, not for {environment}.", code="coordinated_not_found")
    return found


def served_versions(policies: list[RoutingPolicy]) -> dict[str, list[Version]]:
    """The versions that have weight now, by alias. Three queries."""
    revisions = get_present_revisions(policies)
    served: dict[str, list[Version]] = {}
    for policy in policies:
        revision = revisions.get(policy.pk)
        candidates = revision.candidates.all() if revision else []
        served[policy.alias] = list({candidate.version.label: candidate.version for candidate in candidates if candidate.weight > 0}.values())
    return served


@dataclass(frozen=True, slots=True)
class PlanPart:
    """One alias of a plan, for `rollbacks/partials/_plan_part.html`. `proposed` is there before the request, None afterwards."""

    content: dict[str, Any]
    proposed: ProposedPart | None = None
    proof: Proof | None = None
    """What is proven about it now: who decides needs that as much as who asks."""

    @property
    def before(self) -> str:
        """The weights now, as YAML."""
        return weights_yaml(self.content["alias"], self.content["weights_before"])

    @property
    def after(self) -> str:
        """The weights afterwards, as YAML."""
        return weights_yaml(self.content["alias"], self.content["weights_rolled_back"])

    @property
    def observed(self) -> list[str]:
        """What will be verified, a sentence a step."""
        return [step_in_words(step) for step in self.content["steps"] if step["segment"] in OBSERVED and not step.get("undo")]

    @property
    def connections(self) -> list[tuple[str, str]]:
        """Each connection that this plan uses, and what is done with it. One that is frozen with it and that no step uses is left out."""
        moved_by = self.content.get("mechanism") or {"connection": "envoy", "connector": "envoy"}
        steps = self.content["steps"]
        found: dict[str, list[str]] = {moved_by["connection"]: [MOVES.get(moved_by["connector"], "it moves the version back, and is read again")]}
        for step in steps:
            if step["action"] == "run_job":
                params = parse_params(action="run_job", params=step.get("params") or {})
                job = f"it runs the job {params.job.replace('_', ' ')}, which is followed to its end"
                said = found.setdefault(params.connection, [])
                if job not in said:
                    said.append(job)
        if any(step["action"] in READS_METRICS for step in steps):
            found.setdefault("prometheus", []).append(METRICS)
        return [(name, "; ".join(said)) for name, said in sorted(found.items()) if name in self.content["connections"]]


def plan_parts(rollback: Rollback, *, proofs: Mapping[int, Proof]) -> list[PlanPart]:
    """The frozen plans of a request, in order. Its parts must be fetched, or it costs a query."""
    parts: list[RollbackPart] = sorted(rollback.parts.all(), key=lambda part: part.position)
    return [PlanPart(part.plan, proof=proofs.get(part.policy_id)) for part in parts]


def proofs_of_requests(parts: Iterable[RollbackPart]) -> dict[int, Proof]:
    """What is proven now about what the parts of waiting requests would do, by the policy's id. A fixed number of queries; none without a part.

    An alias stands in one request at a time.
    """
    bad = {part.policy_id: part.bad_version_id for part in parts}
    if not bad:
        return {}
    versions = Version.objects.in_bulk(bad.values())
    policies = RoutingPolicy.objects.filter(pk__in=bad).select_related("environment", "artefact")
    return proofs_for({policy: versions[bad[policy.pk]] for policy in policies})


def step_in_words(step: dict[str, Any]) -> str:
    """`Gateways acknowledge: within 30 s`, `Verify traffic: 2 looks in a row must pass, within 60 s`."""
    params = parse_params(action=step["action"], params=step.get("params") or {})
    details = []
    consecutive, window, limit = (getattr(params, name, None) for name in ("consecutive", "window_seconds", "limit_seconds"))
    if consecutive:
        details.append(f"{consecutive} looks in a row must pass" if consecutive > 1 else "one look must pass")
    if window:
        details.append(f"over at least {in_words(window)}")
    if limit:
        details.append(f"within {in_words(limit)}")
    return f"{step.get('title') or step['key']}: {', '.join(details)}." if details else f"{step.get('title') or step['key']}."
