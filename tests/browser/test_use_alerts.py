"""Alerts in a browser: every page of theirs, and the one confirmation by keyboard on a phone."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Site
from tests.browser.visits import Theme, Visitor

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("theme", "width"), [("light", 380), ("dark", 1280)])
def test_pages_of_alerts_are_accessible_and_fit(theme: Theme, width: int, site: Site, visitor: Visitor) -> None:
    found: list[str] = []
    with visitor.visit("lead", theme=theme, width=width) as visit:
        for name, address in site.addresses.items():
            if not name.startswith("alert"):
                continue
            visit.problems.clear()
            visit.open(address)
            problems = [*visit.axe(), *visit.violations(), *visit.problems]
            if visit.overflow() > 0:
                problems.append(f"{visit.overflow()} px wider than the window: {visit.wider_than_window()}")
            found += [f"{name}: {problem}" for problem in problems]
    assert found == []


def test_proposal_is_found_in_the_bar_and_dismissed_by_keyboard_on_a_phone(site: Site, visitor: Visitor) -> None:
    with visitor.visit("oncall", width=380, height=800) as visit:
        page = visit.open("/account/")
        page.get_by_role("link", name="An alert proposes to roll back alerting-reasoner").press("Enter")
        page.wait_for_url(f"**{site.addresses['alert-proposal']}")
        assert page.get_by_role("button", name="Roll back now").is_visible()
        page.get_by_role("button", name="Dismiss…").press("Enter")
        dialog = page.get_by_role("dialog", name="Dismiss this proposal?")
        assert visit.axe() == []
        dialog.get_by_label("Reason").press("Escape")
        assert not dialog.is_visible()
        assert visit.violations() == []
