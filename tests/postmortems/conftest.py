"""What tests of postmortems share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from incidents.models import Incident
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.postmortems.models import Postmortem
from rollbackhub.registry.models import Version
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.fixtures import Cast, cast
from tests.factories.incidents import IncidentFactory, IncidentRollbackFactory
from tests.rollbacks.conftest import BAD, ask, run, scripted_actions, seed_production

__all__ = ["cast", "scripted_actions"]


@dataclass(frozen=True)
class RolledBack:
    """A real rollback of smart-reasoner in production, its version under hold, in a stable incident."""

    policy: RoutingPolicy
    rollback: Rollback
    incident: Incident

    @property
    def bad(self) -> Version:
        """What was taken out."""
        return Version.objects.get(artefact=self.policy.artefact_id, label=BAD)


@pytest.fixture
def rolled_back(cast: Cast, scripted_actions: None) -> RolledBack:
    """By the engine, with everything that it writes."""
    policy = seed_production("model", alias="smart-reasoner")
    rollback = run(ask(policy, account=cast.on_call))
    incident = IncidentFactory(stable=True, environment=policy.environment, aliases=[policy], decided_by=cast.on_call, decided_at=rollback.decided_at)
    IncidentRollbackFactory(rollback=rollback, incident=incident)
    return RolledBack(policy, rollback, incident)


def who(user: User) -> dict[str, Any]:
    """As the domain takes who acts."""
    return {"account": user, "actor": actor_of(user)}


def events_of(postmortem: Postmortem) -> list[str]:
    """What was recorded about it, in order."""
    return list(AuditEvent.objects.filter(subject_type="postmortem", subject_id=str(postmortem.pk)).order_by("id").values_list("event", flat=True))
