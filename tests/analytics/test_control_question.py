"""Control charts: paths that drift come first and are told in words."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest

from rollbackhub.analytics.answer import AnalyticsFilter
from rollbackhub.analytics.enums import RunKind
from rollbackhub.analytics.questions import control
from tests.analytics.test_durations_question import END, alias_in, figure, rows
from tests.factories.analytics import add_facts

STEADY = [100.0, 110.0, 95.0, 105.0, 98.0, 107.0, 101.0, 96.0, 104.0, 99.0, 108.0, 94.0]


def test_fewer_than_eight_drills_are_no_chart(db: None) -> None:
    add_facts(alias_in("staging"), STEADY[:7], end=END)
    answer = control.answer(AnalyticsFilter())
    assert answer.headline == "No path has the 8 measured drills that a control chart takes. 1 path has fewer."
    assert (answer.figures, answer.tables, bool(answer.empty)) == ((), (), True)


def test_path_that_became_slower_comes_first_with_its_chart(db: None) -> None:
    add_facts(alias_in("staging", "steady"), STEADY, end=END)
    add_facts(alias_in("staging", "once"), [*STEADY, 300.0, *STEADY], end=END)
    add_facts(alias_in("staging", "drifting"), [*STEADY, *(value * 1.6 for value in STEADY)], end=END)
    add_facts(alias_in("staging", "quicker"), [*STEADY, 20.0], end=END)
    answer = control.answer(AnalyticsFilter(since=dt.date(2026, 1, 1)))
    found = rows(answer, "Paths, those that signal first")
    assert [row[0] for row in found] == ["drifting", "quicker", "once", "steady"]
    assert [row[-2] for row in found] == [
        "Slower: 12 in a row above the centre",
        "Faster: one drill beyond the lower limit",
        "Slower: one drill beyond the upper limit, 12 drills ago",
        "As usual",
    ]
    assert found[0][-1] == "/analytics/control/?environment=staging&alias=drifting&since=2026-01-01"
    assert answer.headline.startswith(
        "Drift at 2 of 4 paths, 1 of them slower than usual: drifting in Staging first (slower: 12 in a row above the centre; usual is "
    )
    (only,) = answer.figures
    assert only.title == "Drill durations of drifting in Staging: slower: 12 in a row above the centre"
    assert answer.extra == {"paths": 4, "signalling": 2, "too_few": 0}


def test_chart_marks_what_signals_and_labels_its_lines(db: None) -> None:
    policy = alias_in("staging")
    add_facts(policy, [*STEADY, 300.0], end=END)
    answer = control.answer(AnalyticsFilter(alias="smart-reasoner"))
    content = figure(answer, f"control-{policy.pk}")
    series = {trace["name"]: trace for trace in content["data"]}
    assert series["Signals"]["y"] == [300.0]
    assert series["Signals"]["marker"]["symbol"] != series["As usual"]["marker"]["symbol"]
    assert series["Signals"]["customdata"][0][2] == "<br>slower: one drill beyond the upper limit"
    assert [note["text"].split()[0] for note in content["layout"]["annotations"]] == ["upper", "centre", "lower"]
    assert answer.headline.startswith("Drift at smart-reasoner in Staging: slower: one drill beyond the upper limit; between ")


def test_alias_without_drift_says_what_is_usual(db: None) -> None:
    add_facts(alias_in("staging"), STEADY, end=END)
    assert control.answer(AnalyticsFilter(alias="smart-reasoner")).headline.startswith("No drift at smart-reasoner in Staging: between ")
    add_facts(alias_in("staging", "other"), STEADY, end=END)
    assert control.answer(AnalyticsFilter()).headline == "No drift: the newest drills of all 2 paths took as long as usual."


def test_alias_in_two_environments_has_two_charts_and_rollbacks_do_not_count(db: None) -> None:
    for environment in ("staging", "canary-staging"):
        add_facts(alias_in(environment), STEADY, end=END)
    add_facts(alias_in("production"), STEADY, end=END, kind=RunKind.ROLLBACK)
    answer = control.answer(AnalyticsFilter(alias="smart-reasoner"))
    assert len(answer.figures) == len(rows(answer, "Paths, those that signal first")) == 2


def test_newest_drills_count_and_the_filter_says_which(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "NEWEST", 12)
    add_facts(alias_in("staging"), [*[1.0] * 30, *STEADY], end=END)
    assert rows(control.answer(AnalyticsFilter()), "Paths, those that signal first")[0][2:4] == [12, pytest.approx(100.5, abs=0.1)]
    before = AnalyticsFilter(until=(END - dt.timedelta(days=11)).date())
    assert rows(control.answer(before), "Paths, those that signal first")[0][3] == pytest.approx(1.0)


def test_queries_do_not_grow_with_the_paths(db: None, django_assert_num_queries: Any) -> None:
    names = itertools.count()
    for count in (1, 6):
        for _ in range(count):
            add_facts(alias_in("staging", f"alias-{next(names)}"), STEADY, end=END)
        with django_assert_num_queries(2):
            control.answer(AnalyticsFilter())
