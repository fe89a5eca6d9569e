"""The pages of analytics: all questions, one answer, its files; whatever the questions are."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import plotly.graph_objects as go
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from rollbackhub.analytics import catalogue
from rollbackhub.analytics.answer import AnalyticsFilter, Answer, Column, NamedFigure, Table
from rollbackhub.analytics.catalogue import GROUPS, Question
from rollbackhub.common import clock
from rollbackhub.dashboard.answer_page import TABLE_ROWS
from tests.dashboard.people import client_of, page
from tests.factories.accounts import TeamFactory
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory, EnvironmentFactory
from tests.factories.routing import RoutingPolicyFactory

pytestmark = pytest.mark.django_db

TODAY = dt.date(2026, 11, 23)
QUERIES = 10
"""Session, person, roles, the bar's three, environments, teams, whether there is lab data, and (with an alias) that there is one by this name."""


def an_answer() -> Answer:
    """Two figures, a table behind the first, one with many rows behind the second, one alone; every unit."""
    figure = go.Figure(go.Scatter(x=[1, 2], y=[3.5, 4], customdata=[["/drills/a/"], ["/drills/b/"]]))
    every_unit = Table(
        title="Drills </script><b>and</b> more",
        columns=[
            Column("alias", "Alias"),
            Column("took", "Took", "seconds"),
            Column("hit", "Hit", "share"),
            Column("runs", "Runs", "count"),
            Column("at", "At", "instant"),
            Column("day", "Day", "day"),
            Column("month", "Month", "month"),
            Column("lab", "Lab"),
            Column("url", "Page"),
        ],
        rows=[
            ["=cmd", 252.0, 0.925, 12_000, dt.datetime(2026, 11, 3, 4, 5, 6, tzinfo=dt.UTC), dt.date(2026, 11, 3), dt.date(2026, 11, 1), True, "/drills/x/"],
            ["none", None, None, None, None, None, None, None, None],
        ],
        url_column=8,
    )
    long = Table("Many", [Column("n", "Number", "count")], [[number] for number in range(TABLE_ROWS + 50)])
    alone = Table("By team", [Column("team", "Team"), Column("mean", "Mean", "count")], [["search", 1234.5]])
    return Answer(
        headline="11 of 12 runs were in time: 91.7 % (63 to 99 %).",
        figures=[NamedFigure("points", "Every run", "Each run as a point", figure), NamedFigure("months", "By month", "Bars by month", figure)],
        tables=[every_unit, long, alone],
        notes=["Drills that did not restore are left out."],
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[AnalyticsFilter]:
    """Two questions instead of the real ones: `times`, and `nothing`, which never has anything to count. What they were asked for, in order."""
    wanted: list[AnalyticsFilter] = []

    def answering(answer: Callable[[], Answer]) -> Callable[[AnalyticsFilter], Answer]:
        def answer_to(asked_for: AnalyticsFilter) -> Answer:
            wanted.append(asked_for)
            return answer()

        return answer_to

    nothing = Answer(headline="Nothing was drilled.", empty="Drills that ended fill this.")
    questions = (
        Question("times", "Do we do it in time?", "Times", "Every run against its target.", GROUPS[0], answering(an_answer)),
        Question("nothing", "Is there anything?", "Nothing", "Never.", GROUPS[1], answering(lambda: nothing)),
    )
    monkeypatch.setattr(catalogue, "QUESTIONS", questions)
    monkeypatch.setattr(clock, "now", lambda: dt.datetime.combine(TODAY, dt.time(12), dt.UTC))
    return wanted


def text_of(client: Client, address: str) -> str:
    """The words of a page, without marks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<script.*?</script>", "", unescape(page(client, address)))))


def rows_of(client: Client, address: str) -> list[dict[str, str]]:
    answer = client.get(address)
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/csv; charset=utf-8")
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


def test_list_has_every_question_and_reckons_nothing(asked: list[AnalyticsFilter], cast: Cast) -> None:
    html = page(client_of(cast.auditor), "/analytics/?period=30&change_type=model")
    for slug, title in (("times", "Do we do it in time?"), ("nothing", "Is there anything?")):
        assert f'<a href="/analytics/{slug}/?period=30&amp;change_type=model">{title}</a>' in html
        assert f'hx-get="/analytics/{slug}/headline/?period=30&amp;change_type=model"' in html
    assert asked == []


def test_headline_is_a_part_for_the_list(asked: list[AnalyticsFilter], cast: Cast) -> None:
    client = client_of(cast.auditor)
    html = page(client, "/analytics/times/headline/?change_type=model")
    assert "11 of 12 runs were in time" in html
    assert "<html" not in html
    assert asked[-1].change_type == "model"
    assert "Nothing to count: Drills that ended fill this." in page(client, "/analytics/nothing/headline/")


def test_answer_says_its_headline_its_notes_and_draws_its_figures(asked: list[AnalyticsFilter], cast: Cast) -> None:
    html = page(client_of(cast.auditor), "/analytics/times/")
    assert "<h1>Do we do it in time?</h1>" in html
    assert '<p class="answer-words">11 of 12 runs were in time: 91.7 % (63 to 99 %).</p>' in html
    assert "Drills that did not restore are left out." in html
    assert re.findall(r'data-figure="([\w-]+)"( data-linked)? role="img" aria-label="([^"]+)"', html) == [
        ("figure-points", " data-linked", "Each run as a point"),
        ("figure-months", " data-linked", "Bars by month"),
    ]
    assert html.count("The same as a table") == 2
    assert re.findall(r'href="/analytics/times/(\d).csv"', html) == ["1", "2", "3"]
    assert '<a href="/analytics/nothing/" title="Is there anything?">Nothing</a>' in html


def test_cells_are_in_words_by_their_unit_and_lead_to_their_page(asked: list[AnalyticsFilter], cast: Cast) -> None:
    html = page(client_of(cast.auditor), "/analytics/times/")
    assert "</script><b>" not in html
    first = re.findall(r"(?s)<tr>(<th scope=\"row\">.*?)</tr>", html)[0]
    assert first.startswith('<th scope="row"><a href="/drills/x/">=cmd</a></th>')
    assert re.findall(r"<td[^>]*>([^<]*)</td>", first) == ["4 min 12 s", "92.5 %", "12,000", "3 Nov 2026, 04:05:06 UTC", "3 Nov 2026", "Nov 2026", "yes"]
    assert '<th scope="row">none</th><td class="num">–</td>' in html
    assert "/drills/x/" not in text_of(client_of(cast.auditor), "/analytics/times/")
    assert ">1,234.5<" in html


def test_instants_are_in_the_zone_of_the_reader(asked: list[AnalyticsFilter], cast: Cast) -> None:
    cast.auditor.timezone = "Asia/Kolkata"
    cast.auditor.save(update_fields=["timezone"])
    assert "3 Nov 2026, 09:35:06 IST" in page(client_of(cast.auditor), "/analytics/times/")


def test_long_table_is_cut_on_the_page_and_whole_in_the_file(asked: list[AnalyticsFilter], cast: Cast) -> None:
    client = client_of(cast.auditor)
    assert f"the first {TABLE_ROWS} of {TABLE_ROWS + 50} rows; the file has all" in page(client, "/analytics/times/")
    assert [row["n"] for row in rows_of(client, "/analytics/times/2.csv")] == [str(number) for number in range(TABLE_ROWS + 50)]


def test_file_has_plain_numbers_iso_dates_and_no_formulas(asked: list[AnalyticsFilter], cast: Cast) -> None:
    first, second = rows_of(client_of(cast.auditor), "/analytics/times/1.csv?team=")
    assert first == {
        "alias": "'=cmd", "took": "252.0", "hit": "0.925", "runs": "12000", "at": "2026-11-03T04:05:06+00:00", "day": "2026-11-03", "month": "2026-11",
        "lab": "yes", "url": "/drills/x/",
    }  # fmt: skip
    assert set(second.values()) == {"none", ""}


@pytest.mark.parametrize(("address", "status"), [("times/0.csv", 404), ("times/4.csv", 404), ("nothing/1.csv", 404), ("no-such/", 404), ("no-such/1.csv", 404)])
def test_what_there_is_not_is_said(address: str, status: int, asked: list[AnalyticsFilter], cast: Cast) -> None:
    assert "There is no" in page(client_of(cast.auditor), f"/analytics/{address}", status=status) or "has no table" in page(
        client_of(cast.auditor), f"/analytics/{address}", status=status
    )


def test_nothing_to_count_says_what_would_fill_it(asked: list[AnalyticsFilter], cast: Cast) -> None:
    client = client_of(cast.auditor)
    html = page(client, "/analytics/nothing/")
    assert "Nothing to count yet" in html
    assert "Drills that ended fill this." in html
    assert "plotly" not in html
    assert "Reset the filter" in page(client, "/analytics/nothing/?period=30")


@pytest.mark.parametrize(
    ("query", "since", "until"),
    [
        ("", dt.date(2025, 11, 24), None),
        ("?period=365", dt.date(2025, 11, 24), None),
        ("?period=30", dt.date(2026, 10, 25), None),
        ("?period=90", dt.date(2026, 8, 26), None),
        ("?period=quarter", dt.date(2026, 10, 1), None),
        ("?period=last_quarter", dt.date(2026, 7, 1), dt.date(2026, 10, 1)),
        ("?period=all", None, None),
        ("?period=days", None, None),
        ("?period=days&since=2026-02-01&until=2026-02-28", dt.date(2026, 2, 1), dt.date(2026, 3, 1)),
        ("?since=2026-02-01", dt.date(2026, 2, 1), None),
        ("?until=2026-02-28", None, dt.date(2026, 3, 1)),
    ],
)
def test_period_in_the_address_is_days_for_the_answer(
    query: str, since: dt.date | None, until: dt.date | None, asked: list[AnalyticsFilter], cast: Cast
) -> None:
    page(client_of(cast.auditor), f"/analytics/times/{query}")
    rows_of(client_of(cast.auditor), f"/analytics/times/1.csv{query}")
    assert [(wanted.since, wanted.until) for wanted in asked] == [(since, until)] * 2


@pytest.mark.parametrize(("today", "since"), [(dt.date(2027, 2, 9), dt.date(2026, 10, 1)), (dt.date(2026, 4, 1), dt.date(2026, 1, 1))])
def test_last_quarter_reaches_over_the_year(today: dt.date, since: dt.date, asked: list[AnalyticsFilter], cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: dt.datetime.combine(today, dt.time(12), dt.UTC))
    page(client_of(cast.auditor), "/analytics/times/?period=last_quarter")
    assert asked[-1].since == since


def test_filters_reach_the_answer_and_are_carried_to_other_questions(asked: list[AnalyticsFilter], cast: Cast) -> None:
    TeamFactory(slug="search")
    RoutingPolicyFactory(alias="smart-reasoner", environment=EnvironmentFactory(slug="staging"))
    query = "period=all&team=search&environment=staging&change_type=model&alias=smart-reasoner&lab=out"
    html = page(client_of(cast.auditor), f"/analytics/times/?{query}")
    assert asked == [AnalyticsFilter(team="search", environment="staging", change_type="model", alias="smart-reasoner", with_lab=False)]
    carried = query.replace("&", "&amp;")
    for address in (f"/analytics/?{carried}", f"/analytics/nothing/?{carried}", f"/analytics/times/2.csv?{carried}"):
        assert f'href="{address}"' in html, address


@pytest.mark.parametrize(
    "query",
    ["team=nobody", "environment=moon", "change_type=mood", "alias=no-such", "period=eternity", "lab=perhaps", "period=days&since=yesterday",
     "from=abc"],
)  # fmt: skip
def test_what_there_is_not_is_left_out_and_said_on_pages_and_refused_in_files(query: str, asked: list[AnalyticsFilter], cast: Cast) -> None:
    client = client_of(cast.auditor)
    for address in ("/analytics/times/", "/analytics/"):
        text = text_of(client, f"{address}?{query}&lab=" if "lab" not in query else f"{address}?{query}")
        assert "The address filters by what there is not" in text, address
        assert query.rsplit("&", 1)[-1] in text
    name, value = query.rsplit("&", 1)[-1].split("=")
    assert f"{name}={value}" not in re.sub(r'(?s)<div class="notice.*?</div>', "", page(client, f"/analytics/times/?{query}")), "links do not carry it on"
    asked.clear()
    assert client.get(f"/analytics/times/1.csv?{query}").status_code == 422
    assert asked == []


def test_a_period_that_is_backwards_is_said_and_left_out(asked: list[AnalyticsFilter], cast: Cast) -> None:
    client = client_of(cast.auditor)
    query = "?period=days&since=2026-02-01&until=2026-01-31"
    for address in ("/analytics/times/", "/analytics/"):
        text = text_of(client, f"{address}{query}")
        assert "The period is backwards: its last day lies before its first (2026-02-01 to 2026-01-31)." in text
        assert "filters by what there is not" not in text
    (wanted,) = asked
    page(client, "/analytics/times/")
    assert asked[-1] == wanted, "the twelve months that are counted without a period"
    assert 'href="/analytics/nothing/"' in page(client, f"/analytics/times/{query}"), "links do not carry it on"
    assert client.get(f"/analytics/times/1.csv{query}").status_code == 422


def test_choosing_another_period_takes_the_days_out_of_the_address(asked: list[AnalyticsFilter], cast: Cast) -> None:
    client = client_of(cast.auditor)
    for address in ("/analytics/times/", "/analytics/"):
        answer = client.get(f"{address}?period=30&since=2026-01-01&until=2026-01-31&alias=")
        assert (answer.status_code, answer["Location"]) == (302, f"{address}?period=30&alias=")
    assert client.get("/analytics/times/1.csv?period=30&since=2026-01-01").status_code == 422


def test_lab_data_is_marked_where_there_is_some_and_can_be_left_out(asked: list[AnalyticsFilter], cast: Cast) -> None:
    client = client_of(cast.auditor)
    assert "Lab data</span>" not in page(client, "/analytics/times/")
    ArtefactFactory(is_lab=True)
    html = page(client, "/analytics/times/?period=all")
    assert "Lab data</span>" in html
    assert 'href="?period=all&amp;lab=out"' in html
    assert "Lab data</span>" not in page(client, "/analytics/times/?lab=out")


def test_queries_beyond_the_answers_own_are_few_and_fixed(asked: list[AnalyticsFilter], cast: Cast) -> None:
    client = client_of(cast.auditor)
    RoutingPolicyFactory(alias="smart-reasoner")
    counts: dict[str, int] = {}
    for address in ("/analytics/times/?alias=smart-reasoner", "/analytics/times/", "/analytics/", "/analytics/times/headline/", "/analytics/times/1.csv"):
        page(client, address)
        with CaptureQueriesContext(connection) as queries:
            page(client, address)
        counts[address] = len(queries)
    assert counts == {
        "/analytics/times/?alias=smart-reasoner": QUERIES, "/analytics/times/": QUERIES - 1, "/analytics/": QUERIES - 2,
        "/analytics/times/headline/": QUERIES - 5, "/analytics/times/1.csv": QUERIES - 5,
    }  # fmt: skip


@pytest.mark.parametrize("address", ["/analytics/", "/analytics/times/", "/analytics/times/headline/", "/analytics/times/1.csv"])
def test_strangers_see_nothing_of_it(address: str, asked: list[AnalyticsFilter], cast: Cast) -> None:
    assert client_of(cast.stranger).get(address).status_code == 403
    assert Client().get(address).status_code == 302
    assert asked == []


def test_every_real_question_has_an_address_words_and_a_place() -> None:
    questions: Any = catalogue.QUESTIONS
    assert len({question.slug for question in questions}) == len(questions)
    for question in questions:
        assert re.fullmatch(r"[a-z-]+", question.slug)
        assert question.title.endswith("?")
        assert question.says.endswith(".")
        assert question.group in GROUPS
