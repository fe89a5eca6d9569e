"""Using the pages: by keyboard, with the theme switch, while things run, and when the server goes away."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.visits import Visitor

pytestmark = pytest.mark.browser


def _tab_to(page: Page, role: str, name: str, *, most: int = 60) -> None:
    """Press Tab until this control has the focus; fails when it cannot be reached."""
    wanted = page.get_by_role(role, name=name, exact=True)  # type: ignore[arg-type]
    for _ in range(most):
        page.keyboard.press("Tab")
        if wanted.evaluate_all("nodes => nodes.some((node) => node === document.activeElement)"):
            return
    raise AssertionError(f"{role} {name!r} cannot be reached by Tab")


def test_drill_started_and_stopped_by_keyboard_alone(site: Site, visitor: Visitor) -> None:
    with visitor.visit("oncall") as visit:
        page = visit.open("/?q=smart-reasoner")
        _tab_to(page, "link", "Drill smart-reasoner")
        page.keyboard.press("Enter")
        page.wait_for_url("**/drills/start/staging/smart-reasoner/")
        _tab_to(page, "button", "Start the drill")
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(r"/drills/[0-9a-f-]{36}/$"))
        expect(page.get_by_text("Not yet: it waits for a worker.").first).to_be_visible()
        expect(page.locator("#running")).to_contain_text("Drill of smart-reasoner in staging: queued")

        _tab_to(page, "button", "Stop the drill")
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Stop this drill?")
        expect(dialog).to_be_visible()
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        expect(page.get_by_role("button", name="Stop the drill").first).to_be_focused()

        page.keyboard.press("Enter")
        expect(dialog.get_by_label("Reason")).to_be_focused()
        page.keyboard.type("only a test")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Unknown: it was stopped before it began.")).to_be_visible()
        expect(page.get_by_text("Stopped by Olga Call before it began: only a test")).to_be_visible()
        assert visit.problems == []


def test_skip_link_is_first_and_leads_to_the_content(visitor: Visitor) -> None:
    with visitor.visit("oncall") as visit:
        page = visit.open("/drills/")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()


def test_focus_is_visible_wherever_it_goes(visitor: Visitor) -> None:
    with visitor.visit("oncall") as visit:
        page = visit.open("/")
        for _ in range(25):
            page.keyboard.press("Tab")
            width = page.evaluate(
                "() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle === 'none' ? 0 : parseFloat(s.outlineWidth); }"
            )
            assert width >= 2, page.evaluate("() => document.activeElement.outerHTML.slice(0, 200)")


def test_menu_on_a_narrow_window_opens_by_keyboard_and_says_so(visitor: Visitor) -> None:
    with visitor.visit("oncall", width=380) as visit:
        page = visit.open("/")
        expect(page.get_by_role("link", name="Routing", exact=True)).to_be_hidden()
        _tab_to(page, "button", "Menu")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Menu")).to_have_attribute("aria-expanded", "true")
        page.get_by_role("link", name="Routing", exact=True).click()
        page.wait_for_url("**/routing/")


def test_theme_follows_the_system_and_a_choice_is_kept(visitor: Visitor) -> None:
    with visitor.visit("oncall", theme="dark") as visit:
        page = visit.open("/")
        html = page.locator("html")
        expect(html).to_have_attribute("data-bs-theme", "dark")
        page.get_by_role("button", name="Light", exact=True).click()
        expect(html).to_have_attribute("data-bs-theme", "light")
        expect(page.get_by_role("button", name="Light", exact=True)).to_have_attribute("aria-pressed", "true")
        visit.open("/routing/")
        expect(html).to_have_attribute("data-bs-theme", "light")
        page.get_by_role("button", name="As the system").click()
        expect(html).to_have_attribute("data-bs-theme", "dark")
        page.emulate_media(color_scheme="light")
        expect(html).to_have_attribute("data-bs-theme", "light")


def test_theme_is_set_before_anything_is_painted(visitor: Visitor) -> None:
    with visitor.visit("oncall", theme="dark") as visit:
        visit.page.add_init_script(
            "new MutationObserver(() => { if (document.body && window.__atBody === undefined) window.__atBody = document.documentElement.dataset.bsTheme; })"
            ".observe(document, {childList: true, subtree: true});"
        )
        page = visit.open("/")
        assert page.evaluate("() => window.__atBody") == "dark"


def test_charts_are_drawn_again_when_the_theme_changes(site: Site, visitor: Visitor) -> None:
    with visitor.visit("oncall", theme="light") as visit:
        page = visit.open(f"/drills/{site.world.passed.pk}/")
        text = page.locator("#figure-segments-drawing .xtick text").first
        before = text.evaluate("node => getComputedStyle(node).fill")
        page.get_by_role("button", name="Dark", exact=True).click()
        expect(page.locator("#figure-segments-drawing")).to_have_attribute("data-drawn", "dark")
        assert text.evaluate("node => getComputedStyle(node).fill") != before
        assert visit.violations() == []


def test_counters_of_what_runs_go_on_by_themselves(site: Site, visitor: Visitor) -> None:
    with visitor.visit("oncall") as visit:
        page = visit.open(f"/drills/{site.world.running.pk}/")
        counter = page.locator(".hub-steps .is-started [data-since]")
        before = counter.inner_text()
        expect(counter).not_to_have_text(before, timeout=3000)


def test_polling_an_unchanged_drill_does_not_touch_the_page(site: Site, visitor: Visitor) -> None:
    with visitor.visit("oncall") as visit:
        page = visit.open(f"/drills/{site.world.running.pk}/")
        page.evaluate("() => { document.getElementById('live').dataset.sameNode = 'yes'; }")
        with page.expect_response(lambda answer: "/live/" in answer.url) as polled:
            pass
        assert polled.value.status == 204
        assert page.evaluate("() => document.getElementById('live').dataset.sameNode") == "yes"


def test_server_that_does_not_answer_is_said_and_taken_back(site: Site, visitor: Visitor) -> None:
    with visitor.visit("oncall") as visit:
        page = visit.open(f"/drills/{site.world.running.pk}/")
        lost = page.locator("#connection-lost")
        expect(lost).to_be_hidden()
        page.route("**/live/**", lambda route: route.abort())
        page.route("**/running/**", lambda route: route.abort())
        expect(lost).to_be_visible(timeout=8000)
        expect(lost).to_contain_text("may be out of date")
        page.unroute("**/live/**")
        page.unroute("**/running/**")
        expect(lost).to_be_hidden(timeout=8000)


def test_times_are_in_the_zone_of_the_browser(site: Site, visitor: Visitor) -> None:
    with visitor.visit("auditor") as visit:
        visit.open("/")
        page = visit.open("/audit/")
        expect(page.locator("footer")).to_have_text("Times are in IST.")
        expect(page.locator("tbody time").first).to_contain_text("IST")


def test_policy_file_is_changed_through_the_preview(site: Site, visitor: Visitor) -> None:
    with visitor.visit("lead") as visit:
        page = visit.open("/routing/production/import/?alias=legacy-classifier")
        text = page.get_by_label("Policy file (YAML)")
        good = text.input_value()
        text.fill(good.replace("weight: 75", "weight: 70"))
        page.get_by_label("Reason").fill("browser test")
        page.get_by_role("button", name="Show the differences").click()
        expect(page.get_by_role("alert").first).to_contain_text("The weights must sum to 100, they sum to 95.")
        expect(text).to_have_value(re.compile("weight: 70"))
        text.fill(good.replace("weight: 75", "weight: 70").replace("weight: 25", "weight: 30"))
        page.get_by_role("button", name="Show the differences").click()
        expect(page.get_by_role("region", name="legacy-classifier")).to_contain_text("weight: 30")
        page.get_by_role("button", name="Change Production").click()
        expect(page.get_by_role("status").first).to_contain_text("Imported: 1 new revision in Production.")


def test_overview_and_list_follow_what_others_start_and_stop(site: Site, visitor: Visitor) -> None:
    with visitor.visit("auditor") as watching, visitor.visit("auditor") as listing, visitor.visit("lead") as acting:
        overview, drills = watching.open("/?q=smart"), listing.open("/drills/?alias=smart")
        card = overview.locator("article", has=overview.get_by_role("heading", name="smart-reasoner"))
        expect(card).to_contain_text("Last drill: passed")
        expect(card.get_by_role("link", name="Watch it")).to_have_count(0)
        before = drills.locator("#drills tbody tr").count()
        page = acting.open("/drills/start/staging/smart-reasoner/")
        page.get_by_role("button", name="Start the drill").click()
        page.wait_for_url(re.compile(r"/drills/[0-9a-f-]{36}/$"))
        expect(card.get_by_role("link", name="Watch it")).to_be_visible(timeout=8000)
        expect(card).to_contain_text("Queued")
        expect(drills.locator("#drills tbody tr")).to_have_count(before + 1, timeout=8000)
        page.get_by_role("button", name="Stop the drill").click()
        page.get_by_label("Reason").fill("seen")
        page.get_by_role("dialog").get_by_role("button", name="Stop the drill").click()
        expect(card.get_by_role("link", name="Watch it")).to_have_count(0, timeout=8000)
        expect(card).to_contain_text("Last drill: passed")
        expect(drills.locator("#drills tbody tr").first).to_contain_text("Stopped", timeout=8000)
        assert [*watching.problems, *listing.problems] == []
