"""Releases with their steps and rehearsals."""

from __future__ import annotations

import factory
from factory.django import DjangoModelFactory

from rollbackhub.common.clock import now
from rollbackhub.executions.enums import ExecutionKind
from rollbackhub.releases.enums import ReleaseState
from rollbackhub.releases.models import Release, ReleaseRehearsal, ReleaseStep
from tests.factories.accounts import UserFactory
from tests.factories.executions import ExecutionFactory
from tests.factories.registry import VersionFactory
from tests.factories.routing import GOOD, PolicyRevisionFactory, RoutingPolicyFactory, candidate_id


class ReleaseFactory(DjangoModelFactory):
    """A planned release of a model in production, from the good version to a new one. Trait: `rolling_out` (its first step is taken)."""

    class Meta:
        model = Release

    class Params:
        rolling_out = factory.Trait(state=ReleaseState.ROLLING_OUT, started_at=factory.LazyFunction(now), next_step=1)

    policy = factory.SubFactory(RoutingPolicyFactory, environment__slug="production")
    from_version = factory.LazyAttribute(lambda release: VersionFactory(artefact=release.policy.artefact, label=GOOD))
    to_version = factory.LazyAttributeSequence(lambda release, number: VersionFactory(artefact=release.policy.artefact, label=f"claude-sonnet-5-{number}"))
    candidate_id = factory.LazyAttribute(lambda release: candidate_id(release.to_version.label))
    steps = factory.LazyFunction(lambda: [1, 5, 25, 50, 100])
    created_by = factory.SubFactory(UserFactory)
    created_by_label = "test"


class ReleaseStepFactory(DjangoModelFactory):
    """The first canary step."""

    class Meta:
        model = ReleaseStep

    release = factory.SubFactory(ReleaseFactory, rolling_out=True)
    number = 0
    percent = 1
    revision = factory.LazyAttribute(lambda step: PolicyRevisionFactory(policy=step.release.policy, release_id=step.release.pk))
    actor_label = "test"
    taken_at = factory.LazyFunction(now)


class ReleaseRehearsalFactory(DjangoModelFactory):
    """A rehearsal that is queued."""

    class Meta:
        model = ReleaseRehearsal

    release = factory.SubFactory(ReleaseFactory)
    execution = factory.SubFactory(ExecutionFactory, kind=ExecutionKind.REHEARSAL)
