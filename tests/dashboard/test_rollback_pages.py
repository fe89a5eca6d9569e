"""The list of rollbacks, its CSV, and the page of a rollback with its live part."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rollbackhub.common.clock import now
from rollbackhub.dashboard.csv_export import safe_cell
from rollbackhub.registry.models import StabilityHold
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Rollback
from tests.dashboard.people import client_of, page
from tests.dashboard.rollback_world import make_rollback, make_rollbacks
from tests.factories.fixtures import Cast
from tests.factories.rollbacks import ApprovalFactory, RollbackFactory, RollForwardFactory
from tests.factories.routing import BAD, GOOD

LIST = "/rollbacks/"


def _open(client: Client, rollback: Rollback) -> str:
    return unescape(page(client, reverse("rollbacks:detail", args=[rollback.pk])))


def _json(text: str, name: str) -> Any:
    found = re.search(rf'<script id="{name}[^"]*" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found, name
    return json.loads(found.group(1))


def _rows(client: Client, query: str = "") -> list[str]:
    return re.findall(r'<a href="/rollbacks/([0-9a-f-]{36})/"><strong>', page(client, LIST + query))


@pytest.mark.django_db
def test_list_shows_alias_state_duration_person_and_instants(cast: Cast) -> None:
    rollback = make_rollback("closed", alias="smart-coder", person=cast.on_call)
    text = unescape(page(client_of(cast.auditor), LIST))
    row = text.split(f"/rollbacks/{rollback.pk}/")[1].split("</tr>")[0]
    for words in ("smart-coder", "in production", "Closed", "2.5 s", "of 10 min", BAD, "Olga Call", "1 min ago", "degraded feedback"):
        assert words in row, words


@pytest.mark.django_db
def test_list_filters_stand_in_the_address(cast: Cast) -> None:
    found = make_rollbacks()
    client = client_of(cast.auditor)
    assert len(_rows(client)) == len(found)
    assert _rows(client, "?state=rejected") == [str(found["rejected"].pk)]
    assert _rows(client, "?alias=coder") == [str(found["verified"].pk)]
    assert _rows(client, "?environment=production&change_type=prompt") == []
    assert len(_rows(client, "?environment=production&change_type=model")) == len(found)
    opened = set(_rows(client, "?open=1"))
    assert str(found["running"].pk) in opened
    assert str(found["verified"].pk) in opened
    assert opened.isdisjoint({str(found[name].pk) for name in ("closed", "rejected", "undone", "rolled_forward")})
    text = page(client, f"{LIST}?state=rejected")
    assert '<option value="rejected" selected>' in text
    assert "/rollbacks/export.csv?state=rejected" in text
    assert "No rollback matches" in page(client, f"{LIST}?alias=nothing-like-it")


@pytest.mark.django_db
def test_list_what_cannot_be_read_in_the_address_is_left_out(cast: Cast) -> None:
    rollback = make_rollback("closed")
    assert _rows(client_of(cast.auditor), "?state=nonsense&environment='&change_type=x&open=7&after=zzz") == [str(rollback.pk)]


@pytest.mark.django_db
@pytest.mark.parametrize(("who", "button"), [("on_call", True), ("auditor", False)])
def test_list_empty_says_what_fills_it(who: str, button: bool, cast: Cast) -> None:
    text = page(client_of(getattr(cast, who)), LIST)
    assert "No rollback yet" in text
    assert ("A lead can start one" not in text and "can start one" not in text) == button


@pytest.mark.django_db
def test_list_pages_by_cursor_and_no_rollback_twice(cast: Cast) -> None:
    start = now()
    for number in range(53):
        rollback = RollbackFactory(closed=True)
        Rollback.objects.filter(pk=rollback.pk).update(created_at=start - dt.timedelta(minutes=number // 2))
    client = client_of(cast.auditor)
    first = _rows(client)
    text = unescape(page(client, LIST))
    older = re.search(r'href="(\?after=[^"]+)"', text)
    assert older
    second = _rows(client, older.group(1))
    assert (len(first), len(second)) == (50, 3)
    assert set(first).isdisjoint(second)
    assert "Newest" in page(client, LIST + older.group(1))


@pytest.mark.django_db
def test_list_number_of_queries_does_not_grow(cast: Cast) -> None:
    client = client_of(cast.auditor)
    make_rollback("closed", alias="the-first")

    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            page(client, LIST)
        return len(found)

    queries()
    one = queries()
    make_rollbacks()
    assert queries() == one
    assert one <= 12


@pytest.mark.django_db
def test_csv_has_the_rows_of_the_filter_with_numbers_and_instants(cast: Cast) -> None:
    found = make_rollbacks()
    response = client_of(cast.auditor).get("/rollbacks/export.csv?state=verified")
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"].startswith('attachment; filename="rollbacks-')
    rows = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))
    assert {row["id"] for row in rows} == {str(found["verified"].pk), str(found["late"].pk)}
    row = next(row for row in rows if row["id"] == str(found["verified"].pk))
    assert (row["state"], row["aliases"], row["bad_versions"], row["rollback_seconds"], row["exposure_observed"]) == (
        "verified",
        "smart-coder",
        BAD,
        "2.5",
        "412",
    )
    assert row["decided_at"] == found["verified"].decided_at.isoformat()
    assert row["closed_at"] == ""


@pytest.mark.django_db
def test_csv_is_safe_against_formulas(cast: Cast) -> None:
    reason = '=HYPERLINK("http://evil.example","click")'
    make_rollback("closed", reason=reason)
    rows = list(csv.DictReader(io.StringIO(client_of(cast.auditor).get("/rollbacks/export.csv").content.decode("utf-8-sig"))))
    assert rows[0]["reason"] == f"'{reason}"


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("  =1", "'  =1"),
        ("\n=1", "'\n=1"),
        ("＝1", "'＝1"),
        (-2.5, "-2.5"),
        (None, ""),
        ("a = b", "a = b"),
    ],
)
def test_csv_cell_formula_gets_an_apostrophe_and_nothing_else_does(value: Any, cell: str) -> None:
    assert safe_cell(value) == cell


@pytest.mark.django_db
def test_csv_is_bounded_and_the_page_says_so(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollbackhub.dashboard.views.rollbacks.CSV_ROWS", 2)
    newest = [make_rollback("closed", alias=f"alias-{number}", decided_at=now() - dt.timedelta(minutes=number)) for number in range(3)]
    client = client_of(cast.auditor)
    rows = list(csv.DictReader(io.StringIO(client.get("/rollbacks/export.csv").content.decode("utf-8-sig"))))
    assert [row["id"] for row in rows] == [str(rollback.pk) for rollback in newest[:2]]
    assert "the newest 2 that match" in page(client, LIST)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("awaiting", "Nothing has begun: it waits for the approval of a platform lead."),
        ("running", "Not yet: it runs: alias 1 of 2 (smart-summary), step 4 of 5, the bad version's traffic drains."),
        ("needs_human", "Not yet: it stands still. A person has to decide."),
        ("partially_restored", "Only in part: production-gateway-2 does not follow."),
        ("restored", "Restored after 2.5 s; now it is verified: step 5 of 5"),
        ("verification_failed", "Restored after 2.5 s, but it is not shown that the harm is over."),
        ("verified", "Yes: rolled back in 2.5 s and verified."),
        ("late", "It missed its target of 2.0 s by 0.50 s. “Drain” cost most: 2.0 s."),
        ("closed", "Yes: rolled back in 2.5 s, verified and closed."),
        ("rejected", "No: it was rejected. Nothing was changed."),
        ("undone", "No: it was put back. The bad version serves again."),
        ("rolling_forward", "Not rolled back: claude-sonnet-4-6-fix1 is being shipped instead"),
        ("rolled_forward", "Not rolled back, and not needed: claude-sonnet-4-6-fix1 holds."),
    ],
)
def test_page_says_in_words_where_it_stands(name: str, sentence: str, cast: Cast) -> None:
    text = _open(client_of(cast.auditor), make_rollbacks()[name])
    answer = text.split('class="answer ')[1].split("</section>")[0]
    assert sentence in answer


@pytest.mark.django_db
@pytest.mark.parametrize("state", RollbackState.values)
def test_page_opens_in_every_state_for_everybody_who_may_look(state: str, cast: Cast) -> None:
    rollback = make_rollback(state)
    if state in ("rolling_forward", "rolled_forward"):
        RollForwardFactory(rollback=rollback)
    for who, user in cast.everybody_but("stranger").items():
        assert "<h1" in _open(client_of(user), rollback), who
    page(client_of(cast.stranger), reverse("rollbacks:detail", args=[rollback.pk]), status=403)


@pytest.mark.django_db
def test_page_clock_figure_and_table_have_the_same_numbers(cast: Cast) -> None:
    text = _open(client_of(cast.auditor), make_rollback("verified"))
    bars = _json(text, "figure-clock")["data"][0]
    assert bars["y"] == ["Authorise", "Execute", "Propagate", "Drain", "Verify"]
    table = text.split('aria-label="Segments"')[1].split("</table>")[0]
    for words in ("Detect", "3 min", "0.20 s", "0.30 s", "2.0 s", "10 s", "Rollback time", "2.5 s"):
        assert words in table, words
    assert "detected 3 min before" in json.dumps(_json(text, "figure-clock")["layout"])
    assert "cost most" not in table


@pytest.mark.django_db
def test_page_late_names_the_segment_that_cost_most_in_the_table_too(cast: Cast) -> None:
    text = _open(client_of(cast.auditor), make_rollback("verified", target_seconds=2))
    row = next(part for part in text.split('aria-label="Segments"')[1].split("<tr>") if "cost most" in part)
    assert "Drain" in row


@pytest.mark.django_db
def test_page_gateways_by_name_with_what_they_apply(cast: Cast) -> None:
    text = _open(client_of(cast.auditor), make_rollback("partially_restored"))
    card = text.split('id="gateways-title"')[1].split("</section>")[0]
    assert "1 of 2 gateways does not follow" in card
    behind = card.split("production-gateway-2")[1].split("</tr>")[0]
    assert "Lagging" in behind
    assert "4 / 5" in behind
    assert "Acknowledged" in card.split("production-gateway-1")[1].split("</tr>")[0]
    assert "Not restored: gateway production-gateway-2" in text
    assert "What to do" in text


@pytest.mark.django_db
def test_page_traffic_chart_and_table_checks_steps_and_samples(cast: Cast) -> None:
    text = _open(client_of(cast.auditor), make_rollback("verification_failed"))
    bad, good = _json(text, "figure-traffic")["data"]
    assert (bad["name"], good["name"]) == (BAD, GOOD)
    assert bad["y"][0] == 25
    table = text.split('aria-label="Traffic shares (Rollback)"')[1].split("</table>")[0]
    assert table.count("<tr>") == 1 + len(bad["x"])
    for words in ("Negative feedback is 9.4 %", "4 of 5 steps done", "Traffic (12)", "Gateways (1)"):
        assert words in text, words


@pytest.mark.django_db
def test_page_request_authority_plan_exposure_hold_and_timeline(cast: Cast) -> None:
    rollback = make_rollback("verified", person=cast.on_call, exposure_observed=412, exposure_estimated=9120, exposure_basis="412 counted; 9120 estimated.")
    ApprovalFactory(rollback=rollback, user=cast.lead, reason="Do it.")
    text = _open(client_of(cast.on_call), rollback)
    for words in (
        "degraded feedback",
        "The requester's own authority",
        "by the rule for model",
        "Lee Lead",
        "Do it.",
        "<del>        weight: 25</del>",
        "412</strong> requests counted, about <strong>9120</strong> more estimated",
        "412 counted; 9120 estimated.",
        "may get no weight in production until",
        "rollback.requested",
        rollback.plan_hash,
    ):
        assert words in text, words
    assert "In the audit log" not in text, "on-call sees the timeline, not the log"
    assert "In the audit log" in _open(client_of(cast.auditor), rollback)


@pytest.mark.django_db
def test_page_verified_says_what_else_is_possible(cast: Cast) -> None:
    rollback = make_rollback("verified", alias="smart-coder")
    text = _open(client_of(cast.on_call), rollback)
    answer = text.split('aria-label="The answer"')[1].split("</section>")[0]
    assert f"Smart-Coder {BAD} may not ship again before" in answer
    assert reverse("rollbacks:holds") in answer
    assert reverse("releases:start", args=["production", "smart-coder"]) in answer
    assert "The way forward is a release of another version." in _open(client_of(cast.auditor), rollback), "who may not release gets no link"
    StabilityHold.objects.filter(rollback_id=rollback.pk).update(lifted_at=now(), lifted_by=cast.lead, lift_reason="It was the index.")
    assert "may not ship again" not in _open(client_of(cast.on_call), rollback)
    assert "The way forward" not in _open(client_of(cast.on_call), make_rollback("restored"))


@pytest.mark.django_db
def test_page_break_glass_shows_reason_and_open_review(cast: Cast) -> None:
    rollback = make_rollback("verified", break_glass=True)
    text = _open(client_of(cast.auditor), rollback)
    assert "no lead picks up the phone" in text
    assert "until a lead signs it" in text
    Rollback.objects.filter(pk=rollback.pk).update(reviewed_at=now(), reviewed_by=cast.lead, review_note="Right call.")
    text = _open(client_of(cast.auditor), rollback)
    assert "signed by" in text
    assert "Right call." in text


@pytest.mark.django_db
def test_page_coordinated_says_what_stands_at_each_alias(cast: Cast) -> None:
    text = _open(client_of(cast.auditor), make_rollback("running", alias="smart-summary", parts=2))
    stands = text.split('id="stands-title"')[1].split("</section>")[0]
    assert f"Nothing was changed, {BAD} keeps its weight." in stands
    assert f"Not begun, {BAD} keeps its weight." in stands
    assert '<span class="keep">smart-summary,</span> <span class="keep">smart-summary-2</span> in Production' in text, "no comma begins a line"
    assert stands.index("smart-summary<") < stands.index("smart-summary-2<")


@pytest.mark.django_db
def test_page_roll_forward_record_has_fix_stages_gates_and_outcome(cast: Cast) -> None:
    text = _open(client_of(cast.auditor), make_rollbacks()["rolled_forward"])
    for words in ("Roll-forward to claude-sonnet-4-6-fix1", "25 %, 100 %", "Full canary", "Lee Lead", "one-line fix", "The fix holds at 100 %."):
        assert words in text, words


@pytest.mark.django_db
def test_page_held_traffic_is_evidence_by_gateway(cast: Cast) -> None:
    text = _open(client_of(cast.auditor), make_rollbacks()["late"])
    assert "Seen although it is under hold" in text
    assert '{"production-gateway-1": 7, "production-gateway-2": 0}' in text


@pytest.mark.django_db
def test_page_number_of_queries_does_not_grow_with_the_evidence(cast: Cast) -> None:
    client = client_of(cast.auditor)

    def queries(rollback: Rollback) -> int:
        with CaptureQueriesContext(connection) as found:
            _open(client, rollback)
        return len(found)

    few = make_rollback("verified")
    queries(few)
    assert queries(few) <= 26
    many = make_rollback("verified", alias="much-evidence")
    execution = many.parts.get().execution
    assert execution is not None
    attempt = execution.attempts.get(key="drain")
    for _ in range(3):
        execution.samples.bulk_create([type(sample)(**_copy(sample)) for sample in attempt.samples.all()])
    assert queries(many) == queries(few)


def _copy(sample: Any) -> dict[str, Any]:
    return {field.attname: getattr(sample, field.attname) for field in sample._meta.concrete_fields if not field.primary_key}


@pytest.mark.django_db
def test_live_part_unchanged_answers_204_and_changed_answers_itself(cast: Cast) -> None:
    rollback = make_rollback("running")
    client = client_of(cast.auditor)
    polled = re.search(r'hx-get="(/rollbacks/[^"]+/live/[^"]+)"', _open(client, rollback))
    assert polled
    assert client.get(polled.group(1)).status_code == 204
    part = rollback.parts.get()
    assert part.execution is not None
    part.execution.attempts.filter(key="drain").update(state="done", ended_at=now())
    response = client.get(polled.group(1), headers={"HX-Request": "true"})
    assert response.status_code == 200
    assert "4 of 5 steps done" in response.content.decode()
    assert 'hx-swap-oob="innerHTML:#said"' in response.content.decode()
    assert "HX-Refresh" not in response.headers


@pytest.mark.django_db
def test_live_part_shows_a_new_look_at_the_gateways(cast: Cast) -> None:
    rollback = make_rollback("partially_restored")
    client = client_of(cast.auditor)
    polled = re.search(r'hx-get="(/rollbacks/[^"]+/live/[^"]+)"', _open(client, rollback))
    assert polled
    part = rollback.parts.get()
    assert part.execution is not None
    sample = part.execution.samples.get(kind="gateways")
    value = {"wanted": 5, "gateways": {name: {"applied": 5, "acknowledged": True} for name in sample.value["gateways"]}}
    part.execution.samples.create(attempt=sample.attempt, kind="gateways", source="discovery requests", taken_at=now(), value=value)
    assert "2 gateways acknowledged" in client.get(polled.group(1)).content.decode()


@pytest.mark.django_db
def test_live_part_another_state_reloads_the_page(cast: Cast) -> None:
    rollback = make_rollback("verified")
    response = client_of(cast.auditor).get(reverse("rollbacks:live", args=[rollback.pk]) + "?seen=old&state=restored", headers={"HX-Request": "true"})
    assert response.headers["HX-Refresh"] == "true"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("state", "polls"), [("awaiting_approval", True), ("restored", True), ("verification_failed", True), ("verified", False), ("closed", False)]
)
def test_live_part_polls_until_the_end(state: str, polls: bool, cast: Cast) -> None:
    live = _open(client_of(cast.auditor), make_rollback(state)).split('id="live"')[1].split(">")[0]
    assert ("hx-get" in live) == polls


@pytest.mark.django_db
def test_live_part_number_of_queries_while_nothing_changes(cast: Cast) -> None:
    rollback = make_rollback("running")
    client = client_of(cast.auditor)
    polled = re.search(r'hx-get="(/rollbacks/[^"]+/live/[^"]+)"', _open(client, rollback))
    assert polled
    with CaptureQueriesContext(connection) as queries:
        assert client.get(polled.group(1)).status_code == 204
    assert len(queries) <= 9


@pytest.mark.django_db
def test_unknown_rollback_is_a_404_page(cast: Cast) -> None:
    for name in ("detail", "live"):
        assert "There is no such rollback." in page(
            client_of(cast.auditor), reverse(f"rollbacks:{name}", args=["00000000-0000-0000-0000-000000000001"]), status=404
        )
