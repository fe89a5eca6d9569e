"""The calendar of drills, quiet periods, and calendar feeds."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from drills.domain import programme_selectors
from drills.models import CalendarFeed, PlannedDrill, QuietPeriod
from rollbackhub.accounts.models import User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.dashboard.calendar_page import SHOWN
from rollbackhub.dashboard.views import calendar as calendar_view
from tests.dashboard.people import client_of, page
from tests.factories.accounts import TeamFactory
from tests.factories.drills import CalendarFeedFactory, DrillPlanFactory, PlannedDrillFactory, QuietPeriodFactory
from tests.factories.fixtures import Cast

pytestmark = pytest.mark.django_db
CALENDAR, QUIET, FEEDS = "/drills/calendar/", "/drills/quiet/", "/drills/feeds/"
DAY = dt.timedelta(days=1)


@pytest.fixture(autouse=True)
def _today(monkeypatch: pytest.MonkeyPatch) -> None:
    """Monday, 23 November 2026, noon."""
    at = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
    monkeypatch.setattr(clock, "now", lambda: at)
    monkeypatch.setattr("django.utils.timezone.now", lambda: at)


def at(day: int, hour: int = 10, *, month: int = 11, minute: int = 0) -> dt.datetime:
    return dt.datetime(2026, month, day, hour, minute, tzinfo=dt.UTC)


def planned_at(instant: dt.datetime, **values: object) -> PlannedDrill:
    """One of a plan of its own."""
    made: PlannedDrill = PlannedDrillFactory(starts_at=instant, **values)
    return made


def cell(html: str, day: str) -> str:
    """What stands on a day."""
    found = re.search(rf'(?s)<td[^>]*>\s*<div class="date"><time datetime="{day}">.*?</td>', html)
    assert found, day
    return unescape(found[0])


def test_drills_stand_on_their_days_with_state_in_words_and_time(cast: Cast) -> None:
    due, passed = planned_at(at(25, 9, minute=30), plan__policy__alias="smart-reasoner"), planned_at(at(3), passed=True)
    planned_at(at(1, month=12))
    html = page(client_of(cast.auditor), CALENDAR)
    assert "Which drills are in November 2026?" in html
    assert re.search(rf'(?s)href="/drills/planned/{due.pk}/".*?Due.*?09:30.*?smart-reasoner<', cell(html, "2026-11-25"))
    assert re.search(rf'(?s)href="/drills/planned/{passed.pk}/".*?Passed.*?10:00', cell(html, "2026-11-03"))
    assert html.count('class="entry tone') == 2, "December's is on another page"
    assert "today" in cell(html, "2026-11-23")


def test_days_are_those_of_the_viewer(cast: Cast) -> None:
    User.objects.filter(pk=cast.auditor.pk).update(timezone="Asia/Tokyo")
    planned_at(at(24, 18))
    planned_at(at(31, 20, month=10))
    planned_at(at(30, 20))
    html = page(client_of(cast.auditor), CALENDAR)
    assert "03:00" in cell(html, "2026-11-25")
    assert "05:00" in cell(html, "2026-11-01")
    assert html.count('class="entry tone') == 2


def test_months_are_in_the_address_with_their_neighbours(cast: Cast) -> None:
    planned_at(at(1, month=12))
    team = TeamFactory(slug="platform")
    client = client_of(cast.auditor)
    html = unescape(page(client, f"{CALENDAR}?month=2026-12&team={team.slug}"))
    assert "Which drills are in December 2026?" in html
    assert 'href="?month=2026-11&team=platform"' in html
    assert 'href="?month=2027-01&team=platform"' in html
    assert 'href="?team=platform">This month' in html
    assert "Due" in cell(html, "2026-12-01")
    assert "This month" not in page(client, CALENDAR)


@pytest.mark.parametrize(
    "query", ["month=2026-13", "month=2026-1", "month=12026-01", "month=1999-12", "month=2100-01", "month=soon", "team=nobody", "day=soon", "day=2026-12-01"]
)
def test_what_there_is_not_is_said_and_left_out(query: str, cast: Cast) -> None:
    html = unescape(page(client_of(cast.auditor), f"{CALENDAR}?{query}"))
    assert f"The address filters by what there is not ({query})" in html
    assert "November 2026?" in html


@pytest.mark.parametrize(("month", "names"), [("2000-01", {"next"}), ("2099-12", {"prev"})])
def test_calendar_ends_where_its_months_end(month: str, names: set[str], cast: Cast) -> None:
    assert set(re.findall(r'rel="(\w+)" href="\?month', page(client_of(cast.auditor), f"{CALENDAR}?month={month}"))) == names


def test_team_shows_its_own_drills_and_quiet_periods_and_those_of_all(cast: Cast) -> None:
    search = TeamFactory(slug="search", name="Search")
    mine = planned_at(at(25), plan=DrillPlanFactory(team=search))
    other = planned_at(at(25))
    QuietPeriodFactory(team=search, starts_at=at(26, 0), ends_at=at(27, 0), reason="Search moves house")
    QuietPeriodFactory(team=TeamFactory(slug="platform"), starts_at=at(26, 0), ends_at=at(27, 0), reason="Platform moves house")
    QuietPeriodFactory(starts_at=at(26, 0), ends_at=at(27, 0), reason="Everybody moves house")
    html = page(client_of(cast.auditor), f"{CALENDAR}?team=search")
    assert f"/planned/{mine.pk}/" in html
    assert f"/planned/{other.pk}/" not in html
    quiet = cell(html, "2026-11-26")
    assert "Search moves house" in quiet
    assert "Everybody moves house" in quiet
    assert "Platform moves house" not in html


def test_quiet_periods_stand_on_each_of_their_days_and_no_other(cast: Cast) -> None:
    QuietPeriodFactory(starts_at=at(24, 12), ends_at=at(27, 0), reason="Freeze")
    html = page(client_of(cast.auditor), CALENDAR)
    for day, is_quiet in (("2026-11-23", False), ("2026-11-24", True), ("2026-11-26", True), ("2026-11-27", False)):
        assert ("Freeze" in cell(html, day)) == is_quiet, day


def test_unannounced_drill_is_only_some_time_in_its_month(cast: Cast) -> None:
    hidden = planned_at(at(26, 13, minute=37), plan__announced=False)
    planned_at(at(3, 14), plan__announced=False, passed=True)
    html = page(client_of(cast.auditor), CALENDAR)
    assert "1 unannounced: nobody is told when" in re.sub(r"<[^>]+>", "", html)
    assert "some time in November 2026" in html
    assert "13:37" not in html
    assert f"/planned/{hidden.pk}/" not in cell(html, "2026-11-26")
    assert "14:00" in cell(html, "2026-11-03"), "once it has begun its time is no secret"


def test_day_shows_what_needs_somebody_first_and_all_on_its_own_list(cast: Cast) -> None:
    for number in range(SHOWN + 2):
        planned_at(at(20, 8 + number), passed=True)
    missed = planned_at(at(20, 20), missed=True)
    html = page(client_of(cast.auditor), CALENDAR)
    entries = cell(html, "2026-11-20")
    assert re.findall(r"/drills/planned/(\d+)/", entries)[0] == str(missed.pk)
    assert entries.count('class="entry tone') == SHOWN
    assert "3 more" in entries
    html = page(client_of(cast.auditor), f"{CALENDAR}?day=2026-11-20")
    assert "All of Friday, 20 November" in html
    assert html.split('id="day"')[1].count("/drills/planned/") == SHOWN + 3


def test_month_with_more_drills_than_a_page_has_says_so(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calendar_view, "LIMIT", 2)
    for number in range(3):
        planned_at(at(20 + number))
    assert "The month has more than 2 drills" in page(client_of(cast.auditor), CALENDAR)
    assert programme_selectors.LIMIT == 1000


def test_empty_month_says_what_would_fill_it(cast: Cast) -> None:
    assert "Nothing is planned in this month" in page(client_of(cast.auditor), CALENDAR)
    assert 'href="/drills/plans/new/"' in page(client_of(cast.lead), CALENDAR)


def test_queries_of_the_calendar_do_not_grow(cast: Cast) -> None:
    client = client_of(cast.auditor)
    counts = []
    for number in range(2):
        planned_at(at(20 + number), passed=True)
        QuietPeriodFactory(starts_at=at(26, 0), ends_at=at(27, 0), team=TeamFactory(slug=f"team{number}"))
        page(client, CALENDAR)
        with CaptureQueriesContext(connection) as queries:
            page(client, CALENDAR)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 9, "session, person, roles, the bar's three, teams, planned drills, quiet periods"


# Quiet periods.


def sent(**changed: str) -> dict[str, str]:
    return {"team": "", "reason": "Year-end freeze", "starts_at": "2026-12-20T00:00", "ends_at": "2027-01-03T00:00", **changed}


def test_quiet_period_is_made_by_the_viewers_clock(cast: Cast) -> None:
    User.objects.filter(pk=cast.lead.pk).update(timezone="Asia/Kolkata")
    team = TeamFactory(slug="search")
    client = client_of(cast.lead)
    answer = client.post(f"{QUIET}new/", sent(team="search"), follow=True)
    assert "It is quiet then (Year-end freeze)" in answer.content.decode()
    quiet = QuietPeriod.objects.get()
    assert (quiet.team, quiet.starts_at.isoformat(), quiet.ends_at.isoformat()) == (team, "2026-12-19T18:30:00+00:00", "2027-01-02T18:30:00+00:00")
    assert AuditEvent.objects.filter(event="quiet_period.made", actor_user_id=cast.lead.pk).exists()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"reason": ""}, "This field is required."),
        ({"ends_at": "2026-12-19T00:00"}, "It must end after it starts."),
        ({"ends_at": "2027-12-19T00:00"}, "at most 92 days"),
        ({"starts_at": "2026-11-01T00:00", "ends_at": "2026-11-02T00:00"}, "It would be over already."),
        ({"starts_at": "soon"}, "Enter a valid date/time."),
        ({"team": "nobody"}, "Select a valid choice."),
    ],
)
def test_quiet_period_that_does_not_fit_is_refused_at_its_field(changed: dict[str, str], sentence: str, cast: Cast) -> None:
    answer = client_of(cast.lead).post(f"{QUIET}new/", sent(**changed))
    assert answer.status_code == 422
    assert sentence in unescape(answer.content.decode())
    assert not QuietPeriod.objects.exists()


def test_quiet_period_is_taken_back_or_ended(cast: Cast) -> None:
    coming = QuietPeriodFactory(starts_at=clock.now() + DAY, reason="Coming")
    present = QuietPeriodFactory(starts_at=clock.now() - DAY, reason="Present")
    over = QuietPeriodFactory(starts_at=clock.now() - 9 * DAY, reason="Over")
    client = client_of(cast.lead)
    html = page(client, QUIET)
    assert f'action="{QUIET}{coming.pk}/end/"' in html
    assert f'action="{QUIET}{over.pk}/end/"' not in html
    assert "Over, in the last" in html
    assert "taken back" in client.post(f"{QUIET}{coming.pk}/end/", follow=True).content.decode()
    client.post(f"{QUIET}{present.pk}/end/")
    assert not QuietPeriod.objects.filter(pk=coming.pk).exists()
    present.refresh_from_db()
    assert present.ends_at <= clock.now()
    assert client.post(f"{QUIET}{over.pk}/end/").status_code == 409
    assert client.post(f"{QUIET}99/end/").status_code == 404


# Feeds.


def test_feed_is_made_and_its_address_shown_this_once(cast: Cast) -> None:
    TeamFactory(slug="search", name="Search")
    client = client_of(cast.lead)
    answer = client.post(f"{FEEDS}new/", {"team": "search", "name": "Wall in the kitchen"})
    assert (answer.status_code, answer["Location"]) == (302, FEEDS), "loading the page again makes no other feed"
    answer = client.get(FEEDS)
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    found = re.search(r'value="http[^"]*?(/drills/calendar/([\w-]+)\.ics)"', answer.content.decode())
    assert found
    read = Client().get(found[1])
    assert (read.status_code, read["Content-Type"]) == (200, "text/calendar; charset=utf-8")
    later = page(client, FEEDS)
    assert "Wall in the kitchen" in later
    assert found[2] not in later
    assert found[2] not in str(dict(client.session))
    assert CalendarFeed.objects.count() == 1
    assert not AuditEvent.objects.filter(data__icontains=found[2]).exists()


def test_feed_that_is_revoked_answers_nobody(cast: Cast) -> None:
    TeamFactory(slug="search", name="Search")
    client = client_of(cast.lead)
    html = client.post(f"{FEEDS}new/", {"team": "search", "name": "Wall"}, follow=True).content.decode()
    path = re.findall(r"/drills/calendar/[\w-]+\.ics", html)[0]
    feed = CalendarFeed.objects.get()
    assert "The address of Wall is revoked" in client.post(f"{FEEDS}{feed.pk}/revoke/", follow=True).content.decode()
    assert Client().get(path).status_code == 404
    assert f'action="{FEEDS}{feed.pk}/revoke/"' not in page(client, FEEDS)
    assert client.post(f"{FEEDS}{feed.pk}/revoke/").status_code == 409
    assert client.post(f"{FEEDS}99/revoke/").status_code == 404


@pytest.mark.parametrize("sent", [{"team": "nobody", "name": "x"}, {"team": "search", "name": " "}, {"team": "search", "name": "x" * 101}])
def test_feed_that_does_not_fit_is_refused(sent: dict[str, str], cast: Cast) -> None:
    TeamFactory(slug="search")
    assert client_of(cast.lead).post(f"{FEEDS}new/", sent).status_code == 422
    assert not CalendarFeed.objects.exists()


def test_who_may_not_configure_sees_them_and_changes_nothing(cast: Cast) -> None:
    feed, quiet = CalendarFeedFactory(), QuietPeriodFactory(starts_at=clock.now() + DAY)
    addresses = [f"{FEEDS}new/", f"{FEEDS}{feed.pk}/revoke/", f"{QUIET}new/", f"{QUIET}{quiet.pk}/end/"]
    for who, user in cast.everybody_but("lead", "admin").items():
        client = client_of(user)
        for address in addresses:
            assert client.post(address, sent()).status_code == 403, f"{who} at {address}"
        if who != "stranger":
            assert feed.name in page(client, FEEDS)
            assert "Revoke" not in page(client, FEEDS)
            assert "Take it back" not in page(client, QUIET)
    assert [Client().post(address).status_code for address in addresses] == [302] * 4
    feed.refresh_from_db()
    assert feed.revoked_at is None
    assert QuietPeriod.objects.count() == 1
