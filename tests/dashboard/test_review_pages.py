"""The pages of reviews: what they say in each state, to whom they offer what, and that nothing that people write acts."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import Team
from rollbackhub.common.clock import now
from rollbackhub.dashboard.review_page import _when
from rollbackhub.reviews.domain.documents import Made, make_documents
from rollbackhub.reviews.domain.preparing import prepare_review
from rollbackhub.reviews.enums import Agenda, ReviewState
from rollbackhub.reviews.models import Review, ReviewDocument, ReviewItem
from rollbackhub.reviews.rules import quarter_before, quarter_of
from tests.dashboard.people import client_of, page
from tests.dashboard.review_world import Reviews, make_reviews
from tests.factories.accounts import TeamFactory, UserFactory
from tests.factories.fixtures import Cast
from tests.factories.reviews import (
    AttendanceFactory,
    ReviewActionFactory,
    ReviewDecisionFactory,
    ReviewDocumentFactory,
    ReviewFactory,
    SignOffFactory,
    WantedDecisionFactory,
    make_review,
)

pytestmark = pytest.mark.django_db

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture
def reviews(cast: Cast) -> Reviews:
    return make_reviews()


def detail(user: Any, review: Review) -> str:
    return unescape(page(client_of(user), reverse("reviews:detail", args=[review.pk])))


def post(user: Any, name: str, review: Review, *args: Any, **values: Any) -> Any:
    return client_of(user).post(reverse(f"reviews:{name}", args=[review.pk, *args]), values)


def primary(text: str) -> list[str]:
    """The one thing to do next."""
    main = text.split("<main")[1]
    return [
        " ".join(re.sub(r"<[^>]+>", "", found).split())
        for found in re.findall(r'<(?:button|a) class="btn btn-primary"[^>]*>(.*?)</(?:button|a)>', main, re.DOTALL)
    ]


@pytest.mark.parametrize(
    ("state", "words", "next_for_lead"),
    [
        ("coming", "It is open, and prepared before the meeting.", "Prepare it now"),
        ("prepared", "It is prepared, and its record is being written.", "It was held"),
        ("held", "It was held and waits for the signature of Platform lead and Senior leadership.", "Sign it"),
        ("signed", "It is signed off by", ""),
        ("amendment", "It is prepared, and can be presented.", "Present"),
    ],
)
def test_page_says_where_it_stands_and_offers_one_thing(state: str, words: str, next_for_lead: str, reviews: Reviews, cast: Cast) -> None:
    text = detail(cast.lead, getattr(reviews, state))
    assert words in text
    offered = [button for button in primary(text.split("<dialog")[0]) if button != "PDF"]
    assert offered == ([next_for_lead] if next_for_lead else [])
    for_reader = detail(cast.auditor, getattr(reviews, state))
    assert words in for_reader
    assert not {"It was held", "Sign it", "Prepare it now"} & set(primary(for_reader))
    assert '<dialog class="confirm"' not in for_reader.split("<main")[1]


def test_page_of_a_review_that_is_being_prepared_looks_again_by_itself(cast: Cast) -> None:
    review: Review = ReviewFactory()
    text = detail(cast.auditor, review)
    assert "Its figures are being asked for." in text
    live = re.search(r'hx-get="([^"]+/live/[^"]*)"', text)
    assert live
    client = client_of(cast.auditor)
    assert client.get(live[1]).status_code == 204
    assert prepare_review(review_id=review.pk)
    answer = client.get(live[1])
    assert (answer.status_code, answer.headers["HX-Refresh"]) == (200, "true")


def test_agenda_is_shown_in_order_with_figures_tables_and_minutes(reviews: Reviews, cast: Cast) -> None:
    text = detail(cast.auditor, reviews.held)
    assert re.findall(r'<section class="card" id="(\w+)"', text) == [*Agenda.values, "documents"]
    assert 'data-figure="figure-compliance-by_month"' in text
    for said in (
        "Reasoner monthly",
        "66.7 %",
        "4 min 10 s",
        "<h4>What was said</h4>",
        "<strong>twice</strong>",
        "Written by Olga Call",
        "The next meeting is in January.",
    ):
        assert said in text, said


def test_list_filters_by_the_address(reviews: Reviews, cast: Cast) -> None:
    client = client_of(cast.auditor)

    def listed(query: str) -> set[str]:
        return set(re.findall(r'href="/reviews/([0-9a-f-]{36})/"', page(client, f"/reviews/{query}")))

    names = {name: str(getattr(reviews, name).pk) for name in ("coming", "prepared", "held", "signed", "amendment")}
    assert listed("") == set(names.values())
    assert listed("?state=held") == {names["held"]}
    assert listed("?team=search") == {names["coming"], names["held"]}
    quarter = reviews.signed.quarter_name.replace(" ", "+")
    assert listed(f"?quarter={quarter}&team=platform") == {names["signed"], names["amendment"]}
    assert "No review matches" in page(client, "/reviews/?state=signed&team=search")
    assert "filters by what there is not" in page(client, "/reviews/?state=nonsense")


def test_lead_opens_changes_prepares_and_holds_by_forms(cast: Cast) -> None:
    team = TeamFactory(slug="platform", name="Platform")
    client = client_of(cast.lead)
    quarter = quarter_before(quarter_of(now().date()))
    values = {"team": "platform", "quarter": quarter.isoformat(), "meets_at": "", "presenter": cast.on_call.pk, "sign_off_roles": ["platform_lead"]}
    made = client.post("/reviews/new/", values)
    review = Review.objects.get(team=team)
    assert made["Location"] == f"/reviews/{review.pk}/"
    again = client.post("/reviews/new/", values)
    assert again["Location"] == f"/reviews/{review.pk}/", "the one that there is"
    wrong = client.post("/reviews/new/", values | {"sign_off_roles": []})
    assert wrong.status_code == 422
    assert "Name at least one role that signs." in wrong.content.decode()
    edited = client.post(f"/reviews/{review.pk}/edit/", {"meets_at": "2026-10-12T14:00", "presenter": "", "sign_off_roles": ["leadership", "platform_lead"]})
    assert edited.status_code == 302
    review.refresh_from_db()
    assert (review.presenter, review.sign_off_roles, review.meets_at) == (None, ["platform_lead", "leadership"], dt.datetime(2026, 10, 12, 14, tzinfo=dt.UTC))
    early = client.post(f"/reviews/{review.pk}/edit/", {"meets_at": "2020-01-01T00:00", "sign_off_roles": ["leadership"]})
    assert "before the quarter" in early.content.decode()
    assert prepare_review(review_id=review.pk)
    assert "Say first who was there." in client.post(f"/reviews/{review.pk}/hold/").content.decode()
    client.post(f"/reviews/{review.pk}/attendance/", {"people": [cast.lead.pk], "guests": "Gina\n\nGreg"})
    assert sorted(review.attendance.values_list("name", flat=True)) == ["Gina", "Greg", "Lee Lead"]
    assert client.post(f"/reviews/{review.pk}/attendance/", {"guests": " "}).status_code == 422
    client.post(f"/reviews/{review.pk}/attendance/{review.attendance.get(name='Greg').pk}/remove/")
    assert review.attendance.count() == 2
    assert client.post(f"/reviews/{review.pk}/prepare/").status_code == 302
    assert prepare_review(review_id=review.pk)
    assert client.post(f"/reviews/{review.pk}/hold/").status_code == 302
    assert Review.objects.get(pk=review.pk).state == "held"


def test_decision_and_action_are_written_under_their_item(reviews: Reviews, cast: Cast) -> None:
    review = reviews.prepared
    wish = review.wanted_decisions.get()
    address = reverse("reviews:decision", args=[review.pk])
    form = page(client_of(cast.lead), f"{address}?item=decisions&wanted={wish.pk}")
    assert '<option value="decisions" selected>' in form
    assert f'<option value="{wish.pk}" selected>' in form
    made = post(cast.lead, "decision", review, text="Monthly.", owner=cast.on_call.pk, agenda="decisions", wanted=wish.pk)
    assert made["Location"].endswith("#decisions")
    decision = review.decisions.get()
    assert (decision.owner_label, decision.wanted, decision.item and decision.item.agenda) == ("Olga Call", wish, "decisions")
    assert post(cast.lead, "decision", review, text="", owner=cast.on_call.pk).status_code == 422
    due = (now() + dt.timedelta(days=10)).date()
    given = post(cast.lead, "action", review, title="Write it", owner=cast.on_call.pk, due_on=due.isoformat(), agenda="misses", detail="")
    assert given["Location"].endswith("#misses")
    assert review.action_links.get().action.due_on == due
    late = post(cast.lead, "action", review, title="Write it", owner=cast.on_call.pk, due_on="2020-01-01", agenda="", detail="")
    assert "The day is over" in late.content.decode()
    text = detail(cast.lead, review)
    for said in ("Monthly.", "Olga Call answers for it.", "Write it", "Decided"):
        assert said in text
    assert post(cast.lead, "decision-remove", review, decision.pk).status_code == 302
    assert not review.decisions.exists()
    assert post(cast.on_call, "wish", review, text="And this?").status_code == 302
    assert post(cast.on_call, "wish-withdraw", review, review.wanted_decisions.get(text="And this?").pk).status_code == 302


def test_minutes_of_the_second_writer_are_kept_beside_those_of_the_first(reviews: Reviews, cast: Cast) -> None:
    review = reviews.prepared
    address = reverse("reviews:minutes", args=[review.pk, "promised"])
    assert 'name="based_on" value="0"' in page(client_of(cast.lead), address)
    assert client_of(cast.on_call).post(address, {"text": "First text", "based_on": 0})["Location"] == f"/reviews/{review.pk}/#promised"
    second = client_of(cast.lead).post(address, {"text": "Second text", "based_on": 0})
    text = unescape(second.content.decode())
    assert second.status_code == 409
    for said in ("Olga Call has changed these minutes since you began.", ">\nSecond text</textarea>", ">First text</textarea>", 'name="based_on" value="1"'):
        assert said in text, said
    assert ReviewItem.objects.get(review=review, agenda="promised").minutes == "First text"
    client_of(cast.lead).post(address, {"text": "Both", "based_on": 1})
    assert ReviewItem.objects.get(review=review, agenda="promised").minutes == "Both"
    preview = client_of(cast.lead).post(address, {"text": f"**so** {ATTACK}", "based_on": 2, "preview": "1"}).content.decode()
    assert "<strong>so</strong>" in preview
    assert "<script>alert" not in preview
    assert ReviewItem.objects.get(review=review, agenda="promised").minutes == "Both"
    presented = client_of(cast.lead).post(f"{address}?from=present", {"text": "On the wall", "based_on": 2})
    assert presented["Location"] == f"/reviews/{review.pk}/present/promised/"


@pytest.mark.parametrize(
    ("name", "args", "values"),
    [
        ("attendance", (), {"guests": "Eve"}),
        ("minutes", ("misses",), {"text": "x", "based_on": 0}),
        ("wish", (), {"text": "x"}),
    ],
)
def test_auditor_reads_and_writes_nothing(name: str, args: tuple[str, ...], values: dict[str, Any], reviews: Reviews, cast: Cast) -> None:
    refused = post(cast.auditor, name, reviews.prepared, *args, **values)
    assert refused.status_code == 403
    assert "you need a role that drills or leads" in refused.content.decode()
    assert "<textarea" not in page(client_of(cast.auditor), reverse(f"reviews:{name}", args=[reviews.prepared.pk, *args]))


@pytest.mark.parametrize("name", ["prepare", "hold", "edit", "amend", "decision", "action"])
def test_on_call_engineer_does_nothing_that_is_a_leads(name: str, reviews: Reviews, cast: Cast) -> None:
    before = Review.objects.get(pk=reviews.prepared.pk).number
    assert post(cast.on_call, name, reviews.prepared).status_code == 403
    assert Review.objects.get(pk=reviews.prepared.pk).number == before


@pytest.mark.parametrize(("name", "args"), [("minutes", ("misses",)), ("attendance", ()), ("wish", ())])
def test_auditor_who_writes_is_told_which_role_it_takes_whatever_is_sent(name: str, args: tuple[str, ...], reviews: Reviews, cast: Cast) -> None:
    refused = post(cast.auditor, name, reviews.prepared, *args, text="x")
    assert refused.status_code == 403
    assert "To write to the record of a meeting you need a role that drills or leads." in unescape(refused.content.decode())
    shown = page(client_of(cast.auditor), reverse(f"reviews:{name}", args=[reviews.prepared.pk, *args]))
    assert "You need a role that drills or leads." in shown


def test_day_of_another_year_is_said_with_its_year(reviews: Reviews, cast: Cast) -> None:
    this_year, next_year = now().replace(month=12, day=31, hour=12), now().replace(month=1, day=2, hour=12, year=now().year + 1)
    assert _when(this_year, now=this_year).startswith("31 December at ")
    Review.objects.filter(pk=reviews.prepared.pk).update(meets_at=next_year)
    Review.objects.filter(pk=reviews.coming.pk).update(meets_at=next_year, prepare_at=next_year)
    for review in (reviews.prepared, reviews.coming):
        assert f" on 2 January {next_year.year} at " in detail(cast.lead, review)


def test_sign_off_is_by_the_named_roles_once_each(reviews: Reviews, cast: Cast) -> None:
    review = reviews.held
    assert "There is nothing for you to sign here." in page(client_of(cast.auditor), reverse("reviews:sign", args=[review.pk]))
    for who, role, sentence in (
        (cast.on_call, "platform_lead", "you need the role Platform lead"),
        (cast.auditor, "auditor", "is signed by Platform lead, Senior leadership"),
        (cast.lead, "leadership", "you need the role Senior leadership"),
    ):
        refused = post(who, "sign", review, role=role)
        assert (refused.status_code, sentence in unescape(refused.content.decode())) == (403, True)
    assert post(cast.lead, "sign", reviews.prepared, role="platform_lead").status_code == 409
    read = review.number
    form = page(client_of(cast.lead), reverse("reviews:sign", args=[review.pk]))
    assert re.findall(r'<option value="(\w+)"', form.split("<main")[1]) == ["platform_lead"]
    assert post(cast.lead, "sign", review, role="platform_lead", note="As discussed.", based_on=read).status_code == 302
    assert post(cast.lead, "sign", review, role="platform_lead").status_code == 409
    assert "Somebody has signed: from now on nothing but signatures is added." in detail(cast.leadership, review)
    assert post(cast.lead, "minutes", review, "misses", text="late", based_on=1).status_code == 409
    assert post(cast.leadership, "sign", review, role="leadership", based_on=read).status_code == 302
    text = detail(cast.lead, review)
    assert "It is signed off by Lee Lead and Vera Vice." in text
    assert "As discussed." in text
    assert post(cast.leadership, "sign", review, role="leadership").status_code == 409
    assert f'href="/reviews/{review.pk}/minutes/' not in text
    amended = post(cast.lead, "amend", review, reason="The minutes name the wrong alias.")
    new = Review.objects.get(amends=review)
    assert amended["Location"] == f"/reviews/{new.pk}/"
    assert "This amends" in detail(cast.lead, new)
    assert "This review was amended" in detail(cast.lead, review)
    assert post(cast.lead, "amend", review, reason="x").status_code == 422


def test_record_that_moved_under_an_open_form_is_not_signed(reviews: Reviews, cast: Cast) -> None:
    review = reviews.held
    sign = reverse("reviews:sign", args=[review.pk])
    offered = re.search(r'href="([^"]*/sign/[^"]*)"', detail(cast.lead, review))
    assert offered
    form = page(client_of(cast.lead), offered[1])
    read = re.search(r'name="based_on" value="(\d+)"', form)
    assert read
    assert post(cast.on_call, "minutes", review, "compliance", text="Another sentence.", based_on=0).status_code == 302
    refused = post(cast.lead, "sign", review, role="platform_lead", note="Seen.", based_on=read[1])
    text = unescape(refused.content.decode())
    assert (refused.status_code, review.sign_offs.count()) == (409, 0)
    assert "The record has changed since you opened it: minutes by Olga Call. Read it again, then sign." in text
    assert ("Your note was:" in text, "Sign it" in primary(text)) == (True, False)
    # Who read the review's page before has a link with that record's number: the form does not come.
    assert client_of(cast.lead).get(offered[1]).status_code == 409
    for wrong in ("", "x", "\u00b2", "9" * 400):
        assert post(cast.lead, "sign", review, role="platform_lead", based_on=wrong).status_code == 409
    assert not review.sign_offs.exists()
    again = re.search(r'name="based_on" value="(\d+)"', page(client_of(cast.lead), sign))
    assert again
    assert post(cast.lead, "sign", review, role="platform_lead", based_on=again[1]).status_code == 302


def attacked(cast: Cast) -> Review:
    """A review in which everything that people write is an attack."""
    villain = UserFactory(first_name=ATTACK[:25], last_name="x onerror=alert(2)>", roles=[Role.PLATFORM_LEAD])
    team = TeamFactory(name=ATTACK)
    review = make_review(ReviewState.PREPARED, team=team, presenter=villain)
    for agenda in Agenda:
        ReviewItem.objects.filter(review=review, agenda=agenda).update(minutes=f"# {ATTACK}\n\n{ATTACK}\n\n[x](javascript:alert(3))", minutes_by_label=ATTACK)
    item = review.items.get(agenda=Agenda.DECISIONS)
    AttendanceFactory(review=review, name=ATTACK)
    WantedDecisionFactory(review=review, text=ATTACK, asked_by_label=ATTACK)
    ReviewDecisionFactory(review=review, item=item, text=ATTACK, owner_label=ATTACK)
    ReviewActionFactory(review=review, item=item, title=ATTACK, owner_label=ATTACK)
    review.state, review.held_at = ReviewState.HELD, now()
    review.save()
    SignOffFactory(review=review, role="leadership", signer_label=ATTACK, note=ATTACK)
    return review


def inert(text: str) -> None:
    """Nothing of the attack is markup; what stands in a <script type=application/json> cannot end it."""
    assert "<script>alert" not in text
    assert not re.search(r"<img[^>]*onerror", text)
    assert not re.search(r'href="\s*javascript:', text)
    assert "alert(1)" in text, "the attack is shown as the text that it is"


def test_what_people_write_is_inert_on_every_page_and_in_the_document(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    review = attacked(cast)
    client = client_of(cast.lead)
    for address in (
        "/reviews/",
        reverse("reviews:detail", args=[review.pk]),
        reverse("reviews:attendance", args=[review.pk]),
        *(reverse("reviews:present-item", args=[review.pk, screen]) for screen in ("cover", "end", *Agenda.values)),
        reverse("reviews:minutes", args=[review.pk, "misses"]),
    ):
        inert(page(client, address))
    monkeypatch.setattr("rollbackhub.reviews.domain.documents.draw_figures", lambda figures: ["<svg/>"] * len(figures))
    monkeypatch.setattr("rollbackhub.reviews.domain.documents.write_pdf", lambda html: b"%PDF-1.7")
    assert post(cast.auditor, "export", review).status_code == 302
    assert make_documents(review_id=review.pk)
    answer = client.get(reverse("reviews:html", args=[review.pk]))
    inert(answer.content.decode())
    assert answer["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    assert answer["Content-Disposition"].startswith("attachment;")
    assert "Content-Security-Policy" in answer.content.decode()


def test_documents_are_asked_for_followed_and_downloaded(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    review = make_review(ReviewState.HELD, team=TeamFactory(slug="platform", name="Platform"), quarter=dt.date(2026, 7, 1))
    client = client_of(cast.auditor)
    assert client.get(reverse("reviews:pdf", args=[review.pk])).status_code == 404
    assert "Make PDF and HTML" in detail(cast.auditor, review)
    assert client.post(reverse("reviews:export", args=[review.pk]))["Location"] == f"/reviews/{review.pk}/#documents"
    text = detail(cast.auditor, review)
    assert "They are being made" in text
    part = re.search(r'hx-get="([^"]+/documents/[^"]*)"', text)
    assert part
    assert client.get(part[1]).status_code == 204
    monkeypatch.setattr(
        "rollbackhub.reviews.domain.documents.build_documents", lambda record: Made("<!doctype html><p>all</p>", b"%PDF-1.7 all", "No Chromium.")
    )
    assert make_documents(review_id=review.pk)
    done = client.get(part[1]).content.decode()
    assert "hx-get" not in done
    for said in ("No Chromium.", "Make them again", f"/reviews/{review.pk}/review.pdf"):
        assert said in done, said
    pdf = client.get(reverse("reviews:pdf", args=[review.pk]))
    assert (pdf["Content-Type"], pdf.content, pdf["Content-Disposition"]) == (
        "application/pdf",
        b"%PDF-1.7 all",
        'inline; filename="review-platform-2026-Q3.pdf"',
    )
    ReviewDocument.objects.filter(review=review).update(pdf=None, problem="There is no PDF: install Pango.")
    assert "install Pango" in client.get(reverse("reviews:pdf", args=[review.pk])).content.decode()
    assert client_of(cast.stranger).get(reverse("reviews:pdf", args=[review.pk])).status_code == 403
    assert Client().get(reverse("reviews:pdf", args=[review.pk])).status_code == 302
    Review.objects.filter(pk=review.pk).update(number=99)
    assert "the review has changed since" in detail(cast.auditor, review)


def test_presenter_has_a_screen_for_each_item_with_its_address(reviews: Reviews, cast: Cast) -> None:
    client = client_of(cast.auditor)
    address, seen = reverse("reviews:present", args=[reviews.held.pk]), []
    while address:
        text = page(client, address)
        seen.append(re.findall(r"<title>([^:<]+)", text)[0])
        assert text.count("<h1") == 1
        assert re.search(r"(\d+) of 10", text)[1] == str(len(seen))  # type: ignore[index]
        following = re.search(r'href="([^"]+)" data-go="next"', text)
        address = following[1] if following else ""
    assert seen[1:] == [*Agenda.labels, "What we agreed"]
    assert client.get(reverse("reviews:present-item", args=[reviews.held.pk, "nonsense"])).status_code == 404
    assert client.get(reverse("reviews:present", args=[reviews.coming.pk])).status_code == 409


def test_pages_take_a_fixed_number_of_queries(cast: Cast) -> None:
    review = make_review(ReviewState.PREPARED)
    AttendanceFactory(review=review)
    ReviewDocumentFactory(review=review)
    client = client_of(cast.lead)

    def more() -> None:
        for _ in range(6):
            for factory in (AttendanceFactory, WantedDecisionFactory, ReviewDecisionFactory, ReviewActionFactory):
                factory(review=review)
            make_review(ReviewState.HELD, team=Team.objects.get(pk=TeamFactory().pk))

    def count(address: str) -> int:
        page(client, address)
        with CaptureQueriesContext(connection) as queries:
            page(client, address)
        return len(queries)

    pages = {
        "list": "/reviews/",
        "detail": reverse("reviews:detail", args=[review.pk]),
        "present": reverse("reviews:present-item", args=[review.pk, "compliance"]),
        "minutes": reverse("reviews:minutes", args=[review.pk, "compliance"]),
    }
    WantedDecisionFactory(review=review)
    before = {name: count(address) for name, address in pages.items()}
    more()
    assert {name: count(address) for name, address in pages.items()} == before
    assert before == {"list": 12, "detail": 18, "present": 11, "minutes": 17}
