"""What production alone has is rolled up by the database, and is always what a recount gives."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.db import connection
from django.db.models import F, Sum

from rollbackhub.analytics.models import FindingCell, ProductionBucket, ProductionCell, RunFact
from tests.analytics.facts import day, make_fact
from tests.factories.registry import ArtefactFactory, EnvironmentFactory
from tests.factories.routing import RoutingPolicyFactory

pytestmark = pytest.mark.django_db


def differing() -> list[Any]:
    """Rows of the rollups that a recount gives otherwise."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM analytics_recount_production(false)")
        return list(cursor.fetchall())


def test_rollup_is_what_a_recount_gives_after_random_changes() -> None:
    chance = random.Random(11)
    places = [EnvironmentFactory(slug="staging", kind="staging"), EnvironmentFactory(slug="production", kind="production")]
    policies = [RoutingPolicyFactory(environment=place, alias=alias, artefact=ArtefactFactory(slug=alias)) for place in places for alias in ("one", "two")]
    for number in range(150):
        kind = chance.choice(["drill", "rollback", "rollback", "roll_forward"])
        make_fact(
            chance.choice(policies),
            kind=kind,
            at=day(chance.uniform(0, 200)),
            seconds=chance.choice([None, chance.uniform(1, 5000)]),
            detect_seconds=chance.choice([None, chance.uniform(0, 900)]),
            authorise_seconds=chance.choice([None, 0.0, chance.uniform(0, 900)]),
            authority=chance.choice(["on_call", "platform_lead"]),
            authorised_how=chance.choice(["own", "approval", "break_glass"]),
            exposure=chance.choice([None, chance.randrange(10**6)]),
            exposure_estimated=chance.choice([None, 17]),
            is_whole=chance.random() < 0.8,
            finding_codes=chance.choice([[], ["too_slow"], ["docs_stale", "too_slow"]]),
            is_lab=chance.random() < 0.2,
        )
        some = list(RunFact.objects.order_by("?").values_list("pk", flat=True)[:3])
        match chance.randrange(8):
            case 0:
                RunFact.objects.filter(pk__in=some).update(detect_seconds=chance.uniform(0, 900), authorised_how="approval")
            case 1:
                RunFact.objects.filter(pk__in=some[:1]).delete()
            case 2:
                RunFact.objects.filter(pk__in=some).update(outcome="verified", finding_codes=["unreachable"], exposure=F("exposure") + 5)
        if number % 30 == 29:
            assert differing() == []
    assert differing() == []
    assert ProductionCell.objects.aggregate(n=Sum("n"))["n"] == RunFact.objects.filter(kind__in=["rollback", "roll_forward"]).count() > 0
    assert FindingCell.objects.exists()
    RunFact.objects.all().delete()
    assert not ProductionCell.objects.exists()
    assert not ProductionBucket.objects.exists()
    assert not FindingCell.objects.exists()


def test_decision_counts_once_a_rollback_and_recovery_once_an_alias() -> None:
    policy = RoutingPolicyFactory(environment__kind="production")
    for whole in (True, False):
        make_fact(policy, kind="rollback", detect_seconds=60.0, authorise_seconds=5.0, is_whole=whole, exposure=100 if whole else None)
    for span in ("month", "year"):
        found = dict(ProductionBucket.objects.filter(span=span).values_list("measure").annotate(Sum("n")))
        assert found == {"detect": 1, "authorise": 1, "recovery": 2, "exposure": 1}
    cell = ProductionCell.objects.get()
    assert (cell.n, cell.wholes, cell.exposure_n, cell.exposure) == (2, 1, 1, 100)


def test_recovery_without_a_detection_is_a_measure_of_its_own() -> None:
    make_fact(RoutingPolicyFactory(environment__kind="production"), kind="rollback", detect_seconds=None, seconds=100.0)
    assert set(ProductionBucket.objects.values_list("measure", "n")) == {("decided_recovery", 1)}
