"""A quarterly review as people hold it: presented by keyboard alone, minuted, and read on a phone; every page of a lead."""

from __future__ import annotations

import pytest

from rollbackhub.reviews.enums import Agenda
from tests.browser.conftest import Site
from tests.browser.visits import Theme, Visit, Visitor
from tests.dashboard.review_world import addresses_for_leads

pytestmark = pytest.mark.browser


def heading(visit: Visit) -> str:
    return visit.page.title().split(":")[0]


def press(visit: Visit, key: str, *, to: str) -> None:
    """A key that leads to another screen."""
    visit.page.keyboard.press(key)
    visit.page.wait_for_url(lambda url: url.rstrip("/").endswith(to))
    visit.settle()


def test_presenter_goes_through_the_agenda_by_keyboard_alone(site: Site, visitor: Visitor) -> None:
    base = site.addresses["review-held"]
    with visitor.visit("lead") as visit:
        page = visit.open(f"{base}present/")
        for agenda in Agenda.values:
            press(visit, "ArrowRight", to=f"present/{agenda}")
            assert heading(visit) == Agenda(agenda).label
        press(visit, "Space", to="present/end")
        page.keyboard.press("ArrowRight")
        assert page.url.endswith("/present/end/"), "there is nothing behind the last screen"
        press(visit, "ArrowLeft", to="present/decisions")
        press(visit, "Shift+Space", to="present/retention")
        press(visit, "Home", to="present/cover")
        press(visit, "End", to="present/end")
        press(visit, "PageUp", to="present/decisions")
        page.go_back()
        page.wait_for_url("**/present/end/")
        press(visit, "Escape", to=base.rstrip("/"))
        assert visit.problems == []
        assert visit.violations() == []


def test_presenter_draws_the_frozen_figure_large_with_its_table_behind(site: Site, visitor: Visitor) -> None:
    with visitor.visit("auditor", width=1280, height=800) as visit:
        page = visit.open(f"{site.addresses['review-held']}present/compliance/")
        figure = page.locator("#figure-compliance-by_month-drawing")
        assert figure.locator(".bars .point").count() == 6
        assert figure.locator(".xtick text").first.evaluate("node => parseFloat(getComputedStyle(node).fontSize)") >= 18
        assert page.locator("h1").evaluate("node => parseFloat(getComputedStyle(node).fontSize)") >= 28
        table = page.locator("details table")
        assert not table.is_visible()
        page.keyboard.press("Tab")
        summary = page.locator("details.more > summary")
        summary.focus()
        page.keyboard.press("Space")
        assert table.is_visible(), "space opens what has the focus; it does not go on"
        assert page.url.endswith("/present/compliance/")
        assert "Reasoner monthly" in table.inner_text()
        assert page.get_by_role("link", name="Write minutes").count() == 0


def test_presenter_works_without_scripts_by_its_links(site: Site, visitor: Visitor) -> None:
    with visitor.visit("auditor", scripts=False) as visit:
        visit.page.goto(f"{visit.base}{site.addresses['review-held']}present/")
        visit.page.get_by_role("link", name="Next").click()
        visit.page.get_by_role("link", name="Next").click()
        assert "/present/compliance/" in visit.page.url
        visit.page.locator("summary").first.click()
        assert "Reasoner monthly" in visit.page.inner_text("details table")


def test_minutes_are_written_from_the_screen_and_stand_there(site: Site, visitor: Visitor) -> None:
    with visitor.visit("oncall") as visit:
        page = visit.open(f"{site.addresses['review-prepared']}present/findings/")
        page.get_by_role("link", name="Write minutes").click()
        page.get_by_role("textbox", name="Minutes").fill("The gateway is **mended**.\n\n<script>document.title = 'stolen'</script>")
        page.get_by_role("button", name="Show how it looks").click()
        page.get_by_role("heading", name="How it looks (not saved yet)").wait_for()
        page.get_by_role("button", name="Save").click()
        page.wait_for_url("**/present/findings/")
        assert page.locator(".prose strong").inner_text() == "mended"
        assert "stolen" not in page.title()
        assert visit.violations() == []


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 380)])
def test_pages_of_leads_are_accessible_and_fit_the_window(theme: Theme, width: int, site: Site, visitor: Visitor) -> None:
    found: list[str] = []
    with visitor.visit("lead", theme=theme, width=width) as visit:
        for name, address in addresses_for_leads(site.addresses).items():
            visit.problems.clear()
            visit.open(address)
            problems = [*visit.axe(only_contrast=theme == "dark"), *visit.violations(), *visit.problems]
            if visit.overflow() > 0:
                problems.append(f"{visit.overflow()} px wider than the window: {visit.wider_than_window()}")
            found += [f"{name}: {problem}" for problem in problems]
    assert found == []
