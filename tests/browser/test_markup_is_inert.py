"""Whatever people write is shown and does nothing: no script runs, nothing is fetched, no dialog opens, the Content-Security-Policy is not even asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from django.db import connections, transaction
from playwright.sync_api import Browser, Dialog, Page, Request, sync_playwright
from pytest_django.plugin import DjangoDbBlocker

from tests.browser.conftest import chromium, serve
from tests.browser.corpus import CORPUS, MARK
from tests.browser.markup import LISTS, write_all
from tests.browser.visits import Visitor
from tests.databases import cloned_database, point_django_at
from tests.factories.fixtures import make_cast

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]  # about two thousand pages; whichever comes first writes all of it

_ACTS = """() => {
    const found = [];
    if (window.__ran) found.push(`ran ${window.__ran} times`);
    for (const node of document.querySelectorAll('main *, dialog *')) {
        for (const attribute of node.attributes) {
            if (/^on/i.test(attribute.name)) found.push(`${node.tagName} has ${attribute.name}`);
            if (/^(data-)?hx-/i.test(attribute.name) && attribute.value.includes('MARK')) found.push(`${node.tagName} has ${attribute.name}`);
            if (/^(href|src|action|formaction|data|xlink:href)$/i.test(attribute.name) && /^\\s*(javascript|data|vbscript):/i.test(attribute.value))
                found.push(`${node.tagName} leads to ${attribute.value.slice(0, 60)}`);
            if (attribute.name === 'style' && attribute.value.includes('MARK')) found.push(`${node.tagName} is styled`);
        }
        if (/^(script|iframe|object|embed|video|audio|marquee|base|meta|link|style|img|math|template)$/i.test(node.tagName) && node.type !== 'application/json')
            found.push(`there is a ${node.tagName}: ${node.outerHTML.slice(0, 80)}`);
    }
    return found;
}""".replace("MARK", MARK)


@dataclass(frozen=True)
class Written:
    """A running RollbackHub in which every text of the corpus stands in every field."""

    url: str
    addresses: dict[int, list[str]]
    """By the text's place in the corpus."""


@pytest.fixture(scope="module")
def written(
    django_test_environment: None, database_template: str, django_db_blocker: DjangoDbBlocker, worker_id: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Written]:
    """In a database of its own: other tests look at tidy lists."""
    name = f"test_{worker_id}_markup"
    var: Path = tmp_path_factory.mktemp("markup")
    with django_db_blocker.unblock(), cloned_database(template=database_template, name=name):
        before = connections["default"].settings_dict["NAME"]
        point_django_at(name)
        with transaction.atomic():
            make_cast()
            addresses = {number: write_all(text) for number, text in enumerate(CORPUS)}
        point_django_at(before)
        with serve(name, var) as url, django_db_blocker.block():
            yield Written(url=url, addresses=addresses)


@pytest.fixture(scope="module")
def window(written: Written) -> Iterator[Browser]:
    """A browser of this module's own: the site that others visit is not needed."""
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def visitor_of_all(window: Browser, written: Written) -> Visitor:
    """Opens pages as people of the cast."""
    return Visitor(window, written.url, {})


def test_corpus_is_large_and_holds_no_text_twice() -> None:
    assert len(CORPUS) >= 60
    assert len(set(CORPUS)) == len(CORPUS)


@pytest.mark.parametrize("part", range(6))
def test_markup_is_inert_wherever_people_can_write_it(part: int, written: Written, visitor_of_all: Visitor) -> None:
    found: list[str] = []
    with visitor_of_all.visit("lead") as visit:
        watched = _watch(visit.page)
        for number, addresses in written.addresses.items():
            if number % 6 == part:
                for address in addresses:
                    visit.problems.clear()
                    page = visit.open(address)
                    assert page.url.startswith(written.url), f"{CORPUS[number]} has led away to {page.url}"
                    problems = [*watched, *visit.problems, *visit.violations(), *page.evaluate(_ACTS)]
                    found += [f"{CORPUS[number]!r} at {address}: {problem}" for problem in problems]
                    watched.clear()
    assert found == []


def test_lists_that_hold_all_of_it_are_inert(written: Written, visitor_of_all: Visitor) -> None:
    found: list[str] = []
    with visitor_of_all.visit("lead") as visit:
        watched = _watch(visit.page)
        for address in LISTS:
            visit.problems.clear()
            page = visit.open(address)
            problems = [*watched, *visit.problems, *visit.violations(), *page.evaluate(_ACTS)]
            found += [f"{address}: {problem}" for problem in problems]
            watched.clear()
    assert found == []


def test_text_is_shown_as_it_was_written(written: Written, visitor_of_all: Visitor) -> None:
    """It is inert because it is text, not because it is gone."""
    with visitor_of_all.visit("lead") as visit:
        page = visit.open(written.addresses[0][0])
        assert page.get_by_role("heading", level=1).inner_text() == CORPUS[0]
        assert CORPUS[0] in page.locator("#root_cause .prose").inner_text()
        page = visit.open(f"{written.addresses[0][0]}edit/")
        assert page.locator("textarea[name=root_cause-text]").input_value() == CORPUS[0]


@pytest.mark.parametrize(
    ("address", "places"),
    [
        (r"/incidents/[^/]+/notes/\d+/", ["main .prose"]),
        (r"/alerts/[0-9a-f-]{36}/", ["h1", "[aria-labelledby=says-title] dt", "[aria-labelledby=says-title] dd", "[aria-labelledby=says-title] dd code"]),
        (r"/actions/[0-9a-f-]{36}/", ["h1", ".answer", "[aria-labelledby=what-title]"]),
        (r"/notifications/deliveries/[0-9a-f-]{36}/", ["h1", ".answer"]),
        (r"/reviews/[0-9a-f-]{36}/present/decisions/", ["h1", "th", ".prose"]),
    ],
    ids=["note", "alert", "action", "delivery", "review"],
)
def test_other_pages_show_text_as_it_was_written_too(address: str, places: list[str], written: Written, visitor_of_all: Visitor) -> None:
    wanted = [found for found in written.addresses[0] if re.fullmatch(address, found)]
    assert wanted
    with visitor_of_all.visit("lead") as visit:
        page = visit.open(wanted[-1])
        for place in places:
            assert any(CORPUS[0] in shown for shown in page.locator(place).all_inner_texts()), f"{place} of {wanted[-1]} does not show it"


def test_policy_is_strict(written: Written) -> None:
    """What is sent with the pages, and what they must not need."""
    sent = httpx.get(f"{written.url}/accounts/login/").headers["content-security-policy"]
    policy = {name: rest for name, _, rest in (part.strip().partition(" ") for part in sent.split(";"))}
    for directive in ("script-src", "style-src"):
        assert policy[directive]
        assert "unsafe" not in policy[directive]
    assert policy["object-src"] == policy["base-uri"] == "'none'"


def _watch(page: Page) -> list[str]:
    """What must not happen, as it happens."""
    seen: list[str] = []

    def on_dialog(dialog: Dialog) -> None:
        seen.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def on_request(request: Request) -> None:
        if MARK in request.url or "evil.example" in request.url:
            seen.append(f"asked for {request.url}")

    page.on("dialog", on_dialog)
    page.on("request", on_request)
    page.on("popup", lambda popup: seen.append(f"a window: {popup.url}"))
    return seen
