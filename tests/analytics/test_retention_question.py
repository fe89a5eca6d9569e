"""Question 8: the share of aliases that could be rolled back, over time, and what ends soon."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from rollbackhub.analytics.answer import AnalyticsFilter, Answer
from rollbackhub.analytics.questions import retention
from rollbackhub.common.clock import now
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.readiness import ReadinessChangeFactory
from tests.factories.registry import ArtefactFactory, EnvironmentFactory, VersionFactory
from tests.factories.routing import RoutingPolicyFactory

EVERYTHING = AnalyticsFilter()


@pytest.fixture
def aliases(db: None) -> list[RoutingPolicy]:
    """Two aliases in production, of two teams and types."""
    place = EnvironmentFactory(slug="production", kind="production")
    return [
        RoutingPolicyFactory(environment=place, alias=name, artefact=ArtefactFactory(slug=f"{name}-artefact", change_type=kind, team__slug=f"team-{name}"))
        for name, kind in (("one", "model"), ("two", "prompt"))
    ]


def judge(policy: RoutingPolicy, days_ago: float, *, able: bool) -> None:
    """Its readiness changed then."""
    ReadinessChangeFactory(policy=policy, at=now() - dt.timedelta(days=days_ago), rollbackable=able, state="ready" if able else "not_ready")


def rows(found: Answer, table: int = 0) -> list[list[Any]]:
    """A table's rows."""
    return [list(row) for row in found.tables[table].rows]


def test_empty_says_what_would_fill_it(aliases: list[RoutingPolicy]) -> None:
    found = retention.answer(EVERYTHING)
    assert (found.figures, found.tables) == ((), ())
    assert "Aliases in production fill this" in found.empty


def test_share_over_time_with_its_change(aliases: list[RoutingPolicy]) -> None:
    judge(aliases[0], 100, able=False)
    judge(aliases[1], 100, able=False)
    judge(aliases[0], 40, able=True)
    found = retention.answer(EVERYTHING)
    began = (now() - dt.timedelta(days=100)).date()
    assert found.headline == (f"1 of 2 live aliases can be rolled back (50 %); it was 0 of 1 (0 %) on {began}. Nothing that is kept ends within 90 days.")
    assert (found.extra["rollbackable"], found.extra["aliases"]) == (0.5, 2)
    assert rows(found)[0][1:] == [1, 2, 0.5]
    assert rows(found)[-1][1:] == [0, 2, 0.0]
    assert any("365 days back" in note for note in found.notes)


def test_share_of_a_past_period_stands_as_it_was(aliases: list[RoutingPolicy]) -> None:
    judge(aliases[0], 100, able=True)
    judge(aliases[0], 40, able=False)
    today = now().date()
    found = retention.answer(AnalyticsFilter(since=today - dt.timedelta(days=90), until=today - dt.timedelta(days=60)))
    assert found.headline.startswith("1 of 1 live alias can be rolled back (100 %).")
    assert not retention.answer(AnalyticsFilter(since=today, until=today - dt.timedelta(days=2))).figures


@pytest.mark.parametrize(
    ("wanted", "total"),
    [
        ({"alias": "one"}, 1),
        ({"team": "team-two"}, 1),
        ({"change_type": "prompt"}, 1),
        ({"environment": "production"}, 2),
        ({"environment": "x"}, 0),
        ({"with_lab": False}, 2),
    ],
)
def test_share_is_of_the_aliases_that_are_wanted(wanted: dict[str, Any], total: int, aliases: list[RoutingPolicy]) -> None:
    for policy in aliases:
        judge(policy, 10, able=True)
    assert retention.answer(AnalyticsFilter(**wanted)).extra.get("aliases", 0) == total


def test_lab_is_left_out_when_that_is_wanted(aliases: list[RoutingPolicy]) -> None:
    for policy in aliases:
        judge(policy, 10, able=True)
    aliases[0].artefact.is_lab = True
    aliases[0].artefact.save()
    assert retention.answer(AnalyticsFilter(with_lab=False)).extra["aliases"] == 1


def test_risks_ahead_name_what_ends_and_whether_it_is_needed(aliases: list[RoutingPolicy]) -> None:
    soon = now() + dt.timedelta(days=20)
    artefact = aliases[0].artefact
    VersionFactory(artefact=artefact, label="shut-down", provider_retires_at=soon)
    VersionFactory(artefact=artefact, label="window", lifecycle="superseded", superseded_at=now() - dt.timedelta(days=85))
    VersionFactory(artefact=artefact, label="later", provider_retires_at=now() + dt.timedelta(days=200))
    VersionFactory(artefact=artefact, label="gone", lifecycle="retired", provider_retires_at=soon)
    found = retention.answer(EVERYTHING)
    assert found.headline == "Within 90 days 2 versions lose their window or provider, 0 of them needed."
    assert [(row[0], row[3], row[5]) for row in rows(found)] == [
        ("window", "Its retention window", "No"),
        ("shut-down", "Its provider shuts it down", "No"),
    ]
    assert str(rows(found)[0][-1]).startswith("/registry/versions/")
    assert [figure.key for figure in found.figures] == ["retention-risks"]
    assert retention.answer(AnalyticsFilter(team="team-two")).extra == {}
    assert retention.answer(AnalyticsFilter(alias="one")).extra["risks"] == 2


def test_long_histories_are_thinned_and_take_a_fixed_number_of_queries(aliases: list[RoutingPolicy], django_assert_max_num_queries: Any) -> None:
    for number in range(450):
        judge(aliases[0], 300 - number * 0.5, able=number % 2 == 0)
    VersionFactory(artefact=aliases[0].artefact, label="shut-down", provider_retires_at=now() + dt.timedelta(days=20))
    with django_assert_max_num_queries(6):
        found = retention.answer(AnalyticsFilter(alias="one"))
    assert len(found.figures[0].figure.data[0].x) <= retention.POINTS + 1
