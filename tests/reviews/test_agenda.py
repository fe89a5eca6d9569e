"""The agenda of a seeded quarter: complete, in the order of a meeting, and of one team alone."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rollbackhub.analytics.models import RunFact
from rollbackhub.reviews.domain.agenda.build import BuiltItem, build_agenda
from rollbackhub.reviews.enums import Agenda
from rollbackhub.reviews.models import Review
from rollbackhub.reviews.rules import quarter_of
from tests.factories.accounts import TeamFactory
from tests.factories.drills import PlannedDrillFactory
from tests.factories.fixtures import Cast
from tests.factories.reviews import ReviewFactory
from tests.reviews.quarter import AT, QUARTER, Quarter, add_more, make_quarter

pytestmark = pytest.mark.django_db

MOST_QUERIES = 40
"""Of all items together, those of analytics' figures included."""


@pytest.fixture
def quarter(cast: Cast) -> Quarter:
    return make_quarter(cast)


@pytest.fixture
def built(quarter: Quarter) -> dict[str, BuiltItem]:
    review: Review = ReviewFactory(team=quarter.team, quarter=QUARTER)
    return {item.agenda.value: item for item in build_agenda(review, at=AT)}


def rows(item: BuiltItem, title: str) -> list[dict[str, object]]:
    """The rows of a table whose title begins so, by the columns' keys."""
    table = next(table for table in item.content["tables"] if table["title"].startswith(title))
    keys = [column["key"] for column in table["columns"]]
    return [dict(zip(keys, row, strict=True)) for row in table["rows"]]


def test_agenda_has_every_item_in_the_order_of_the_meeting(built: dict[str, BuiltItem]) -> None:
    assert list(built) == [item.value for item in Agenda]
    assert all(item.headline.endswith((".", "?")) and item.query_seconds > 0 for item in built.values())
    json.dumps({name: item.content for name, item in built.items()})


def test_promised_has_open_actions_and_those_closed_since_the_overdue_first(built: dict[str, BuiltItem]) -> None:
    item = built["promised"]
    assert item.headline == "1 of 3 promised actions is closed; 2 still open, 1 of those overdue."
    assert [(row["action"], row["state"]) for row in rows(item, "Actions")] == [
        ("Mend the flag of smart-reasoner", "Overdue"),
        ("Write the runbook", "Open"),
        ("Drill the router", "Done"),
    ]
    assert [row["decision"] for row in rows(item, "Decided in 2026 Q2")] == ["Rollbacks of prompts need no approval."]


def test_compliance_counts_the_excused_as_planned_and_not_done(built: dict[str, BuiltItem]) -> None:
    item = built["compliance"]
    assert item.headline == "2 of 4 planned drills were done (50 %), 1 passed; 1 missed, 1 excused."
    assert rows(item, "Drills by plan") == [
        {"plan": "Reasoner monthly", "planned": 4, "passed": 1, "failed": 1, "missed": 1, "excused": 1, "open": 0, "to_come": 0, "done": 0.5}
    ]
    assert [row["why"] for row in rows(item, "Missed")] == ["The hub was down for the whole day.", "Freeze before the launch."]


def test_compliance_counts_only_what_has_come(quarter: Quarter) -> None:
    soon = AT + dt.timedelta(hours=1)
    PlannedDrillFactory(plan=quarter.plan, slot=soon, starts_at=soon)
    PlannedDrillFactory(plan=quarter.plan, slot=soon + dt.timedelta(days=3), starts_at=soon, excused=True)
    PlannedDrillFactory(plan=quarter.plan, slot=AT - dt.timedelta(days=1), starts_at=AT - dt.timedelta(days=1), passed=True)
    review: Review = ReviewFactory(team=quarter.team, quarter=quarter_of(soon.date()))
    item = next(item for item in build_agenda(review, at=AT) if item.agenda == Agenda.COMPLIANCE)
    assert item.headline == "1 of 1 planned drill was done (100 %), 1 passed."
    assert rows(item, "Drills by plan") == [
        {"plan": "Reasoner monthly", "planned": 1, "passed": 1, "failed": 0, "missed": 0, "excused": 0, "open": 0, "to_come": 2, "done": 1.0}
    ]
    assert "1 drill was excused ahead of its time." in item.content["notes"]


def test_misses_name_the_segment_that_took_most(built: dict[str, BuiltItem]) -> None:
    item = built["misses"]
    assert item.headline == "3 of 4 measured runs missed their target; propagate took most of the time in 2 of them."
    found = [(row["alias"], row["kind"], row["took"], row["over"], row["segment"]) for row in rows(item, "Targets missed")]
    assert found == [
        ("smart-reasoner", "Rollback", 600.0, 300.0, "Execute"),
        ("smart-reasoner", "Drill", 350.0, 50.0, "Propagate"),
        ("smart-reasoner", "Drill", 400.0, 100.0, "Propagate"),
    ]
    assert {row["segment"]: row["misses"] for row in rows(item, "By segment")} == {"Execute": 1, "Propagate": 2}


def test_misses_blame_no_segment_that_was_merely_the_only_one_recorded(quarter: Quarter) -> None:
    past = RunFact.objects.get(kind="rollback", hit=False)
    RunFact.objects.filter(pk=past.pk).update(execute_seconds=None, authorise_seconds=88.0, propagate_seconds=None, drain_seconds=None)
    RunFact.objects.filter(hit=False).exclude(pk=past.pk).update(hit=True, rollback_seconds=1.0)
    review: Review = ReviewFactory(team=quarter.team, quarter=QUARTER)
    item = next(item for item in build_agenda(review, at=AT) if item.agenda == Agenda.MISSES)
    assert item.headline == "1 of 4 measured runs missed its target; where most of it went is not known."
    (row,) = rows(item, "Targets missed")
    assert (row["segment"], row["segment_seconds"]) == ("Not known: of 10 min only authorise (1 min 28 s) was recorded", None)
    assert "Never recorded in these misses: execute, propagate and drain." in item.content["notes"]


def test_proof_lists_aliases_without_it(built: dict[str, BuiltItem]) -> None:
    item = built["proof"]
    assert item.headline == "2 of 2 live aliases have no valid proof: 1 never drilled, 1 changed since it was proven."
    assert [(row["alias"], row["proof"], row["why"]) for row in rows(item, "Without")] == [
        ("ticket-router", "Never drilled", "Never drilled."),
        ("smart-reasoner", "Changed since it was proven", "Changed since it was proven."),
    ]


def test_findings_list_failed_drills_and_what_is_open(built: dict[str, BuiltItem]) -> None:
    item = built["findings"]
    assert item.headline == "1 drill failed in this quarter; 1 finding is open, 1 overdue."
    assert [row["findings"] for row in rows(item, "Failed")] == ["Configuration mismatch: staging-gateway-1"]
    assert [(row["finding"], row["owner"], row["state"], row["times"]) for row in rows(item, "Open")] == [
        ("Configuration mismatch: staging-gateway-1", "Olga Call", "Overdue", 2)
    ]


def test_incidents_are_the_quarters_and_those_left_from_before(built: dict[str, BuiltItem]) -> None:
    item = built["incidents"]
    assert item.headline.startswith("1 incident in this quarter, 1 left from before; 2 are not closed.")
    assert [(row["title"], row["exposure"], row["restored"]) for row in rows(item, "Incidents")] == [
        ("smart-reasoner: degraded feedback", 1204, 600.0),
        ("Left from spring", None, None),
    ]


def test_retention_lists_what_goes_until_the_next_review_what_is_needed_first(built: dict[str, BuiltItem]) -> None:
    item = built["retention"]
    assert item.headline == "0 of 2 live aliases can be rolled back now; 1 version that production or a way back needs goes within 92 days."
    assert [(row["version"], row["what"]) for row in rows(item, "What goes")] == [
        ("claude-sonnet-4-5", "Its provider shuts it down"),
        ("claude-sonnet-4-1", "Its window of 90 days ends"),
    ]


def test_decisions_are_suggested_by_what_has_not_moved(built: dict[str, BuiltItem]) -> None:
    questions = [row["question"] for row in rows(built["decisions"], "Suggested")]
    assert questions == [
        "Do we pay for a second region?",
        "How does ticket-router become ready, and by when?",
        "What makes the rollback of smart-reasoner in staging fast enough, or is its target wrong?",
        "Does “The gateway serves by the hub again” get done, by whom and by when?",
        "Does “Mend the flag of smart-reasoner” get done, by whom and by when?",
    ]
    assert built["decisions"].headline == "The data suggest 5 decisions."


def test_nothing_of_another_team_stands_in_it(built: dict[str, BuiltItem]) -> None:
    for item in built.values():
        text = json.dumps([item.headline, item.content]).lower()
        assert "not ours" not in text
        assert "not-ours" not in text


def test_team_without_anything_gets_an_agenda_that_says_so() -> None:
    items = build_agenda(ReviewFactory(team=TeamFactory(slug="new"), quarter=QUARTER), at=AT)
    assert [item.headline for item in items] == [
        "Nothing was promised: this is the team's first review.",
        "No drill was planned in this quarter.",
        "No run was measured against a target in this quarter.",
        "The team has no alias in production.",
        "No drill failed in this quarter, and no finding is open.",
        "No incident in this quarter, and none is left from before.",
        "The team has no alias in production; no version goes within 92 days.",
        "The data suggest no decision.",
    ]


def test_agenda_takes_as_many_queries_for_much_as_for_little(quarter: Quarter) -> None:
    review: Review = ReviewFactory(team=quarter.team, quarter=QUARTER)
    loaded = Review.objects.select_related("team").get(pk=review.pk)

    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            build_agenda(loaded, at=AT)
        return len(found)

    before = queries()
    add_more(quarter)
    assert queries() == before <= MOST_QUERIES
