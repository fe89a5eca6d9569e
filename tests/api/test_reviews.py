"""Quarterly reviews over the API."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest

from rollbackhub.reviews.enums import Agenda, ReviewState
from rollbackhub.reviews.models import Review
from tests.api.conftest import Caller
from tests.factories.accounts import TeamFactory
from tests.factories.fixtures import Cast
from tests.factories.reviews import ReviewActionFactory, ReviewDecisionFactory, WantedDecisionFactory, make_review

ALL = "/api/v1/reviews/"
QUARTER = dt.date(2026, 7, 1)

pytestmark = pytest.mark.django_db


def test_review_is_answered_with_its_frozen_agenda_and_its_record(cast: Cast, by_token: Caller) -> None:
    review = make_review(ReviewState.PREPARED, team=TeamFactory(slug="platform"), quarter=QUARTER, presenter=cast.lead)
    for factory in (WantedDecisionFactory, ReviewDecisionFactory, ReviewActionFactory):
        factory(review=review)
    body = by_token(cast.auditor, scopes=("read",)).get(f"{ALL}{review.pk}/").json()
    assert [item["agenda"] for item in body["agenda"]] == Agenda.values
    assert body["agenda"][1]["content"]["figures"][0]["figure"]["data"][0]["y"] == [1, 2, 1]
    assert (body["review"]["team"], body["review"]["quarter"], body["review"]["state"], body["review"]["presenter"]) == (
        "platform",
        "2026 Q3",
        "prepared",
        "lead",
    )
    assert (len(body["decisions"]), len(body["actions"]), body["actions"][0]["state"], len(body["wanted_decisions"])) == (1, 1, "open", 1)
    assert body["missing_roles"] == ["platform_lead", "leadership"]


def test_list_is_filtered(cast: Cast, by_token: Caller) -> None:
    held = make_review(ReviewState.HELD, team=TeamFactory(slug="platform"), quarter=QUARTER)
    other = make_review(ReviewState.PREPARED, team=TeamFactory(slug="search"), quarter=dt.date(2026, 4, 1))
    client = by_token(cast.auditor, scopes=("read",))
    for query, found in {"": {held, other}, "?state=held": {held}, "?team=search": {other}, "?quarter=2026-Q3": {held}, "?quarter=2026-Q1": set()}.items():
        assert {row["id"] for row in client.get(ALL + query).json()["results"]} == {str(review.pk) for review in found}, query
    assert client.get(f"{ALL}?quarter=Q3").status_code == 422


def test_lead_opens_and_prepares_in_person(cast: Cast, by_session: Caller, by_token: Caller) -> None:
    TeamFactory(slug="platform")
    wanted = {"team": "platform", "quarter": "2026-Q3", "presenter": "oncall", "sign_off_roles": ["leadership"]}
    lead = by_session(cast.lead)
    made = lead.post(ALL, wanted, format="json", headers={"Idempotency-Key": "one"})
    assert (made.status_code, made.headers["Location"]) == (201, made.json()["url"])
    assert lead.post(ALL, wanted, format="json", headers={"Idempotency-Key": "one"}).json() == made.json()
    refused = lead.post(ALL, wanted, format="json")
    assert (refused.status_code, refused.json()["code"]) == (409, "review_exists")
    assert by_token(cast.lead).post(ALL, wanted, format="json").json()["code"] == "token_not_allowed"
    for wrong, field in (({"quarter": "2099-Q1"}, "quarter"), ({"quarter": "x"}, "quarter"), ({"team": "nobody"}, "team"), ({"colour": "red"}, "colour")):
        answer = lead.post(ALL, wanted | wrong, format="json")
        assert (answer.status_code, list(answer.json()["fields"])) == (422, [field])
    review = Review.objects.get()
    number = review.number
    assert lead.post(f"{made.json()['url']}prepare/", {}, format="json").json()["state"] == "preparing"
    assert Review.objects.get().number == number + 1
    assert lead.post(f"{ALL}{uuid.uuid4()}/prepare/", {}, format="json").status_code == 404
