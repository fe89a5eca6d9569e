"""An incident as people work on it: opened, noted, stable, closed; by keyboard and mouse, on a screen and on a phone at night; and printed."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Site
from tests.browser.visits import Theme, Visit, Visitor

pytestmark = pytest.mark.browser


def look(visit: Visit, theme: Theme) -> None:
    """Nothing on this page is wrong."""
    assert visit.axe(only_contrast=theme == "dark") == []
    assert visit.violations() == []
    assert visit.problems == []
    assert visit.overflow() <= 0, visit.wider_than_window()


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 380)])
def test_incident_is_opened_noted_stable_and_closed(theme: Theme, width: int, site: Site, visitor: Visitor) -> None:
    with visitor.visit("oncall", theme=theme, width=width) as visit:
        page = visit.open("/incidents/")
        page.get_by_role("link", name="Open an incident").first.click()
        page.get_by_label("What is wrong?").fill(f"Wrong language, {theme}")
        page.get_by_label("Which aliases?").fill("nothing-like-it")
        page.get_by_label("Environment").select_option("production")
        page.get_by_label("More about it").fill("Since **morning**. <script>document.title = 'stolen'</script>")
        page.get_by_role("button", name="Open it").click()
        page.get_by_text("There is no alias nothing-like-it in production.").wait_for()
        assert page.get_by_label("More about it").input_value().startswith("Since **morning**."), "nothing that was written is lost"
        visit.problems.clear()  # the console names the refusal's status
        page.get_by_label("Which aliases?").fill("by-hand-alias")
        page.get_by_role("button", name="Open it").click()
        page.get_by_role("heading", name=f"Wrong language, {theme}", level=1).wait_for()
        assert page.get_by_text("Users may be hurt, and nobody has asked for a rollback yet.").is_visible()
        assert page.locator(".prose strong").first.inner_text() == "morning"
        assert page.get_by_role("link", name="Roll back", exact=True).is_visible()
        look(visit, theme)

        page.get_by_role("textbox", name="Note").fill("Support **called**. <img src=x onerror=\"document.title='stolen'\">")
        page.get_by_role("button", name="Show how it looks").click()
        page.get_by_role("heading", name="How it looks (not saved yet)").wait_for()
        look(visit, theme)
        page.get_by_role("button", name="Write it").click()
        timeline = page.locator("#timeline")
        timeline.locator(".prose strong", has_text="called").wait_for()
        assert timeline.locator("img").count() == 0
        assert "stolen" not in page.title()

        page.get_by_role("link", name="Say it is stable…").click()
        page.get_by_label("What have you seen that shows it?").fill("The flag is off.")
        look(visit, theme)
        page.get_by_role("button", name="It is stable").click()
        page.get_by_text("as Olga Call says: The flag is off.").first.wait_for()
        page.get_by_role("link", name="Close…").click()
        page.get_by_label("What was looked at?").fill("Logs and support.")
        page.get_by_role("button", name="Close the incident").click()
        page.get_by_text("Closed by Olga Call. Logs and support.").wait_for()
        assert timeline.get_by_text("Stable: the harm is over").is_visible()
        look(visit, theme)


def test_second_of_two_who_write_a_note_sees_both_texts(site: Site, visitor: Visitor) -> None:
    address = site.addresses["incident-note"]
    with visitor.visit("oncall") as first, visitor.visit("lead") as second:
        mine, theirs = first.open(address), second.open(address)
        theirs.get_by_role("textbox", name="Note").fill("By the lead.")
        theirs.get_by_role("button", name="Save").click()
        theirs.locator("#timeline").wait_for()
        mine.get_by_role("textbox", name="Note").fill("By the engineer.")
        mine.get_by_role("button", name="Save").click()
        mine.get_by_text("Lee Lead has changed this note since you began.").wait_for()
        assert mine.get_by_label("Your text, not saved yet").input_value() == "By the engineer."
        assert mine.get_by_label("Their text").input_value() == "By the lead."
        mine.get_by_label("Your text, not saved yet").fill("By both.")
        mine.get_by_role("button", name="Save").click()
        mine.locator("#timeline").get_by_text("By both.").wait_for()
        assert first.violations() == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_record_is_printed_dark_on_white_without_what_is_for_screens(theme: Theme, site: Site, visitor: Visitor) -> None:
    with visitor.visit("auditor", theme=theme) as visit:
        page = visit.open(site.addresses["incident-worked_on-record"])
        page.emulate_media(media="print")
        assert not page.locator(".hub-side").is_visible()
        assert not page.locator(".crumbs").is_visible()
        colours = page.evaluate("() => [getComputedStyle(document.body).color, getComputedStyle(document.querySelector('.record .card')).backgroundColor]")
        assert colours == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
        for said in ("Triggered", "By what authority", "Executed", "Verified", "By what evidence"):
            assert page.get_by_text(said, exact=True).first.is_visible()
