"""What a rollback would do, before anything happens: the plans, who must approve, what speaks for it. Reads only."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import principal_of
from rollbackhub.common.errors import InvalidInput
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain.path import paths_of
from rollbackhub.executions.domain.plan import Plan, build_plan
from rollbackhub.executions.domain.proof import Proof, proofs_of
from rollbackhub.executions.enums import ExecutionKind, ExecutionState
from rollbackhub.executions.models import Execution
from rollbackhub.registry.domain.holds import describe_hold, held_among
from rollbackhub.registry.enums import EnvironmentKind
from rollbackhub.registry.models import Version
from rollbackhub.rollbacks.domain.authority import Authority, get_authority, list_approvers, may_start_alone
from rollbackhub.rollbacks.domain.coordination import Coordination
from rollbackhub.rollbacks.rules import MAX_PARTS, plan_hash
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import serves_alone

HISTORY = 20
"""How many earlier runs an expectation is taken from."""


@dataclass(frozen=True, slots=True)
class Target:
    """One alias to roll back. `bad_version` None: the version under test."""

    policy: RoutingPolicy
    bad_version: Version | None = None


@dataclass(frozen=True, slots=True)
class Expectation:
    """How long something took before: median and range in seconds, of `runs` that reached it out of `tried`."""

    runs: int
    tried: int
    median_seconds: float | None
    shortest_seconds: float | None
    longest_seconds: float | None

    @property
    def in_words(self) -> str:
        """`median 1.2 s (0.9 to 2.0 s), 7 of 8 runs passed`."""
        if self.median_seconds is None:
            return "never measured" if not self.tried else f"0 of {self.tried} runs passed"
        noun = "run" if self.tried == 1 else "runs"
        return f"median {self.median_seconds:.1f} s ({self.shortest_seconds:.1f} to {self.longest_seconds:.1f} s), {self.runs} of {self.tried} {noun} passed"


@dataclass(frozen=True, slots=True)
class ProposedPart:
    """One alias of a proposal, with what is known about its path."""

    policy: RoutingPolicy
    plan: Plan
    last_drill: Execution | None
    proof: Proof
    expectation: Expectation
    targets: list[Version] = field(default_factory=list)
    """The versions that serve afterwards."""

    @property
    def proof_in_words(self) -> str:
        """Whether the path was drilled, and whether what was drilled is what would run."""
        return self.proof.in_words

    @property
    def retention_in_words(self) -> str:
        """What keeps the versions to go back to."""
        weights: dict[str, int] = {}
        for entry in self.plan.content["weights_before"]:
            weights[entry["version_pin"]] = weights.get(entry["version_pin"], 0) + entry["weight"]
        return "; ".join(
            f"{version.label} is {version.get_lifecycle_display().lower()}"
            + (
                f" and serves {weights[version.label]} % now: it is kept as long as it serves"
                if weights.get(version.label)
                else ": no date of retirement is known"
            )
            for version in self.targets
        )


@dataclass(frozen=True, slots=True)
class Proposal:
    """A rollback that nobody has asked for yet."""

    parts: list[ProposedPart]
    strategic: bool
    authority: Authority
    alone: bool
    """The account's person may start it at once."""
    approvers: list[User]
    plan_hash: str
    coordination: Coordination | None = None
    """What a coordinated procedure says about it; None: it follows none."""

    @property
    def scope(self) -> str:
        """`single` or `coordinated`."""
        return "coordinated" if len(self.parts) > 1 else "single"

    @property
    def target_seconds(self) -> int | None:
        """The targets of all parts together, in seconds; None when one has none."""
        targets = [part.plan.content["target_seconds"] for part in self.parts]
        return None if None in targets else sum(targets)


def propose_rollback(
    *, targets: Sequence[Target], account: User, strategic: bool = False, going_back: bool = True, coordination: Coordination | None = None
) -> Proposal:
    """What rolling these aliases back, in this order, would mean now for this account.

    `strategic` may be declared; a version that is marked strategic makes it so anyway. `going_back=False` is for a roll-forward, which
    needs no version to go back to. `coordination` is what the coordinated procedure says that it follows.
    Raises InvalidInput (no alias, not production, twice the same, nothing to roll back, `target_held`), NotFound (no procedure).
    """
    _require_targets(targets)
    plans = [build_plan(policy=target.policy, kind=ExecutionKind.ROLLBACK, bad_version=target.bad_version) for target in targets]
    strategic = strategic or any(plan.bad_version.is_strategic for plan in plans)
    authority = get_authority(change_types=[plan.content["change_type"] for plan in plans], parts=len(plans), strategic=strategic)
    drills = _last_drills([target.policy for target in targets])
    proofs = proofs_of({target.policy.pk: plan.path for target, plan in zip(targets, plans, strict=True) if plan.path is not None})
    # Two artefacts may well have versions of the same name: only those that serve afterwards count.
    wanted = {(target.policy.artefact_id, label) for target, plan in zip(targets, plans, strict=True) for label in plan.content["good_versions"]}
    found = Version.objects.filter(artefact__in=[artefact for artefact, _ in wanted], label__in=[label for _, label in wanted])
    versions = [version for version in found if (version.artefact_id, version.label) in wanted]
    if going_back:
        _require_free_targets(versions)
    by_artefact: dict[int, list[Version]] = {}
    for version in versions:
        by_artefact.setdefault(version.artefact_id, []).append(version)
    parts = [
        ProposedPart(
            policy=target.policy,
            plan=plan,
            last_drill=drills.get(target.policy.alias),
            proof=proofs[target.policy.pk],
            expectation=expect_rollback(alias=target.policy.alias),
            targets=[version for version in by_artefact.get(target.policy.artefact_id, []) if version.label in plan.content["good_versions"]],
        )
        for target, plan in zip(targets, plans, strict=True)
    ]
    return Proposal(
        parts=parts,
        strategic=strategic,
        authority=authority,
        alone=may_start_alone(account=account, authority=authority),
        approvers=list_approvers(authority.role, principal=principal_of(account)),
        plan_hash=plan_hash([plan.content for plan in plans], strategic=strategic, coordination=coordination.as_json() if coordination else None),
        coordination=coordination,
    )


def targets_of(policies: Sequence[RoutingPolicy]) -> list[Target]:
    """What a rollback of these aliases takes out when nobody names a version: the version under test. Where one version serves alone that is named,
    unless another was rolled back before it: who asks twice does not mean the good one. A fixed number of queries."""
    found = []
    for path in paths_of(policies).values():
        alone = path.bad is not None and serves_alone(path.candidates, path.bad.label) and not path.taken_out
        found.append(Target(path.policy, path.bad if alone and path.policy.environment.kind == EnvironmentKind.PRODUCTION else None))
    return found


def proofs_for(bad_versions: Mapping[RoutingPolicy, Version]) -> dict[int, Proof]:
    """What is proven about taking these versions out of these aliases as they stand now, by the policy's id. A fixed number of queries."""
    return proofs_of(paths_of(list(bad_versions), bad_versions={policy.pk: version for policy, version in bad_versions.items()}))


def expect_rollback(*, alias: str) -> Expectation:
    """How long rolling this alias back took, in drills and in production. One query."""
    return _expectation(
        Execution.objects.filter(policy__alias=alias, kind__in=(ExecutionKind.DRILL, ExecutionKind.ROLLBACK), state=ExecutionState.FINISHED), "rollback_seconds"
    )


def expect_roll_forward(*, change_type: str) -> Expectation:
    """How long shipping a fix on the fast track took, from its request to its verification, for this change type. One query."""
    return _expectation(Execution.objects.filter(change_type=change_type, kind=ExecutionKind.ROLL_FORWARD, state=ExecutionState.FINISHED), "whole")


def _expectation(executions: Any, measure: str) -> Expectation:
    rows = executions.order_by("-created_at").values_list("verdict", "kind", "rollback_seconds", "created_at", "restored_at", "verified_at")[:HISTORY]
    seconds = []
    for verdict, kind, rollback_seconds, created_at, restored_at, verified_at in rows:
        if verdict != Verdict.PASSED:
            continue
        if measure == "rollback_seconds":
            # What people took to approve is no property of the path: from the moment it was authorised.
            seconds.append((restored_at - created_at).total_seconds() if kind == ExecutionKind.ROLLBACK else rollback_seconds)
        elif verified_at is not None:
            seconds.append((verified_at - created_at).total_seconds())
    return Expectation(
        runs=len(seconds),
        tried=len(rows),
        median_seconds=statistics.median(seconds) if seconds else None,
        shortest_seconds=min(seconds, default=None),
        longest_seconds=max(seconds, default=None),
    )


def _last_drills(policies: Sequence[RoutingPolicy]) -> dict[str, Execution]:
    """The newest finished drill of each alias, in whichever staging environment. One query."""
    drills = (
        Execution.objects.filter(
            policy__alias__in=[policy.alias for policy in policies],
            policy__artefact__in=[policy.artefact_id for policy in policies],
            kind=ExecutionKind.DRILL,
            state=ExecutionState.FINISHED,
        )
        .order_by("policy__alias", "-created_at")
        .distinct("policy__alias")
        .select_related("policy")
    )
    return {drill.policy.alias: drill for drill in drills}


def _require_free_targets(versions: Iterable[Version]) -> None:
    """A version that was rolled back itself is nothing to go back to; better said now than at the flip."""
    held = held_among(versions)
    if held:
        said = " ".join(describe_hold(hold) for hold in held.values())
        raise InvalidInput(
            f"There is nothing to go back to: {said} Name another bad version, add a good one to the policy, or roll forward with a fix.", code="target_held"
        )


def _require_targets(targets: Sequence[Target]) -> None:
    if not targets:
        raise InvalidInput("Name at least one alias to roll back.", code="no_alias", fields={"aliases": ["Name at least one alias."]})
    if len(targets) > MAX_PARTS:
        raise InvalidInput(f"A coordinated rollback has at most {MAX_PARTS} aliases.", code="too_many_aliases", fields={"aliases": ["Too many."]})
    if len({target.policy.pk for target in targets}) < len(targets):
        raise InvalidInput("An alias stands twice in this rollback.", code="alias_twice", fields={"aliases": ["Name each alias once."]})
    if len({target.policy.environment_id for target in targets}) > 1:
        raise InvalidInput("The aliases of one rollback are in one environment.", code="several_environments", fields={"aliases": ["Choose one environment."]})
    for target in targets:
        environment = target.policy.environment
        if environment.kind != EnvironmentKind.PRODUCTION:
            raise InvalidInput(
                f"Rollbacks are for production, and {environment.slug} is {environment.get_kind_display().lower()}. Drill the alias there instead.",
                code="not_production",
                fields={"environment": ["Choose a production environment."]},
            )
        if target.bad_version is not None and target.bad_version.artefact_id != target.policy.artefact_id:
            raise InvalidInput(
                f"{target.bad_version.label} is not a version of {target.policy.artefact.slug}.",
                code="version_not_in_policy",
                fields={"bad_version": ["Choose a version that the alias serves."]},
            )
