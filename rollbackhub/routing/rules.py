"""What a routing policy must be, and the arithmetic of weights. Pure: no database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rollbackhub.common.errors import InvalidInput

MAX_CANDIDATES = 50


@dataclass(frozen=True, slots=True)
class CandidateSpec:
    """One candidate of a policy: `provider:model:region`, the version that it serves, and its share in percent."""

    candidate_id: str
    version_pin: str
    weight: int

    def as_dict(self) -> dict[str, Any]:
        """The shape of the YAML file and of frozen plans: id, version_pin, weight."""
        values = asdict(self)
        return {"id": values.pop("candidate_id"), **values}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CandidateSpec:
        """The reverse of `as_dict`."""
        return cls(candidate_id=values["id"], version_pin=values["version_pin"], weight=values["weight"])


def problems_of(candidates: Sequence[CandidateSpec]) -> list[tuple[int | None, str]]:
    """Everything wrong with these candidates: (index of the candidate or None for all together, sentence). Empty when right."""
    problems: list[tuple[int | None, str]] = []
    if not candidates:
        return [(None, "A policy needs at least one candidate.")]
    if len(candidates) > MAX_CANDIDATES:
        problems.append((None, f"A policy has at most {MAX_CANDIDATES} candidates, these are {len(candidates)}."))
    seen: set[str] = set()
    for index, candidate in enumerate(candidates):
        if candidate.candidate_id in seen:
            problems.append((index, f"The candidate {candidate.candidate_id} stands twice."))
        seen.add(candidate.candidate_id)
        if not candidate.candidate_id or len(candidate.candidate_id) > 160 or any(character.isspace() for character in candidate.candidate_id):
            problems.append((index, "A candidate's id has 1 to 160 characters and no space, e.g. anthropic:claude-sonnet-4-5:ap-south-1."))
        if isinstance(candidate.weight, bool) or not isinstance(candidate.weight, int) or not 0 <= candidate.weight <= 100:
            problems.append((index, f"The weight of {candidate.candidate_id} must be a whole number from 0 to 100, it is {candidate.weight!r}."))
    if not any(index is not None and "weight" in sentence for index, sentence in problems):
        total = sum(candidate.weight for candidate in candidates)
        if total != 100:
            problems.append((None, f"The weights must sum to 100, they sum to {total}."))
    return problems


def require_valid(candidates: Sequence[CandidateSpec]) -> None:
    """Raise InvalidInput, with every problem, unless the candidates make a policy."""
    problems = problems_of(candidates)
    if problems:
        fields: dict[str, list[str]] = {}
        for index, sentence in problems:
            fields.setdefault("candidates" if index is None else f"candidates.{index}", []).append(sentence)
        raise InvalidInput(" ".join(sentence for _, sentence in problems), code="invalid_policy", fields=fields)


def without_version(
    candidates: Sequence[CandidateSpec], version_pin: str, *, served_before: Mapping[str, int] | None = None, unusable: Collection[str] = ()
) -> list[CandidateSpec]:
    """The rolled-back policy: the version at 0, its share given to the others in proportion to what they have.

    Whole percents by the largest-remainder method (Hamilton), ties by position. When the others have nothing, it goes to those that served
    before it (`served_before`: weight by version), in proportion to what they had then; when none of these is left, the first of the others
    takes all. `unusable`: versions that must not serve; one of them takes all only when there is no other, for whoever asks to see and refuse.
    Raises InvalidInput when the version is absent or no other is left.
    """
    if all(candidate.version_pin != version_pin for candidate in candidates):
        raise InvalidInput(f"No candidate of this policy serves {version_pin}, so there is nothing to roll back.", code="version_not_in_policy")
    others = [index for index, candidate in enumerate(candidates) if candidate.version_pin != version_pin]
    if not others:
        raise InvalidInput(
            f"Every candidate serves {version_pin}: there is no other version to go back to. Add the previous version first.", code="no_rollback_target"
        )
    weights = [candidate.weight if index in others else 0 for index, candidate in enumerate(candidates)]
    if not any(weights):
        for label, weight in (served_before or {}).items():
            if label in unusable:
                continue
            first = next((index for index in others if candidates[index].version_pin == label), None)
            if first is not None:
                weights[first] = weight
    if not any(weights):
        weights[next((index for index in others if candidates[index].version_pin not in unusable), others[0])] = 1
    return _with_weights(candidates, dict(enumerate(share_out(weights, total=100))))


def serves_alone(candidates: Sequence[CandidateSpec], version_pin: str) -> bool:
    """Whether no other version has any weight: then only history tells what to go back to."""
    return all(candidate.version_pin == version_pin for candidate in candidates if candidate.weight > 0)


def share_out(weights: Sequence[int], *, total: int) -> list[int]:
    """`total` whole percents in proportion to these weights, by the largest-remainder method (Hamilton), ties by position. Pure.

    What has no weight gets nothing. Raises ValueError when none has any.
    """
    whole = sum(weights)
    if whole == 0:
        raise ValueError("Nothing to share by: every weight is 0.")
    exact = [weight * total / whole for weight in weights]
    shares = [int(value) for value in exact]
    rest = total - sum(shares)
    for index in sorted((index for index, weight in enumerate(weights) if weight), key=lambda index: (shares[index] - exact[index], index))[:rest]:
        shares[index] += 1
    return shares


def with_canary(candidates: Sequence[CandidateSpec], version_pin: str, *, percent: int) -> list[CandidateSpec]:
    """The policy in which the version has at least `percent` of the traffic (as it is, when it already has).

    The first candidate of the version takes the percent, the others share the rest in proportion.
    """
    if sum(candidate.weight for candidate in candidates if candidate.version_pin == version_pin) >= percent:
        return list(candidates)
    rolled_back = without_version(candidates, version_pin)
    first = next(index for index, candidate in enumerate(candidates) if candidate.version_pin == version_pin)
    shares = {index: candidate.weight * (100 - percent) // 100 for index, candidate in enumerate(rolled_back)}
    shares[first] = percent
    largest = max((index for index in shares if index != first), key=lambda index: rolled_back[index].weight)
    shares[largest] += 100 - sum(shares.values())
    return _with_weights(candidates, shares)


def _with_weights(candidates: Sequence[CandidateSpec], weights: dict[int, int]) -> list[CandidateSpec]:
    return [CandidateSpec(candidate.candidate_id, candidate.version_pin, weights[index]) for index, candidate in enumerate(candidates)]


def weights_by_version(candidates: Iterable[CandidateSpec]) -> dict[str, int]:
    """Percent of the traffic that each version should get."""
    weights: dict[str, int] = {}
    for candidate in candidates:
        weights[candidate.version_pin] = weights.get(candidate.version_pin, 0) + candidate.weight
    return weights
