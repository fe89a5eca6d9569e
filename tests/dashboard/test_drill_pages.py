"""The list of drills and the page of one."""

from __future__ import annotations

import datetime as dt
import json
import re
from html import unescape
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rollbackhub.dashboard.drill_page import answer_of, step_rows
from rollbackhub.dashboard.views import drills
from rollbackhub.dashboard.views.drills import get_execution
from rollbackhub.executions.domain.listing import get_for_page
from rollbackhub.executions.enums import ExecutionState
from rollbackhub.executions.models import Execution
from tests.dashboard.people import client_of, page
from tests.dashboard.world import World, make_drill
from tests.factories.executions import SampleFactory
from tests.factories.fixtures import Cast
from tests.factories.routing import BAD, GOOD


def _json(text: str, element: str) -> Any:
    found = re.search(rf'<script id="{element}" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found, element
    return json.loads(found.group(1))


def _listed(text: str) -> set[str]:
    table = text.split('aria-label="Drills"')[1]
    return set(re.findall(r'href="/drills/([0-9a-f-]{36})/"', table))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", {"passed", "failed", "running", "needs_person", "cancelled", "prompt"}),
        ("?alias=smart", {"passed", "failed", "cancelled"}),
        ("?outcome=passed", {"passed"}),
        ("?outcome=failed", {"failed"}),
        ("?outcome=active", {"running", "needs_person"}),
        ("?outcome=cancelled", {"cancelled"}),
        ("?change_type=prompt", {"running", "prompt"}),
        ("?period=1", {"passed", "running", "needs_person", "cancelled"}),
        ("?period=7&alias=smart&outcome=failed", {"failed"}),
        ("?environment=production", set()),
        ("?outcome=nonsense&period=abc", {"passed", "failed", "running", "needs_person", "cancelled", "prompt"}),
    ],
)
def test_drill_list_filter_in_the_address_lists_what_it_says(query: str, names: set[str], cast: Cast, world: World) -> None:
    prompt = Execution.objects.get(policy=world.prompt, verdict="inconclusive")
    ids = {name: str((prompt if name == "prompt" else getattr(world, name)).pk) for name in names}
    assert _listed(page(client_of(cast.auditor), reverse("drills:list") + query)) == set(ids.values())


@pytest.mark.django_db
def test_drill_list_many_drills_pages_by_the_last_one_without_gap_or_repeat(cast: Cast, world: World) -> None:
    for number in range(60):
        make_drill(world.reasoner, ago=dt.timedelta(days=30, minutes=number // 2))
    client, seen, address = client_of(cast.auditor), [], reverse("drills:list")
    while address:
        text = page(client, address)
        seen.append(_listed(text))
        older = re.search(r'href="(\?[^"]*after=[^"]+)"[^>]*>Older', text)
        address = reverse("drills:list") + unescape(older.group(1)) if older else ""
    assert [len(found) for found in seen] == [50, 16]
    assert len(set.union(*seen)) == 66


@pytest.mark.django_db
def test_drill_list_number_of_queries_does_not_grow(cast: Cast, world: World) -> None:
    client = client_of(cast.auditor)
    page(client, reverse("drills:list"))
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            page(client, reverse("drills:list"))
        counts.append(len(queries))
        for number in range(8):
            make_drill(world.reasoner, ago=dt.timedelta(days=1, minutes=number))
    assert counts[0] == counts[1] <= 13


@pytest.mark.django_db
def test_drill_list_chart_has_a_point_per_measured_drill_and_the_table_the_same(cast: Cast, world: World) -> None:
    text = page(client_of(cast.auditor), reverse("drills:list"))
    traces = {trace["name"]: trace for trace in _json(text, "figure-durations")["data"]}
    assert set(traces) == {"Model", "Prompt"}
    assert traces["Model"]["customdata"][0][0] == reverse("drills:detail", args=[world.passed.pk])
    assert "target 5 min (prompt)" in json.dumps(_json(text, "figure-durations")["layout"])
    assert "target" not in json.dumps(_json(page(client_of(cast.auditor), reverse("drills:list") + "?scale=measured"), "figure-durations")["layout"])
    table = text.split("The same as a table")[1].split("</table>")[0]
    assert table.count("<tr>") == 1 + 2
    assert set(_json(text, "chart-templates")) == {"light", "dark"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("passed", "Yes: rolled back in 1.9 s; the target is 10 min."),
        ("failed", "No: the rollback did not work."),
        ("running", "Not yet: it runs: step 7 of 10, the bad version's traffic drains."),
        ("needs_person", "It stands still and needs a person to decide."),
        ("cancelled", "Unknown: it was stopped before it began."),
    ],
)
def test_drill_page_answers_its_question_first(name: str, answer: str, cast: Cast, world: World) -> None:
    text = unescape(page(client_of(cast.auditor), reverse("drills:detail", args=[getattr(world, name).pk])))
    assert "work, and in time?" in text
    assert answer in text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("verdict", "answer"), [("inconclusive", "Unknown: there was not enough data to say."), ("error", "Unknown: it could not be carried out or checked.")]
)
def test_drill_page_no_data_is_never_a_yes(verdict: str, answer: str, cast: Cast, world: World) -> None:
    execution = make_drill(world.lonely, ago=dt.timedelta(hours=3), verdict=verdict)
    assert answer in page(client_of(cast.auditor), reverse("drills:detail", args=[execution.pk]))


@pytest.mark.django_db
def test_drill_page_restored_but_too_slow_says_no_with_both_numbers(cast: Cast, world: World) -> None:
    execution = make_drill(world.reasoner, ago=dt.timedelta(hours=3), verdict="inconclusive", rollback_seconds=700)
    Execution.objects.filter(pk=execution.pk).update(verdict="failed")
    text = page(client_of(cast.auditor), reverse("drills:detail", args=[execution.pk]))
    assert "No: rolled back in 11 min 40 s, but it did not pass; the target is 10 min." in text
    assert "over the target" in text


@pytest.mark.django_db
def test_drill_page_steps_interruption_is_told_in_words(world: World) -> None:
    execution = get_for_page(Execution.objects.all(), execution_id=world.passed.pk)
    assert execution is not None
    steps = step_rows(execution)
    assert [step.state for step in steps] == ["done"] * 10
    acknowledged = next(step for step in steps if step.key == "propagate")
    assert acknowledged.history == [
        "Attempt 1 by worker-1: interrupted (The worker was lost while this ran; the step was tried again); attempt 2 by worker-2 went on at once."
    ]
    assert acknowledged.seconds == pytest.approx(0.16)


@pytest.mark.django_db
def test_drill_page_steps_after_a_failure_are_not_called_waiting(world: World) -> None:
    execution = get_for_page(Execution.objects.all(), execution_id=world.needs_person.pk)
    assert execution is not None
    assert step_rows(execution)[-1].state == "waiting"
    execution.state = "finished"
    execution.verdict = "error"
    assert step_rows(execution)[-1].state == "skipped"
    assert answer_of(execution, step_rows(execution)).words.startswith("Unknown")


@pytest.mark.django_db
def test_drill_page_figures_and_tables_have_the_same_numbers(cast: Cast, world: World) -> None:
    text = unescape(page(client_of(cast.auditor), reverse("drills:detail", args=[world.passed.pk])))
    bars = _json(text, "figure-segments")["data"][0]
    assert bars["y"] == ["Execute", "Propagate", "Drain", "Verify"]
    assert bars["text"] == ["0.04 s", "0.16 s", "1.7 s", "5.1 s"]
    for words in ("0.04 s", "0.16 s", "1.7 s", "5.1 s", "Rollback time", "Put back"):
        assert words in text.split('aria-label="Segments"')[1].split("</table>")[0]
    bad, good = _json(text, "figure-traffic")["data"]
    assert (bad["name"], good["name"]) == (BAD, GOOD)
    assert text.split('aria-label="Traffic shares"')[1].split("</table>")[0].count("<tr>") == 1 + len(bad["x"])
    assert [annotation["text"] for annotation in _json(text, "figure-traffic")["layout"]["annotations"]] == ["flip", "propagated", "drained"]


@pytest.mark.django_db
def test_drill_page_shows_evidence_findings_plan_and_fingerprint(cast: Cast, world: World) -> None:
    text = unescape(page(client_of(cast.auditor), reverse("drills:detail", args=[world.failed.pk])))
    for words in ("1 finding", "Configuration mismatch: staging-gateway-1", "25 % on claude-sonnet-4-6", "its flag has moved", "What to do"):
        assert words in text, words
    for words in (
        world.failed.fingerprint,
        "weights_rolled_back:",
        "Monthly drill",
        "Traffic (31)",
        "Metrics (3)",
        "drill.requested",
        "claude-sonnet-4-6 got 0 of 60 requests",
    ):
        assert words in text, words


@pytest.mark.django_db
def test_drill_page_audit_trail_is_for_those_who_may_read_the_log(cast: Cast, world: World) -> None:
    address = reverse("drills:detail", args=[world.passed.pk])
    assert "Audit trail" in page(client_of(cast.auditor), address)
    assert "Audit trail" not in page(client_of(cast.on_call), address)


@pytest.mark.django_db
def test_drill_page_thousands_of_samples_stay_readable(cast: Cast, world: World) -> None:
    attempt = world.passed.attempts.get(key="verify")
    SampleFactory.create_batch(900, execution=world.passed, attempt=attempt, taken_at=world.passed.restored_at)
    text = page(client_of(cast.auditor), reverse("drills:detail", args=[world.passed.pk]))
    assert "The newest 200 of 931 traffic samples" in text
    assert len(_json(text, "figure-traffic")["data"][0]["x"]) <= 400
    assert len(text) < 1_000_000


@pytest.mark.django_db
def test_drill_page_number_of_queries_is_bounded(cast: Cast, world: World) -> None:
    client, address = client_of(cast.auditor), reverse("drills:detail", args=[world.passed.pk])
    page(client, address)
    with CaptureQueriesContext(connection) as queries:
        page(client, address)
    assert len(queries) <= 18


@pytest.mark.django_db
def test_live_part_unchanged_answers_204_and_changed_answers_itself(cast: Cast, world: World) -> None:
    client, address = client_of(cast.auditor), reverse("drills:live", args=[world.running.pk])
    text = unescape(page(client, reverse("drills:detail", args=[world.running.pk])))
    polled = re.search(r'hx-get="(/drills/[^"]+)"', text.split('id="live"')[1])
    assert polled
    assert client.get(polled.group(1)).status_code == 204
    world.running.attempts.filter(key="drain").update(state="done", ended_at=world.running.propagated_at)
    response = client.get(polled.group(1), headers={"HX-Request": "true"})
    assert response.status_code == 200
    assert "Steps: 7 of 10 done" in response.content.decode()
    assert 'hx-swap-oob="innerHTML:#said"' in response.content.decode()
    assert "HX-Refresh" not in response.headers
    assert client.get(address).status_code == 200


@pytest.mark.django_db
def test_live_part_at_the_end_reloads_the_page_and_polls_no_more(cast: Cast, world: World) -> None:
    client = client_of(cast.auditor)
    Execution.objects.filter(pk=world.running.pk).update(state="finished", verdict="error")
    response = client.get(reverse("drills:live", args=[world.running.pk]) + "?seen=old&needs=0", headers={"HX-Request": "true"})
    assert response.headers["HX-Refresh"] == "true"
    live = page(client, reverse("drills:detail", args=[world.running.pk])).split('id="live"')[1].split(">")[0]
    assert "hx-get" not in live


@pytest.mark.django_db
def test_live_part_when_a_person_is_needed_reloads_for_the_buttons(cast: Cast, world: World) -> None:
    response = client_of(cast.on_call).get(reverse("drills:live", args=[world.needs_person.pk]) + "?seen=old&needs=0", headers={"HX-Request": "true"})
    assert response.headers["HX-Refresh"] == "true"


@pytest.mark.django_db
def test_drill_page_that_was_read_across_the_end_asks_again(cast: Cast, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changed while the page was made is newer than the page: the next poll says so."""

    def read_before_the_end(drill_id: UUID) -> Execution:
        found = get_execution(drill_id)
        Execution.objects.filter(pk=drill_id).update(state=ExecutionState.CANCELLED, outcome="Stopped by Olga Call: not now")
        return found

    monkeypatch.setattr(drills, "get_execution", read_before_the_end)
    client = client_of(cast.auditor)
    text = unescape(page(client, reverse("drills:detail", args=[world.running.pk])))
    poll = re.search(r'hx-get="([^"]+)"[^>]*every 1s', text)
    assert poll, "it was running when it was read"
    monkeypatch.undo()
    response = client.get(poll[1])
    assert response.status_code == 200
    assert response.headers["HX-Refresh"] == "true"
