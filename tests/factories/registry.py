"""Artefacts, versions, environments and connections."""

from __future__ import annotations

import datetime as dt

import factory
from factory.django import DjangoModelFactory

from rollbackhub.common.clock import now
from rollbackhub.registry.enums import ChangeType, EnvironmentKind
from rollbackhub.registry.models import Artefact, Connection, Environment, RetentionRule, RetirementWarning, SpeedTarget, Version
from tests.factories.accounts import TeamFactory


class SpeedTargetFactory(DjangoModelFactory):
    """A change type's target; the migration has seeded one for each already."""

    class Meta:
        model = SpeedTarget
        django_get_or_create = ["change_type"]

    change_type = ChangeType.PROMPT
    seconds = 300


class RetentionRuleFactory(DjangoModelFactory):
    """A change type's window; the migration has seeded one for each already."""

    class Meta:
        model = RetentionRule
        django_get_or_create = ["change_type"]

    change_type = ChangeType.PROMPT
    days = 90


class ArtefactFactory(DjangoModelFactory):
    """A model that is released."""

    class Meta:
        model = Artefact
        django_get_or_create = ["slug"]

    slug = factory.Sequence("artefact-{}".format)
    name = factory.LazyAttribute(lambda artefact: artefact.slug.title())
    change_type = ChangeType.MODEL
    team = factory.SubFactory(TeamFactory, slug="platform")


class VersionFactory(DjangoModelFactory):
    """A version of an artefact."""

    class Meta:
        model = Version
        django_get_or_create = ["artefact", "label"]

    artefact = factory.SubFactory(ArtefactFactory)
    label = factory.Sequence("v{}".format)
    digest = factory.LazyAttribute(lambda version: f"sha256:{version.label}")


class RetirementWarningFactory(DjangoModelFactory):
    """People were told a fortnight ahead."""

    class Meta:
        model = RetirementWarning

    version = factory.SubFactory(VersionFactory)
    retires_at = factory.LazyFunction(lambda: now() + dt.timedelta(days=14))
    days = 14


class EnvironmentFactory(DjangoModelFactory):
    """Staging, unless told otherwise; the same slug twice is the same environment."""

    class Meta:
        model = Environment
        django_get_or_create = ["slug"]

    slug = "staging"
    name = factory.LazyAttribute(lambda environment: environment.slug.title())
    kind = factory.LazyAttribute(lambda environment: EnvironmentKind.PRODUCTION if environment.slug == "production" else EnvironmentKind.STAGING)
    releases_only = False


class ConnectionFactory(DjangoModelFactory):
    """A metrics endpoint."""

    class Meta:
        model = Connection
        django_get_or_create = ["environment", "connector"]

    environment = factory.SubFactory(EnvironmentFactory)
    connector = "prometheus"
    settings = factory.LazyFunction(lambda: {"endpoint": "http://127.0.0.1:9/metrics"})
