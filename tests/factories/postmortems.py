"""Postmortems in every state, with what belongs to them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import factory
from factory.django import DjangoModelFactory

from incidents.enums import Severity
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.actions.enums import ActionKind, ActionOrigin
from rollbackhub.common.clock import now
from rollbackhub.postmortems.domain.facts import facts_of, list_rollbacks_with_parts, timeline_of
from rollbackhub.postmortems.enums import FactorAnswerValue, PostmortemState, ReviewVerdict, SectionKey
from rollbackhub.postmortems.models import (
    Cause,
    DueRule,
    FactorAnswer,
    FactorQuestion,
    Postmortem,
    PostmortemAction,
    Reviewer,
    Section,
    TextRevision,
)
from tests.factories.accounts import TeamFactory, UserFactory
from tests.factories.actions import ActionFactory
from tests.factories.incidents import IncidentFactory


class DueRuleFactory(DjangoModelFactory):
    """A rule; the migration has seeded one for each severity already."""

    class Meta:
        model = DueRule
        django_get_or_create = ["severity"]

    severity = Severity.SEV1
    working_days = 5


class CauseFactory(DjangoModelFactory):
    """A cause that somebody added."""

    class Meta:
        model = Cause

    slug = factory.Sequence("own-cause-{}".format)
    name = factory.Sequence("Own cause {}".format)
    is_own = True


class FactorQuestionFactory(DjangoModelFactory):
    """One more question."""

    class Meta:
        model = FactorQuestion

    key = factory.Sequence("question-{}".format)
    text = factory.Sequence("Did number {} contribute?".format)
    position = 900


class PostmortemFactory(DjangoModelFactory):
    """A draft with all its sections, complete (`empty=True`: nothing is written). Two questions of the checklist are answered."""

    class Meta:
        model = Postmortem
        skip_postgeneration_save = True

    incident = factory.SubFactory(IncidentFactory, stable=True)
    team = factory.SubFactory(TeamFactory, slug="platform")
    owner = factory.SubFactory(UserFactory, roles=[Role.ON_CALL])
    due_on = factory.LazyFunction(lambda: now().date() + dt.timedelta(days=5))
    created_by_label = "postmortems"

    @factory.post_generation
    def empty(self: Postmortem, create: bool, extracted: bool | None, **kwargs: Any) -> None:
        """Sections and checklist."""
        for key in SectionKey:
            SectionFactory(postmortem=self, key=key, **({"text": "", "number": 0, "by_label": "", "changed_at": None} if extracted else {}))
        for question in FactorQuestion.objects.filter(is_active=True)[:2]:
            FactorAnswerFactory(postmortem=self, question=question, **({"answer": "", "words": ""} if extracted else {}))


class SectionFactory(DjangoModelFactory):
    """A written section."""

    class Meta:
        model = Section
        django_get_or_create = ["postmortem", "key"]

    postmortem = factory.LazyFunction(lambda: Postmortem.objects.create(incident=IncidentFactory(stable=True), due_on=now().date(), created_by_label="test"))
    key = SectionKey.SUMMARY
    text = factory.LazyAttribute(lambda section: f"What there is to say about {SectionKey(section.key).label.lower()}.")
    number = 1
    by_label = "Olga Call"
    changed_at = factory.LazyFunction(now)


class FactorAnswerFactory(DjangoModelFactory):
    """An answer."""

    class Meta:
        model = FactorAnswer

    postmortem = factory.LazyFunction(lambda: Postmortem.objects.create(incident=IncidentFactory(stable=True), due_on=now().date(), created_by_label="test"))
    question = factory.SubFactory(FactorQuestionFactory)
    answer = FactorAnswerValue.NO
    words = "We looked."
    by_label = "Olga Call"
    changed_at = factory.LazyFunction(now)


class TextRevisionFactory(DjangoModelFactory):
    """A text that was saved."""

    class Meta:
        model = TextRevision

    postmortem = factory.SubFactory(PostmortemFactory)
    key = SectionKey.SUMMARY
    number = 1
    text = "What there is to say about summary."
    by_label = "Olga Call"
    saved_at = factory.LazyFunction(now)


class ReviewerFactory(DjangoModelFactory):
    """Somebody who was asked. Traits: `approved`, `changes`."""

    class Meta:
        model = Reviewer

    class Params:
        said = factory.Trait(decided_at=factory.LazyFunction(now), text_number=factory.SelfAttribute("postmortem.text_number"))
        approved = factory.Trait(said=True, verdict=ReviewVerdict.APPROVED)
        changes = factory.Trait(said=True, verdict=ReviewVerdict.CHANGES, note="The root cause is only the trigger.")

    postmortem = factory.SubFactory(PostmortemFactory)
    user = factory.SubFactory(UserFactory, roles=[Role.PLATFORM_LEAD])
    asked_by_label = "Olga Call"


class PostmortemActionFactory(DjangoModelFactory):
    """An open action out of a postmortem."""

    class Meta:
        model = PostmortemAction

    postmortem = factory.SubFactory(PostmortemFactory)
    action = factory.LazyAttribute(lambda link: make_action(link.postmortem))


def make_action(postmortem: Postmortem, **values: Any) -> Any:
    """An action as a postmortem gives it."""
    origin = {"origin": ActionOrigin.POSTMORTEM, "origin_label": "Postmortem", "origin_url": f"/postmortems/{postmortem.pk}/"}
    team = postmortem.team or TeamFactory(slug="platform")
    return ActionFactory(**{"team": team, "kind": ActionKind.PREVENT, **origin, **values})


def make_postmortem(state: PostmortemState = PostmortemState.DRAFT, *, approved_by: User | None = None, **values: Any) -> Postmortem:
    """A complete postmortem in a state, as the domain leaves it there: in review it is sent by its owner, and approved from there on."""
    postmortem: Postmortem = PostmortemFactory(**values)
    if state != PostmortemState.DRAFT:
        postmortem.sent_by, postmortem.sent_at = postmortem.owner, now()
        ReviewerFactory(postmortem=postmortem, approved=True, **({"user": approved_by} if approved_by else {}))
    if state in (PostmortemState.PUBLISHED, PostmortemState.CLOSED):
        rollbacks = list_rollbacks_with_parts(postmortem.incident)
        postmortem.frozen_facts, postmortem.frozen_timeline = facts_of(postmortem.incident, rollbacks), timeline_of(postmortem.incident)
        postmortem.published_at, postmortem.published_by_label = now(), "Olga Call"
    if state == PostmortemState.CLOSED:
        postmortem.closed_at, postmortem.closed_by_label = now(), "Olga Call"
    postmortem.state = state
    postmortem.save()
    return postmortem
