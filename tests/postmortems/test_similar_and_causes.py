"""Past incidents that are alike, and causes by month."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rollbackhub.common.clock import now
from rollbackhub.postmortems.domain.cause_report import OTHERS, UNTAGGED, count_causes
from rollbackhub.postmortems.domain.similar import list_similar
from rollbackhub.postmortems.models import Cause, Postmortem
from tests.factories.incidents import IncidentFactory
from tests.factories.postmortems import CauseFactory, PostmortemFactory
from tests.factories.routing import RoutingPolicyFactory

pytestmark = pytest.mark.django_db


def test_similar_incidents_share_an_alias_an_artefact_or_a_cause_the_most_alike_first() -> None:
    policy = RoutingPolicyFactory(alias="smart-reasoner")
    sister = RoutingPolicyFactory(alias="smart-reasoner-eu", artefact=policy.artefact, environment=policy.environment)
    cause = Cause.objects.get(slug="eval-gap")
    mine = PostmortemFactory(incident=IncidentFactory(aliases=[policy], environment=policy.environment))
    mine.causes.add(cause)
    same_alias = IncidentFactory(title="same alias", aliases=[policy], environment=policy.environment)
    same_artefact = IncidentFactory(title="same artefact", aliases=[sister], environment=policy.environment)
    same_cause = PostmortemFactory(incident__title="same cause")
    same_cause.causes.add(cause)
    both = PostmortemFactory(incident=IncidentFactory(title="both", aliases=[policy], environment=policy.environment))
    both.causes.add(cause)
    IncidentFactory(title="unlike", aliases=[RoutingPolicyFactory(alias="another")])
    with CaptureQueriesContext(connection) as queries:
        found = list_similar(mine.incident)
    assert found[0].incident == both.incident
    assert {row.incident for row in found} == {both.incident, same_alias, same_artefact, same_cause.incident}
    assert found[-1].incident == same_artefact
    name = policy.artefact.name
    assert found[0].in_common == ["cause eval gap", "alias smart-reasoner", f"artefact {name}"]
    assert {row.incident.pk: row.postmortem for row in found}[same_cause.incident_id] == same_cause
    assert len(queries) <= 7
    assert len(list_similar(mine.incident, limit=2)) == 2
    assert list_similar(IncidentFactory()) == []


def tagged(months_ago: int, *slugs: str, **values: object) -> Postmortem:
    opened = now().replace(day=15) - dt.timedelta(days=30 * months_ago)
    postmortem: Postmortem = PostmortemFactory(incident__opened_at=opened, **values)
    postmortem.causes.set(Cause.objects.filter(slug__in=slugs))
    return postmortem


def test_causes_are_counted_by_month_the_most_frequent_first() -> None:
    tagged(0, "eval-gap", "capacity")
    tagged(0, "eval-gap")
    tagged(2, "eval-gap")
    tagged(2)
    tagged(0, "capacity", is_lab=True)
    report = count_causes(since=now().date() - dt.timedelta(days=200), until=now().date() + dt.timedelta(days=40))
    assert [(name, sum(values)) for name, _, values in report.counts] == [("Eval gap", 3), ("Capacity", 2), (UNTAGGED, 1)]
    assert report.postmortems == 5
    assert len(report.months) == 3, "a month in between without any is there, too"
    assert {name: values for name, _, values in report.counts}["Eval gap"] == [1, 0, 2]
    without_lab = count_causes(since=now().date() - dt.timedelta(days=200), until=now().date() + dt.timedelta(days=40), with_lab=False)
    assert [(name, sum(values)) for name, _, values in without_lab.counts][1] == ("Capacity", 1)
    assert count_causes(since=dt.date(2020, 1, 1), until=dt.date(2020, 2, 1)).counts == []


def test_rare_causes_are_one_series_of_the_figure() -> None:
    for _ in range(10):
        PostmortemFactory().causes.add(CauseFactory())
    report = count_causes(since=now().date() - dt.timedelta(days=40), until=now().date() + dt.timedelta(days=40))
    series = report.series()
    assert len(series) == 8
    assert series[-1][0] == OTHERS
    assert sum(sum(values) for _, values in series) == 10
