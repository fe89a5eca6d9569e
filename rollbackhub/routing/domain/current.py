"""What a policy says at present."""

from __future__ import annotations

from rollbackhub.routing.models import Candidate, PolicyRevision, RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec


def get_candidates(*, policy: RoutingPolicy, number: int | None = None) -> list[CandidateSpec]:
    """The candidates of a revision (the present one by default), in their order. One query."""
    number = policy.revision_number if number is None else number
    rows = (
        Candidate.objects.filter(revision__policy=policy, revision__number=number).order_by("position").values_list("candidate_id", "version__label", "weight")
    )
    return [CandidateSpec(*row) for row in rows]


def get_revision(*, policy: RoutingPolicy, number: int) -> PolicyRevision:
    """One revision of a policy. Raises PolicyRevision.DoesNotExist."""
    return PolicyRevision.objects.get(policy=policy, number=number)
