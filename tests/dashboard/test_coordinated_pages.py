"""Coordinated procedures on pages: read, written, changed, removed, and followed by a rollback."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.test import Client

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.common.verdict import Verdict
from rollbackhub.rollbacks.domain.coordination import StepDraft, coordinate, write_coordinated
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import CoordinatedProcedure, Rollback
from tests.dashboard.people import client_of, page
from tests.dashboard.test_rollback_start import form_of
from tests.dashboard.world import World
from tests.factories.fixtures import Cast
from tests.rollbacks.conftest import ask, ends, run, script, seed_production

NEW = "/rollbacks/coordinated/new/production/"
ONE = "/rollbacks/coordinated/support-release/"
EDIT = f"{ONE}edit/"
START = "/rollbacks/start/production/"
BECAUSE = "The prompt was written for the new model."


def form(**changes: Any) -> dict[str, Any]:
    """As the form sends it."""
    values = {
        "do": "save",
        "rows": "2",
        "slug": "support-release",
        "name": "Support release",
        "rows-0-alias": "support-reply",
        "rows-0-why": "The prompt first",
        "rows-1-alias": "smart-reasoner",
        "rows-1-why": "",
        "no_return": "1",
        "because": BECAUSE,
        "based_on": "0",
    }
    return values | changes


@pytest.fixture
def lead(world: World, cast: Cast) -> Client:
    """A platform lead."""
    return client_of(cast.lead)


def test_new_one_is_written_and_read(lead: Client, cast: Cast) -> None:
    assert "New coordinated procedure in Production" in page(lead, "/rollbacks/start/")
    page(lead, NEW)
    response = lead.post(NEW, form(), follow=True)
    text = unescape(response.content.decode())
    for words in ("Support release is saved.", "from smart-reasoner on nothing is put back", BECAUSE, "The prompt first", "Point of no return", "Change 1, by"):
        assert words in text, words
    listed = unescape(page(client_of(cast.on_call), "/rollbacks/start/"))
    assert f'href="{START}?coordinated=support-release"' in listed
    assert "New coordinated procedure" not in listed


def test_buttons_move_rows_lose_nothing_and_write_nothing(lead: Client) -> None:
    text = unescape(lead.post(NEW, form(do="up:1", name="Half a na")).content.decode())
    assert text.index('smart-reasoner" selected') < text.index('support-reply" selected')
    assert 'name="no_return" value="0" checked' in text, "the point stays with its alias"
    for words in ("Half a na", "The prompt first", BECAUSE):
        assert words in text
    assert 'name="rows" value="3"' in lead.post(NEW, form(do="add")).content.decode()
    removed = lead.post(NEW, form(do="remove:1")).content.decode()
    assert 'name="rows" value="1"' in removed
    assert 'name="no_return" value="" checked' in removed
    assert not CoordinatedProcedure.objects.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"slug": "Support Release"}, "Use small letters, digits and -"),
        ({"name": ""}, "Give it a name"),
        ({"rows-1-alias": "support-reply"}, "support-reply stands in place 1 already."),
        ({"rows-1-alias": ""}, "Choose an alias."),
        ({"rows-1-alias": "nobody"}, "There is no alias 'nobody' in production."),
        ({"rows": "1"}, "Name 2 to 20 aliases"),
        ({"rows": "many"}, "Name 2 to 20 aliases"),
        ({"because": ""}, "why nothing can be put back"),
        ({"no_return": ""}, "Say before which alias"),
        ({"do": "up:99", "name": ""}, "Give it a name"),
        ({"name": "a\x00b"}, "It holds a character that cannot be shown. Take it out."),
    ],
)
def test_what_is_wrong_is_said_at_its_place_and_nothing_is_written(lead: Client, changes: dict[str, Any], words: str) -> None:
    response = lead.post(NEW, form(**changes))
    assert response.status_code == 422
    assert words in unescape(response.content.decode())
    assert "Nothing is saved yet." in response.content.decode()
    assert not CoordinatedProcedure.objects.exists()


def test_top_of_the_form_names_every_place_where_something_is_wrong(lead: Client) -> None:
    text = lead.post(NEW, form(**{"name": "", "rows-1-alias": "", "no_return": "0", "because": ""})).content.decode()
    assert "What is wrong is said at its field: name, place 2, why nothing can be put back." in text
    assert "Nothing is saved yet." not in page(lead, NEW)
    assert "Nothing is saved yet." not in lead.post(NEW, form(do="add", name="")).content.decode()


def test_reason_without_a_full_stop_gets_one(lead: Client) -> None:
    text = unescape(lead.post(NEW, form(because="The prompt was written for the new model"), follow=True).content.decode())
    assert text.count("The prompt was written for the new model.") == 2
    assert f"{BECAUSE} Up to there a step that fails can be put back." in unescape(page(lead, f"{START}?coordinated=support-release"))


def test_second_of_a_name_is_refused_at_its_field(lead: Client) -> None:
    lead.post(NEW, form())
    response = lead.post(NEW, form(name="Another"))
    assert response.status_code == 409
    assert "There is a coordinated procedure support-release already." in response.content.decode()
    assert CoordinatedProcedure.objects.get().name == "Support release"


def test_change_over_somebody_elses_is_told_first_and_then_written(lead: Client) -> None:
    lead.post(NEW, form())
    assert 'name="based_on" value="1"' in page(lead, EDIT)
    assert lead.post(EDIT, form(based_on="1", name="Theirs")).status_code == 302
    told = lead.post(EDIT, form(based_on="1", name="Mine"))
    assert told.status_code == 409
    assert "Somebody else changed it while you were editing." in told.content.decode()
    assert CoordinatedProcedure.objects.get().name == "Theirs"
    assert 'name="based_on" value="2"' in told.content.decode()
    assert lead.post(EDIT, form(based_on="2", name="Mine")).status_code == 302
    assert CoordinatedProcedure.objects.get().name == "Mine"


def test_removed_one_is_gone(lead: Client, cast: Cast) -> None:
    lead.post(NEW, form())
    assert "Remove it" in page(lead, ONE)
    assert "Remove it" not in page(client_of(cast.on_call), ONE)
    assert client_of(cast.on_call).post(f"{ONE}delete/").status_code == 403
    assert "is removed" in lead.post(f"{ONE}delete/", follow=True).content.decode()
    assert lead.get(ONE).status_code == 404


def test_start_says_its_order_and_point_and_the_rollback_keeps_both(lead: Client) -> None:
    lead.post(NEW, form())
    address = f"{START}?coordinated=support-release"
    text = unescape(page(lead, address))
    for words in ("Support release", "point of no return before", BECAUSE, "1. support-reply", "2. smart-reasoner"):
        assert words in text, words
    assert ">Earlier<" not in text
    response = lead.post(address, form_of(lead, address), follow=True)
    rollback = Rollback.objects.get()
    assert rollback.coordination is not None
    assert rollback.coordination["order"] == ["support-reply", "smart-reasoner"]
    assert "point of no return before" in response.content.decode()


def test_alias_alone_is_told_that_it_belongs_together_with_others(lead: Client) -> None:
    lead.post(NEW, form())
    text = unescape(page(lead, f"{START}?alias=smart-reasoner"))
    assert "It belongs to a coordinated procedure." in text
    assert f'href="{START}?coordinated=support-release"' in text


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("coordinated=nothing", 404),
        ("coordinated=a%00b", 422),
        ("coordinated=support-release&alias=smart-reasoner&alias=support-reply", 422),
        ("coordinated=support-release&alias=nobody", 404),
    ],
)
def test_address_that_names_what_there_is_not_is_refused_in_words(lead: Client, query: str, status: int) -> None:
    lead.post(NEW, form())
    assert lead.get(f"{START}?{query}").status_code == status


def test_passed_point_is_said_and_putting_back_is_not_offered(db: None, cast: Cast) -> None:
    policies = [seed_production("prompt", alias="tone"), seed_production("dataset", alias="corpus")]
    written = write_coordinated(
        slug="support-release",
        name="Support release",
        environment=policies[0].environment,
        steps=[StepDraft(policy.alias) for policy in policies],
        no_return_before="corpus",
        no_return_because=BECAUSE,
        based_on=0,
        account=cast.lead,
        actor=actor_of(cast.lead),
    )
    script("drain", ends(Verdict.FAILED), alias="corpus")
    rollback = run(ask(*policies, account=cast.lead, coordination=coordinate(written, policies)))
    assert rollback.state == RollbackState.PARTIALLY_RESTORED
    text = unescape(page(client_of(cast.lead), f"/rollbacks/{rollback.pk}/"))
    assert "is passed." in text
    assert BECAUSE in text
    assert "undo-dialog" not in text
    assert "retry-dialog" in text
