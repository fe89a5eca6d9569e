"""The weights of a release's steps, and the path that production will have once it has begun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rollbackhub.common.errors import InvalidInput
from rollbackhub.connectors.base import connector_type
from rollbackhub.connectors.haproxy.settings import HaproxyTarget
from rollbackhub.connectors.mechanism import Mechanism
from rollbackhub.executions.domain.path import PathNow, describe_path, paths_of
from rollbackhub.executions.fingerprints import fingerprint
from rollbackhub.registry.models import Version
from rollbackhub.releases.models import Release
from rollbackhub.releases.rules import candidate_problem, default_steps
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec, require_valid, share_out, weights_by_version, without_version


def stage_candidates(candidates: Sequence[CandidateSpec], *, candidate_id: str, from_label: str, to_label: str, percent: int) -> list[CandidateSpec]:
    """The policy at a step: the new version with `percent` of the traffic, the others with the rest in proportion to what they have. Pure.

    A candidate of that id without weight is taken over by the new version. What a rollback goes back to always stays, at 0 % in the end.
    Raises InvalidInput (the candidate serves another version, or the way back is not in the policy).
    """
    slots = [candidate for candidate in candidates if candidate.candidate_id == candidate_id and candidate.version_pin != to_label]
    if any(slot.weight > 0 for slot in slots):
        raise InvalidInput(
            f"The candidate {candidate_id} serves {slots[0].version_pin} now. Name another candidate for {to_label}.",
            code="candidate_taken",
            fields={"candidate_id": ["Name another candidate."]},
        )
    kept = [candidate for candidate in candidates if candidate not in slots]
    if all(candidate.version_pin != from_label for candidate in kept):
        raise InvalidInput(f"{from_label} is not in the policy any more: there would be nothing to go back to. Put it in again.", code="no_rollback_target")
    if all(candidate.candidate_id != candidate_id for candidate in kept):
        kept = [CandidateSpec(candidate_id, to_label, 0), *kept]
    weights = [candidate.weight if candidate.version_pin != to_label else 0 for candidate in kept]
    if not any(weights):
        weights = [int(candidate.version_pin == from_label) for candidate in kept]
    shares = share_out(weights, total=100 - percent)
    place = next(index for index, candidate in enumerate(kept) if candidate.candidate_id == candidate_id)
    return [CandidateSpec(candidate.candidate_id, candidate.version_pin, percent if index == place else shares[index]) for index, candidate in enumerate(kept)]


def step_candidates(release: Release, candidates: Sequence[CandidateSpec], *, percent: int) -> list[CandidateSpec]:
    """`stage_candidates` of a release."""
    return stage_candidates(
        candidates, candidate_id=release.candidate_id, from_label=release.from_version.label, to_label=release.to_version.label, percent=percent
    )


def usual_steps(policy: RoutingPolicy) -> list[int]:
    """The canary steps of the alias's change type, in percent; all at once where what moves it serves one version at a time."""
    return default_steps(policy.artefact.change_type) if _is_weighted(policy) else [100]


def require_servable(release: Release, candidates: Sequence[CandidateSpec]) -> None:
    """Refuse now what its policy, or what moves its alias, would refuse at the first weight; every other step has the same shape. Asks no system.

    Raises InvalidInput (`invalid_candidate`, `not_splittable`, `invalid_policy`, and as `step_candidates` does).
    """
    problem = candidate_problem(release.candidate_id)
    policy = release.policy
    if not problem and policy.connection is not None:
        target = _mechanism(policy).parse_target(policy.target)
        if isinstance(target, HaproxyTarget) and release.candidate_id not in target.servers:
            known = ", ".join(sorted(target.servers)[:10])
            problem = f"{policy.connection.key} has no servers of {release.candidate_id} in {target.backend}: it has those of {known}. Name one of these."
    if problem:
        raise InvalidInput(problem, code="invalid_candidate", fields={"candidate_id": [problem]})
    first = release.steps[0]
    if policy.connection is not None and first < 100 and not _is_weighted(policy):
        sentence = f"{policy.connection.key} serves one version at a time: release {release.to_version.label} in one step of 100 %."
        raise InvalidInput(sentence, code="not_splittable", fields={"steps": [sentence]})
    require_valid(step_candidates(release, candidates, percent=first))


def _mechanism(policy: RoutingPolicy) -> type[Mechanism[Any, Any]]:
    assert policy.connection is not None
    kind = connector_type(policy.connection.connector)
    assert issubclass(kind, Mechanism), "an alias is bound to connections that move versions only"
    return kind


def _is_weighted(policy: RoutingPolicy) -> bool:
    """Gateways share traffic between versions; some mechanisms do."""
    return policy.connection is None or _mechanism(policy).weighted


def next_percent(release: Release) -> int | None:
    """The percent of the step that comes next; None when every step is taken."""
    return release.steps[release.next_step] if release.next_step < len(release.steps) else None


def derive_candidate_id(candidates: Sequence[CandidateSpec], *, from_label: str, to_label: str) -> str:
    """The candidate for a new version: the one that pins it already, else like the one of the version before (`provider:model:region`). Pure."""
    for candidate in candidates:
        if candidate.version_pin == to_label:
            return candidate.candidate_id
    parts = next((candidate.candidate_id for candidate in candidates if candidate.version_pin == from_label), "").split(":")
    place = parts.index(from_label) if from_label in parts else 1
    return ":".join([*parts[:place], to_label, *parts[place + 1 :]]).lstrip(":")


def path_after_first_step(release: Release) -> PathNow:
    """The rollback path that production has once the release has begun; the gate asks for proof of exactly this. Raises InvalidInput."""
    policy = release.policy
    now = paths_of([policy])[policy.pk]
    after = step_candidates(release, now.candidates, percent=release.steps[0])
    versions = {version.label: version for version in Version.objects.filter(artefact=policy.artefact, label__in={spec.version_pin for spec in after})}
    # What serves now is what served before the release.
    rolled_back = without_version(after, release.to_version.label, served_before=weights_by_version(now.candidates))
    targets = [versions[label] for label in dict.fromkeys(spec.version_pin for spec in rolled_back if spec.weight > 0)]
    found = PathNow(policy, after, now.procedure, bad=release.to_version, targets=targets, rolled_back=rolled_back)
    if now.procedure is not None:
        found.path = describe_path(policy=policy, candidates=after, targets=targets, procedure=now.procedure)
        found.fingerprint = fingerprint(found.path)
    return found


def rehearsal_candidates(release: Release, candidates: Sequence[CandidateSpec]) -> list[CandidateSpec]:
    """What staging has to hold for a rehearsal: production's candidates with the new version at 0 %; the rehearsal gives it its canary weight."""
    return step_candidates(release, candidates, percent=0)


def served_label(policy: RoutingPolicy, candidates: Sequence[CandidateSpec]) -> str:
    """The version that has most of the traffic. Raises InvalidInput when none has any."""
    weights = weights_by_version(candidates)
    if not weights or not max(weights.values()):
        raise InvalidInput(f"{policy.alias} serves no version now.", code="nothing_served")
    return max(weights, key=lambda label: weights[label])
