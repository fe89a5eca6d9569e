"""How long rollbacks take: each figure and table says what the runs say, drills and production apart and together."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from rollbackhub.analytics.answer import AnalyticsFilter, Answer
from rollbackhub.analytics.domain import rollups
from rollbackhub.analytics.enums import RunKind
from rollbackhub.analytics.questions import durations
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.analytics import RunFactFactory, add_facts
from tests.factories.registry import ArtefactFactory, EnvironmentFactory
from tests.factories.routing import RoutingPolicyFactory

END = dt.datetime(2026, 3, 20, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


def alias_in(environment: str, alias: str = "smart-reasoner", change_type: str = "model") -> RoutingPolicy:
    """An alias without a revision: nothing here asks for one."""
    place = EnvironmentFactory(slug=environment)
    if found := RoutingPolicy.objects.filter(environment=place, alias=alias).first():
        return found
    artefact = ArtefactFactory(slug=f"{alias}-artefact", change_type=change_type)
    policy: RoutingPolicy = RoutingPolicyFactory(environment=place, alias=alias, artefact=artefact, revision=False)
    return policy


def rows(answer: Answer, title: str) -> list[list[Any]]:
    """The rows of a table."""
    (table,) = [table for table in answer.tables if table.title == title]
    return [list(row) for row in table.rows]


def figure(answer: Answer, key: str) -> dict[str, Any]:
    """A figure's content."""
    (found,) = [figure for figure in answer.figures if figure.key == key]
    return dict(json.loads(found.figure.to_json()))


@pytest.fixture
def runs(db: None) -> None:
    """Twelve drills of 10 to 120 s, a failed one, and three rollbacks of 200, 300 and 700 s, against 600 s."""
    staging, production = alias_in("staging"), alias_in("production")
    add_facts(staging, [10.0 * number for number in range(1, 13)], end=END, every=MINUTE)
    add_facts(staging, [None], end=END - dt.timedelta(days=40))
    add_facts(production, [200.0, 300.0, 700.0], end=END, every=MINUTE, kind=RunKind.ROLLBACK)


def test_nothing_measured_says_what_would_fill_it(db: None) -> None:
    answer = durations.answer(AnalyticsFilter())
    assert (answer.headline, answer.figures, answer.tables) == ("Nothing has been measured that this filter wants.", (), ())
    assert "Drills in staging and rollbacks in production fill this" in answer.empty


def test_drills_and_production_apart_and_together(runs: None) -> None:
    answer = durations.answer(AnalyticsFilter())
    assert rows(answer, "By change type") == [
        ["Model", "Drills", 13, 12, 65.0, pytest.approx(109), 1.0],
        ["Model", "Production", 3, 3, 300.0, None, pytest.approx(2 / 3)],
        ["Model", "Together", 16, 15, 80.0, pytest.approx(260), pytest.approx(14 / 15)],
    ]
    assert rows(answer, "By month") == [
        [dt.date(2026, 3, 1), "Drills", 12, 12, 65.0, pytest.approx(109), 1.0],
        [dt.date(2026, 3, 1), "Production", 3, 3, 300.0, None, pytest.approx(2 / 3)],
        [dt.date(2026, 3, 1), "Together", 15, 15, 80.0, pytest.approx(260), pytest.approx(14 / 15)],
        [dt.date(2026, 2, 1), "Drills", 1, 0, None, None, None],
    ]
    assert [row[:4] for row in rows(answer, "By alias")] == [
        ["smart-reasoner", what, n, m] for what, n, m in (("Drills", 13, 12), ("Production", 3, 3), ("Together", 16, 15))
    ]
    assert answer.headline == (
        "Half of 3 production rollbacks took 5 min or less (few: take it as a hint); "
        "half of 12 drills took 1 min 05 s or less, nine in ten 1 min 49 s or less, and 100 % were within target (few: take it as a hint)."
    )
    assert answer.extra["production_median"] == 300
    assert answer.extra["together_measured"] == 15


def test_points_of_the_figure_are_a_table_with_the_newest_first(runs: None) -> None:
    answer = durations.answer(AnalyticsFilter())
    found = rows(answer, "The runs of the figure, the newest first")
    content = figure(answer, "durations-by-type")
    points = [second for trace in content["data"] if trace["name"] in {"Drills", "Production"} for second in trace["y"]]
    assert sorted(row[4] for row in found) == sorted(points)
    assert [row[0] for row in found] == sorted((row[0] for row in found), reverse=True)
    assert {row[1]: (row[2], row[3], row[5], row[7], row[8]) for row in found} == dict.fromkeys(
        ["Drills", "Production"], ("smart-reasoner", "Model", 600.0, "Passed", "Imported from a file")
    )
    assert [row[6] for row in found if row[1] == "Production"].count(False) == 1


def test_figure_has_every_point_its_target_and_tells_groups_apart_by_symbol(runs: None) -> None:
    content = figure(durations.answer(AnalyticsFilter()), "durations-by-type")
    series = {trace["name"]: trace for trace in content["data"]}
    assert list(series) == ["Drills", "Production", "Median", "90th percentile"]
    assert sorted(series["Production"]["y"]) == [200.0, 300.0, 700.0]
    assert set(series["Drills"]["marker"]["symbol"]) == {"circle-dot"}, "they were imported"
    assert sorted(series["Production"]["marker"]["symbol"]) == ["diamond-dot", "diamond-dot", "diamond-open-dot"], "700 s missed 600 s"
    assert [shape["y0"] for shape in content["layout"]["shapes"]] == [600]
    assert content["layout"]["xaxis"]["ticktext"] == ["Model<br>10 min"]


def test_beyond_a_number_the_newest_runs_are_shown_and_it_is_said(runs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durations, "POINTS", 4)
    answer = durations.answer(AnalyticsFilter())
    series = {trace["name"]: trace for trace in figure(answer, "durations-by-type")["data"]}
    assert len(series["Drills"]["y"]) + len(series["Production"]["y"]) == 4
    assert 120.0 in series["Drills"]["y"]
    assert "The figure shows the newest 4 of 15 measured runs one by one; medians and percentiles are over all of them." in answer.notes
    assert rows(answer, "By change type")[0][4] == 65.0


def test_roll_forwards_are_not_counted_and_lab_data_can_be_left_out(runs: None) -> None:
    production = RoutingPolicy.objects.get(environment__slug="production")
    add_facts(production, [1.0] * 5, end=END, kind=RunKind.ROLL_FORWARD)
    add_facts(production, [1.0] * 5, end=END, kind=RunKind.ROLLBACK, is_lab=True)
    assert rows(durations.answer(AnalyticsFilter(with_lab=False)), "By change type")[1][2:5] == [3, 3, 300.0]
    assert rows(durations.answer(AnalyticsFilter()), "By change type")[1][2] == 8


def test_aliases_that_missed_most_come_first_and_lead_to_their_own_answer(runs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    add_facts(alias_in("production", "support-prompt", "prompt"), [900.0] * 3, end=END, kind=RunKind.ROLLBACK)
    add_facts(alias_in("production", "always-fast", "prompt"), [9.0] * 9, end=END, kind=RunKind.ROLLBACK)
    wanted = AnalyticsFilter(since=dt.date(2026, 1, 1), until=dt.date(2026, 4, 1))
    (table,) = [table for table in durations.answer(wanted).tables if table.title == "By alias"]
    assert list(dict.fromkeys(row[0] for row in table.rows)) == ["support-prompt", "smart-reasoner", "always-fast"]
    assert table.url_column is not None
    assert table.rows[0][table.url_column] == "/analytics/durations/?alias=support-prompt&since=2026-01-01&until=2026-03-31"
    monkeypatch.setattr(durations, "FIRST_ALIASES", 1)
    for name, value in (("ALIASES", 2), ("ALIAS_RUNS", 20)):
        with monkeypatch.context() as patch:
            patch.setattr(durations, name, value)
            answer = durations.answer(wanted)
        assert {row[0] for row in rows(answer, "By alias")} == {"support-prompt", "smart-reasoner"}
        assert any("2 of 3 aliases" in note for note in answer.notes)


def test_percentiles_from_buckets_are_said_to_be(runs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = durations.answer(AnalyticsFilter())
    assert "Percentiles are exact: reckoned from every run." in exact.notes
    monkeypatch.setattr(rollups, "EXACT_UP_TO", 5)
    about = durations.answer(AnalyticsFilter())
    assert "More than 5 runs: percentiles come from a histogram and are off by 1% at most. Counts are exact." in about.notes
    assert rows(about, "By change type")[1][4] == pytest.approx(300, rel=0.0101)
    assert [row[2:4] for row in rows(about, "By month")] == [row[2:4] for row in rows(exact, "By month")]


def test_run_of_the_hub_leads_to_its_page(db: None) -> None:
    fact = RunFactFactory()
    (drills, *_) = figure(durations.answer(AnalyticsFilter()), "durations-by-type")["data"]
    assert drills["customdata"][0][0] == f"/drills/{fact.execution_id}/"
    assert drills["marker"]["symbol"] == ["circle"]


def test_queries_do_not_grow_with_the_runs(db: None, django_assert_num_queries: Any) -> None:
    counts = 6
    add_facts(alias_in("staging"), [1.0] * 3, end=END)
    with django_assert_num_queries(counts):
        durations.answer(AnalyticsFilter())
    for number in range(6):
        add_facts(alias_in("production", f"alias-{number}"), [1.0] * 60, end=END, kind=RunKind.ROLLBACK)
    with django_assert_num_queries(counts):
        durations.answer(AnalyticsFilter())
