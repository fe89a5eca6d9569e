"""The pages of postmortems: what they say in each state and to whom, what two writers see, and that nothing that people write acts."""

from __future__ import annotations

import csv
import io
import re
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rollbackhub.accounts.models import User
from rollbackhub.actions.domain.transitions import close_action
from rollbackhub.common.clock import now
from rollbackhub.postmortems.enums import PostmortemState
from rollbackhub.postmortems.models import Cause, Postmortem, PostmortemAction, Section
from rollbackhub.postmortems.rules import USERS_UNSAID
from rollbackhub.registry.domain.holds import lift_hold
from rollbackhub.registry.models import StabilityHold
from tests.dashboard.people import client_of, page
from tests.dashboard.postmortem_world import Postmortems, addresses_of_postmortems, make_postmortems
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentFactory
from tests.factories.postmortems import PostmortemActionFactory, PostmortemFactory, TextRevisionFactory, make_postmortem
from tests.postmortems.conftest import who

pytestmark = pytest.mark.django_db
ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture
def postmortems(cast: Cast) -> Postmortems:
    return make_postmortems()


def detail(user: User, postmortem: Postmortem) -> str:
    return unescape(page(client_of(user), reverse("postmortems:detail", args=[postmortem.pk])))


def post(user: User, name: str, postmortem: Postmortem, *args: Any, **values: Any) -> Any:
    return client_of(user).post(reverse(f"postmortems:{name}", args=[postmortem.pk, *args]), values)


def sections(postmortem: Postmortem, **texts: str) -> dict[str, str]:
    """What the form of all sections sends, with some texts changed."""
    sent: dict[str, str] = {}
    for section in Section.objects.filter(postmortem=postmortem):
        sent |= {f"{section.key}-text": texts.get(section.key, section.text), f"{section.key}-based_on": str(section.number)}
    return sent


def primary(text: str) -> list[str]:
    """The one thing to do next."""
    main = text.split("<main")[1].split("<dialog")[0]
    found = re.findall(r'<(?:button|a) class="btn btn-primary"[^>]*>(.*?)</(?:button|a)>', main, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", "", words).split()) for words in found]


@pytest.mark.parametrize(
    ("state", "words", "next_for_on_call"),
    [
        ("empty", "It is a draft; 7 things are missing.", "Write it"),
        ("draft", "It is a draft, and complete.", "Send it to review"),
        ("in_review", "It is in review; Adam Key asks for changes.", "Write it"),
        ("published", "It is published; 1 of its 1 actions is open.", "See its actions"),
        ("closed", "It is closed: what came out of it is settled.", ""),
    ],
)
def test_page_says_where_it_stands_and_offers_one_thing(state: str, words: str, next_for_on_call: str, postmortems: Postmortems, cast: Cast) -> None:
    text = detail(cast.on_call, getattr(postmortems, state))
    assert words in text
    assert primary(text) == ([next_for_on_call] if next_for_on_call else [])
    for_reader = detail(cast.auditor, getattr(postmortems, state))
    assert words in for_reader
    assert set(primary(for_reader)) <= {"See its actions"}
    assert '<dialog class="confirm"' not in for_reader.split("<main")[1]


def test_page_shows_all_of_it(postmortems: Postmortems, cast: Cast) -> None:
    text = detail(cast.auditor, postmortems.published)
    for said in (
        *("Timeline", "Restored", "Contributing factors", "No drill of it had passed before the decision.", "Gates the hold"),
        *("What there is to say about root cause.", "Eval gap", "Lee Lead", "Approves", "Authorise", "Similar incidents", "as it was when it was published"),
    ):
        assert said in text, said
    assert "cause eval gap" in text, "the closed one has the same cause"


def test_action_that_gates_says_whether_a_hold_waits_for_it(postmortems: Postmortems, cast: Cast) -> None:
    published = postmortems.published
    where = reverse("postmortems:action", args=[published.pk])
    values = {"title": "Alert on it", "kind": "detect", "owner": "oncall", "due_on": f"{now().date():%Y-%m-%d}", "detail": "", "is_gating": "on"}
    assert "No hold waits for it" not in client_of(cast.on_call).post(where, values, follow=True).content.decode()
    for hold in StabilityHold.objects.all():
        lift_hold(hold_id=hold.pk, user=cast.lead, actor=who(cast.lead)["actor"], reason="The fix is proven.")
    text = detail(cast.auditor, published)
    assert ("Gates the hold" in text, "Gates no hold now" in text) == (False, True)
    assert "No hold waits for it" in client_of(cast.on_call).post(where, values, follow=True).content.decode()


def test_list_filters_by_the_address_and_has_overdue_first(postmortems: Postmortems, cast: Cast) -> None:
    client = client_of(cast.on_call)

    def listed(query: str) -> list[str]:
        return re.findall(r'<a href="/postmortems/([0-9a-f-]{36})/"><strong>', page(client, f"/postmortems/{query}"))

    ids = {name: str(getattr(postmortems, name).pk) for name in ("empty", "draft", "in_review", "published", "closed")}
    assert listed("")[0] == ids["empty"]
    assert set(listed("")) == set(ids.values())
    assert listed("?state=overdue") == [ids["empty"]]
    assert listed("?state=closed") == [ids["closed"]]
    assert set(listed("?cause=eval-gap")) == {ids["published"], ids["closed"]}
    assert set(listed("?owner=mine")) == {ids["draft"], ids["in_review"], ids["published"]}
    assert "No postmortem matches" in page(client, "/postmortems/?state=closed&owner=mine")
    assert "filters by what there is not" in page(client, "/postmortems/?state=nonsense")
    assert "1 postmortem is overdue; 3 are to be written in all." in unescape(page(client, "/postmortems/"))


def test_writing_saves_what_was_changed_and_shows_how_it_looks(cast: Cast) -> None:
    postmortem = PostmortemFactory(owner=cast.on_call)
    sent = sections(postmortem, summary="It was **bold**.", impact="1,000 requests")
    looked = post(cast.on_call, "edit", postmortem, **sent, preview="1")
    assert looked.status_code == 200
    assert "<strong>bold</strong>" in looked.content.decode()
    assert Section.objects.get(postmortem=postmortem, key="summary").number == 1, "looking saves nothing"
    saved = post(cast.on_call, "edit", postmortem, **sent)
    assert saved["Location"] == f"/postmortems/{postmortem.pk}/"
    assert {row.key: row.number for row in Section.objects.filter(postmortem=postmortem)}["summary"] == 2
    text = detail(cast.auditor, postmortem)
    assert "<strong>bold</strong>" in text
    assert "Blameless" in page(client_of(cast.on_call), reverse("postmortems:edit", args=[postmortem.pk]))


def test_second_writer_sees_both_texts_and_loses_nothing(cast: Cast) -> None:
    postmortem = PostmortemFactory()
    began = sections(postmortem)
    assert post(cast.on_call, "edit", postmortem, **{**began, "summary-text": "Olga's summary."}).status_code == 302
    answer = post(cast.lead, "edit", postmortem, **{**began, "summary-text": "Lee's summary.", "impact-text": "Lee's impact."})
    assert answer.status_code == 409
    text = unescape(answer.content.decode())
    assert "Somebody else has saved 1 of these sections since you began." in text
    assert "saved by Olga Call" in text
    assert re.search(r'<textarea[^>]*name="summary-text"[^>]*>\s*Lee\'s summary\.</textarea>', text)
    assert re.search(r'<textarea[^>]*id="theirs-summary"[^>]*readonly[^>]*>\s*Olga\'s summary\.</textarea>', text)
    assert "The 1 other section that you changed is saved." in text
    assert Section.objects.get(postmortem=postmortem, key="impact").text == "Lee's impact."
    assert Section.objects.get(postmortem=postmortem, key="summary").text == "Olga's summary."
    values = dict(re.findall(r'name="([a-z_]+-based_on)" value="(\d+)"', text))
    assert values["summary-based_on"] == "2", "saving again is a decision: it begins from what stands there"
    again = {**began, **values, "summary-text": "Both.", "impact-text": "Lee's impact."}
    assert post(cast.lead, "edit", postmortem, **again).status_code == 302
    assert Section.objects.get(postmortem=postmortem, key="summary").text == "Both."


def test_who_did_not_touch_a_section_does_not_hear_of_it(cast: Cast) -> None:
    postmortem = PostmortemFactory()
    from rollbackhub.postmortems.domain.texts import write_section

    write_section(postmortem_id=postmortem.pk, key="summary", text="First.", based_on=1, **who(cast.on_call))
    began = sections(postmortem)
    write_section(postmortem_id=postmortem.pk, key="summary", text="Second.", based_on=2, **who(cast.on_call))
    answer = post(cast.lead, "edit", postmortem, **{**began, "impact-text": "Lee's impact."})
    assert answer.status_code == 302
    assert Section.objects.get(postmortem=postmortem, key="summary").text == "Second."
    assert Section.objects.get(postmortem=postmortem, key="impact").text == "Lee's impact."


def test_text_stays_on_the_page_when_it_was_published_or_cannot_be_kept(cast: Cast) -> None:
    postmortem = make_postmortem(PostmortemState.PUBLISHED)
    sent = sections(postmortem, summary="What I wrote.")
    answer = post(cast.on_call, "edit", postmortem, **sent)
    assert answer.status_code == 422
    assert "What I wrote." in answer.content.decode()
    assert "Say why the published text is amended." in answer.content.decode()
    assert post(cast.on_call, "edit", postmortem, **sent, reason="It was another version.").status_code == 302
    assert Section.objects.get(postmortem=postmortem, key="summary").text == "What I wrote."
    draft = PostmortemFactory()
    answer = post(cast.on_call, "edit", draft, **sections(draft, summary="bad \x07 text", impact="Good."))
    assert answer.status_code == 422
    assert "cannot be shown" in answer.content.decode()
    assert Section.objects.get(postmortem=draft, key="impact").text == "Good."


def test_second_answer_of_the_checklist_stands_beside_the_first(cast: Cast) -> None:
    postmortem = PostmortemFactory()
    sent: dict[str, str] = {}
    for factor in postmortem.factors.select_related("question"):
        name = f"factor-{factor.question.key}"
        sent |= {f"{name}-answer": factor.answer, f"{name}-words": factor.words, f"{name}-based_on": str(factor.number)}
        TextRevisionFactory(postmortem=postmortem, key=f"factor:{factor.question.key}", number=0, text="No. We looked.")
    assert post(cast.on_call, "factors", postmortem, **{**sent, "factor-eval_gate-answer": "yes", "factor-eval_gate-words": "Olga's."}).status_code == 302
    answer = post(cast.lead, "factors", postmortem, **{**sent, "factor-eval_gate-answer": "not_applicable", "factor-eval_gate-words": "Lee's."})
    assert answer.status_code == 409
    text = unescape(answer.content.decode())
    assert "Yes, it contributed. Olga's." in text
    assert "Lee's." in text
    assert post(cast.lead, "factors", postmortem, **sent).status_code == 302, "who changed nothing loses nothing and hears of nothing"
    assert postmortem.factors.get(question__key="eval_gate").words == "Olga's."


def test_whole_way_by_forms(cast: Cast) -> None:
    incident = IncidentFactory(stable=True, decided_by=cast.on_call)
    made = client_of(cast.on_call).post(reverse("postmortems:draft", args=[incident.pk]))
    postmortem = Postmortem.objects.get()
    assert made["Location"] == f"/postmortems/{postmortem.pk}/"
    assert post(cast.on_call, "edit", postmortem, **sections(postmortem, root_cause="x", response_assessment="x", improvements="x")).status_code == 302
    assert "does not say yet what users saw" in detail(cast.on_call, postmortem)
    impact = postmortem.sections.get(key="impact").text.replace(USERS_UNSAID, "**Users:** thin answers.")
    assert post(cast.on_call, "edit", postmortem, **sections(postmortem, impact=impact)).status_code == 302
    answers: dict[str, str] = {}
    for factor in postmortem.factors.select_related("question"):
        name = f"factor-{factor.question.key}"
        answers |= {f"{name}-answer": factor.answer or "no", f"{name}-words": "", f"{name}-based_on": str(factor.number)}
    assert post(cast.on_call, "factors", postmortem, **answers).status_code == 302
    settings = {"owner": "oncall", "due_on": "2026-12-24", "causes": ["eval-gap"], "own": "Noisy neighbour"}
    assert post(cast.on_call, "settings", postmortem, **settings).status_code == 302
    assert sorted(postmortem.causes.values_list("name", flat=True)) == ["Eval gap", "Noisy neighbour"]
    assert post(cast.on_call, "send", postmortem, reviewers=[]).status_code == 422
    assert post(cast.on_call, "send", postmortem, reviewers=["lead"]).status_code == 302
    assert post(cast.on_call, "publish", postmortem).status_code == 409
    assert post(cast.on_call, "approve", postmortem, seen="1").status_code == 403
    assert post(cast.lead, "ask-changes", postmortem, note="The root cause is thin.").status_code == 302
    assert post(cast.on_call, "publish", postmortem).status_code == 409
    assert post(cast.lead, "approve", postmortem, note="Fine now.").status_code == 302
    assert post(cast.on_call, "publish", postmortem).status_code == 302
    action = {"title": "Add the case", "kind": "prevent", "owner": "oncall", "due_on": f"{now().date():%Y-%m-%d}", "detail": ""}
    postmortem.refresh_from_db()
    refused = post(cast.on_call, "action", postmortem, **action)
    assert refused.status_code == 409, "the incident names no alias: there is no team"
    assert post(cast.on_call, "close", postmortem).status_code == 302
    postmortem.refresh_from_db()
    assert postmortem.state == PostmortemState.CLOSED


def test_action_is_given_gated_and_let_go_by_forms(postmortems: Postmortems, cast: Cast) -> None:
    published = postmortems.published
    day = f"{now().date():%Y-%m-%d}"
    values = {"title": "Alert on it", "kind": "detect", "owner": "oncall", "due_on": day, "detail": "", "is_gating": "on"}
    assert post(cast.on_call, "action", published, **values).status_code == 302
    link = PostmortemAction.objects.get(action__title="Alert on it")
    assert (link.action.is_gating, link.action.kind) == (True, "detect")
    assert post(cast.on_call, "action", published, **values | {"title": "", "due_on": "2020-01-01"}).status_code == 422
    assert post(cast.on_call, "gate", published, link.action_id, reason="It is not needed.").status_code == 403
    assert post(cast.lead, "gate", published, link.action_id, reason="It is not needed.").status_code == 302
    link.action.refresh_from_db()
    assert not link.action.is_gating
    assert post(cast.on_call, "gate", published, link.action_id, gates="1").status_code == 302
    refused = post(cast.on_call, "close", published)
    assert refused.status_code == 409
    assert "Add the case to the eval set" in refused.content.decode()
    for row in published.action_links.all():
        close_action(action_id=row.action_id, actor=who(cast.on_call)["actor"], user=cast.on_call)
    assert post(cast.on_call, "close", published).status_code == 302


def test_history_shows_every_text_and_what_it_changed(postmortems: Postmortems, cast: Cast) -> None:
    client = client_of(cast.auditor)
    where = reverse("postmortems:history", args=[postmortems.published.pk])
    text = unescape(page(client, where))
    assert "What there was." in text
    assert "Amended: It was not." in text
    assert text.count("Summary") >= 2
    assert "<del>What there was.</del>" in text
    first = re.findall(r"saved=(\d+)", text)[-1]
    assert "How it read then" in page(client, f"{where}?saved={first}&text=summary")


def test_search_page_marks_escapes_and_leads_there(postmortems: Postmortems, cast: Cast) -> None:
    client = client_of(cast.auditor)
    text = page(client, "/incidents/search/?q=feedb")
    assert f'href="/postmortems/{postmortems.published.pk}/"' in text
    assert "<mark>feedback</mark>" in text
    IncidentFactory(title=f"{ATTACK} zebra")
    text = page(client, "/incidents/search/?q=zebra")
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "<mark>zebra</mark>" in text
    assert "Nothing was found" in page(client, "/incidents/search/?q=giraffe")
    assert "Write a word to search for." in page(client, "/incidents/search/?q=%21%21")
    for strange in ("?q=x&page=nonsense", "?q=x&page=-1", "?q=x&page=999999", f"?q={'x' * 300}", "?page=2"):
        page(client, f"/incidents/search/{strange}")


def test_causes_page_has_a_figure_a_table_and_a_file(postmortems: Postmortems, cast: Cast) -> None:
    client = client_of(cast.auditor)
    text = unescape(page(client, "/postmortems/causes/"))
    assert "The most frequent cause is eval gap: 2 of 5 incidents with a postmortem." in text
    assert 'data-figure="figure-causes"' in text
    response = client.get("/postmortems/causes.csv?months=3")
    rows = list(csv.DictReader(io.StringIO(response.content.decode().lstrip("\ufeff"))))
    assert {row["cause"]: row["incidents"] for row in rows} == {"Eval gap": "2", "No cause named": "3"}
    assert client.get("/postmortems/causes.csv?team=nobody").status_code == 422


@pytest.mark.parametrize(("name", "kind", "begins"), [("markdown", "text/markdown", b"# Postmortem: "), ("pdf", "application/pdf", b"%PDF")])
def test_files_are_offered_in_every_state(name: str, kind: str, begins: bytes, postmortems: Postmortems, cast: Cast) -> None:
    for state in ("empty", "published"):
        response = client_of(cast.auditor).get(reverse(f"postmortems:{name}", args=[getattr(postmortems, state).pk]))
        assert (response.status_code, response["Content-Type"].split(";")[0], response["X-Content-Type-Options"]) == (200, kind, "nosniff")
        assert response.content.startswith(begins)


def test_nothing_that_people_write_acts(cast: Cast) -> None:
    postmortem = make_postmortem(PostmortemState.IN_REVIEW, incident__title=f"{ATTACK} title")
    Section.objects.filter(postmortem=postmortem).update(text=f"{ATTACK} [x](javascript:alert(3))")
    postmortem.factors.update(words=ATTACK, fact=ATTACK)
    postmortem.reviewers.update(note=ATTACK)
    postmortem.causes.add(Cause.objects.create(slug="attack", name=ATTACK))
    for address in (f"/postmortems/{postmortem.pk}/{part}" for part in ("", "edit/", "factors/", "settings/", "review/", "history/")):
        text = page(client_of(cast.lead), address)
        assert "<script>alert" not in text, address
        assert "<img src=x" not in text, address
        assert 'href="javascript' not in text, address


def test_pages_take_as_many_queries_for_many_as_for_few(postmortems: Postmortems, cast: Cast) -> None:
    client = client_of(cast.on_call)
    addresses = {"/postmortems/": 0, f"/postmortems/{postmortems.published.pk}/": 0, "/incidents/search/?q=what": 0, "/postmortems/causes/": 0}
    client.get("/postmortems/")

    def asked() -> dict[str, int]:
        counts = {}
        for address in addresses:
            with CaptureQueriesContext(connection) as queries:
                assert client.get(address).status_code == 200
            counts[address] = len(queries)
        return counts

    few = asked()
    for _ in range(6):
        other = make_postmortem(PostmortemState.PUBLISHED)
        other.causes.add(Cause.objects.get(slug="eval-gap"))
        PostmortemActionFactory(postmortem=postmortems.published)
        PostmortemActionFactory(postmortem=other)
    assert asked() == few
    assert few["/postmortems/"] <= 16
    assert few[f"/postmortems/{postmortems.published.pk}/"] <= 24


def test_pages_all_open_for_everybody_with_the_right(postmortems: Postmortems, cast: Cast) -> None:
    client = client_of(cast.lead)
    for name, address in addresses_of_postmortems(postmortems).items():
        text = page(client, address)
        assert text.count("<main") == 1, name
        assert "<h1" in text, name
