"""Questions 6 and 7: are drills done as planned, and what becomes of what they catch?"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from drills.domain.programme import GRACE
from rollbackhub.analytics.answer import AnalyticsFilter, Answer
from rollbackhub.analytics.questions import compliance, findings
from rollbackhub.common import clock
from rollbackhub.common.clock import now
from rollbackhub.routing.models import RoutingPolicy
from tests.analytics.facts import day, make_fact
from tests.analytics.history_files import make_world
from tests.factories.accounts import TeamFactory
from tests.factories.actions import ActionFactory
from tests.factories.drills import DrillPlanFactory, FindingActionFactory, PlannedDrillFactory

EVERYTHING = AnalyticsFilter()


@pytest.fixture
def staging(db: None) -> RoutingPolicy:
    """The alias where it is drilled."""
    make_world()
    return RoutingPolicy.objects.get(environment__slug="staging")


def rows(found: Answer, table: int = 0) -> list[list[Any]]:
    """A table's rows."""
    return [list(row) for row in found.tables[table].rows]


def test_compliance_empty_says_what_would_fill_it_and_knows_nothing_that_is_to_come(staging: RoutingPolicy) -> None:
    PlannedDrillFactory(plan__policy=staging)
    PlannedDrillFactory(plan__policy=staging, starts_at=now() - dt.timedelta(minutes=1), plan__announced=False)
    found = compliance.answer(EVERYTHING)
    assert (found.figures, found.tables) == ((), ())
    assert "Drill plans fill this" in found.empty


def test_compliance_counts_what_was_excused_ahead_once_its_time_has_come(staging: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = DrillPlanFactory(policy=staging)
    ahead = now() + dt.timedelta(days=1)
    PlannedDrillFactory(plan=plan, starts_at=day(0), passed=True)
    PlannedDrillFactory(plan=plan, starts_at=ahead, excused=True)
    assert compliance.answer(EVERYTHING).headline.startswith("1 of 1 planned drill started on time")
    monkeypatch.setattr(clock, "now", lambda: ahead)
    assert compliance.answer(EVERYTHING).headline.startswith("1 of 2 planned drills started on time")


def test_compliance_counts_on_time_late_missed_and_excused_by_team_and_month(staging: RoutingPolicy) -> None:
    other = DrillPlanFactory(policy=staging, team=TeamFactory(slug="search", name="Search"))
    plan = DrillPlanFactory(policy=staging, team=TeamFactory(slug="platform", name="Platform"))
    PlannedDrillFactory(plan=plan, starts_at=day(0), passed=True)
    PlannedDrillFactory(plan=plan, starts_at=day(30), failed=True, started_at=day(30) + GRACE)
    PlannedDrillFactory(plan=plan, starts_at=day(60), passed=True, started_at=day(60) + GRACE + dt.timedelta(seconds=1))
    PlannedDrillFactory(plan=plan, starts_at=day(90), missed=True)
    PlannedDrillFactory(plan=other, starts_at=day(90), excused=True)
    PlannedDrillFactory(plan=other, starts_at=day(120), state="overdue")
    found = compliance.answer(EVERYTHING)
    assert "2 of 6 planned drills started on time: 33 % (95 % interval 10 % to 70 %)." in found.headline
    assert "1 started late, 1 were missed, 1 excused, 1 overdue and not started." in found.headline
    # Planned, done, on time, late, passed, failed, overdue, missed, excused.
    assert rows(found) == [["Platform", 4, 3, 2, 1, 2, 1, 0, 1, 0, 0.5, "too few to say"], ["Search", 2, 0, 0, 0, 0, 0, 1, 0, 1, 0.0, "too few to say"]]
    assert [row[:2] for row in rows(found, 1)][:2] == [[dt.date(2026, 5, 1), 1], [dt.date(2026, 4, 1), 2]]
    assert len(rows(found, 2)) == 6
    figure = json.loads(found.figures[0].figure.to_json())
    assert [(trace["name"], sum(trace["y"])) for trace in figure["data"]] == [
        ("On time", 2),
        ("Late", 1),
        ("Overdue, not started", 1),
        ("Missed", 1),
        ("Excused", 1),
    ]
    assert len({trace["marker"]["pattern"]["shape"] for trace in figure["data"]}) == 5, "never by colour alone"


@pytest.mark.parametrize(
    ("wanted", "planned"),
    [
        ({"team": "platform"}, 1),
        ({"team": "x"}, 0),
        ({"environment": "staging"}, 1),
        ({"environment": "production"}, 0),
        ({"change_type": "model"}, 1),
        ({"change_type": "prompt"}, 0),
        ({"alias": "reasoner"}, 1),
        ({"alias": "x"}, 0),
        ({"since": dt.date(2026, 1, 6)}, 0),
        ({"until": dt.date(2026, 1, 6)}, 1),
        ({"with_lab": False}, 1),
    ],
)
def test_compliance_filters(wanted: dict[str, Any], planned: int, staging: RoutingPolicy, django_assert_num_queries: Any) -> None:
    PlannedDrillFactory(plan__policy=staging, starts_at=day(0), missed=True)
    with django_assert_num_queries(1):
        found = compliance.answer(AnalyticsFilter(**wanted))
    assert found.extra.get("planned", 0) == planned


def test_compliance_of_the_lab_is_left_out_when_that_is_wanted(staging: RoutingPolicy) -> None:
    staging.environment.is_lab = True
    staging.environment.save()
    PlannedDrillFactory(plan__policy=staging, starts_at=day(0), missed=True)
    assert compliance.answer(EVERYTHING).extra["planned"] == 1
    assert not compliance.answer(AnalyticsFilter(with_lab=False)).tables


def test_findings_empty_says_what_would_fill_it(staging: RoutingPolicy) -> None:
    assert findings.answer(EVERYTHING).headline == "Nothing was caught yet."
    make_fact(staging, hub=True)
    found = findings.answer(EVERYTHING)
    assert (found.headline, found.tables) == ("Nothing was caught in 1 drill.", ())
    assert found.empty


def test_findings_by_code_drills_and_production_apart_and_together(staging: RoutingPolicy) -> None:
    production = RoutingPolicy.objects.get(environment__slug="production")
    make_fact(staging, at=day(0), hub=True, finding_codes=["docs_stale", "too_slow"])
    make_fact(staging, at=day(40), hub=True, finding_codes=["too_slow"])
    make_fact(staging, at=day(41), hub=True)
    make_fact(staging, at=day(42))
    make_fact(production, kind="rollback", at=day(43), hub=True, finding_codes=["too_slow"])
    found = findings.answer(EVERYTHING)
    assert rows(found) == [
        ["Slower than its target", 2, pytest.approx(2 / 3), 1, 1.0, 3],
        ["The documentation is stale", 1, pytest.approx(1 / 3), 0, 0.0, 1],
    ]
    assert found.headline == "In 3 drills, most often caught: slower than its target (2 drills, 67 %)."
    partly = findings.answer(AnalyticsFilter(since=dt.date(2026, 1, 7), until=dt.date(2026, 2, 20)))
    assert [row[:4] for row in rows(partly)] == [["Slower than its target", 1, 0.5, 1]]


def _action(policy: RoutingPolicy, *, opened: int, days: int | None, recurrences: int = 0, code: str = "docs_stale", state: str = "done") -> None:
    """An action for a finding, opened so many days ago and closed after some days (None: open)."""
    at = now() - dt.timedelta(days=opened)
    values: dict[str, Any] = {"state": "open", "closed_at": None} if days is None else {"state": state, "closed_at": at + dt.timedelta(days=days)}
    if state == "not_doing":
        values["closed_reason"] = "Not worth it"
    FindingActionFactory(
        finding__code=code, policy=policy, code=code, recurrences=recurrences, action=ActionFactory(created_at=at, team=policy.artefact.team, **values)
    )


def test_findings_time_to_mend_has_open_ones_as_lasting_longer(staging: RoutingPolicy) -> None:
    for days in (2, 4, 6):
        _action(staging, opened=50, days=days)
    _action(staging, opened=5, days=None)
    _action(staging, opened=30, days=None, code="too_slow")
    found = findings.answer(EVERYTHING)
    # By Kaplan and Meier: 1/5 after 2 days, 2/5 after 4; the open one of 5 days leaves two at risk, of which one ends after 6.
    assert found.extra["mend_median"] == pytest.approx(6 * 86400)
    assert (found.extra["actions"], found.extra["open"]) == (5, 2)
    assert "Of 5 actions for findings half are mended within 144 h; 2 are open." in found.headline
    assert [row[:5] for row in rows(found, 1)] == [["The documentation is stale", 4, 3, 1, 0], ["Slower than its target", 1, 0, 1, 0]]
    assert rows(found, 1)[0][6] == "too few to say"
    assert [figure.key for figure in found.figures] == ["time-to-mend"]


def test_findings_with_more_than_half_open_have_no_median_and_it_is_said(staging: RoutingPolicy) -> None:
    _action(staging, opened=50, days=2)
    for _ in range(4):
        _action(staging, opened=10, days=None)
    found = findings.answer(EVERYTHING)
    assert "mend_median" not in found.extra
    assert "less than half is known to be mended, so there is no median yet; 4 are open." in found.headline
    assert rows(found, 1)[0][5:7] == [None, "less than half is mended"]


def test_findings_that_will_not_be_done_are_not_mended(staging: RoutingPolicy) -> None:
    for _ in range(5):
        _action(staging, opened=50, days=3, state="not_doing")
    found = findings.answer(EVERYTHING)
    assert rows(found, 1)[0][1:5] == [5, 0, 0, 5]
    assert "mend_median" not in found.extra


def test_findings_that_came_back(staging: RoutingPolicy) -> None:
    for number in range(5):
        _action(staging, opened=50, days=3, recurrences=1 if number == 0 else 0)
    _action(staging, opened=50, days=None, recurrences=2)
    found = findings.answer(EVERYTHING)
    assert "2 of 6 mended ones came back: 33 % (95 % interval 10 % to 70 %)." in found.headline
    assert rows(found, 1)[0][-1] == 2


@pytest.mark.parametrize(("wanted", "actions"), [({"alias": "reasoner"}, 1), ({"alias": "x"}, 0), ({"team": "x"}, 0), ({"change_type": "model"}, 1)])
def test_findings_filters_with_a_fixed_number_of_queries(
    wanted: dict[str, Any], actions: int, staging: RoutingPolicy, django_assert_max_num_queries: Any
) -> None:
    _action(staging, opened=50, days=3)
    with django_assert_max_num_queries(4):
        assert findings.answer(AnalyticsFilter(**wanted)).extra.get("actions", 0) == actions
