"""Pages of incidents: what they say in each state, what they offer to whom, and that nothing that people write acts or is lost."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from incidents.domain.acts import close_incident, details_hash, take_command
from incidents.domain.notes import edit_note
from incidents.models import Incident, IncidentCorrection, IncidentNote
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from tests.dashboard.incident_world import Incidents, addresses_for_responders, addresses_of_incidents, make_incidents, make_stable_by_hand
from tests.dashboard.people import client_of, page
from tests.dashboard.rollback_world import make_rollback
from tests.factories.alerts import ProposalFactory
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentFactory, IncidentNoteFactory, IncidentRollbackFactory
from tests.factories.routing import RoutingPolicyFactory

pytestmark = pytest.mark.django_db
ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>[x](javascript:alert(3))"


@pytest.fixture
def incidents(cast: Cast) -> Incidents:
    return make_incidents()


def detail(user: User, incident: Incident) -> str:
    return page(client_of(user), reverse("incidents:detail", args=[incident.pk]))


def send(user: User, name: str, incident: Incident, *args: Any, **values: Any) -> Any:
    return client_of(user).post(reverse(f"incidents:{name}", args=[incident.pk, *args]), values)


def primary(text: str) -> list[str]:
    """The one thing to do next."""
    main = text.split("<main")[1]
    return [re.sub(r"<[^>]*>|\s+", " ", found).strip() for found in re.findall(r'(?s)<(?:a|button) class="btn btn-primary"[^>]*>(.*?)</(?:a|button)>', main)]


def words(text: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", "", text)))


# --- The list ---


def test_list_without_incidents_says_what_would_fill_it(cast: Cast) -> None:
    text = page(client_of(cast.on_call), "/incidents/")
    assert "No incident is open." in text
    assert "A rollback opens an incident by itself" in text
    assert primary(text) == ["Open an incident", "Open an incident"]
    assert "The on-call engineer or a lead can open one by hand." in page(client_of(cast.auditor), "/incidents/")


def test_list_has_open_ones_first_and_filters_by_the_address(cast: Cast) -> None:
    policy = RoutingPolicyFactory(alias="smart-reasoner", environment__slug="production")
    ago = dt.timedelta(hours=1)
    IncidentFactory(title="The closed one", closed=True, environment=policy.environment, aliases=[policy])
    IncidentFactory(title="The stable one", stable=True, severity="sev1", environment=policy.environment, opened_at=clock.now() - ago)
    IncidentFactory(title="The open one", environment=policy.environment, opened_at=clock.now() - 2 * ago)
    client = client_of(cast.auditor)

    def titles(query: str = "") -> list[str]:
        return re.findall(r"<strong>(The .*? one)</strong>", page(client, f"/incidents/{query}"))

    assert titles() == ["The open one", "The stable one", "The closed one"]
    assert titles("?state=closed") == titles("?alias=smart-reasoner") == ["The closed one"]
    assert titles(f"?team={policy.artefact.team.slug}") == ["The closed one"]
    assert titles("?severity=sev1") == ["The stable one"]
    assert titles("?environment=production&state=open") == ["The open one"]
    assert titles("?alias=nothing") == []
    assert "1 incident is open, 1 stable." in page(client, "/incidents/")
    assert "The address filters by what there is not (state=broken)" in unescape(page(client, "/incidents/?state=broken"))


def test_number_of_queries_of_the_list_does_not_grow(cast: Cast) -> None:
    policy = RoutingPolicyFactory(alias="smart-reasoner", environment__slug="production")
    client = client_of(cast.on_call)
    counts = []
    for number in (1, 6):
        while Incident.objects.count() < number:
            IncidentFactory(environment=policy.environment, aliases=[policy], commander=cast.lead)
        with CaptureQueriesContext(connection) as queries:
            page(client, "/incidents/")
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 20


# --- One incident ---


def test_page_of_one_by_hand_says_what_is_going_on_and_leads_to_the_rollback(incidents: Incidents, cast: Cast) -> None:
    text = detail(cast.on_call, incidents.by_hand)
    assert "Users may be hurt, and nobody has asked for a rollback yet." in text
    assert primary(text) == ["Roll back"]
    assert "/rollbacks/start/production/?alias=by-hand-alias" in text
    assert "Take command" in text
    assert "<strong>the morning</strong>" in text
    assert "the support queue" in text
    assert "Its paths were never drilled." in text


def test_page_with_a_proposed_rollback_leads_to_it(cast: Cast) -> None:
    proposal = ProposalFactory()
    text = detail(cast.on_call, proposal.incident)
    assert f"proposes to roll back {proposal.policy.alias}: the plan is prepared, and waits for a decision." in text
    assert primary(text) == ["Look at the proposed rollback"]
    assert f'href="/alerts/proposals/{proposal.pk}/"' in text


def test_page_with_a_rollback_that_goes_on_leads_to_it(incidents: Incidents, cast: Cast) -> None:
    text = detail(cast.on_call, incidents.going_on)
    assert "Users are hurt, and the rollback waits for approval." in text
    assert primary(text) == ["Look at the rollback"]
    assert "Close…" not in text, "it cannot be closed while a rollback goes on"


def test_page_of_a_stable_one_shows_notes_corrections_and_leads_to_closing(incidents: Incidents, cast: Cast) -> None:
    text = detail(cast.on_call, incidents.worked_on)
    said = words(text)
    assert "the rollback was verified." in said
    assert primary(text) == ["Close…"]
    assert "900 requests counted" in said
    assert "corrected by Lee Lead, was 412 counted, 9,120 estimated: Billing counts 900." in said
    assert "Empty answers." in said
    assert "<td>Tenant A</td>" in text
    assert "changed 1 time" in said
    assert "Withdrawn by Olga Call: It was not." in said
    assert re.search(r"(?s)<del.*Tenant B, too\..*</del>", text)
    assert "Flipped at worked-alias" in said
    assert "Give up" in text
    assert "Take command" not in text, "she leads it"


def test_page_after_a_persons_word_and_after_closing(incidents: Incidents, cast: Cast) -> None:
    make_stable_by_hand(incidents.by_hand)
    assert "as Lee Lead says: The flag is off." in words(detail(cast.on_call, incidents.by_hand))
    close_incident(incident_id=incidents.by_hand.pk, reason="All looked at", account=cast.lead, actor=actor_of(cast.lead))
    text = detail(cast.on_call, incidents.by_hand)
    assert "Closed by Lee Lead. All looked at." in words(text)
    assert (primary(text), "Open it again…" in text, "Take command" in text) == ([], True, False)


def test_auditor_reads_everything_and_is_offered_nothing(incidents: Incidents, cast: Cast) -> None:
    for incident in (incidents.by_hand, incidents.worked_on):
        main = detail(cast.auditor, incident).split("<main")[1]
        assert primary("<main" + main) == []
        assert "<form" not in main
        for offer in ("Take command", "Say it is stable", "Close…", "Withdraw the correction", "Add a note"):
            assert offer not in main


@pytest.mark.parametrize("name", ["severity", "edit", "stable", "close", "reopen", "affected", "note-new", "hand-over-command"])
def test_stranger_and_auditor_get_no_form(name: str, incidents: Incidents, cast: Cast) -> None:
    for user in (cast.stranger, cast.auditor):
        assert client_of(user).get(reverse(f"incidents:{name}", args=[incidents.by_hand.pk])).status_code == 403
        assert send(user, name, incidents.by_hand).status_code == 403


def test_number_of_queries_of_the_page_does_not_grow_with_rollbacks(cast: Cast) -> None:
    counts: dict[str, list[int]] = {}
    for name in ("detail", "record"):
        counts[name] = []
        for number in (1, 4):
            incident = IncidentFactory()
            for place in range(number):
                rollback = make_rollback("verified", alias=f"alias-{name}-{number}-{place}", person=cast.on_call)
                IncidentRollbackFactory(rollback=rollback, incident=incident)
                incident.aliases.add(rollback.parts.get().policy)
            client = client_of(cast.lead)
            with CaptureQueriesContext(connection) as queries:
                page(client, reverse(f"incidents:{name}", args=[incident.pk]))
            counts[name].append(len(queries))
    assert counts["detail"][0] == counts["detail"][1] <= 34
    assert counts["record"][0] == counts["record"][1] <= 40


def test_pages_of_unknown_incidents_are_not_found(cast: Cast) -> None:
    missing = reverse("incidents:detail", args=["00000000-0000-0000-0000-000000000001"])
    for rest in ("", "record/", "stable/", "notes/1/", "corrections/1/withdraw/"):
        page(client_of(cast.lead), missing + rest, status=404)
    note = IncidentNoteFactory()
    page(client_of(cast.lead), reverse("incidents:note", args=[IncidentFactory().pk, note.pk]), status=404)
    page(client_of(cast.lead), reverse("incidents:correct", args=[note.incident_id, "weather"]), status=404)


# --- What people do ---


def test_incident_is_opened_from_a_prepared_address(incidents: Incidents, cast: Cast) -> None:
    client = client_of(cast.on_call)
    text = page(client, "/incidents/new/?environment=production&alias=by-hand-alias&alias=waiting-alias")
    assert lines_of(text) == ["by-hand-alias", "waiting-alias", ""]
    values = {"title": "Slow answers", "environment": "production", "aliases": "by-hand-alias, waiting-alias", "severity": "sev2", "take_command": "on"}
    response = client.post("/incidents/new/", values)
    made = Incident.objects.get(title="Slow answers")
    assert response["Location"] == f"/incidents/{made.pk}/"
    assert (made.commander, made.opened_by_label) == (cast.on_call, "Olga Call")
    assert set(made.aliases.values_list("alias", flat=True)) == {"by-hand-alias", "waiting-alias"}
    refused = client.post("/incidents/new/", {**values, "aliases": "nothing-like-it", "summary": "Kept."})
    assert refused.status_code == 422
    assert "There is no alias nothing-like-it in production." in refused.content.decode()
    assert "Kept." in refused.content.decode()


def lines_of(text: str) -> list[str]:
    """What stands in the lines for aliases."""
    return [(re.findall(r'value="([^"]*)"', line) or [""])[0] for line in re.findall(r'<input type="text" name="aliases"[^>]*>', text)]


def test_each_alias_has_a_line_of_its_own_and_suggestions_say_which_environment_has_them(incidents: Incidents, cast: Cast) -> None:
    RoutingPolicyFactory(alias="by-hand-alias", environment__slug="staging")
    RoutingPolicyFactory(alias="only-tried", environment__slug="staging")
    client = client_of(cast.on_call)
    text = page(client, "/incidents/new/")
    assert lines_of(text) == ["", "", ""]
    assert text.count('list="aliases"') == 3, "a browser suggests a name in every line"
    assert len(re.findall(r'name="aliases"[^>]* required', text)) == 1, "one alias is enough"
    assert re.findall(r'name="aliases"[^>]* aria-label="([^"]*)"', text) == ["Alias 2", "Alias 3"]
    assert text.count('id="id_aliases"') == 1
    suggested = dict(re.findall(r'<option value="([^"]*)" label="([^"]*)"', text))
    assert (suggested["by-hand-alias"], suggested["only-tried"]) == ("by-hand-alias (production, staging)", "only-tried (staging)")
    values = {"title": "Slow answers", "environment": "production", "severity": "sev2"}
    refused = client.post("/incidents/new/", {**values, "aliases": ["by-hand-alias", "only-tried", "waiting-alias, none-such"]}).content.decode()
    assert "There is no alias only-tried, none-such in production. only-tried is in staging." in refused
    assert lines_of(refused) == ["by-hand-alias", "only-tried", "waiting-alias", "none-such", ""], "nothing is lost, and a line is free"
    assert len(re.findall(r'name="aliases"[^>]* aria-invalid="true"', refused)) == 4, "the free line is not what is wrong"
    assert client.post("/incidents/new/", {**values, "aliases": ["", " ", ""]}).status_code == 422
    assert client.post("/incidents/new/", {**values, "aliases": ["by-hand-alias", "", "waiting-alias by-hand-alias"]}).status_code == 302
    assert set(Incident.objects.get(title="Slow answers").aliases.values_list("alias", flat=True)) == {"by-hand-alias", "waiting-alias"}


def test_another_alias_is_suggested_from_the_incidents_own_environment(incidents: Incidents, cast: Cast) -> None:
    RoutingPolicyFactory(alias="only-tried", environment__slug="staging")
    text = page(client_of(cast.on_call), reverse("incidents:affected", args=[incidents.by_hand.pk]))
    assert '<option value="waiting-alias">' in text
    assert "only-tried" not in text


def test_form_sent_twice_opens_one_incident_and_filled_in_anew_another(incidents: Incidents, cast: Cast) -> None:
    client = client_of(cast.on_call)
    found = re.search(r'name="incident_id" value="([0-9a-f-]{36})"', page(client, "/incidents/new/"))
    assert found is not None
    values = {"title": "Sent twice", "environment": "production", "aliases": "by-hand-alias", "severity": "sev2", "incident_id": found[1]}
    first, second = client.post("/incidents/new/", values), client.post("/incidents/new/", values)
    assert first["Location"] == second["Location"] == f"/incidents/{found[1]}/"
    assert AuditEvent.objects.filter(event="incident.opened", subject_id=found[1]).count() == 1
    other = client.post("/incidents/new/", {**values, "title": "Another one"})
    assert other["Location"] == f"/incidents/{Incident.objects.get(title='Another one').pk}/" != first["Location"]


def test_from_open_to_closed_by_pages(incidents: Incidents, cast: Cast) -> None:
    incident = incidents.by_hand
    refused = send(cast.on_call, "stable", incident, evidence=" ", at="")
    assert (refused.status_code, "field-error" in refused.content.decode()) == (422, True)
    assert send(cast.on_call, "stable", incident, evidence="The flag is off.", at="").status_code == 302
    assert send(cast.on_call, "close", incident, reason="").status_code == 302
    incident.refresh_from_db()
    assert (incident.state, incident.stable_evidence) == ("closed", "The flag is off.")
    assert send(cast.on_call, "reopen", incident, reason="It is back.").status_code == 302
    refused = send(cast.on_call, "close", incident, reason="")
    assert refused.status_code == 422
    assert "say why it can be closed all the same" in refused.content.decode()


def test_details_severity_and_what_is_affected_are_changed(incidents: Incidents, cast: Cast) -> None:
    incident = incidents.by_hand
    policy = incident.aliases.get()
    assert send(cast.on_call, "severity", incident, severity="sev4", reason="").status_code == 302
    assert send(cast.on_call, "edit", incident, title="Another title", summary="More.", seen_hash=details_hash(incident)).status_code == 302
    assert send(cast.on_call, "affected", incident, alias="waiting-alias", version="").status_code == 302
    assert send(cast.on_call, "affected", incident, alias="", version="").status_code == 422
    assert send(cast.on_call, "affected", incident, alias="nothing-like-it", version="").status_code == 422
    assert "waiting-alias" in page(client_of(cast.on_call), reverse("incidents:affected", args=[incident.pk]))
    assert send(cast.on_call, "unaffected", incident, alias=str(policy.pk)).status_code == 302
    incident.refresh_from_db()
    assert (incident.severity, incident.title, incident.aliases.get().alias) == ("sev4", "Another title", "waiting-alias")


def test_second_of_two_who_change_the_details_sees_both_texts_and_loses_nothing(incidents: Incidents, cast: Cast) -> None:
    incident = incidents.by_hand
    seen = details_hash(incident)
    assert send(cast.on_call, "edit", incident, title="The first", summary="First words.", seen_hash=seen).status_code == 302
    refused = send(cast.lead, "edit", incident, title="The second", summary="Second words.", seen_hash=seen)
    assert refused.status_code == 409
    text = refused.content.decode()
    for words in ("Somebody has changed", "The first", "First words.", "The second", "Second words."):
        assert words in text
    incident.refresh_from_db()
    assert (incident.title, incident.summary) == ("The first", "First words.")
    assert f'value="{details_hash(incident)}"' in text
    assert send(cast.lead, "edit", incident, title="The second", summary="Both.", seen_hash=details_hash(incident)).status_code == 302
    incident.refresh_from_db()
    assert (incident.title, incident.summary) == ("The second", "Both.")


@pytest.mark.parametrize("mark", [{}, {"seen_hash": ""}, {"seen_hash": "0" * 65}, {"seen_hash": "mangled"}])
def test_details_without_the_mark_of_what_was_read_are_refused_in_words_and_saved_by_sending_again(
    mark: dict[str, str], incidents: Incidents, cast: Cast
) -> None:
    incident = incidents.by_hand
    refused = send(cast.on_call, "edit", incident, title="Mine", summary="My words.", **mark)
    text = unescape(refused.content.decode())
    assert refused.status_code == 422
    for said in ("Your page came without the mark", "save again", incident.title, "Since **the morning**", 'value="Mine"', "My words.</textarea>"):
        assert said in text
    assert "field-error" not in text
    incident.refresh_from_db()
    assert incident.title != "Mine"
    found = re.findall(r'name="seen_hash" value="([0-9a-f]*)"', text)
    assert found == [details_hash(incident)]
    assert send(cast.on_call, "edit", incident, title="Mine", summary="My words.", seen_hash=found[0]).status_code == 302
    incident.refresh_from_db()
    assert (incident.title, incident.summary) == ("Mine", "My words.")


def test_details_without_the_mark_keep_the_word_about_an_empty_title(incidents: Incidents, cast: Cast) -> None:
    refused = send(cast.on_call, "edit", incidents.by_hand, title="", summary="My words.")
    text = refused.content.decode()
    assert refused.status_code == 422
    assert "Your page came without the mark" in text
    assert text.count("field-error") == 1
    assert "My words.</textarea>" in text


def test_command_is_taken_by_one_click_handed_over_and_given_up(incidents: Incidents, cast: Cast) -> None:
    incident = incidents.by_hand
    assert send(cast.on_call, "take-command", incident, instead_of="").status_code == 302
    taken = send(cast.lead, "take-command", incident, instead_of="")
    assert (taken.status_code, "Olga Call leads it now" in taken.content.decode()) == (409, True)
    assert "Take over the command" in detail(cast.lead, incident)
    assert send(cast.on_call, "hand-over-command", incident, to="lead").status_code == 302
    assert send(cast.on_call, "give-up-command", incident).status_code == 403
    assert send(cast.lead, "give-up-command", incident).status_code == 302
    incident.refresh_from_db()
    assert incident.commander is None


def test_figures_are_corrected_and_corrections_withdrawn(incidents: Incidents, cast: Cast) -> None:
    incident = incidents.by_hand
    assert send(cast.on_call, "correct", incident, "exposure", observed="1234567", estimated="89012", reason="Logs.").status_code == 302
    assert send(cast.on_call, "correct", incident, "impact", impact="Empty answers.", reason="Support.").status_code == 302
    assert send(cast.on_call, "correct", incident, "detection", detected_at="2026-01-02T03:04:05", detected_by="", reason="Logs.").status_code == 302
    assert send(cast.on_call, "correct", incident, "exposure", observed="", estimated="", reason="Logs.").status_code == 422
    text = words(detail(cast.auditor, incident))
    assert "corrected by Olga Call, was unknown: Logs." in text
    assert "1,234,567 requests counted, about 89,012 more estimated" in text
    correction = IncidentCorrection.objects.get(incident=incident, matter="impact")
    assert send(cast.lead, "withdraw", incident, correction.pk, reason="Nobody saw it.").status_code == 302
    text = words(detail(cast.auditor, incident))
    assert "Corrections that stand no more (1)" in text
    assert "Nobody has said yet" in text


# --- Notes ---


def test_note_is_shown_before_it_is_written_and_stands_on_the_timeline(incidents: Incidents, cast: Cast) -> None:
    incident = incidents.by_hand
    preview = send(cast.on_call, "note-new", incident, text="**Seen.**", about_at="", preview="1")
    assert "<strong>Seen.</strong>" in preview.content.decode()
    assert not incident.notes.exists()
    written = send(cast.on_call, "note-new", incident, text="**Seen.**", about_at="")
    note = incident.notes.get()
    assert written["Location"].endswith(f"#note-{note.pk}")
    assert "<strong>Seen.</strong>" in detail(cast.auditor, incident)
    refused = send(cast.on_call, "note-new", incident, text="Kept text.", about_at="2100-01-01T00:00")
    assert (refused.status_code, "Kept text." in refused.content.decode()) == (422, True)


def test_second_of_two_who_change_a_note_sees_both_texts(incidents: Incidents, cast: Cast) -> None:
    incident, note = incidents.worked_on, incidents.note
    edit_note(incident_id=incident.pk, note_id=note.pk, text="Lee's text.", based_on=2, account=cast.lead, actor=actor_of(cast.lead))
    answer = send(cast.on_call, "note", incident, note.pk, text="Olga's text.", about_at="", based_on="2")
    text = unescape(answer.content.decode())
    assert answer.status_code == 409
    assert "Lee Lead has changed this note since you began." in text
    assert "Olga's text.</textarea>" in text
    assert "Lee's text.</textarea>" in text
    assert 'name="based_on" value="3"' in text
    assert IncidentNote.objects.get(pk=note.pk).text == "Lee's text."
    assert send(cast.on_call, "note", incident, note.pk, text="Both.", about_at="", based_on="3").status_code == 302
    history = page(client_of(cast.auditor), reverse("incidents:note", args=[incident.pk, note.pk]))
    for former in ("Both.", "Lee&#x27;s text.", "<td>Tenant A</td>", "Support called."):
        assert former in history or unescape(former) in history
    assert "<textarea" not in history, "who may not write sees the texts alone"


@pytest.mark.parametrize("mark", [{}, {"based_on": "mangled"}, {"based_on": "0"}])
def test_note_without_the_mark_of_what_was_read_is_refused_in_words_and_saved_by_sending_again(mark: dict[str, str], incidents: Incidents, cast: Cast) -> None:
    incident, note = incidents.worked_on, incidents.note
    refused = send(cast.on_call, "note", incident, note.pk, text="Olga's text.", about_at="", **mark)
    text = unescape(refused.content.decode())
    assert refused.status_code == 422
    for said in ("Your page came without the mark", "save again", "What stands there now, by Lee Lead", "Olga's text.</textarea>", 'name="based_on" value="2"'):
        assert said in text
    assert IncidentNote.objects.get(pk=note.pk).number == 2
    assert send(cast.on_call, "note", incident, note.pk, text="Olga's text.", about_at="", based_on="2").status_code == 302
    assert "Your page came" not in send(cast.auditor, "note", incident, note.pk, text="x").content.decode(), "who may not write has no form"


def test_note_is_withdrawn_with_a_reason(incidents: Incidents, cast: Cast) -> None:
    assert send(cast.on_call, "note-withdraw", incidents.worked_on, incidents.note.pk, reason=" ").status_code == 422
    assert send(cast.on_call, "note-withdraw", incidents.worked_on, incidents.note.pk, reason="Another alias.").status_code == 302
    text = page(client_of(cast.on_call), reverse("incidents:note", args=[incidents.worked_on.pk, incidents.note.pk]))
    assert "Withdrawn by Olga Call" in text
    assert 'name="text"' not in text
    assert send(cast.on_call, "note", incidents.worked_on, incidents.note.pk, text="x", about_at="", based_on="2").status_code == 409


def test_nothing_that_people_write_acts(cast: Cast) -> None:
    policy = RoutingPolicyFactory(alias="smart-reasoner", environment__slug="production")
    incident = IncidentFactory(environment=policy.environment, aliases=[policy], title=ATTACK[:60], summary=ATTACK)
    send(cast.lead, "note-new", incident, text=ATTACK, about_at="")
    send(cast.lead, "correct", incident, "impact", impact=ATTACK, reason=ATTACK)
    send(cast.lead, "stable", incident, evidence=ATTACK, at="")
    send(cast.lead, "close", incident, reason=ATTACK)
    note = incident.notes.get()
    addresses = [reverse(f"incidents:{name}", args=[incident.pk]) for name in ("detail", "record", "edit")]
    for address in (*addresses, "/incidents/", reverse("incidents:note", args=[incident.pk, note.pk])):
        text = page(client_of(cast.lead), address)
        assert "<script>alert" not in text
        assert "<img" not in text.split("<main")[1]
        assert 'href="javascript' not in text


# --- The record, and where else incidents are named ---


def test_record_says_when_who_by_what_authority_and_by_what_evidence(incidents: Incidents, cast: Cast) -> None:
    text = words(page(client_of(cast.auditor), reverse("incidents:record", args=[incidents.worked_on.pk])))
    for said in (
        "Triggered", "by negative feedback" if "by negative feedback" in text else "Opened", "by Olga Call", "By what authority", "Approved by Lee Lead",
        "Executed", "Restored", "Verified", "By what evidence", "Where the time went", "corrected by Lee Lead", "Was it rehearsed?", "What happened, in order",
    ):  # fmt: skip
        assert said in text, said


def test_rollback_page_links_its_incident(incidents: Incidents, cast: Cast) -> None:
    link = incidents.worked_on.rollback_links.get()
    assert f'href="/incidents/{incidents.worked_on.pk}/"' in page(client_of(cast.auditor), f"/rollbacks/{link.rollback_id}/")


def test_navigation_leads_to_incidents_between_drills_and_registry(cast: Cast) -> None:
    text = page(client_of(cast.auditor), "/")
    places = [text.index(f'href="{reverse(name)}"') for name in ("drills:list", "incidents:list", "registry:list")]
    assert places == sorted(places)


def test_every_page_opens_for_who_may(incidents: Incidents, cast: Cast) -> None:
    for address in addresses_of_incidents(incidents).values():
        page(client_of(cast.auditor), address)
    take_command(incident_id=incidents.by_hand.pk, account=cast.lead, actor=actor_of(cast.lead))
    for address in addresses_for_responders(incidents).values():
        page(client_of(cast.lead), address)
