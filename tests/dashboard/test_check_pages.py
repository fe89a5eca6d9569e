"""What verifies a rollback of an artefact: seen on its page, edited on its own."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rollbackhub.executions.models import Procedure
from rollbackhub.registry.domain.checks import checks_digest
from rollbackhub.registry.models import Artefact
from rollbackhub.verification.specs import KINDS, CheckSpec
from tests.dashboard.mechanism_world import make_moved
from tests.dashboard.people import client_of
from tests.dashboard.world import World
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory
from tests.factories.routing import RoutingPolicyFactory

EDIT = reverse("registry:checks", args=["reasoner-model"])
PAGE = reverse("registry:artefact", args=["reasoner-model"])
TEXT = "- kind: traffic_share\n  key: traffic\n- kind: metric_threshold\n  key: errors\n  metric: errors\n  limit: 0.01\n"


@pytest.fixture
def lead(cast: Cast, world: World) -> Client:
    return client_of(cast.lead)


def artefact() -> Artefact:
    return Artefact.objects.get(slug="reasoner-model")


def send(client: Client, *, do: str, checks: str = TEXT, reason: str = "errors count", based_on: str = "") -> tuple[int, str]:
    response = client.post(EDIT, {"do": do, "checks": checks, "reason": reason, "based_on": based_on or checks_digest(artefact())})
    return response.status_code, str(response.content.decode()) if response.status_code != 302 else response.headers["Location"]


def test_artefact_page_says_what_verifies_whom_and_who_may_edit_is_led_there(lead: Client, cast: Cast) -> None:
    said = lead.get(PAGE).content.decode().split("What verifies a rollback of it")[1]
    assert EDIT in said
    assert "The template of its change type, for smart-reasoner in Production, smart-reasoner in Staging." in said
    assert "Latency is shown to be at most 1.5 times the baseline&#x27;s." in said
    assert EDIT not in client_of(cast.auditor).get(PAGE).content.decode()


def test_preview_shows_what_it_demands_and_writes_nothing(lead: Client) -> None:
    status, said = send(lead, do="preview")
    assert status == 200
    assert "What this demands" in said
    assert "Errors are shown to be below 1 % of requests." in said
    assert "Saving ends the proof of: smart-reasoner in Production, smart-reasoner in Staging." in said
    assert artefact().checks is None


def test_saved_ones_are_its_own_and_the_template_comes_back(lead: Client) -> None:
    assert send(lead, do="save") == (302, PAGE)
    assert [check["key"] for check in artefact().checks or []] == ["traffic", "errors"]
    assert "Its own checks, for smart-reasoner in Production" in lead.get(PAGE).content.decode()
    said = lead.get(EDIT).content.decode()
    assert "These are its own checks." in said
    assert "key: errors" in said
    assert "key: negative_feedback" in send(lead, do="template")[1]
    assert artefact().checks is not None
    assert send(lead, do="remove", checks="not even yaml: [", reason="enough") == (302, PAGE)
    assert artefact().checks is None


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"checks": "- kind: metric_threshold\n  key: e\n  metric: errors\n  limit: 3\n"}, "Check 1, limit: It must be 0.5 or less."),
        ({"checks": "- kind: x\n  key: y\n"}, "Check 1, kind: Say which kind it is"),
        ({"checks": "a: 1\n"}, "Write a list: each entry begins with a dash."),
        ({"checks": "- [\n"}, "this is no YAML"),
        ({"checks": "  "}, "required"),
        ({"reason": " "}, "Say why"),
        ({"checks": "[]"}, "required"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_saved(values: dict[str, str], sentence: str, lead: Client) -> None:
    status, said = send(lead, do="save", **values)
    assert status == 422
    assert "This cannot be saved yet." in said
    assert sentence in said
    assert artefact().checks is None


def test_two_at_once_the_second_sees_both_and_saves_knowingly(lead: Client, cast: Cast) -> None:
    seen = checks_digest(artefact())
    send(client_of(cast.admin), do="save", checks="- kind: gateway_revision\n  key: theirs\n")
    status, said = send(lead, do="save", based_on=seen)
    assert status == 409
    assert "Somebody else has changed them while you were editing." in said
    assert "key: theirs" in said
    assert "key: errors" in said
    assert f'name="based_on" value="{checks_digest(artefact())}"' in said
    assert send(lead, do="save") == (302, PAGE)


def test_queries_do_not_grow_with_the_aliases(lead: Client, world: World) -> None:
    assert send(lead, do="save")[0] == 302
    few = [queries_of(lead, address) for address in (PAGE, EDIT)]
    for _ in range(5):
        RoutingPolicyFactory(artefact=world.reasoner.artefact)
    assert [queries_of(lead, address) for address in (PAGE, EDIT)] == few


def test_alias_that_has_no_procedure_is_not_said_to_be_verified(lead: Client, world: World) -> None:
    RoutingPolicyFactory(artefact=ArtefactFactory(slug="stats", change_type="dataset"), environment=world.staging, alias="stats-table")
    assert not Procedure.objects.filter(change_type="dataset", connector="").exists()
    assert "stats-table in Staging: no procedure yet" in lead.get(reverse("registry:artefact", args=["stats"])).content.decode()
    said = lead.get(reverse("registry:checks", args=["stats"])).content.decode()
    assert "No procedure yet: stats-table in Staging." in said
    assert "Verified otherwise" not in said


def test_alias_whose_procedure_does_not_verify_by_checks_is_named(lead: Client, world: World) -> None:
    slug = make_moved(world.staging, "support-articles").artefact.slug
    said = lead.get(reverse("registry:artefact", args=[slug])).content.decode()
    assert "support-articles in Staging: verified by what is served" in said
    assert "The template of its change type" not in said, "which nothing here is verified by"
    assert "Verified otherwise: support-articles in Staging." in lead.get(reverse("registry:checks", args=[slug])).content.decode()


def queries_of(client: Client, address: str) -> int:
    client.get(address)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    return len(queries)


WIDE = "- kind: metric_baseline\n  key: feedback\n  metric: negative_feedback\n  margin_points: 0.2\n"


def test_wide_margin_is_saved_with_a_warning_on_every_page_that_shows_it(lead: Client) -> None:
    words = "This would call 20 percentage points worse “back at the baseline”."
    assert words in send(lead, do="preview", checks=WIDE)[1]
    assert send(lead, do="save", checks=WIDE) == (302, PAGE)
    said = lead.get(PAGE).content.decode()
    assert "These margins are wide. feedback: " + words in said
    assert said.split("What verifies a rollback of it")[1].count(words) == 1


@pytest.mark.parametrize("do", ["preview", "save"])
def test_probe_that_could_not_be_asked_is_refused_before_it_is_needed(lead: Client, do: str) -> None:
    status, said = send(lead, do=do, checks="- kind: probe\n  key: answer\n  url: http://169.254.169.254/latest\n")
    assert status == 422
    assert "Check 1, url: RollbackHub never calls 169.254.169.254" in said
    assert artefact().checks is None


def test_editor_has_every_kind_with_its_settings_and_errors_above_the_text(lead: Client) -> None:
    said = lead.get(EDIT).content.decode()
    assert 'class="form-control yaml"' in said
    assert '<a href="#kinds">' in said
    reference = said.split('id="kinds"')[1]
    for kind, check in KINDS.items():
        own = reference.split(f"<code>kind: {kind}</code>")[1].split("</dl>")[0]
        for name in set(check.model_fields) - {"kind", *CheckSpec.model_fields}:
            assert f"<code>{name}</code>" in own
    for name in CheckSpec.model_fields:
        assert f"<code>{name}</code>" in reference.split("Of every kind")[1]
    wrong = send(lead, do="save", checks="- kind: x\n  key: y\n")[1]
    assert wrong.index("Check 1, kind: Say which kind it is") < wrong.index("<textarea")
    assert 'aria-describedby="id_checks_helptext id_checks_error"' in wrong
