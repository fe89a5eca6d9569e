"""Incidents and their rollbacks."""

from __future__ import annotations

import datetime as dt
from typing import Any

import factory
from factory.django import DjangoModelFactory

from incidents.enums import How, IncidentState
from incidents.models import Incident, IncidentRollback
from incidents.rules import CHANGES_NO_MORE
from rollbackhub.common.clock import now
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.registry import EnvironmentFactory
from tests.factories.rollbacks import RollbackFactory


class IncidentFactory(DjangoModelFactory):
    """An open incident in production. Traits: `stable`, `closed`; `aliases=[policy]` names whom it hurts."""

    class Meta:
        model = Incident
        skip_postgeneration_save = True

    class Params:
        stable = factory.Trait(state=IncidentState.STABLE, stable_at=factory.LazyFunction(now))
        closed = factory.Trait(state=IncidentState.CLOSED, stable_at=factory.LazyFunction(now), closed_at=factory.LazyFunction(now))

    title = factory.Sequence("smart-reasoner in production: degraded feedback ({})".format)
    environment = factory.SubFactory(EnvironmentFactory, slug="production")
    opened_at = factory.LazyFunction(lambda: now() - dt.timedelta(minutes=5))

    @factory.post_generation
    def aliases(self: Incident, create: bool, extracted: list[RoutingPolicy] | None, **kwargs: Any) -> None:
        """Whom it hurts."""
        self.aliases.set(extracted or [])


class IncidentRollbackFactory(DjangoModelFactory):
    """A rollback that opened its incident and was followed up to now."""

    class Meta:
        model = IncidentRollback

    rollback = factory.SubFactory(RollbackFactory)
    incident = factory.LazyAttribute(
        lambda link: IncidentFactory(environment=link.rollback.environment, aliases=[part.policy for part in link.rollback.parts.select_related("policy")])
    )
    how = How.OPENED
    followed_number = factory.SelfAttribute("rollback.number")
    followed_state = factory.SelfAttribute("rollback.state")
    changes_no_more = factory.LazyAttribute(lambda link: link.rollback.state in CHANGES_NO_MORE)
