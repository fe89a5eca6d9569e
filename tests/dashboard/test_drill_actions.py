"""Starting, stopping, retrying and closing drills from pages."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse

from drills.models import Drill
from rollbackhub.audit.models import AuditEvent
from rollbackhub.executions.models import Execution
from tests.dashboard.people import client_of, page
from tests.dashboard.world import World
from tests.factories.fixtures import Cast
from tests.factories.routing import BAD, GOOD

START = ["staging", "smart-reasoner"]


def _form(client: Client, address: str) -> dict[str, str]:
    """What the start form would send as it is."""
    text = page(client, address)
    key = re.search(r'name="idempotency_key" value="([^"]+)"', text)
    chosen = re.search(r'<option value="([^"]+)" selected', text)
    assert key
    assert chosen
    return {"idempotency_key": key.group(1), "bad_version": chosen.group(1), "note": "page test"}


@pytest.mark.django_db
def test_start_page_repeats_what_will_happen(cast: Cast, world: World) -> None:
    text = unescape(page(client_of(cast.on_call), reverse("drills:start", args=START)))
    for words in (
        "Start a drill of",
        "10 min from the decision until it is restored",
        "model-weight-flip, version",
        'Flip the weights <span class="muted">(the clock starts)',
        "Staging is put back as it is now, whatever happens.",
        "It has that weight already.",
        "<del>        weight: 25</del>",
        "<ins>        weight: 0</ins>",
        "<ins>        weight: 100</ins>",
    ):
        assert words in text, words


@pytest.mark.django_db
def test_start_sent_starts_a_drill_of_the_person_and_shows_it(cast: Cast, world: World) -> None:
    client, address = client_of(cast.on_call), reverse("drills:start", args=START)
    response = client.post(address, _form(client, address))
    drill = Drill.objects.get(note="page test")
    assert response.status_code == 302
    assert response["Location"] == reverse("drills:detail", args=[drill.pk])
    assert (drill.execution.state, drill.execution.requested_by, drill.execution.plan["bad_version"]) == ("queued", cast.on_call, BAD)
    assert AuditEvent.objects.filter(event="drill.requested", subject_id=str(drill.pk), actor_user_id=cast.on_call.pk).exists()
    assert "it waits for a worker" in page(client, response["Location"])


@pytest.mark.django_db
def test_start_sent_twice_starts_once(cast: Cast, world: World) -> None:
    client, address = client_of(cast.on_call), reverse("drills:start", args=START)
    values = _form(client, address)
    assert client.post(address, values)["Location"] == client.post(address, values)["Location"]
    assert Drill.objects.filter(note="page test").count() == 1


@pytest.mark.django_db
def test_start_other_version_chosen_takes_that_out(cast: Cast, world: World) -> None:
    client, address = client_of(cast.on_call), reverse("drills:start", args=START)
    assert "Bring claude-sonnet-4-5 to its canary weight" in unescape(page(client, f"{address}?bad_version={GOOD}"))
    client.post(address, {**_form(client, address), "bad_version": GOOD})
    assert Drill.objects.get(note="page test").execution.plan["bad_version"] == GOOD


@pytest.mark.django_db
@pytest.mark.parametrize("version", ["gpt-nothing", "'; drop table"])
def test_start_version_that_is_not_served_starts_nothing(version: str, cast: Cast, world: World) -> None:
    client, address = client_of(cast.on_call), reverse("drills:start", args=START)
    before = Drill.objects.count()
    assert client.post(address, {"bad_version": version}).status_code == 200
    assert Drill.objects.count() == before


@pytest.mark.django_db
def test_start_while_one_runs_is_a_409_page_that_names_and_links_it(cast: Cast, world: World) -> None:
    client, address = client_of(cast.on_call), reverse("drills:start", args=["staging", "support-reply"])
    assert "holds this alias already" in page(client, address)
    response = client.post(address, {"bad_version": BAD, "note": ""})
    text = unescape(response.content.decode())
    assert response.status_code == 409
    assert f"A drill of support-reply in staging is running already ({world.running.pk}, requested by Olga Call)." in text
    assert f'href="{reverse("drills:detail", args=[world.running.pk])}"' in text
    assert "already_running" in text


@pytest.mark.django_db
def test_start_in_production_is_refused_with_the_reason(cast: Cast, world: World) -> None:
    client, address = client_of(cast.on_call), reverse("drills:start", args=["production", "smart-reasoner"])
    text = page(client, address)
    assert "Drills run in staging" in text
    assert "Start the drill" not in text
    assert client.post(address, {"bad_version": BAD}).status_code == 422


@pytest.mark.django_db
def test_choose_lists_aliases_of_staging_only(cast: Cast, world: World) -> None:
    text = page(client_of(cast.on_call), reverse("drills:choose"))
    assert reverse("drills:start", args=START) in text
    assert "legacy-classifier" not in text


@pytest.mark.django_db
def test_stop_with_a_reason_asks_the_engine_to_stop(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)
    response = client.post(reverse("drills:stop", args=[world.running.pk]), {"reason": "wrong alias"}, follow=True)
    assert "The drill is being stopped" in response.content.decode()
    execution = Execution.objects.get(pk=world.running.pk)
    assert execution.cancel_requested_at is not None
    assert execution.outcome == "Stopped by Olga Call: wrong alias"


@pytest.mark.django_db
@pytest.mark.parametrize(("action", "which"), [("stop", "running"), ("close", "needs_person")])
def test_stop_and_close_without_a_reason_change_nothing(action: str, which: str, cast: Cast, world: World) -> None:
    before = Execution.objects.values().get(pk=getattr(world, which).pk)
    response = client_of(cast.on_call).post(reverse(f"drills:{action}", args=[getattr(world, which).pk]), {"reason": " "})
    assert response.status_code == 422
    assert "Say why" in response.content.decode()
    assert Execution.objects.values().get(pk=getattr(world, which).pk) == before


@pytest.mark.django_db
def test_stop_a_drill_that_has_ended_is_a_409(cast: Cast, world: World) -> None:
    response = client_of(cast.on_call).post(reverse("drills:stop", args=[world.passed.pk]), {"reason": "too late"})
    assert response.status_code == 409
    assert "cannot be stopped any more" in response.content.decode()


@pytest.mark.django_db
def test_retry_lets_a_drill_that_needs_a_person_go_on(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)
    assert 'id="retry-dialog"' in page(client, reverse("drills:detail", args=[world.needs_person.pk]))
    client.post(reverse("drills:retry", args=[world.needs_person.pk]))
    assert Execution.objects.get(pk=world.needs_person.pk).state in ("running", "cleaning_up")


@pytest.mark.django_db
def test_close_ends_a_drill_that_needs_a_person_without_a_pass(cast: Cast, world: World) -> None:
    client_of(cast.on_call).post(reverse("drills:close", args=[world.needs_person.pk]), {"reason": "gateway replaced"})
    execution = Execution.objects.get(pk=world.needs_person.pk)
    assert (execution.state, execution.verdict) == ("finished", "error")
    assert "Closed by Olga Call: gateway replaced" in execution.outcome


@pytest.mark.django_db
def test_actions_are_offered_only_to_those_who_may_and_when_they_fit(cast: Cast, world: World) -> None:
    def offered(user: object, execution: Execution) -> set[str]:
        return set(re.findall(r'<dialog class="confirm" id="(\w+)-dialog"', page(client_of(user), reverse("drills:detail", args=[execution.pk]))))  # type: ignore[arg-type]

    assert offered(cast.on_call, world.running) == {"stop"}
    assert offered(cast.on_call, world.needs_person) == {"retry", "close"}
    assert offered(cast.on_call, world.passed) == set()
    assert offered(cast.auditor, world.running) == set()


@pytest.mark.django_db
def test_unknown_drill_is_a_404_page_everywhere(cast: Cast, world: World) -> None:
    client, unknown = client_of(cast.on_call), "00000000-0000-0000-0000-000000000001"
    assert "There is no such drill." in page(client, reverse("drills:detail", args=[unknown]), status=404)
    page(client, reverse("drills:live", args=[unknown]), status=404)
    for action in ("stop", "retry", "close"):
        assert client.post(reverse(f"drills:{action}", args=[unknown]), {"reason": "x"}).status_code == 404
