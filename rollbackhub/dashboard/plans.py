"""Plans and policies as YAML for people."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from ruamel.yaml import YAML

from rollbackhub.routing.domain.yaml_io import dump_policies
from rollbackhub.routing.models import Candidate
from rollbackhub.routing.rules import CandidateSpec


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
