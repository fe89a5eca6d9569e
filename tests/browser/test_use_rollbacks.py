"""Asking for a rollback and deciding about it in a real browser: on a phone, by keyboard, and without any script."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Site
from tests.browser.visits import Visitor
from tests.factories.accounts import PASSWORD

pytestmark = pytest.mark.browser
DETAIL = re.compile(r"/rollbacks/[0-9a-f-]{36}/$")


def test_rollback_on_a_phone_is_two_clicks_and_a_reason(site: Site, visitor: Visitor) -> None:
    with visitor.visit("oncall", width=380, height=800) as visit:
        page = visit.open("/?q=legacy-classifier")
        page.get_by_role("link", name="Roll back legacy-classifier in Production").click()
        page.wait_for_url("**/rollbacks/start/production/?alias=legacy-classifier")
        expect(page.get_by_text("You may start this alone.")).to_be_visible()
        page.get_by_role("radio", name="5 min ago", exact=True).check()
        page.get_by_role("textbox", name="Reason", exact=True).fill("wrong classes")
        page.get_by_role("button", name="Roll back now").click()
        page.wait_for_url(DETAIL)
        expect(page.get_by_role("heading", level=1)).to_contain_text("legacy-classifier")
        assert visit.overflow() <= 0
        assert visit.violations() == []


def test_roll_forward_form_is_accessible_and_fits(site: Site, visitor: Visitor) -> None:
    for theme, width in (("light", 380), ("dark", 1280)):
        with visitor.visit("oncall", theme=theme, width=width) as visit:  # type: ignore[arg-type]
            page = visit.open(site.addresses["long-roll-forward"])
            page.get_by_role("button", name="Ship the fix").click()
            assert [*visit.axe(), *visit.violations()] == []
            assert visit.overflow() <= 0


def test_request_and_approval_without_any_script(site: Site, visitor: Visitor) -> None:
    """The password is asked for again on the way: the sign-in of the browser's state is older than its session's record allows."""
    several = "/rollbacks/start/production/?alias=support-reply&alias=smart-reasoner"
    with visitor.visit("oncall", scripts=False) as visit:
        page = visit.page
        page.goto(visit.base + several)
        page.get_by_role("textbox", name="Reason", exact=True).fill("prompt and model of one release")
        page.get_by_role("button", name="Ask for approval").click()
        page.wait_for_url(DETAIL)
        address = page.url
        expect(page.get_by_text("Asked: those who may approve were told.")).to_be_visible()
    with visitor.visit("leadership", scripts=False, width=380) as visit:
        page = visit.page
        page.goto(visit.base + "/rollbacks/approvals/")
        card = page.locator("article", has_text="prompt and model of one release")
        expect(card.get_by_role("button", name="Approve and start it")).to_be_hidden()
        card.get_by_text("Approve…").click()
        expect(card.get_by_text("The plan that you see here starts at once, in your name")).to_be_visible()
        card.get_by_role("button", name="Approve and start it").click()
        if "/accounts/reauthenticate/" in page.url:
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Confirm").click()
        page.wait_for_url(address)
        expect(page.get_by_text("Approved: it starts now, in your name.")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_open_decisions_are_accessible_by_keyboard(theme: str, site: Site, visitor: Visitor) -> None:
    with visitor.visit("lead", theme=theme, width=380) as visit:  # type: ignore[arg-type]
        page = visit.open("/rollbacks/approvals/")
        for words in ("Approve…", "Reject…", "Withdraw…"):
            summary = page.get_by_text(words).first
            summary.focus()
            page.keyboard.press("Enter")
            assert summary.evaluate("(node) => node.parentElement.open"), words
            assert visit.axe() == []
        assert visit.overflow() <= 0
        assert page.locator("details.decision[open]").count() == 1, "one decision is open at a time"
