"""Question 4: production against the newest passed drill of its path before it."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.db import connection

from rollbackhub.analytics.answer import AnalyticsFilter
from rollbackhub.analytics.questions import calibration
from rollbackhub.analytics.questions.calibration import BARE_SQL, answer
from rollbackhub.routing.models import RoutingPolicy
from tests.analytics.facts import day, make_fact
from tests.analytics.history_files import make_world

EVERYTHING = AnalyticsFilter()


@pytest.fixture
def production(db: None) -> RoutingPolicy:
    """An alias in production; `staging` has the same one."""
    return make_world()


@pytest.fixture
def staging(production: RoutingPolicy) -> RoutingPolicy:
    """The alias where it is drilled."""
    return RoutingPolicy.objects.get(environment__slug="staging")


def test_empty_says_what_would_fill_it(production: RoutingPolicy) -> None:
    found = answer(EVERYTHING)
    assert (found.figures, found.tables) == ((), ())
    assert "passed, measured drill" in found.empty


def test_rollback_is_paired_with_the_newest_passed_drill_of_its_path_before_it(production: RoutingPolicy, staging: RoutingPolicy) -> None:
    make_fact(staging, at=day(0), seconds=100)
    make_fact(staging, at=day(1), seconds=200)
    make_fact(staging, at=day(2), seconds=900, verdict="failed")
    make_fact(staging, at=day(3), seconds=None)
    make_fact(staging, at=day(9), seconds=50)
    make_fact(staging, at=day(3), seconds=70, alias="another")
    make_fact(production, kind="rollback", at=day(5), seconds=500)
    make_fact(production, kind="rollback", at=day(6), seconds=None)
    make_fact(production, kind="rollback", at=day(-1), seconds=500)
    found = answer(EVERYTHING)
    (row,) = found.tables[1].rows
    assert (row[0], row[3], row[6], row[8]) == ("reasoner", 500.0, 200.0, "2.50")
    assert (row[4], row[7]) == ("Imported", "Imported")
    assert str(row[-1]).startswith("/analytics/import/")
    assert "1 pair so far: too few to say whether drills predict production (10 are needed)." in found.headline
    assert any("1 rollback had no passed drill before it and is left out." in note for note in found.notes)


def test_run_of_the_hub_is_marked_and_leads_to_its_page(production: RoutingPolicy, staging: RoutingPolicy) -> None:
    make_fact(staging, at=day(0), seconds=100, hub=True)
    fact = make_fact(production, kind="rollback", at=day(1), seconds=100, hub=True)
    (row,) = answer(EVERYTHING).tables[1].rows
    assert (row[4], row[7]) == ("RollbackHub", "RollbackHub")
    assert str(fact.execution_id) in str(row[-1])


def test_ratio_and_share_with_their_intervals(production: RoutingPolicy, staging: RoutingPolicy) -> None:
    for number, ratio in enumerate([0.4, 0.5, 0.8, 1.0, 1.0, 1.25, 1.5, 2.0, 2.5, 4.0]):
        make_fact(staging, at=day(2 * number), seconds=240)
        make_fact(production, kind="rollback", at=day(2 * number + 1), seconds=240 * ratio)
    found = answer(EVERYTHING)
    assert found.extra["ratio"] == pytest.approx(1.1962, abs=1e-4)
    assert (found.extra["ratio_low"], found.extra["ratio_high"]) == pytest.approx((0.7211, 1.9843), abs=1e-3)
    assert found.extra["within_twice"] == 0.7
    assert "Production took 1.20 times as long as the drill before it (geometric mean of 10 pairs" in found.headline
    assert "70 % (95 % interval 40 % to 89 %) came within twice or half of it." in found.headline
    figure = json.loads(found.figures[0].figure.to_json())
    points = next(trace for trace in figure["data"] if trace["name"] == "Model")
    assert (points["x"], len(points["y"])) == ([240.0] * 10, 10)
    assert set(points["marker"]["symbol"]) == {"square-open"}, "imported ones are open"
    assert found.tables[0].rows[0][:3] == ["Model", 10, "1.20 (0.72 to 1.98)"]


def test_drill_of_the_lab_predicts_nothing_when_the_lab_is_left_out(production: RoutingPolicy, staging: RoutingPolicy) -> None:
    make_fact(staging, at=day(0), seconds=100)
    make_fact(staging, at=day(1), seconds=900, is_lab=True)
    make_fact(production, kind="rollback", at=day(2), seconds=100)
    assert answer(EVERYTHING).tables[1].rows[0][6] == 900.0
    assert answer(AnalyticsFilter(with_lab=False)).tables[1].rows[0][6] == 100.0


@pytest.mark.parametrize(
    ("wanted", "pairs"),
    [
        ({"since": dt.date(2026, 1, 6)}, 1),
        ({"until": dt.date(2026, 1, 6)}, 0),
        ({"alias": "reasoner"}, 1),
        ({"alias": "x"}, 0),
        ({"change_type": "model"}, 1),
        ({"change_type": "prompt"}, 0),
        ({"environment": "production"}, 1),
        ({"environment": "staging"}, 0),
        ({"team": "x"}, 0),
    ],
)
def test_filter_is_of_the_rollback(wanted: dict[str, Any], pairs: int, production: RoutingPolicy, staging: RoutingPolicy) -> None:
    make_fact(staging, at=day(0), seconds=100)
    make_fact(production, kind="rollback", at=day(2), seconds=100)
    assert answer(AnalyticsFilter(**wanted)).extra.get("pairs", 0) == pairs


def test_newest_rollbacks_are_looked_at_and_it_is_said(production: RoutingPolicy, staging: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "NEWEST", 2)
    make_fact(staging, at=day(0), seconds=100)
    for number in range(3):
        make_fact(production, kind="rollback", at=day(1 + number), seconds=100 + number)
    found = answer(EVERYTHING)
    assert [row[3] for row in found.tables[1].rows] == [102.0, 101.0]
    assert "The newest 2 of 3 measured rollbacks are looked at." in found.notes


def test_bare_statement_gives_the_same_pairs(production: RoutingPolicy, staging: RoutingPolicy, django_assert_max_num_queries: Any) -> None:
    for number in range(6):
        make_fact(staging, at=day(2 * number), seconds=100 + number)
        make_fact(production, kind="rollback", at=day(2 * number + 1), seconds=300 + number)
    with django_assert_max_num_queries(3):
        found = answer(EVERYTHING)
    with connection.cursor() as cursor:
        cursor.execute(BARE_SQL)
        bare = {(row[3], row[5]) for row in cursor.fetchall()}
    assert {(row[3], row[6]) for row in found.tables[1].rows} == bare
