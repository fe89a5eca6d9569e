"""Plans and policies as YAML for people."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from rollbackhub.executions.domain.mechanisms import shares_traffic
from rollbackhub.routing.domain.yaml_io import dump_policies
from rollbackhub.routing.models import Candidate
from rollbackhub.routing.rules import CandidateSpec


@dataclass(frozen=True, slots=True)
class PlanWords:
    """How to speak of what a plan moves: weights that share traffic, or the one version that serves."""

    shares_traffic: bool
    counted_by: str
    """`The gateways`: whose counters show who answered."""
    system: str
    """What a person looks at: `the weights`, `the system (git)`."""

    @property
    def before(self) -> str:
        """What stood before, as it is put back: `the weights as they were`."""
        return "the weights as they were" if self.shares_traffic else "the version that served before"


def words_of(plan: Mapping[str, Any]) -> PlanWords:
    """The words for a plan, by what moves its alias. Raises InvalidInput when it is frozen with a connector that is not there any more."""
    moved_by = plan.get("mechanism")
    if moved_by is None:
        return PlanWords(shares_traffic=True, counted_by="the gateways", system="the weights")
    return PlanWords(shares_traffic=shares_traffic(plan), counted_by=moved_by["connection"], system=f"the system ({moved_by['connection']})")


def plan_yaml(plan: dict[str, Any]) -> str:
    """A frozen plan as YAML, keys in their own order."""
    stream = io.StringIO()
    writer = YAML()
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.width = 4096
    writer.dump(plan, stream)
    return stream.getvalue()


def weights_yaml(alias: str, weights: Iterable[dict[str, Any]]) -> str:
    """The weights of a plan as the policy file that says the same."""
    return dump_policies({alias: [CandidateSpec.from_dict(values) for values in weights]})


def candidates_yaml(alias: str, candidates: Iterable[Candidate]) -> str:
    """The candidates of a revision as the policy file that says the same."""
    return dump_policies({alias: [CandidateSpec(candidate.candidate_id, candidate.version.label, candidate.weight) for candidate in candidates]})
