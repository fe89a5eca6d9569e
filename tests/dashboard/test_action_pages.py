"""Pages of what drills and reviews have given somebody to do."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from rollbackhub.accounts.enums import Role
from rollbackhub.actions.enums import ActionOrigin, ActionState
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from tests.dashboard.people import client_of, page
from tests.factories.accounts import TeamFactory, UserFactory
from tests.factories.actions import ActionFactory
from tests.factories.drills import FindingActionFactory
from tests.factories.executions import ExecutionFactory
from tests.factories.fixtures import Cast

pytestmark = pytest.mark.django_db
ACTIONS = "/actions/"
DAY = dt.timedelta(days=1)
LATER = now().date() + 90 * DAY


def titles(client: Client, query: str = "") -> list[str]:
    """Of the list, in its order."""
    html = page(client, ACTIONS + query)
    return [unescape(title) for title in re.findall(r'(?s)data-label="What">.*?<strong>(.*?)</strong>', html)]


def days(number: int) -> dt.date:
    return now().date() + number * DAY


def test_list_has_what_is_open_the_overdue_first(cast: Cast) -> None:
    for title, due in (("later", 20), ("overdue", -3), ("soon", 2)):
        ActionFactory(title=title, due_on=days(due))
    ActionFactory(title="done", done=True)
    client = client_of(cast.auditor)
    assert titles(client) == ["overdue", "soon", "later"]
    html = page(client, ACTIONS)
    assert "1 of 3 open actions is overdue." in re.sub(r"\s+", " ", html)
    assert html.count("Overdue</span>") == 1


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?state=overdue", {"overdue"}),
        ("?state=done", {"done"}),
        ("?state=not_doing", {"declined"}),
        ("?state=all", {"overdue", "mine", "review", "done", "declined", "search"}),
        ("?owner=mine", {"mine"}),
        ("?team=search", {"search"}),
        ("?origin=review", {"review"}),
        ("?origin=review&team=search", set()),
    ],
)
def test_list_is_filtered_by_its_address(query: str, found: set[str], cast: Cast) -> None:
    ActionFactory(title="overdue", due_on=days(-3))
    ActionFactory(title="mine", owner=cast.auditor)
    ActionFactory(title="review", origin=ActionOrigin.REVIEW)
    ActionFactory(title="done", done=True)
    ActionFactory(title="declined", not_doing=True)
    ActionFactory(title="search", team=TeamFactory(slug="search"))
    client = client_of(cast.auditor)
    assert set(titles(client, query)) == found
    if not found:
        assert "No action matches" in page(client, ACTIONS + query)


def test_filter_by_what_there_is_not_is_said(cast: Cast) -> None:
    ActionFactory(title="one")
    client = client_of(cast.auditor)
    for query in ("state=gone", "team=nobody", "owner=you", "origin=moon"):
        assert f"The address filters by what there is not ({query})" in page(client, f"{ACTIONS}?{query}")
        assert titles(client, f"?{query}") == ["one"]


def test_empty_list_says_what_would_fill_it(cast: Cast) -> None:
    html = page(client_of(cast.auditor), ACTIONS)
    assert "Nothing is left to mend." in html
    assert "When a drill catches something" in html


def test_page_says_what_was_found_where_and_by_which_drill(cast: Cast) -> None:
    link = FindingActionFactory(times_seen=3, recurrences=1, closing_execution=ExecutionFactory(passed=True))
    finding = link.finding
    html = unescape(page(client_of(cast.auditor), f"{ACTIONS}{link.pk}/"))
    for words in (finding.expected, finding.found, finding.remedy, "and 2 more times", "1 time after it had been mended"):
        assert words in html, words
    for address in (link.action.origin_url, f"/drills/{link.last_seen_execution_id}/", f"/drills/{link.closing_execution_id}/"):
        assert f'href="{address}"' in html, address
    assert f'href="/routing/{link.policy.environment.slug}/aliases/{link.policy.alias}/"' in html
    assert f'href="/routing/{link.policy.environment.slug}/aliases/{link.policy.alias}/"' in page(client_of(cast.auditor), ACTIONS)


def test_page_of_a_reviews_action_has_its_words(cast: Cast) -> None:
    action = ActionFactory(origin=ActionOrigin.REVIEW, origin_label="Review of Platform 2026 Q3", origin_url="/reviews/1/", detail="Two lines\nof text <b>")
    html = page(client_of(cast.auditor), f"{ACTIONS}{action.pk}/")
    assert '<a href="/reviews/1/">Review of Platform 2026 Q3</a>' in html
    assert "Two lines<br>of text &lt;b&gt;" in html


def test_owner_and_day_are_changed(cast: Cast) -> None:
    action = ActionFactory()
    client = client_of(cast.on_call)
    answer = client.post(f"{ACTIONS}{action.pk}/change/", {"owner": "lead", "due_on": LATER.isoformat()}, follow=True)
    assert "The action is changed." in answer.content.decode()
    action.refresh_from_db()
    assert (action.owner, action.due_on) == (cast.lead, LATER)
    assert AuditEvent.objects.filter(event="action.changed", actor_user_id=cast.on_call.pk).exists()


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"owner": "stranger", "due_on": LATER.isoformat()}, "Select a valid choice"),
        ({"owner": "lead", "due_on": "soon"}, "Enter a valid date."),
        ({"owner": "lead", "due_on": ""}, "This field is required."),
    ],
)
def test_change_that_does_not_fit_comes_back_with_its_sentence(sent: dict[str, str], sentence: str, cast: Cast) -> None:
    action = ActionFactory()
    answer = client_of(cast.on_call).post(f"{ACTIONS}{action.pk}/change/", sent)
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    owner = action.owner
    action.refresh_from_db()
    assert action.owner == owner


def test_owner_who_has_left_is_named_and_not_given_again(cast: Cast) -> None:
    gone = UserFactory(username="gone", is_active=False, roles=[Role.ON_CALL])
    action = ActionFactory(owner=gone)
    client = client_of(cast.lead)
    assert '<option value="gone" selected>' in page(client, f"{ACTIONS}{action.pk}/")
    other = ActionFactory(owner=cast.lead)
    assert client.post(f"{ACTIONS}{other.pk}/change/", {"owner": "gone", "due_on": LATER.isoformat()}).status_code == 422


def test_done_declined_and_opened_again(cast: Cast) -> None:
    action = ActionFactory()
    client, address = client_of(cast.on_call), f"{ACTIONS}{action.pk}/"
    assert "The action is done." in client.post(f"{address}done/", {"reason": "Flag put back."}, follow=True).content.decode()
    action.refresh_from_db()
    assert (action.state, action.closed_reason, action.closed_by_label) == (ActionState.DONE, "Flag put back.", "Olga Call")
    assert client.post(f"{address}done/").status_code == 409
    assert client.post(f"{address}change/", {"owner": "lead", "due_on": LATER.isoformat()}).status_code == 409
    assert client.post(f"{address}reopen/", {"reason": " "}).status_code == 422
    assert "open again" in client.post(f"{address}reopen/", {"reason": "It moved again."}, follow=True).content.decode()
    assert client.post(f"{address}decline/", {"reason": "\x00"}).status_code == 422
    html = client.post(f"{address}decline/", {"reason": "The gateway goes away."}, follow=True).content.decode()
    assert "Not doing: closed by Olga Call." in html
    assert "The gateway goes away." in html


@pytest.mark.parametrize("act", ["change", "done", "decline", "reopen"])
def test_acts_are_for_the_owner_and_for_who_may_drill(act: str, cast: Cast) -> None:
    action = ActionFactory(owner=cast.on_call, **({"done": True} if act == "reopen" else {}))
    sent: dict[str, Any] = {"reason": "please", "owner": "lead", "due_on": LATER.isoformat()}
    before = (action.state, action.owner_id)
    for user in (cast.leadership, cast.auditor, cast.stranger):
        client = client_of(user)
        assert client.post(f"{ACTIONS}{action.pk}/{act}/", sent).status_code == 403
        if user != cast.stranger:
            html = page(client, f"{ACTIONS}{action.pk}/")
            assert "<dialog" not in html
            assert f"{act}/" not in html
    assert Client().post(f"{ACTIONS}{action.pk}/{act}/", sent).status_code == 302
    action.refresh_from_db()
    assert (action.state, action.owner_id) == before
    action.owner = cast.auditor
    action.save(update_fields=["owner"])
    assert client_of(cast.auditor).post(f"{ACTIONS}{action.pk}/{act}/", sent).status_code == 302


def test_what_there_is_not_is_a_404(cast: Cast) -> None:
    address = f"{ACTIONS}00000000-0000-0000-0000-000000000001/"
    client = client_of(cast.lead)
    assert client.get(address).status_code == 404
    assert [client.post(f"{address}{act}/", {"reason": "x"}).status_code for act in ("change", "done", "decline", "reopen")] == [404] * 4


def test_queries_do_not_grow_with_actions(cast: Cast) -> None:
    FindingActionFactory()
    client = client_of(cast.auditor)
    counts = []
    for _ in range(2):
        page(client, ACTIONS)
        with CaptureQueriesContext(connection) as queries:
            page(client, ACTIONS)
        counts.append(len(queries))
        for number in range(3):
            FindingActionFactory(action__owner=UserFactory(), finding__subject=f"gateway {number}")
    assert counts[0] == counts[1] <= 13
