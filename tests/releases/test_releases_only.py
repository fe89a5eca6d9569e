"""Where new versions come by a release only: no other way gives the first weight (but a roll-forward, see tests/rollbacks)."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from django.test import Client

from rollbackhub.routing.models import RoutingPolicy
from tests.releases.conftest import ALIAS, NEW, NEW_CANDIDATE, OLD, OLD_CANDIDATE, Stage

SLOTS = ((NEW_CANDIDATE, NEW), (OLD_CANDIDATE, OLD))


@pytest.fixture
def client(stage: Stage) -> Client:
    """On-call, signed in."""
    client = Client()
    client.force_login(stage.cast.on_call)
    return client


def text_of(new: int) -> str:
    """A policy file in which the new version has this weight."""
    weights = zip(SLOTS, (new, 100 - new), strict=True)
    rows = "".join(f"      - id: {slot}\n        version_pin: {pin}\n        weight: {weight}\n" for (slot, pin), weight in weights)
    return f"aliases:\n  {ALIAS}:\n    candidates:\n{rows}"


def revisions(stage: Stage) -> int:
    return RoutingPolicy.objects.get(pk=stage.production.pk).revision_number


def by_api(client: Client, stage: Stage, *, new: int) -> tuple[int, str]:
    rows = [{"id": slot, "version_pin": pin, "weight": weight} for (slot, pin), weight in zip(SLOTS, (new, 100 - new), strict=True)]
    body = {"expected_revision": revisions(stage), "reason": "by hand", "candidates": rows}
    response = client.post(f"/api/v1/policies/production/{ALIAS}/revisions/", json.dumps(body), content_type="application/json")
    return response.status_code, response.json().get("code", "")


def test_first_weight_by_the_api_is_refused_and_the_candidate_at_nothing_is_not(stage: Stage, client: Client) -> None:
    assert by_api(client, stage, new=5) == (422, "release_needed")
    assert (revisions(stage), stage.weights()) == (1, {OLD: 100})
    assert by_api(client, stage, new=0) == (201, "")


def test_version_that_a_release_has_let_in_may_be_moved_by_hand(stage: Stage, client: Client) -> None:
    release = stage.release()
    stage.rehearsed(release)
    stage.promote(release)
    assert by_api(client, stage, new=2) == (201, "")
    assert stage.weights() == {NEW: 2, OLD: 98}


def test_first_weight_by_a_file_over_the_api_is_refused_whole(stage: Stage, client: Client) -> None:
    response = client.post("/api/v1/policies/production/import/?reason=by-hand", text_of(5), content_type="application/yaml")
    assert response.status_code == 422, response.content
    assert "never served" in response.content.decode()
    assert (revisions(stage), stage.weights()) == (1, {OLD: 100})


def test_first_weight_by_a_file_on_the_page_is_refused_in_words(stage: Stage, client: Client) -> None:
    address = "/routing/production/import/"
    shown = client.post(address, {"text": text_of(5), "reason": "by hand"}).content.decode()
    seen = re.search(r'name="seen" value="([^"]*)"', shown)
    assert seen is not None
    response = client.post(address, {"text": text_of(5), "reason": "by hand", "seen": unescape(seen.group(1)), "confirm": "1"}, follow=True)
    shown = unescape(response.content.decode())
    assert "never served" in shown
    assert (revisions(stage), stage.weights()) == (1, {OLD: 100})
