"""The chapter's policy in staging."""

from __future__ import annotations

import pytest

from rollbackhub.accounts.models import Team
from rollbackhub.audit.actors import Actor, system_actor
from rollbackhub.registry.models import Artefact, Environment, Version
from rollbackhub.routing.domain.transitions import create_policy
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec

BAD = CandidateSpec("anthropic:claude-sonnet-4-6:ap-south-1", "claude-sonnet-4-6", 25)
GOOD = CandidateSpec("anthropic:claude-sonnet-4-5:ap-south-1", "claude-sonnet-4-5", 75)
ACTOR: Actor = system_actor("test")


def seed_policy(*, environment: str = "staging", alias: str = "smart-reasoner") -> RoutingPolicy:
    """An environment with the chapter's policy."""
    team, _ = Team.objects.get_or_create(slug="platform", defaults={"name": "Platform"})
    artefact, _ = Artefact.objects.get_or_create(slug=f"{alias}-model", defaults={"name": alias, "change_type": "model", "team": team})
    for candidate in (GOOD, BAD):
        Version.objects.get_or_create(artefact=artefact, label=candidate.version_pin, defaults={"digest": f"sha256:{candidate.version_pin}"})
    place, _ = Environment.objects.get_or_create(slug=environment, defaults={"name": environment.title(), "kind": environment})
    return create_policy(environment=place, alias=alias, artefact=artefact, candidates=[BAD, GOOD], actor=ACTOR, reason="seed")


@pytest.fixture
def policy(db: None) -> RoutingPolicy:
    """smart-reasoner in staging, at revision 1."""
    return seed_policy()
