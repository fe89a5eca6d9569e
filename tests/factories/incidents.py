"""Incidents and their rollbacks."""

from __future__ import annotations

import datetime as dt
from typing import Any

import factory
from factory.django import DjangoModelFactory

from incidents.enums import How, IncidentState, Matter
from incidents.models import Incident, IncidentCorrection, IncidentNote, IncidentNoteText, IncidentRollback
from incidents.rules import CHANGES_NO_MORE
from rollbackhub.accounts.domain.actors import name_of
from rollbackhub.common.clock import now
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.accounts import UserFactory
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


class IncidentNoteFactory(DjangoModelFactory):
    """A note with its first text. Traits: `withdrawn`."""

    class Meta:
        model = IncidentNote
        skip_postgeneration_save = True

    class Params:
        withdrawn = factory.Trait(withdrawn_at=factory.LazyFunction(now), withdrawn_by_label="Lee Lead", withdrawn_reason="It was another alias.")

    incident = factory.SubFactory(IncidentFactory)
    about_at = factory.LazyFunction(lambda: now() - dt.timedelta(minutes=2))
    written_at = factory.LazyFunction(now)
    text = "The support queue **doubled**."
    author = factory.SubFactory(UserFactory)
    author_label = factory.LazyAttribute(lambda note: name_of(note.author))

    @factory.post_generation
    def texts(self: IncidentNote, create: bool, extracted: None, **kwargs: Any) -> None:
        """The first is the present one."""
        IncidentNoteTextFactory(note=self, number=self.number, text=self.text, about_at=self.about_at, by_label=self.author_label)


class IncidentNoteTextFactory(DjangoModelFactory):
    """A text that a note had."""

    class Meta:
        model = IncidentNoteText

    note = factory.SubFactory(IncidentNoteFactory)
    number = factory.Sequence(lambda number: number + 2)
    about_at = factory.LazyFunction(now)
    text = "Another text."
    by_label = "Lee Lead"
    written_at = factory.LazyFunction(now)


class IncidentCorrectionFactory(DjangoModelFactory):
    """What users saw, as a person says."""

    class Meta:
        model = IncidentCorrection

    incident = factory.SubFactory(IncidentFactory)
    matter = Matter.IMPACT
    value = factory.LazyFunction(lambda: {"impact": "Answers were empty."})
    before = factory.LazyFunction(lambda: {"impact": ""})
    reason = "The support queue."
    made_by = factory.SubFactory(UserFactory)
    made_by_label = factory.LazyAttribute(lambda correction: correction.made_by.username)
    made_at = factory.LazyFunction(now)
