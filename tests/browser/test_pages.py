"""Every page as people see it: contrast, names and roles (axe), no sideways scrolling, nothing from outside, no broken policy."""

from __future__ import annotations

from contextlib import suppress

import pytest
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from tests.browser.conftest import Site
from tests.browser.visits import Theme, Visitor

pytestmark = pytest.mark.browser
LOOKS: list[tuple[Theme, int]] = [("light", 1280), ("dark", 1280), ("light", 380), ("dark", 380), ("light", 800)]
FIT_ONLY: list[tuple[Theme, int]] = [("dark", 380), ("light", 800)]


@pytest.mark.timeout(600)  # more than a hundred pages
@pytest.mark.parametrize(("theme", "width"), LOOKS)
def test_pages_all_are_accessible_fit_the_window_and_stay_at_home(theme: Theme, width: int, site: Site, visitor: Visitor) -> None:
    found: list[str] = []
    with visitor.visit("admin", theme=theme, width=width) as visit:
        for name, address in site.addresses.items():
            visit.problems.clear()
            page = visit.open(address)
            # Of axe's rules only contrast depends on the theme, and only the layout's on the width: each is looked at where it can differ.
            axe = [] if (theme, width) in FIT_ONLY else visit.axe(only_contrast=theme == "dark")
            problems = [*axe, *visit.violations(), *visit.problems]
            page.evaluate("document.querySelectorAll('details').forEach(more => { more.open = true })")
            if visit.overflow() > 0:
                problems.append(f"{visit.overflow()} px wider than the window: {visit.wider_than_window()}")
            if page.evaluate("document.documentElement.dataset.bsTheme") != theme:
                problems.append("the wrong theme")
            found += [f"{name}: {problem}" for problem in problems]
    assert found == []


@pytest.mark.parametrize(("theme", "width"), [("light", 380), ("dark", 1280)])
def test_pages_outside_of_the_frame_are_accessible_too(theme: Theme, width: int, visitor: Visitor) -> None:
    found: list[str] = []
    for who, address, status in [
        (None, "/accounts/login/", 200),
        (None, "/accounts/password/reset/", 200),
        (None, "/no/such/page/", 404),
        ("stranger", "/", 403),
        ("stranger", "/account/", 200),
        ("oncall", "/accounts/password/change/", 200),
        ("oncall", "/accounts/logout/", 200),
        ("oncall", "/accounts/reauthenticate/", 200),
    ]:
        with visitor.visit(who, theme=theme, width=width) as visit:
            visit.open(address, expect=status)
            console = [problem for problem in visit.problems if f"status of {status}" not in problem]
            problems = [*visit.axe(), *visit.violations(), *console]
            found += [f"{address}: {problem}" for problem in problems]
            assert visit.overflow() <= 0, address
    assert found == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_open_dialog_is_accessible(theme: Theme, site: Site, visitor: Visitor) -> None:
    with visitor.visit("oncall", theme=theme) as visit:
        page = visit.open(f"/drills/{site.world.needs_person.pk}/")
        page.get_by_role("button", name="Close it").click()
        assert page.get_by_role("dialog", name="Close this drill?").is_visible()
        assert visit.axe() == []


def test_charts_are_drawn_with_their_points_and_axes(site: Site, visitor: Visitor) -> None:
    with visitor.visit("auditor") as visit:
        page = visit.open(f"/drills/{site.world.passed.pk}/")
        segments, traffic = page.locator("#figure-segments-drawing"), page.locator("#figure-traffic-drawing")
        assert segments.locator(".bars .point").count() == 4
        assert traffic.locator(".scatterlayer .trace").count() == 2
        assert "Time since the decision" in segments.inner_text()
        assert "Seconds since the flip" in traffic.inner_text()
        for name in ("flip", "propagated", "drained"):
            assert name in traffic.inner_text()
        page = visit.open("/drills/?alias=s")
        durations = page.locator("#figure-durations-drawing")
        assert durations.locator(".scatterlayer .point").count() == 4 + 6
        # A label of two rows has nothing between them in its text.
        for label in ("target 5 min (prompt)", "target 10 min (model, formerlyprompt)", "target 15 min (eval set)", "target 30 min (agent code)"):
            assert label in durations.inner_text()
        assert "target 4 h (Support articles)" in durations.inner_text()
        assert page.locator(".modebar").count() == 0
        page = visit.open(site.addresses["drill-verified"])
        feedback = page.locator("[id^='figure-check-negative_feedback'][id$='-drawing']")
        assert feedback.locator(".scatterlayer .point").count() > 3
        for words in ("baseline2 %", "allowed7 %", "flip", "drained", "Negative feedback, share of requests"):
            assert words in feedback.inner_text()


def test_chart_point_leads_to_its_drill(site: Site, visitor: Visitor) -> None:
    with visitor.visit("auditor") as visit:
        page = visit.open("/drills/?outcome=passed&alias=smart")
        point = page.locator("#figure-durations-drawing .scatterlayer .point").first
        # The first movement may come while the figure is drawn again to its place's size.
        for _ in range(15):
            point.scroll_into_view_if_needed()
            box = point.bounding_box()
            assert box
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            page.mouse.move(x - 60, y - 40)
            page.mouse.move(x, y, steps=3)
            with suppress(PlaywrightTimeoutError):
                page.wait_for_selector("#figure-durations-drawing .hoverlayer .hovertext", timeout=2_000)
                break
        else:
            pytest.fail("hovering over a point shows nothing")
        page.mouse.click(x, y)
        page.wait_for_url(f"**/drills/{site.world.passed.pk}/")
