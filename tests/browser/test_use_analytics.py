"""Using analytics: filters stand in the address, points say what they are, and every figure is a table and a file, too."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from tests.browser.conftest import Site
from tests.browser.visits import Visitor

pytestmark = pytest.mark.browser


def query_of(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def test_filter_changes_the_address_and_the_answer_and_goes_along_to_the_next_question(site: Site, visitor: Visitor) -> None:
    with visitor.visit("auditor") as visit:
        page = visit.open("/analytics/durations/?period=all")
        answer = page.locator(".answer-words")
        before = answer.inner_text()
        with page.expect_navigation():
            page.get_by_label("Change type", exact=True).select_option("prompt")
        visit.settle()
        assert query_of(page)["change_type"] == ["prompt"]
        expect(answer).not_to_have_text(before)
        with page.expect_navigation():
            page.get_by_role("navigation", name="Questions").get_by_role("link", name="Segments").click()
        visit.settle()
        assert urlsplit(page.url).path == "/analytics/segments/"
        assert query_of(page) == {"period": ["all"], "change_type": ["prompt"]}
        expect(page.get_by_label("Change type", exact=True)).to_have_value("prompt")
        with page.expect_navigation():
            page.get_by_role("link", name="Reset").click()
        assert query_of(page) == {}
        assert visit.problems == []


def test_days_are_given_by_two_fields_that_appear_when_asked_for(site: Site, visitor: Visitor) -> None:
    with visitor.visit("auditor") as visit:
        page = visit.open("/analytics/durations/")
        expect(page.get_by_label("From", exact=True)).to_have_count(0)
        with page.expect_navigation():
            page.get_by_label("Period", exact=True).select_option("days")
        page.get_by_label("From", exact=True).fill("2020-01-01")
        page.get_by_label("To, with that day").fill("2020-01-31")
        with page.expect_navigation():
            page.get_by_role("button", name="Show").click()
        expect(page.get_by_text("Nothing to count", exact=True)).to_be_visible()
        with page.expect_navigation():
            page.get_by_label("Period", exact=True).select_option("all")
        visit.settle()
        assert "since" not in page.url
        expect(page.locator(".answer-words")).to_be_visible()


def test_hovering_a_point_says_what_it_is(site: Site, visitor: Visitor) -> None:
    with visitor.visit("auditor") as visit:
        page = visit.open("/analytics/durations/?period=all")
        point = page.locator("[data-figure] .scatterlayer .point").first
        for _ in range(15):
            point.scroll_into_view_if_needed()
            box = point.bounding_box()
            assert box
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            page.mouse.move(x - 60, y - 40)
            page.mouse.move(x, y, steps=3)
            try:
                page.wait_for_selector("[data-figure] .hoverlayer .hovertext", timeout=2_000)
            except PlaywrightTimeoutError:
                continue
            break
        else:
            pytest.fail("hovering over a point shows nothing")
        assert re.search(r"\d", page.locator(".hoverlayer .hovertext").first.text_content() or "")


def test_table_behind_a_figure_opens_by_keyboard_and_its_file_has_the_same(site: Site, visitor: Visitor, tmp_path: Path) -> None:
    with visitor.visit("auditor") as visit:
        page = visit.open("/analytics/hit-rate/?period=all")
        card = page.locator("section.card", has=page.locator("[data-figure]")).first
        table = card.get_by_role("table")
        expect(table).to_be_hidden()
        card.get_by_text("The same as a table").focus()
        page.keyboard.press("Enter")
        expect(table).to_be_visible()
        shown = [row.inner_text().split("\t") for row in table.locator("tbody tr").all()]
        with page.expect_download() as downloaded:
            card.get_by_role("link", name=re.compile("as CSV")).click()
        saved = tmp_path / "table.csv"
        downloaded.value.save_as(saved)
        rows = list(csv.DictReader(saved.open(encoding="utf-8-sig")))
        assert len(rows) == len(shown) > 0
        for row, words in zip(rows, shown, strict=True):
            assert row["change_type"] == words[0]
            assert f"{float(row['share']) * 100:.1f} %" in words


def test_headlines_come_by_themselves_on_the_page_of_all_questions(site: Site, visitor: Visitor) -> None:
    with visitor.visit("auditor") as visit:
        page = visit.open("/analytics/?period=all")
        first = page.locator("#questions li").first
        expect(first.locator(".headline")).to_contain_text(re.compile(r"\d"))
        last = page.locator("#questions li").last
        last.scroll_into_view_if_needed()
        expect(last.locator(".headline")).to_be_visible()
        assert visit.problems == []
        assert visit.axe() == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_opened_tables_and_notes_are_accessible(theme: str, site: Site, visitor: Visitor) -> None:
    with visitor.visit("auditor", theme=theme, width=380) as visit:  # type: ignore[arg-type]
        page = visit.open("/analytics/durations/?period=all")
        page.evaluate("document.querySelectorAll('main details').forEach(more => { more.open = true })")
        assert visit.axe() == []
        assert visit.overflow() <= 0
