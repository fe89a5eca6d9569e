"""Using the drill programme: a plan from its preview on, the calendar by keyboard and on a phone, dialogs, a feed's address."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from rollbackhub.common.clock import now
from tests.browser.conftest import Site
from tests.browser.visits import Visitor

pytestmark = pytest.mark.browser


def test_plan_is_previewed_kept_and_ended(site: Site, visitor: Visitor) -> None:
    with visitor.visit("lead") as visit:
        page = visit.open("/drills/plans/new/?alias=smart-reasoner&environment=staging")
        page.get_by_label("Name", exact=True).fill("Browser's plan")
        page.get_by_label("How often").select_option("monthly")
        page.get_by_role("button", name="Show its next drills").click()
        expect(page.get_by_text("Nothing is kept yet")).to_be_visible()
        expect(page.locator(".slots li")).to_have_count(6)
        page.get_by_label("How often").select_option("quarterly")
        page.get_by_role("button", name="Keep this plan").click()
        expect(page.get_by_text("it was changed since")).to_be_visible()
        page.get_by_role("button", name="Keep this plan").click()
        page.wait_for_url(re.compile(r"/drills/plans/\d+/$"))
        expect(page.get_by_text("Quarterly, announced")).to_be_visible()
        page.get_by_role("button", name="End…").click()
        dialog = page.get_by_role("dialog", name="End this plan?")
        expect(dialog.get_by_label("Reason")).to_be_focused()
        assert visit.axe() == []
        dialog.get_by_label("Reason").fill("only a test")
        dialog.get_by_role("button", name="End it").click()
        expect(page.get_by_text("It has ended: nothing is drilled by it.")).to_be_visible()
        assert visit.problems == []


def test_calendar_goes_from_month_to_month_by_keyboard(site: Site, visitor: Visitor) -> None:
    with visitor.visit("auditor") as visit:
        page = visit.open("/drills/calendar/?month=2026-12")
        page.locator("a[rel=next]").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/drills/calendar/?month=2027-01")
        expect(page.get_by_role("heading", level=1)).to_have_text("Which drills are in January 2027?")
        page.locator("a[rel=prev]").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/drills/calendar/?month=2026-12")


def test_calendar_is_a_grid_on_wide_screens_and_a_list_on_a_phone(site: Site, visitor: Visitor) -> None:
    with visitor.visit("auditor") as visit:
        page = visit.open("/drills/calendar/")
        today = page.locator("td.is-today")
        expect(today).to_contain_text(re.compile("Overdue|Failed"))
        columns = {cell.bounding_box()["x"] for cell in page.locator(".month tbody tr").nth(1).locator("td").all()}  # type: ignore[index]
        assert len(columns) == 7
    with visitor.visit("auditor", width=380) as visit:
        page = visit.open("/drills/calendar/")
        shown = [cell for cell in page.locator(".month td").all() if cell.is_visible()]
        assert len({cell.bounding_box()["x"] for cell in shown}) == 1  # type: ignore[index]
        assert len(shown) < 28, "days without anything are left out"
        expect(page.locator("td.is-today")).to_contain_text(f"{now().day}")


def test_planned_drill_is_excused_through_its_dialog(site: Site, visitor: Visitor) -> None:
    missed = site.programme.planned["missed"]
    with visitor.visit("lead") as visit:
        page = visit.open(f"/drills/planned/{missed.pk}/")
        page.get_by_role("button", name="Excuse it…").click()
        dialog = page.get_by_role("dialog", name="Excuse this drill?")
        assert visit.axe() == []
        dialog.get_by_label("Reason").fill("The gateway was being replaced.")
        dialog.get_by_role("button", name="Excuse it").click()
        expect(page.get_by_text("Lee Lead excused it")).to_be_visible()
        expect(page.get_by_role("button", name="Excuse it…")).to_have_count(0)


def test_secret_address_is_shown_once_and_revoked(site: Site, visitor: Visitor) -> None:
    with visitor.visit("lead") as visit:
        page = visit.open("/drills/feeds/")
        page.get_by_label("Used by").fill("Browser")
        page.get_by_role("button", name="Make it").click()
        address = page.get_by_role("textbox", name="Address")
        expect(address).to_have_value(re.compile(r"/drills/calendar/[\w-]+\.ics$"))
        assert visit.axe() == []
        page = visit.open("/drills/feeds/")
        expect(page.get_by_role("textbox", name="Address")).to_have_count(0)
        row = page.get_by_role("row").filter(has_text="Browser")
        row.get_by_role("button", name=re.compile("Revoke")).click()
        page.get_by_role("dialog").get_by_role("button", name="Revoke it").click()
        expect(page.get_by_role("row").filter(has_text="Browser")).to_contain_text("Revoked")


def test_action_is_handed_over_done_and_opened_again(site: Site, visitor: Visitor) -> None:
    with visitor.visit("oncall") as visit:
        page = visit.open("/actions/")
        page.get_by_role("link", name=site.programme.overdue.title).click()
        page.get_by_label("Owner", exact=True).select_option("lead")
        page.get_by_role("button", name="Change").click()
        expect(page.get_by_text("Overdue: Lee Lead does it by")).to_be_visible()
        page.get_by_role("button", name="Done…").click()
        page.get_by_label("What was done (may be empty)").fill("Written.")
        page.get_by_role("button", name="It is done").click()
        expect(page.get_by_text("Done: closed by Olga Call.")).to_be_visible()
        page.get_by_role("button", name="Open again…").click()
        page.get_by_label("Reason").fill("It is out of date.")
        page.get_by_role("button", name="Open it again").click()
        expect(page.get_by_text("Overdue: Lee Lead does it by")).to_be_visible()
        assert visit.problems == []
