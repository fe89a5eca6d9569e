"""Postmortems over the API: the same acts, rights and words as on the pages."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest

from rollbackhub.common.clock import now
from rollbackhub.postmortems.enums import PostmortemState, SectionKey
from rollbackhub.postmortems.models import Postmortem
from tests.api.conftest import Caller
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentFactory
from tests.factories.postmortems import PostmortemActionFactory, PostmortemFactory, make_action, make_postmortem

ALL = "/api/v1/postmortems/"

pytestmark = pytest.mark.django_db


def test_postmortem_is_answered_whole(cast: Cast, by_token: Caller) -> None:
    incident = IncidentFactory(stable=True, detected_at=now(), detected_by="An alert")
    postmortem = make_postmortem(PostmortemState.PUBLISHED, owner=cast.on_call, incident=incident)
    PostmortemActionFactory(postmortem=postmortem, action=make_action(postmortem, is_gating=True))
    body = by_token(cast.auditor, scopes=("read",)).get(f"{ALL}{postmortem.pk}/").json()
    assert [section["key"] for section in body["sections"]] == SectionKey.values
    assert (body["postmortem"]["state"], body["postmortem"]["owner"], body["postmortem"]["overdue"]) == ("published", "oncall", False)
    assert (len(body["factors"]), len(body["reviewers"]), len(body["actions"])) == (2, 1, 1)
    assert (body["actions"][0]["is_gating"], body["actions"][0]["kind"], body["reviewers"][0]["verdict"]) == (True, "prevent", "approved")
    assert body["facts"]["severity"] == "SEV 2: major"
    assert [(row["words"], row["by"], row["url"]) for row in body["timeline"]] == [("Noticed: An alert", "", "")]


def test_list_is_filtered(cast: Cast, by_token: Caller) -> None:
    late = make_postmortem(owner=cast.on_call, due_on=now().date() - dt.timedelta(days=2))
    published = make_postmortem(PostmortemState.PUBLISHED, owner=cast.lead)
    client = by_token(cast.auditor, scopes=("read",))
    for query, found in {
        "": {late, published},
        "?state=draft": {late},
        "?overdue=true": {late},
        "?overdue=false": {published},
        "?owner=lead": {published},
        "?severity=sev1": set(),
        "?team=platform": {late, published},
        "?cause=eval-gap": set(),
    }.items():
        assert {row["id"] for row in client.get(ALL + query).json()["results"]} == {str(row.pk) for row in found}, query
    assert client.get(f"{ALL}?state=x").status_code == 422
    assert client.get(f"{ALL}?owner=nobody").status_code == 422


def test_whole_way_from_draft_to_closed(cast: Cast, by_token: Caller, by_session: Caller) -> None:
    incident = IncidentFactory(stable=True, commander=cast.on_call)
    machine = by_token(cast.on_call, scopes=("read", "respond"))
    made = machine.post(ALL, {"incident": str(incident.pk)}, format="json", headers={"Idempotency-Key": "one"})
    assert (made.status_code, made.headers["Location"]) == (201, made.json()["url"])
    assert machine.post(ALL, {"incident": str(incident.pk)}, format="json", headers={"Idempotency-Key": "one"}).json() == made.json()
    again = machine.post(ALL, {"incident": str(incident.pk)}, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "postmortem_exists")
    url = made.json()["url"]
    detail = machine.get(url).json()
    for section in detail["sections"]:
        answer = machine.post(f"{url}sections/{section['key']}/", {"text": f"About {section['key']}.", "based_on": section["number"]}, format="json")
        assert answer.status_code == 200, answer.content
    moved = machine.post(f"{url}sections/summary/", {"text": "Mine.", "based_on": 0}, format="json")
    assert (moved.status_code, moved.json()["code"], moved.json()["text"], moved.json()["by"]) == (409, "text_moved", "About summary.", answer.json()["by"])
    refused = machine.post(f"{url}review/", {"reviewers": ["lead"]}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_complete")
    for factor in detail["factors"]:
        machine.post(f"{url}factors/{factor['key']}/", {"answer": "no", "words": "We looked.", "based_on": factor["number"]}, format="json")
    causes = machine.post(f"{url}causes/", {"causes": ["eval-gap"], "own": ["Noisy neighbour"]}, format="json").json()
    assert [row["name"] for row in causes] == ["Eval gap", "Noisy neighbour"]
    day = (now().date() + dt.timedelta(days=9)).isoformat()
    assert machine.post(url, {"due_on": day, "owner": "oncall"}, format="json").json()["due_on"] == day
    assert machine.post(f"{url}review/", {"reviewers": ["nobody"]}, format="json").status_code == 422
    sent = machine.post(f"{url}review/", {"reviewers": ["lead"]}, format="json").json()
    assert sent["state"] == "in_review"
    by_machine = by_token(cast.lead).post(f"{url}approve/", {"seen": sent["text_number"]}, format="json")
    assert (by_machine.status_code, by_machine.json()["code"]) == (403, "token_not_allowed")
    lead = by_session(cast.lead)
    assert lead.post(f"{url}approve/", {"seen": 0}, format="json").json()["code"] == "text_moved"
    assert lead.post(f"{url}ask-changes/", {"seen": sent["text_number"], "note": "The root cause is thin."}, format="json").json()["verdict"] == "changes"
    assert machine.post(f"{url}publish/", {}, format="json").json()["code"] == "changes_wanted"
    assert lead.post(f"{url}approve/", {"seen": sent["text_number"]}, format="json").json()["verdict"] == "approved"
    assert machine.post(f"{url}take-back/", {}, format="json").json()["state"] == "draft"
    assert machine.post(f"{url}review/", {}, format="json").json()["state"] == "in_review"
    assert machine.post(f"{url}publish/", {}, format="json").json()["state"] == "published"
    closed_to = machine.post(f"{url}sections/summary/", {"text": "Mine.", "based_on": 2}, format="json")
    assert (closed_to.status_code, closed_to.json()["code"]) == (409, "postmortem_in_other_state")
    amended = machine.post(f"{url}sections/summary/", {"text": "Mine.", "based_on": 2, "reason": "It was another version."}, format="json")
    assert amended.json()["number"] == 3
    assert machine.post(f"{url}close/", {}, format="json").json()["state"] == "closed"


def test_actions_are_given_gated_and_keep_it_open(cast: Cast, by_token: Caller, by_session: Caller) -> None:
    postmortem = make_postmortem(PostmortemState.PUBLISHED)
    url = f"{ALL}{postmortem.pk}/"
    client = by_token(cast.on_call)
    wanted = {"title": "Alert on it", "kind": "detect", "owner": "oncall", "due_on": now().date().isoformat(), "is_gating": True}
    made = client.post(f"{url}actions/", wanted, format="json", headers={"Idempotency-Key": "one"})
    assert made.status_code == 201
    assert client.post(f"{url}actions/", wanted, format="json", headers={"Idempotency-Key": "one"}).json() == made.json()
    for wrong, field in (({"kind": "x"}, "kind"), ({"owner": "nobody"}, "owner"), ({"due_on": "2020-01-01"}, "due_on"), ({"title": " "}, "title")):
        answer = client.post(f"{url}actions/", wanted | wrong, format="json")
        assert (answer.status_code, list(answer.json()["fields"])) == (422, [field])
    action = client.get(made.headers["Location"]).json()
    assert (action["kind"], action["is_gating"], action["origin"]) == ("detect", True, "postmortem")
    refused = client.post(f"{url}close/", {}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (409, "actions_open")
    assert [row["title"] for row in refused.json()["actions"]] == ["Alert on it"]
    gating = f"{url}actions/{action['id']}/gating/"
    assert client.post(gating, {"is_gating": False, "reason": "Not needed any more."}, format="json").status_code == 403
    assert by_token(cast.lead).post(gating, {"is_gating": False, "reason": "Not needed any more."}, format="json").status_code == 403
    lead = by_session(cast.lead)
    assert lead.post(gating, {"is_gating": False}, format="json").status_code == 422
    assert lead.post(gating, {"is_gating": False, "reason": "Not needed any more."}, format="json").json()["is_gating"] is False
    assert client.post(f"/api/v1/actions/{action['id']}/close/", {}, format="json").status_code == 200
    assert client.post(f"{url}close/", {}, format="json").json()["state"] == "closed"


def test_search_answers_plain_text(cast: Cast, by_token: Caller) -> None:
    postmortem = PostmortemFactory(incident__title="<b>Quota</b> exceeded")
    IncidentFactory(title="The quota again")
    client = by_token(cast.auditor, scopes=("read",))
    body = client.get(f"{ALL}search/?q=quot").json()
    assert (body["total"], body["page"], body["pages"]) == (2, 1, 1)
    assert {row["title"] for row in body["results"]} == {"<b>Quota</b> exceeded", "The quota again"}
    assert {row["postmortem"] for row in body["results"]} == {str(postmortem.pk), None}
    for wrong in ("", "?q=", "?q=%21", f"?q={'x' * 201}", "?q=x&page=0", "?q=x&nonsense=1"):
        assert client.get(f"{ALL}search/{wrong}").status_code == 422, wrong


def test_unknown_sections_and_questions_are_404(cast: Cast, by_token: Caller) -> None:
    url = f"{ALL}{PostmortemFactory().pk}/"
    client = by_token(cast.on_call)
    assert client.post(f"{url}sections/timeline/", {"text": "x", "based_on": 0}, format="json").json()["code"] == "section_not_found"
    assert client.post(f"{url}factors/nonsense/", {"answer": "no", "based_on": 0}, format="json").json()["code"] == "question_not_found"
    assert client.post(f"{url}actions/{uuid.uuid4()}/gating/", {"is_gating": True}, format="json").json()["code"] == "action_not_found"
    assert Postmortem.objects.get().state == PostmortemState.DRAFT
