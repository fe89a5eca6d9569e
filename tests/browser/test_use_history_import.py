"""Importing history as a person does: a file that is wrong, then one that is right, looked at, confirmed, and taken back. By keyboard where it matters."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.analytics.history_files import DRILL, ROLLBACK, csv_of
from tests.browser.visits import Theme, Visit, Visitor

pytestmark = pytest.mark.browser

OURS = {"alias": "smart-reasoner"}


def problems_of(visit: Visit) -> list[str]:
    """What is wrong with the page as it stands (a refusal's own status is none)."""
    sideways = [f"{visit.overflow()} px wider than the window: {visit.wider_than_window()}"] if visit.overflow() > 0 else []
    return [*visit.axe(), *visit.violations(), *sideways, *(problem for problem in visit.problems if "status of 422" not in problem)]


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 380)])
def test_history_is_shown_confirmed_looked_at_and_taken_back(theme: Theme, width: int, visitor: Visitor) -> None:
    note = f"seen at {width}"
    wrong = csv_of(DRILL | OURS | {"note": note}, ROLLBACK | OURS | {"verdict": "great", "environment": "moon"})
    right = csv_of(DRILL | OURS | {"note": note}, ROLLBACK | OURS | {"note": "A rather long note about what was renamed without telling anybody"})
    with visitor.visit("lead", theme=theme, width=width) as visit:
        page = visit.open("/analytics/import/")
        assert problems_of(visit) == []
        page.get_by_label("CSV file", exact=True).set_input_files({"name": "past.csv", "mimeType": "text/csv", "buffer": wrong})
        page.get_by_role("button", name="Show what it would bring in").click()
        expect(page.get_by_role("alert")).to_contain_text("1 of 2 rows cannot be imported, so none is.")
        expect(page.locator("#row-3")).to_contain_text("There is no environment moon")
        expect(page.get_by_role("button", name=re.compile("Import 2 past runs"))).to_have_count(0)
        assert problems_of(visit) == []
        page.get_by_label("CSV file", exact=True).set_input_files({"name": "past.csv", "mimeType": "text/csv", "buffer": right})
        page.get_by_role("button", name="Show what it would bring in").press("Enter")
        expect(page.get_by_text("1 drill, 1 rollback will be counted by analytics.")).to_be_visible()
        assert problems_of(visit) == []
        page.get_by_role("button", name="Import 2 past runs").press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("What did past.csv bring in?")
        expect(page.get_by_text("Imported", exact=True).first).to_be_visible()
        assert problems_of(visit) == []
        page.get_by_role("button", name="Take it back…").press("Enter")
        page.get_by_role("dialog").get_by_label("Reason").fill("It was a test")
        assert problems_of(visit) == []
        page.get_by_role("dialog").get_by_role("button", name="Take it back").press("Enter")
        expect(page.get_by_text("past.csv is taken back: its 2 runs are counted no more.")).to_be_visible()
        expect(page.get_by_role("link", name="past.csv", exact=True)).to_have_count(0)
