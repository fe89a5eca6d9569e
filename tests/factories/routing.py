"""Policies with their revisions, and gateways."""

from __future__ import annotations

from typing import Any

import factory
from django.db import transaction
from factory.django import DjangoModelFactory

from rollbackhub.routing.models import Candidate, Delivery, Gateway, PolicyRevision, RoutingPolicy, RoutingState
from tests.factories.registry import ArtefactFactory, EnvironmentFactory, VersionFactory

BAD, GOOD = "claude-sonnet-4-6", "claude-sonnet-4-5"
WEIGHTS: dict[str, int] = {BAD: 25, GOOD: 75}
"""The chapter's policy: version label to weight."""


def candidate_id(label: str) -> str:
    """The candidate that serves this version."""
    return f"anthropic:{label}:ap-south-1"


class RoutingStateFactory(DjangoModelFactory):
    """An environment's routing state."""

    class Meta:
        model = RoutingState
        django_get_or_create = ["environment"]

    environment = factory.SubFactory(EnvironmentFactory)
    number = 1


class PolicyRevisionFactory(DjangoModelFactory):
    """A revision; its policy then stands at it. `weights` maps version labels to weights (the chapter's two when not given)."""

    class Meta:
        model = PolicyRevision
        skip_postgeneration_save = True

    # Declared as a string, because the policy's factory makes a first revision by this one.
    policy = factory.SubFactory("tests.factories.routing.RoutingPolicyFactory", revision=False)
    number = factory.LazyAttribute(lambda revision: revision.policy.revision_number + 1)
    routing_number = factory.LazyAttribute(lambda revision: revision.number)
    reason = "for a test"
    actor_label = "test"

    @classmethod
    def _generate(cls, strategy: Any, params: Any) -> Any:
        # The weights are summed when the transaction commits, so the candidates belong to it.
        with transaction.atomic():
            return super()._generate(strategy, params)

    @factory.post_generation
    def weights(self: PolicyRevision, create: bool, extracted: dict[str, int] | None, **kwargs: Any) -> None:
        """The candidates."""
        for position, (label, weight) in enumerate((extracted or WEIGHTS).items()):
            version = VersionFactory(artefact=self.policy.artefact, label=label)
            CandidateFactory(revision=self, position=position, candidate_id=candidate_id(label), version=version, weight=weight)
        self.policy.revision_number = self.number
        self.policy.save(update_fields=["revision_number"])
        state = RoutingStateFactory(environment=self.policy.environment)
        state.number = max(state.number, self.routing_number)
        state.save(update_fields=["number"])


class CandidateFactory(DjangoModelFactory):
    """One candidate. A revision whose weights do not sum to 100 cannot be committed."""

    class Meta:
        model = Candidate

    revision = factory.SubFactory(PolicyRevisionFactory)
    position = factory.Sequence(lambda number: 100 + number)
    candidate_id = factory.Sequence(lambda number: candidate_id(f"extra-{number}"))
    version = factory.LazyAttribute(lambda candidate: VersionFactory(artefact=candidate.revision.policy.artefact))
    weight = 0


class RoutingPolicyFactory(DjangoModelFactory):
    """An alias in staging, at revision 1 (`revision=False`: without one; `revision={"v1": 100}`: with these weights)."""

    class Meta:
        model = RoutingPolicy
        skip_postgeneration_save = True

    environment = factory.SubFactory(EnvironmentFactory)
    alias = factory.Sequence("alias-{}".format)
    artefact = factory.LazyAttribute(lambda policy: ArtefactFactory(slug=f"{policy.alias}-model"))

    @factory.post_generation
    def revision(self: RoutingPolicy, create: bool, extracted: dict[str, int] | bool | None, **kwargs: Any) -> None:
        """The first revision."""
        if extracted is not False:
            PolicyRevisionFactory(policy=self, weights=extracted if isinstance(extracted, dict) else None)


class DeliveryFactory(DjangoModelFactory):
    """A policy that its mechanism has brought to its system."""

    class Meta:
        model = Delivery

    policy = factory.SubFactory(RoutingPolicyFactory)
    number = factory.LazyAttribute(lambda delivery: delivery.policy.revision_number)


class GatewayFactory(DjangoModelFactory):
    """A gateway that was seen just now."""

    class Meta:
        model = Gateway
        django_get_or_create = ["environment", "node_id"]

    environment = factory.SubFactory(EnvironmentFactory)
    node_id = factory.LazyAttributeSequence(lambda gateway, number: f"{gateway.environment.slug}-gateway-{number}")
    address = "127.0.0.1"
