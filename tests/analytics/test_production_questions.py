"""Questions 5, 9, 10 and 11: decisions, DORA's metrics, exposure, ways out. Rollups and single runs give the same."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from rollbackhub.analytics.answer import AnalyticsFilter, Answer
from rollbackhub.analytics.domain import production as production_rollups
from rollbackhub.analytics.domain import rollups
from rollbackhub.analytics.questions import decisions, dora, exposure, ways_out
from rollbackhub.routing.models import RoutingPolicy
from tests.analytics.facts import day, make_fact, make_facts
from tests.analytics.history_files import make_world
from tests.factories.registry import ArtefactFactory
from tests.factories.releases import ReleaseFactory
from tests.factories.rollbacks import RollbackFactory
from tests.factories.routing import RoutingPolicyFactory

EVERYTHING = AnalyticsFilter()
QUESTIONS = (decisions, dora, exposure, ways_out)


@pytest.fixture
def production(db: None) -> RoutingPolicy:
    """An alias in production."""
    return make_world()


def rows(found: Answer, table: int = 0) -> list[list[Any]]:
    """A table's rows."""
    return [list(row) for row in found.tables[table].rows]


@pytest.mark.parametrize("question", QUESTIONS)
def test_empty_says_what_would_fill_it(question: Any, production: RoutingPolicy) -> None:
    make_fact(production, kind="drill", detect_seconds=5.0, exposure=3)
    found = question.answer(EVERYTHING)
    assert (found.figures, found.tables) == ((), ())
    assert found.empty
    assert found.headline


def test_decisions_by_authority_and_way(production: RoutingPolicy) -> None:
    for number in range(1, 6):
        make_fact(production, kind="rollback", at=day(number), authority="on_call", authorised_how="own", detect_seconds=60.0 * number, authorise_seconds=0.0)
        make_fact(
            production,
            kind="rollback",
            at=day(20 + number),
            authority="platform_lead",
            authorised_how="approval",
            detect_seconds=None,
            authorise_seconds=100.0 * number,
        )
    make_fact(production, kind="rollback", at=day(40), authority="platform_lead", authorised_how="break_glass", detect_seconds=10.0, authorise_seconds=1.0)
    found = decisions.answer(EVERYTHING)
    assert rows(found) == [
        ["On-call engineer", "The requester's own authority", 5, 5, 5, 180.0, pytest.approx(276.0), 5, 0.0, 0.0],
        ["Platform lead", "An approval", 5, 5, 0, None, None, 5, 300.0, pytest.approx(460.0)],
        ["Platform lead", "Break-glass", 1, 1, 1, None, None, 1, None, None],
    ]
    assert "Of 11 production decisions, half were decided within 2 min 30 s of the detection" in found.headline
    assert "Approval, half within: the requester's own authority 0.00 s and an approval 5 min." in found.headline
    assert [figure.key for figure in found.figures] == ["decisions-by-authority", "decisions-by-way"]


def test_few_decisions_are_too_few_to_say(production: RoutingPolicy) -> None:
    make_fact(production, kind="rollback", authority="on_call", detect_seconds=60.0, authorise_seconds=1.0)
    found = decisions.answer(EVERYTHING)
    assert found.headline == "1 decision so far: too few measured ones to say how long they take (5 are needed)."
    assert found.figures == []
    assert rows(found)[0][5] is None


def test_rollback_of_several_aliases_is_one_decision_under_every_filter(production: RoutingPolicy) -> None:
    other = RoutingPolicyFactory(environment=production.environment, alias="embedder", artefact=ArtefactFactory(slug="embedder", change_type="prompt"))
    rollback = RollbackFactory(parts=False)
    common: dict[str, Any] = {"kind": "rollback", "rollback_id": rollback.pk, "authority": "on_call", "detect_seconds": 60.0, "authorise_seconds": 2.0}
    make_fact(production, **common)
    make_fact(other, **common, is_whole=False)
    for wanted in (EVERYTHING, AnalyticsFilter(change_type="model"), AnalyticsFilter(alias="embedder"), AnalyticsFilter(change_type="prompt")):
        assert decisions.answer(wanted).extra["decision_measured"] == 1, wanted
    assert dora.answer(EVERYTHING).extra["recovery_n"] == 2, "each alias is a deployment that recovered"


def test_dora_change_fail_rate_by_month_with_its_interval(production: RoutingPolicy) -> None:
    for number in range(12):
        state = "rolled_back" if number % 4 == 0 else "superseded"
        ReleaseFactory(policy=production, state=state, started_at=day(number * 5), live_at=day(number * 5))
    ReleaseFactory(policy=production, state="abandoned", started_at=day(1))
    ReleaseFactory(policy=production, state="planned", started_at=None)
    ReleaseFactory(policy=RoutingPolicy.objects.get(environment__slug="staging"), state="rolled_back", started_at=day(1))
    found = dora.answer(EVERYTHING)
    assert (found.extra["releases"], found.extra["failed"], found.extra["change_fail_rate"]) == (12, 3, 0.25)
    assert "Change fail rate 25 % (95 % interval 9 % to 53 %): 3 of 12 releases." in found.headline
    assert "Nothing was recovered from." in found.headline
    assert rows(found) == [
        ["Mar 2026", 1, 0, 0.0, "too few to say"],
        ["Feb 2026", 5, 1, 0.2, "too few to say"],
        ["Jan 2026", 6, 2, pytest.approx(1 / 3), "too few to say"],
    ]
    assert dora.answer(AnalyticsFilter(since=dt.date(2026, 2, 1))).extra["releases"] == 6
    assert dora.answer(AnalyticsFilter(team="nobody")).extra == {}


def test_dora_long_periods_are_quarters(production: RoutingPolicy) -> None:
    for number in range(20):
        ReleaseFactory(policy=production, state="superseded", started_at=day(number * 31), live_at=day(number * 31))
    assert [row[0] for row in rows(dora.answer(EVERYTHING))][-3:] == ["2026 Q3", "2026 Q2", "2026 Q1"]


def test_dora_recovery_is_from_detection_and_from_decision_apart_and_without_drills(production: RoutingPolicy) -> None:
    for number in range(10):
        make_fact(production, kind="rollback", at=day(number), seconds=100.0, detect_seconds=50.0 + number)
    make_fact(production, kind="roll_forward", at=day(20), seconds=900.0, detect_seconds=None)
    make_fact(production, kind="drill", at=day(21), seconds=1.0)
    make_fact(production, kind="rollback", at=day(22), seconds=None, detect_seconds=5.0)
    found = dora.answer(EVERYTHING)
    assert "Half of 10 recoveries took at most 2 min 34 s from the detection, nine of ten 2 min 38 s." in found.headline
    assert [row[:3] for row in rows(found)] == [["Detected to restored", 10, 154.5], ["Decided to restored (no detection recorded)", 1, 900.0]]
    assert rows(found)[1][-1] == "too few to say"
    assert any("12 runs of 12 imported" in note for note in found.notes)


def test_dora_without_any_detection_says_so(production: RoutingPolicy) -> None:
    for number in range(10):
        make_fact(production, kind="rollback", at=day(number), seconds=100.0)
    assert "Half of 10 recoveries took at most 1 min 40 s from the decision, since no detection is recorded" in dora.answer(EVERYTHING).headline


def test_exposure_counted_estimated_and_told_apart(production: RoutingPolicy) -> None:
    for number in range(5):
        make_fact(production, kind="rollback", at=day(number * 20), hub=True, exposure=1000 + number, exposure_estimated=100)
    make_fact(production, kind="rollback", at=day(3), exposure=7)
    make_fact(production, kind="rollback", at=day(4), exposure=None)
    make_fact(production, kind="roll_forward", at=day(4), exposure=9999)
    found = exposure.answer(EVERYTHING)
    assert found.headline.startswith("Bad versions served 5,017 requests in 6 rollbacks: 4,510 counted, 500 estimated, 7 told by imported files.")
    assert "Half of the rollbacks had at most 1,002." in found.headline
    assert "Of 1 more rollback it is not known." in found.headline
    by_month, by_alias, newest = found.tables
    assert list(by_month.rows[-1]) == [dt.date(2026, 1, 1), 4, 3, 1, 2008, 1801, 200, 7]
    assert [list(row) for row in by_alias.rows] == [["reasoner", 7, 6, 1, 5017, 4510, 500, 7]]
    assert [(row[2], row[3], row[4]) for row in newest.rows][-2:] == [(7, None, "Imported"), (1000, 100, "RollbackHub")]
    assert [figure.key for figure in found.figures] == ["exposure-by-month", "exposure-by-alias", "exposure-per-rollback"]


def test_ways_out_counts_outcomes_and_times(production: RoutingPolicy) -> None:
    for number in range(8):
        make_fact(production, kind="rollback", at=day(number), seconds=100.0 + number if number < 6 else None)
    make_fact(production, kind="rollback", at=day(40), seconds=1.0, outcome="undone", verdict="failed", hub=True)
    make_fact(production, kind="roll_forward", at=day(9), seconds=60.0, outcome="held")
    found = ways_out.answer(EVERYTHING)
    assert found.headline == (
        "9 roll-backs, of which 67 % (95 % interval 35 % to 88 %) passed, half of them within 1 min 42 s;"
        " 1 roll-forward, 1 of them passed (too few to say more)."
    )
    assert [row[:6] for row in rows(found)] == [
        ["Roll-back", 9, 8, 6, pytest.approx(6 / 9), "35 % to 88 %"],
        ["Roll-forward", 1, 1, 1, 1.0, "too few to say"],
    ]
    assert rows(found, 1) == [
        ["Roll-back", "Restored and verified", 6, pytest.approx(6 / 9)],
        ["Roll-back", "Closed", 2, pytest.approx(2 / 9)],
        ["Roll-back", "Put back as before", 1, pytest.approx(1 / 9)],
        ["Roll-forward", "The fix holds", 1, 1.0],
    ]


def _fill(policy: RoutingPolicy) -> None:
    values = [
        {
            "kind": "roll_forward" if number % 7 == 0 else "rollback",
            "at": day(number * 0.25),
            "seconds": 30.0 + 13 * (number % 11),
            "detect_seconds": None if number % 5 == 0 else 20.0 + number % 100,
            "authorise_seconds": float(number % 9),
            "authority": "on_call" if number % 2 else "platform_lead",
            "authorised_how": ("own", "approval", "break_glass")[number % 3],
            "exposure": number * 10 + 1,
            "exposure_estimated": number,
            "is_lab": number % 10 == 3,
        }
        for number in range(400)
    ]
    make_facts(policy, values)


def _numbers(found: Answer) -> list[Any]:
    return [[cell for row in table.rows for cell in row if isinstance(cell, int | float)] for table in found.tables]


WANTED = [
    EVERYTHING,
    AnalyticsFilter(since=dt.date(2025, 11, 20)),
    AnalyticsFilter(until=dt.date(2026, 3, 1)),
    AnalyticsFilter(since=dt.date(2025, 12, 1), until=dt.date(2027, 2, 3)),
    AnalyticsFilter(since=dt.date(2026, 1, 20), until=dt.date(2026, 3, 14)),
    AnalyticsFilter(with_lab=False, environment="production"),
]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("wanted", WANTED)
def test_answer_from_rollups_is_that_from_single_runs(
    question: Any, wanted: AnalyticsFilter, production: RoutingPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(production)
    exact = question.answer(wanted)
    for module in (rollups, production_rollups):
        monkeypatch.setattr(module, "EXACT_UP_TO", 0)
    rolled = question.answer(wanted)
    for of_exact, of_rolled in zip(_numbers(exact), _numbers(rolled), strict=True):
        # A percentile between two runs lies at one of them in a histogram.
        assert of_rolled == pytest.approx(of_exact, rel=0.2, abs=2)
    counts = {name: value for name, value in exact.extra.items() if name.endswith(("_n", "_measured", "requests", "rollbacks"))}
    assert {name: rolled.extra[name] for name in counts} == counts
    assert any("from a histogram" in note for note in rolled.notes) == any("Percentiles are exact" in note for note in exact.notes)


@pytest.mark.parametrize(("question", "queries"), [(decisions, 3), (dora, 4), (exposure, 6), (ways_out, 4)])
def test_answer_takes_a_fixed_number_of_queries(question: Any, queries: int, production: RoutingPolicy, django_assert_max_num_queries: Any) -> None:
    _fill(production)
    with django_assert_max_num_queries(queries):
        question.answer(AnalyticsFilter(since=dt.date(2026, 1, 20), until=dt.date(2026, 3, 14)))


@pytest.mark.parametrize("question", QUESTIONS)
def test_lab_is_left_out_when_that_is_wanted(question: Any, production: RoutingPolicy) -> None:
    make_fact(production, kind="rollback", is_lab=True, detect_seconds=1.0, authorise_seconds=1.0, exposure=5)
    assert question.answer(EVERYTHING).tables
    assert not question.answer(AnalyticsFilter(with_lab=False)).tables
