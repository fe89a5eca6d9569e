"""The editor of procedures as people use it, with and without JavaScript. Nothing is saved: other tests read the same site."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Site
from tests.browser.visits import Visitor

pytestmark = pytest.mark.browser
EDIT = "/procedures/model-weight-flip/edit/"


@pytest.mark.parametrize("width", [1280, 380])
def test_action_brings_its_parameters_and_the_preview_is_accessible(width: int, site: Site, visitor: Visitor) -> None:
    with visitor.visit("lead", width=width) as visit:
        page = visit.open(EDIT)
        page.locator("#step-7 summary").click()
        page.locator("#steps-6-params-limit_seconds").fill("90")
        page.locator("#steps-6-action").select_option("await_traffic")
        page.wait_for_selector("#steps-6-params-min_baseline_requests")
        assert page.locator("#steps-6-params-limit_seconds").input_value() == "90"
        assert [*visit.axe(), *visit.violations(), *visit.problems] == []
        page.locator("#steps-6-action").select_option("await_drain")
        page.wait_for_selector("#steps-6-params-consecutive")
        page.locator("#save-title").locator("xpath=../..").get_by_role("button", name="Show what it would do").click()
        page.wait_for_selector("#preview")
        assert page.get_by_role("heading", name="A rollback would run").is_visible()
        assert "limit_seconds: 90" in page.locator(".diff").inner_text()
        assert [*visit.axe(), *visit.violations(), *visit.problems] == []
        assert visit.overflow() <= 0, visit.wider_than_window()


def test_steps_are_moved_and_added_without_scripts(site: Site, visitor: Visitor) -> None:
    with visitor.visit("lead", scripts=False) as visit:
        page = visit.page
        page.goto(visit.base + EDIT)
        page.locator("#step-1 button[value='down:0']").click()
        page.wait_for_url("**#step-2")
        assert page.locator("#steps-1-key").input_value() == "preflight"
        page.locator("button[value=add]").click()
        page.wait_for_url("**#step-11")
        page.locator("#steps-10-action").select_option("run_job")
        page.locator("#step-11 button[value='show:10']").click()
        page.wait_for_selector("#steps-10-params-job")
