"""A team's calendar by its secret address: what it tells, to whom, and what it never tells."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from icalendar import Calendar

from drills.domain import feeds
from drills.domain.feeds import feed_of, list_feeds, make_feed, note_use, revoke_feed
from drills.domain.planning import plan_ahead
from drills.domain.programme import excuse_planned, start_due
from drills.models import CalendarFeed
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.common.logs import HideFeedSecrets
from tests.drills.conftest import BERLIN, Clock, Plan, drills_of
from tests.factories.accounts import TeamFactory
from tests.factories.drills import CalendarFeedFactory, PlannedDrillFactory, QuietPeriodFactory
from tests.factories.fixtures import Cast


def by(person: Any) -> dict[str, Any]:
    return {"user": person, "actor": actor_of(person)}


def address(secret: str) -> str:
    return f"/drills/calendar/{secret}.ics"


def events(content: bytes) -> dict[str, Any]:
    """The events of a calendar by their UID, read by another's parser."""
    calendar = Calendar.from_ical(content)
    return {str(event["UID"]).partition("@")[0]: event for event in calendar.walk("VEVENT")}


@pytest.fixture
def secret(plan: Plan, cast: Cast) -> str:
    """Of the platform team's feed; there is a plan of theirs, announced."""
    return make_feed(team=plan().team, name="Lee's phone", **by(cast.lead))[1]


def test_secret_is_shown_once_and_stands_nowhere(time: Clock, cast: Cast) -> None:
    team = TeamFactory()
    feed, secret = make_feed(team=team, name=" Lee's phone ", **by(cast.lead))
    assert (feed.name, feed.created_by, len(secret)) == ("Lee's phone", cast.lead, 43)
    assert feed_of(secret) == feed
    assert secret not in str(list(CalendarFeed.objects.values()))
    assert secret not in str(list(AuditEvent.objects.values()))
    assert feed.secret_hash not in str(list(AuditEvent.objects.values()))
    assert AuditEvent.objects.get(event="calendar_feed.made").data == {"team": team.slug, "name": "Lee's phone"}
    assert list(list_feeds(team=team.slug)) == [feed]
    assert list(list_feeds(team="nobody")) == []


def test_feed_wants_a_name_and_a_lead(time: Clock, cast: Cast) -> None:
    team = TeamFactory()
    for name in (" ", "x" * 101):
        with pytest.raises(InvalidInput) as caught:
            make_feed(team=team, name=name, **by(cast.lead))
        assert list(caught.value.fields) == ["name"]
    feed = CalendarFeedFactory(team=team)
    for who in (cast.on_call, cast.auditor, cast.leadership, cast.stranger):
        with pytest.raises(Forbidden):
            make_feed(team=team, name="x", **by(who))
        with pytest.raises(Forbidden):
            revoke_feed(feed_id=feed.pk, **by(who))


def test_revoked_address_is_gone_at_once(time: Clock, secret: str, cast: Cast, client: Client) -> None:
    assert client.get(address(secret)).status_code == 200
    feed = revoke_feed(feed_id=feed_of(secret).pk, **by(cast.admin))
    assert feed.revoked_at == time.at
    revoked, wrong = client.get(address(secret)), client.get(address("x" * 43))
    assert (revoked.status_code, revoked.content) == (wrong.status_code, wrong.content) == (404, revoked.content)
    with pytest.raises(Conflict):
        revoke_feed(feed_id=feed.pk, **by(cast.admin))
    with pytest.raises(NotFound):
        revoke_feed(feed_id=feed.pk + 1000, **by(cast.admin))


@pytest.mark.parametrize("secret", ["x", "x" * 43, "x" * 5000, "%00" * 22, "é" * 30, "..%2f..%2f" * 5])
def test_wrong_address_is_not_found(db: None, client: Client, secret: str) -> None:
    assert client.get(address(secret)).status_code == 404


def test_feed_is_read_only(db: None, client: Client) -> None:
    for method in ("post", "put", "delete", "patch"):
        assert getattr(client, method)(address("x" * 43)).status_code == 405


def test_calendar_is_read_without_signing_in(time: Clock, secret: str, client: Client) -> None:
    response = client.get(address(secret))
    assert (response.status_code, response["Content-Type"], response["Cache-Control"]) == (200, "text/calendar; charset=utf-8", "private, no-cache")
    assert "Set-Cookie" not in response
    found = events(response.content)
    assert len(found) == 4
    first = next(iter(found.values()))
    assert (first.decoded("dtstart"), first.decoded("dtend")) == (dt.datetime(2026, 12, 1, 10, tzinfo=dt.UTC), dt.datetime(2026, 12, 1, 10, 30, tzinfo=dt.UTC))
    assert (str(first["SUMMARY"]), str(first["TRANSP"])) == ("Drill: Reasoner", "TRANSPARENT")
    assert str(first["UID"]).endswith("@127.0.0.1")
    uid = str(first["UID"]).removeprefix("planned-drill-").split("@")[0]
    assert str(first["URL"]) == f"{settings.PUBLIC_URL}/drills/planned/{uid}/"
    assert "Owner: Olga Call." in str(first["DESCRIPTION"])


def test_past_drills_have_their_result_and_the_same_uid(time: Clock, secret: str, client: Client, cast: Cast) -> None:
    team = feed_of(secret).team
    before = events(client.get(address(secret)).content)
    planned = PlannedDrillFactory(plan__team=team, plan__name="Search", passed=True, starts_at=dt.datetime(2026, 11, 2, 9, tzinfo=dt.UTC))
    missed = PlannedDrillFactory(plan__team=team, plan__name="Answers", missed=True, starts_at=dt.datetime(2026, 11, 3, 9, tzinfo=dt.UTC))
    time.set(2026, 12, 1, 10)
    assert start_due() == 1
    excused = drills_of(feed_of(secret).team.drill_plans.get(name="Reasoner"))[1]
    excuse_planned(planned_id=excused.pk, reason="Moving house", **by(cast.lead))
    after = events(client.get(address(secret)).content)
    assert set(before) <= set(after)
    said = {name: str(event["SUMMARY"]) for name, event in after.items()}
    assert said[f"planned-drill-{planned.pk}"] == "Drill passed: Search"
    assert said[f"planned-drill-{missed.pk}"] == "Drill missed: Answers"
    assert said[f"planned-drill-{excused.pk}"] == "Drill excused: Reasoner"
    assert str(after[f"planned-drill-{excused.pk}"]["STATUS"]) == "CANCELLED"
    assert "Drill running: Reasoner" in said.values()
    url = str(after[f"planned-drill-{planned.pk}"]["URL"])
    assert url.endswith(f"/drills/{planned.execution_id}/")


def test_unannounced_drill_spans_its_period_as_days_and_its_time_is_nowhere(time: Clock, plan: Plan, cast: Cast, client: Client) -> None:
    made = plan(announced=False)
    type(made.team).objects.update(timezone=BERLIN)
    plan_ahead()
    _, secret = make_feed(team=made.team, name="x", **by(cast.lead))
    response = client.get(address(secret))
    for planned in drills_of(made):
        event = events(response.content)[f"planned-drill-{planned.pk}"]
        begins = planned.period_starts_at + dt.timedelta(hours=3)
        ends = planned.period_ends_at + dt.timedelta(hours=3)
        assert (event.decoded("dtstart"), event.decoded("dtend")) == (begins.date(), ends.date())
        assert f"{planned.starts_at:%H%M%S}" not in response.content.decode()
        assert planned.starts_at.strftime("%H:%M") not in response.content.decode()
    assert "Unannounced drill some time in December 2026: Reasoner" in response.content.decode().replace("\r\n ", "")
    # What is answered does not change when its time comes and it cannot start yet.
    before = response["ETag"]
    time.at = drills_of(made)[0].starts_at - dt.timedelta(seconds=1)
    same_day = client.get(address(secret))
    time.move(seconds=2)
    assert client.get(address(secret))["ETag"] == same_day["ETag"] == before


def test_quiet_periods_of_the_team_and_of_all_are_shown(time: Clock, secret: str, client: Client) -> None:
    mine = QuietPeriodFactory(team=feed_of(secret).team, starts_at=time.at, reason="Audit")
    everybody, other = QuietPeriodFactory(starts_at=time.at), QuietPeriodFactory(team=TeamFactory(slug="other"), starts_at=time.at)
    found = events(client.get(address(secret)).content)
    assert str(found[f"quiet-period-{mine.pk}"]["SUMMARY"]) == "No drills: Audit"
    assert f"quiet-period-{everybody.pk}" in found
    assert f"quiet-period-{other.pk}" not in found


def test_another_teams_drills_are_not_told(time: Clock, secret: str, client: Client) -> None:
    other = PlannedDrillFactory(plan__team=TeamFactory(slug="other"))
    assert f"planned-drill-{other.pk}" not in events(client.get(address(secret)).content)


def test_calendar_that_has_not_changed_is_not_sent_again(time: Clock, secret: str, client: Client, cast: Cast) -> None:
    first = client.get(address(secret))
    time.move(hours=1)
    by_etag = client.get(address(secret), headers={"If-None-Match": first["ETag"]})
    by_time = client.get(address(secret), headers={"If-Modified-Since": first["Last-Modified"]})
    assert (by_etag.status_code, by_time.status_code, by_etag.content) == (304, 304, b"")
    assert by_etag["Last-Modified"] == first["Last-Modified"] == "Tue, 01 Dec 2026 07:00:00 GMT"
    planned = drills_of(feed_of(secret).team.drill_plans.get())[0]
    excuse_planned(planned_id=planned.pk, reason="Moving house", **by(cast.lead))
    for headers in ({"If-None-Match": first["ETag"]}, {"If-Modified-Since": first["Last-Modified"]}):
        assert client.get(address(secret), headers=headers).status_code == 200
    head = client.head(address(secret))
    assert (head.status_code, head.content, head["Last-Modified"]) == (200, b"", "Tue, 01 Dec 2026 08:00:00 GMT")


def test_use_is_noted_at_most_every_minute(time: Clock, secret: str, client: Client) -> None:
    seen = []
    for _ in range(3):
        client.get(address(secret))
        seen.append(feed_of(secret).last_used_at)
        time.move(seconds=31)
    start = dt.datetime(2026, 12, 1, 7, tzinfo=dt.UTC)
    assert seen == [start, start, start + dt.timedelta(seconds=62)]
    note_use(feed_of(secret))
    assert dt.timedelta(minutes=1) == feeds.USE_NOTED_EVERY


def test_calendar_takes_few_queries(time: Clock, secret: str, client: Client, plan: Plan, django_assert_num_queries: Any) -> None:
    client.get(address(secret))
    for number in range(5):
        plan(name=f"plan {number}")
    client.get(address(secret))
    with django_assert_num_queries(3):
        client.get(address(secret))


def test_secret_never_comes_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    kept = HideFeedSecrets()
    record = logging.LogRecord("django.request", logging.ERROR, __file__, 1, "%s: %s", ("Internal Server Error", address("s3cret-s3cret-s3cret")), None)
    assert kept.filter(record)
    assert record.getMessage() == "Internal Server Error: /drills/calendar/….ics"
    other = logging.LogRecord("django.request", logging.ERROR, __file__, 1, "%s", ("/drills/",), None)
    assert kept.filter(other)
    assert other.args == ("/drills/",)
    assert "no_feed_secrets" in str(settings.LOGGING["handlers"])
