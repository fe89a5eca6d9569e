"""Shipping a fix instead of rolling back: what it needs, and what stands on the record."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from rollbackhub.registry.models import Version
from rollbackhub.rollbacks.domain.roll_forward import GATES
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Rollback, RollForward
from tests.dashboard.people import client_of, page
from tests.dashboard.world import World
from tests.factories.fixtures import Cast
from tests.factories.registry import VersionFactory
from tests.factories.rollbacks import RollbackFactory, StabilityHoldFactory
from tests.factories.routing import BAD, GOOD

FORWARD = "/rollbacks/forward/production/smart-reasoner/"
FIX = "claude-sonnet-4-6-fix1"


@pytest.fixture
def fix(world: World) -> Version:
    """A fixed version that nobody serves yet."""
    version: Version = VersionFactory(artefact=world.reasoner.artefact, label=FIX)
    return version


def values(**changes: str) -> dict[str, str]:
    """A form that can be sent: all gates but the canary passed."""
    gates = {f"gate_{gate}": "passed" for gate in GATES if gate != "canary"}
    return {
        "fix_version": FIX,
        "percents": "25, 100",
        "reason": "one wrong word in the system prompt",
        **gates,
        "name_canary": "Lee Lead",
        "why_canary": "A typing error, nothing else changed.",
        **changes,
    }


def send(client: Client, address: str = FORWARD, **changes: str) -> Any:
    """Send the form."""
    return client.post(address, values(**changes))


@pytest.mark.django_db
def test_page_shows_both_ways_and_every_gate(cast: Cast, world: World, fix: Version) -> None:
    text = unescape(page(client_of(cast.on_call), FORWARD))
    for words in (
        "Two ways out",
        "median 1.9 s (1.9 to 1.9 s), 1 of 2 runs passed",
        "never measured",
        *GATES.values(),
        "Always skipped",
        f'value="{FIX}"',
        BAD,
    ):
        assert words in text, words
    assert text.count('value="skipped"') == len(GATES) - 1
    assert 'value="25, 100"' in text
    assert f'<option value="{GOOD}">' not in text, "what serves already is no fix"


@pytest.mark.django_db
def test_rollback_page_leads_to_it(cast: Cast, world: World) -> None:
    assert f"{FORWARD}?bad_version={BAD}" in page(client_of(cast.on_call), "/rollbacks/start/production/?alias=smart-reasoner")


@pytest.mark.django_db
def test_sent_it_begins_with_the_skipped_gates_on_the_record(cast: Cast, world: World, fix: Version) -> None:
    response = send(client_of(cast.on_call), gate_review="skipped", name_review="Olga Call", why_review="Nobody else is awake.", percents="10; 50 %, 100")
    forward = RollForward.objects.get()
    assert response["Location"] == f"/rollbacks/{forward.rollback_id}/"
    assert forward.rollback.state == RollbackState.ROLLING_FORWARD
    assert (forward.fix_version, forward.canary_percents, forward.started_by) == (fix, [10, 50, 100], cast.on_call)
    assert forward.skipped_gates == [
        {"gate": "canary", "name": "Lee Lead", "reason": "A typing error, nothing else changed."},
        {"gate": "review", "name": "Olga Call", "reason": "Nobody else is awake."},
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"why_canary": ""}, "A skipped gate needs the name of who answers for it, and a reason."),
        ({"name_canary": " "}, "A skipped gate needs the name of who answers for it, and a reason."),
        ({"gate_eval": "skipped"}, "A skipped gate needs the name of who answers for it, and a reason."),
        ({"gate_eval": ""}, "This field is required."),
        ({"gate_eval": "waved through"}, "Select a valid choice."),
        ({"percents": "50, 25, 100"}, "rising percents that end with 100"),
        ({"percents": "25, 50"}, "rising percents that end with 100"),
        ({"percents": "a lot"}, "Write whole numbers with commas between them"),
        ({"percents": ""}, "This field is required."),
        ({"reason": "x"}, "at least 3 characters"),
        ({"fix_version": ""}, "This field is required."),
        ({"fix_version": BAD}, "Select a valid choice."),
        ({"fix_version": "gpt-nothing"}, "Select a valid choice."),
    ],
)
def test_form_that_lacks_something_ships_nothing_and_says_what(changes: dict[str, str], sentence: str, cast: Cast, world: World, fix: Version) -> None:
    response = send(client_of(cast.on_call), **changes)
    assert response.status_code == 422
    assert sentence in unescape(response.content.decode())
    assert Rollback.objects.count() == 0


@pytest.mark.django_db
def test_version_under_hold_or_retired_is_not_offered(cast: Cast, world: World, fix: Version) -> None:
    VersionFactory(artefact=world.reasoner.artefact, label="claude-old", lifecycle="retired")
    StabilityHoldFactory(version=fix)
    client = client_of(cast.on_call)
    text = page(client, FORWARD)
    assert "There is no version to ship yet." in text
    assert "Ship the fix" not in text
    assert send(client).status_code == 422
    assert Rollback.objects.count() == 0


@pytest.mark.django_db
def test_above_ones_authority_it_is_not_offered_and_refused(cast: Cast, world: World, fix: Version) -> None:
    Version.objects.filter(label=BAD, artefact=world.reasoner.artefact).update(is_strategic=True)
    client = client_of(cast.on_call)
    text = unescape(page(client, FORWARD))
    assert "You cannot start this: it takes Senior leadership, by the rule for strategic." in text
    assert "Vera Vice" in text
    assert "Ship the fix" not in text
    assert send(client).status_code == 403
    assert Rollback.objects.count() == 0
    assert send(client_of(cast.leadership)).status_code == 302


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["auditor", "stranger"])
def test_who_may_not_roll_back_may_not_ship_a_fix(who: str, cast: Cast, world: World, fix: Version) -> None:
    client = client_of(getattr(cast, who))
    assert client.get(FORWARD).status_code == 403
    assert send(client).status_code == 403
    assert Rollback.objects.count() == 0


@pytest.mark.django_db
def test_while_a_rollback_is_there_it_leads_to_that(cast: Cast, world: World, fix: Version) -> None:
    rollback = RollbackFactory(running=True, parts__policy=world.production.policies.get(alias="smart-reasoner"))
    client = client_of(cast.on_call)
    assert "A rollback of smart-reasoner is there already" in page(client, FORWARD)
    assert send(client)["Location"] == f"/rollbacks/{rollback.pk}/"
    assert not RollForward.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address", [f"{FORWARD}?bad_version=gpt-nothing", "/rollbacks/forward/production/nothing/", "/rollbacks/forward/nowhere/smart-reasoner/"]
)
def test_address_that_names_nothing_is_a_404(address: str, cast: Cast, world: World) -> None:
    page(client_of(cast.on_call), address, status=404)


@pytest.mark.django_db
def test_staging_is_refused(cast: Cast, world: World, fix: Version) -> None:
    client = client_of(cast.on_call)
    assert "Rollbacks are for production" in page(client, FORWARD.replace("production", "staging"))
    assert send(client, FORWARD.replace("production", "staging")).status_code == 422


@pytest.mark.django_db
def test_queries_do_not_grow_with_versions(cast: Cast, world: World, fix: Version) -> None:
    client = client_of(cast.on_call)
    counts = []
    for number in range(2):
        page(client, FORWARD)
        with CaptureQueriesContext(connection) as queries:
            page(client, FORWARD)
        counts.append(len(queries))
        for more in range(5):
            VersionFactory(artefact=world.reasoner.artefact, label=f"fix-{number}-{more}")
    assert counts[0] == counts[1] <= 38
