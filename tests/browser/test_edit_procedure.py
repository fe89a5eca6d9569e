"""A lead rewrites a procedure from end to end: a step more, moved, mended where it was wrong, shown against staging, saved, compared."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Site
from tests.browser.visits import Theme, Visit, Visitor

pytestmark = pytest.mark.browser


def problems_of(visit: Visit) -> list[str]:
    """Everything that must not happen; a refused form is answered with 422, which the browser says in its console."""
    wide = [f"{visit.overflow()} px wider than the window: {visit.wider_than_window()}"] if visit.overflow() > 0 else []
    return [*visit.axe(), *visit.violations(), *(problem for problem in visit.problems if "status of 422" not in problem), *wide]


@pytest.mark.parametrize(("slug", "theme", "width"), [("agent-code-deploy", "light", 1280), ("eval-set-git", "dark", 380)])
def test_lead_adds_a_step_moves_it_mends_a_mistake_previews_saves_and_compares(slug: str, theme: Theme, width: int, site: Site, visitor: Visitor) -> None:
    """Of procedures that no other test looks at: what is saved stays in the site."""
    with visitor.visit("lead", theme=theme, width=width) as visit:
        page = visit.open(f"/procedures/{slug}/")
        page.get_by_role("link", name="Edit the steps").click()
        page.wait_for_url("**/edit/")
        count = page.locator("section[id^='step-']").count()

        page.get_by_role("button", name="Add a step").click()
        page.wait_for_url(f"**#step-{count + 1}")
        page.locator(f"#steps-{count}-title").fill("Look once more")
        page.locator(f"#steps-{count}-key").fill("look again")
        page.locator(f"#steps-{count}-action").select_option("await_observed")
        page.wait_for_selector(f"#steps-{count}-params-settle")
        page.locator(f"#steps-{count}-segment").select_option("clean_up")
        page.locator(f"#steps-{count}-params-limit_seconds").fill("minus one")
        assert problems_of(visit) == []

        page.locator(f"button[value='up:{count}']").click()
        page.wait_for_url(f"**#step-{count}")
        moved = count - 1
        assert page.locator(f"#steps-{moved}-title").input_value() == "Look once more"

        page.get_by_role("button", name="Show what it would do").last.click()
        page.get_by_text("These steps cannot be saved yet.").wait_for()
        for field in ("key", "params-limit_seconds"):
            wrong = page.locator(f"#steps-{moved}-{field}")
            assert wrong.get_attribute("aria-invalid") == "true", field
            assert wrong.is_visible(), "the step with the mistake is open"
            said = page.locator(f"#{(wrong.get_attribute('aria-describedby') or '').split()[-1]}")
            assert said.inner_text().strip() != "", field
        assert page.locator("[aria-invalid=true]").count() == 2
        assert problems_of(visit) == []

        page.locator(f"#steps-{moved}-key").fill("look_again")
        page.locator(f"#steps-{moved}-params-limit_seconds").fill("45")
        page.get_by_role("button", name="Show what it would do").last.click()
        preview = page.locator("#preview")
        preview.wait_for()
        assert page.get_by_role("heading", name="A rollback would run").is_visible()
        assert page.get_by_role("heading", name="in Staging, now").is_visible()
        assert "could not say" in page.get_by_role("main").inner_text(), "its real system does not run here, and that is said"
        assert "Look once more" in " ".join(page.locator(".diff ins").all_inner_texts())
        assert problems_of(visit) == []

        page.get_by_role("button", name="Save as version 2").click()
        page.get_by_text("Say why, then save.").wait_for()
        page.get_by_label("Why").fill("People look once more anyway")
        page.get_by_role("button", name="Save as version 2").click()
        page.wait_for_url(lambda url: "/edit/" not in url)
        assert "People look once more anyway" in page.get_by_role("main").inner_text()

        page = visit.open(f"/procedures/{slug}/?from=1&to=2")
        assert page.get_by_role("heading", name="Version 1 → 2").is_visible()
        assert "Look once more: within 45 s" in " ".join(page.locator(".diff ins").all_inner_texts())
        assert problems_of(visit) == []
