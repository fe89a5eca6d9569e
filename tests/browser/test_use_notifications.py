"""Using notifications: a channel is added and tried, a team says what it is told, by keyboard, wide and light as narrow and dark."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Site
from tests.browser.visits import Theme, Visitor

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 380)])
def test_channel_is_added_tried_and_turned_off(site: Site, visitor: Visitor, theme: Theme, width: int) -> None:
    name = f"Mail of the browser {width}"
    with visitor.visit("lead", theme=theme, width=width) as visit:
        page = visit.open(site.addresses["notification-channel-new"])
        page.get_by_label("Team").select_option("quiet-team")
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_label("Where its address is found").fill("mailtos://user:password-of-nobody@example.org")
        page.get_by_role("button", name="Add it").click()
        expect(page.get_by_text("is never stored")).to_be_visible()
        expect(page.get_by_label("Where its address is found")).to_have_value("")
        page.get_by_label("Where its address is found").fill("env:NOTIFY_BROWSER")
        page.keyboard.press("Enter")
        page.wait_for_url("**/notifications/")
        row = page.get_by_role("row", name=re.compile(name))
        expect(row.get_by_text("Not tried yet")).to_be_visible()
        assert (visit.overflow(), visit.axe()) == (0, [])
        row.get_by_role("button", name="Send a test").click()
        page.wait_for_url(re.compile(r"/notifications/deliveries/[0-9a-f-]{36}/$"))
        expect(page.get_by_text("Waiting.")).to_be_visible()
        assert (visit.overflow(), visit.axe()) == (0, [])
        page.go_back()
        row.get_by_role("button", name="Turn off…").click()
        page.get_by_role("dialog", name=re.compile("Turn")).get_by_role("button", name="Turn it off").click()
        expect(page.get_by_text("What waited for it is discarded.")).to_be_visible()
        expect(row.get_by_role("button", name="Turn on")).to_be_visible()
        assert visit.problems == [] or all("422" in problem for problem in visit.problems)
        assert visit.violations() == []


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 380)])
def test_team_says_what_it_is_told_by_keyboard(site: Site, visitor: Visitor, theme: Theme, width: int) -> None:
    with visitor.visit("lead", theme=theme, width=width) as visit:
        page = visit.open(site.addresses["notification-team"])
        box = page.get_by_role("group", name="Planned drill failed: channels").get_by_label("Slack #rollbacks")
        box.focus()
        before = box.is_checked()
        page.keyboard.press("Space")
        page.get_by_label("Planned drill failed: how soon").select_option("daily")
        page.get_by_label("Planned drill failed: time of the daily message").fill("08:30")
        assert (visit.overflow(), visit.axe()) == (0, [])
        page.get_by_role("button", name="Keep it so").press("Enter")
        expect(page.get_by_text("On-call heroes is told so from now on.")).to_be_visible()
        assert page.get_by_role("group", name="Planned drill failed: channels").get_by_label("Slack #rollbacks").is_checked() != before
        assert (visit.problems, visit.violations()) == ([], [])


def test_dead_letter_is_discarded_through_its_dialog(site: Site, visitor: Visitor) -> None:
    with visitor.visit("lead", width=380) as visit:
        page = visit.open(site.addresses["notification-dead"])
        expect(page.get_by_text("Mend the channel, then send it again, or discard it.")).to_be_visible()
        page.get_by_role("button", name="Discard…").click()
        dialog = page.get_by_role("dialog", name="Discard this message?")
        expect(dialog.get_by_label("Reason")).to_be_focused()
        assert visit.axe() == []
        dialog.get_by_label("Reason").fill("The pager is gone.")
        dialog.get_by_role("button", name="Discard it").click()
        expect(page.get_by_text("By Lee Lead: The pager is gone.")).to_be_visible()
        assert visit.problems == []
