"""Where the traffic goes: policies, revisions, gateways, policy files."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rollbackhub.audit.models import AuditEvent
from rollbackhub.routing.models import RoutingPolicy
from tests.dashboard.people import client_of, page
from tests.dashboard.world import World
from tests.factories.fixtures import Cast
from tests.factories.routing import PolicyRevisionFactory, RoutingPolicyFactory

DETAIL = ["staging", "smart-reasoner"]
IMPORT = "/routing/staging/import/"
FILE = """aliases:
  smart-reasoner:
    candidates:
      - id: anthropic:claude-sonnet-4-6:ap-south-1
        version_pin: claude-sonnet-4-6
        weight: 10
      - id: anthropic:claude-sonnet-4-5:ap-south-1
        version_pin: claude-sonnet-4-5
        weight: 90
"""


@pytest.mark.django_db
def test_policy_page_says_where_the_traffic_goes_why_and_who(cast: Cast, world: World) -> None:
    text = unescape(page(client_of(cast.auditor), reverse("routing:detail", args=DETAIL)))
    for words in (
        "Now: revision 3",
        "anthropic:claude-sonnet-4-6:ap-south-1",
        "Drill 1a2b3c4d: before",
        "by engine",
        "staging-gateway-1",
        "Serves it",
        "Revisions",
    ):
        assert words in text, words


@pytest.mark.django_db
def test_policy_page_diff_by_default_of_the_last_two_and_any_two_on_demand(cast: Cast, world: World) -> None:
    client, address = client_of(cast.auditor), reverse("routing:detail", args=DETAIL)
    text = unescape(page(client, address))
    assert "What changed from revision 2 to 3" in text
    assert "<ins>        weight: 25</ins>" in text
    assert "No difference." in page(client, f"{address}?from=1&to=3")
    text = unescape(page(client, f"{address}?from=1&to=2"))
    assert "<del>        weight: 25</del>" in text


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["?from=1&to=99", "?from=7&to=2"])
def test_policy_page_diff_of_revisions_that_do_not_exist_is_a_404(query: str, cast: Cast, world: World) -> None:
    assert "it has 1 to 3" in page(client_of(cast.auditor), reverse("routing:detail", args=DETAIL) + query, status=404)


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["?from=abc&to=-1", "?before=x", "?from=99999999999999999999"])
def test_policy_page_nonsense_in_the_address_is_left_out(query: str, cast: Cast, world: World) -> None:
    page(client_of(cast.auditor), reverse("routing:detail", args=DETAIL) + query)


@pytest.mark.django_db
def test_policy_page_first_revision_has_nothing_to_compare(cast: Cast, world: World) -> None:
    text = page(client_of(cast.auditor), reverse("routing:detail", args=["production", "legacy-classifier"]))
    assert "There is only one revision so far." in text


@pytest.mark.django_db
def test_policy_page_many_revisions_are_paged(cast: Cast, world: World) -> None:
    for number in range(25):
        PolicyRevisionFactory(policy=world.reasoner, reason=f"change {number}")
    client, address = client_of(cast.auditor), reverse("routing:detail", args=DETAIL)
    first = page(client, address)
    assert first.count('id="revision-') == 20
    older = re.search(r'href="(\?before=\d+)"', first)
    assert older
    assert page(client, address + older.group(1)).count('id="revision-') == 8


@pytest.mark.django_db
def test_policy_page_says_that_a_drill_holds_the_alias(cast: Cast, world: World) -> None:
    text = page(client_of(cast.auditor), reverse("routing:detail", args=["staging", "support-reply"]))
    assert "holds this alias" in text
    assert reverse("drills:detail", args=[world.running.pk]) in text


@pytest.mark.django_db
def test_unknown_alias_or_environment_is_a_404_that_names_it(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)
    assert "There is no alias nothing in staging." in page(client, reverse("routing:detail", args=["staging", "nothing"]), status=404)
    for name in ("routing:gateways", "routing:export", "routing:import"):
        assert "There is no environment moon." in page(client, reverse(name, args=["moon"]), status=404)
    page(client, reverse("routing:export", args=["staging"]) + "?alias=nothing", status=404)


@pytest.mark.django_db
def test_gateways_page_tells_refusals_with_their_text(cast: Cast, world: World) -> None:
    text = unescape(page(client_of(cast.auditor), reverse("routing:gateways", args=["production"])))
    assert "Not all: 1 of 2 live gateways serve the present routing state." in text
    assert "Refused state 1: Unknown cluster 'anthropic:claude-sonnet-4-6'" in text


@pytest.mark.django_db
def test_routing_list_number_of_queries_does_not_grow(cast: Cast, world: World) -> None:
    client = client_of(cast.auditor)
    page(client, reverse("routing:list"))
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            page(client, reverse("routing:list"))
        counts.append(len(queries))
        for number in range(10):
            RoutingPolicyFactory(environment=world.staging, alias=f"grown-{len(counts)}-{number}")
    assert counts[0] == counts[1] <= 14


@pytest.mark.django_db
def test_export_gives_the_policy_file_of_all_or_of_one(cast: Cast, world: World) -> None:
    client = client_of(cast.auditor)
    response = client.get(reverse("routing:export", args=["staging"]))
    assert response["Content-Disposition"] == 'attachment; filename="staging.yaml"'
    assert response["Content-Type"].startswith("application/yaml")
    assert "support-reply:" in response.content.decode()
    one = client.get(reverse("routing:export", args=["staging"]) + "?alias=smart-reasoner").content.decode()
    assert one == FILE.replace("weight: 10", "weight: 25").replace("weight: 90", "weight: 75")


def _preview(client: Client, text: str = FILE) -> str:
    response = client.post(IMPORT, {"text": text, "reason": "TICKET-7"})
    assert response.status_code == 200
    return str(response.content.decode())


def _seen(preview: str) -> str:
    found = re.search(r'name="seen" value="([^"]*)"', preview)
    assert found
    return unescape(found.group(1))


@pytest.mark.django_db
def test_import_shows_the_differences_first_and_changes_nothing(cast: Cast, world: World) -> None:
    text = unescape(_preview(client_of(cast.on_call)))
    assert "1 alias will change" in text
    assert "<ins>        weight: 10</ins>" in text
    assert "TICKET-7" in text
    assert RoutingPolicy.objects.get(pk=world.reasoner.pk).revision_number == 3


@pytest.mark.django_db
def test_import_confirmed_appends_a_revision_of_the_person(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)
    seen = _seen(_preview(client))
    response = client.post(IMPORT, {"text": FILE, "reason": "TICKET-7", "seen": seen, "confirm": "1"}, follow=True)
    assert "Imported: 1 new revision in Staging." in response.content.decode()
    revision = world.reasoner.revisions.get(number=4)
    assert (revision.reason, revision.actor_label) == ("TICKET-7", "Olga Call")
    assert AuditEvent.objects.filter(event="policy.revision_appended", actor_user_id=cast.on_call.pk).exists()


@pytest.mark.django_db
def test_import_confirmed_after_somebody_else_changed_it_changes_nothing_and_shows_again(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)
    seen = _seen(_preview(client))
    PolicyRevisionFactory(policy=world.reasoner, reason="somebody else")
    response = client.post(IMPORT, {"text": FILE, "reason": "TICKET-7", "seen": seen, "confirm": "1"})
    text = unescape(response.content.decode())
    assert response.status_code == 409
    assert "Meanwhile somebody changed smart-reasoner" in text
    assert '"smart-reasoner": 4' in text
    assert RoutingPolicy.objects.get(pk=world.reasoner.pk).revision_number == 4


@pytest.mark.django_db
@pytest.mark.parametrize("seen", ["", "[]", "{", '{"smart-reasoner": "x"}'])
def test_import_confirmed_without_a_true_preview_changes_nothing(seen: str, cast: Cast, world: World) -> None:
    response = client_of(cast.on_call).post(IMPORT, {"text": FILE, "reason": "r", "seen": seen, "confirm": "1"})
    assert response.status_code == 422
    assert RoutingPolicy.objects.get(pk=world.reasoner.pk).revision_number == 3


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (FILE.replace("weight: 90", "weight: 80"), "line 2", "The weights must sum to 100, they sum to 90."),
        (FILE.replace("version_pin: claude-sonnet-4-6", "version_pin: nothing"), "line 4", "The version nothing is not registered"),
        (FILE.replace("weight: 10", "wait: 10"), "line 6", "Unknown key 'wait'"),
        (FILE.replace("  smart-reasoner:", "  other:"), "line 2", "The alias other does not exist in staging."),
        ("a: [", "line 1", "not valid YAML"),
    ],
)
def test_import_wrong_file_is_refused_with_line_and_reason_and_the_text_is_kept(text: str, line: str, reason: str, cast: Cast, world: World) -> None:
    response = client_of(cast.on_call).post(IMPORT, {"text": text, "reason": "r"})
    shown = unescape(response.content.decode())
    assert response.status_code == 422
    assert reason in shown
    assert f'<strong class="text-capitalize">{line}</strong>' in shown
    assert text.splitlines()[-1] in shown.split("<textarea")[1].split("</textarea>")[0]
    assert "confirm" not in shown.split("<main")[1]


@pytest.mark.django_db
def test_import_without_a_reason_asks_for_it_and_keeps_the_text(cast: Cast, world: World) -> None:
    response = client_of(cast.on_call).post(IMPORT, {"text": FILE, "reason": ""})
    assert response.status_code == 422
    assert "This field is required." in response.content.decode()
    assert "weight: 10" in response.content.decode()


@pytest.mark.django_db
def test_import_of_what_is_so_already_says_so(cast: Cast, world: World) -> None:
    text = unescape(_preview(client_of(cast.on_call), FILE.replace("weight: 10", "weight: 25").replace("weight: 90", "weight: 75")))
    assert "Nothing would change" in text
    assert 'name="confirm"' not in text


@pytest.mark.django_db
def test_import_of_an_alias_that_a_drill_holds_warns(cast: Cast, world: World) -> None:
    text = unescape(_preview(client_of(cast.on_call), FILE.replace("smart-reasoner:", "support-reply:")))
    assert "Changing it meanwhile makes that fail." in text
