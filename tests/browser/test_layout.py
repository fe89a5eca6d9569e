"""Where things stand on a page: what fills a card keeps its distance, tables stack on a phone, labels of charts stand beside what they name."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Site
from tests.browser.visits import Visitor

pytestmark = pytest.mark.browser

_NEAR_THE_EDGE = """() => [...document.querySelectorAll('.card > .table-holder > .table')].flatMap((table) => {
    const card = table.closest('.card').getBoundingClientRect();
    return [...table.querySelectorAll('tr')].filter((row) => row.cells.length && row.getClientRects().length).flatMap((row) => {
        const first = row.cells[0], last = row.cells[row.cells.length - 1];
        const left = first.getBoundingClientRect().left + parseFloat(getComputedStyle(first).paddingLeft) - card.left;
        const right = card.right - last.getBoundingClientRect().right + parseFloat(getComputedStyle(last).paddingRight);
        return left < 12 || right < 12 ? [row.innerText] : [];
    });
})"""
_BESIDE_THE_PLOT = """(drawing) => [...document.querySelectorAll(drawing)].flatMap((figure) => {
    const size = figure._fullLayout._size, start = figure.getBoundingClientRect().left + size.l;
    const plot = { left: start, right: start + size.w };
    return [...figure.querySelectorAll('.annotation-text')].map((text) => {
        const box = text.getBoundingClientRect();
        const [left, right, beside] = [box.left - plot.left, box.right - plot.right, box.left - plot.right].map(Math.round);
        return { text: text.textContent, left, right, beside, over: Math.round(box.right - innerWidth) };
    });
})"""


def test_tables_that_fill_a_card_keep_their_distance_from_its_edge(site: Site, visitor: Visitor) -> None:
    found: dict[str, list[str]] = {}
    with visitor.visit("admin", width=1280) as visit:
        for name, address in site.addresses.items():
            if name.startswith(("rollback-", "drill", "readiness")):
                found[name] = visit.open(address).evaluate(_NEAR_THE_EDGE)
    assert len(found) > 3
    assert {name: rows for name, rows in found.items() if rows} == {}


def test_segments_of_a_drill_and_of_a_rollback_stack_on_a_phone(site: Site, visitor: Visitor) -> None:
    with visitor.visit("admin", width=380) as visit:
        for address in [f"/drills/{site.world.passed.pk}/", *(found for name, found in site.addresses.items() if name.startswith("rollback-"))]:
            page = visit.open(address)
            cut_off = page.evaluate(
                "() => [...document.querySelectorAll('[aria-label=\"Segments\"]')].filter((holder) => holder.scrollWidth > holder.clientWidth + 1).length"
            )
            assert cut_off == 0, address


@pytest.mark.parametrize("width", [380, 1280])
def test_labels_of_charts_stand_in_or_right_of_the_plot(width: int, site: Site, visitor: Visitor) -> None:
    with visitor.visit("admin", width=width) as visit:
        page = visit.open("/drills/?alias=s")
        durations = page.evaluate(_BESIDE_THE_PLOT, "#figure-durations-drawing")
        assert durations
        assert [label for label in durations if label["left"] < 0 or label["right"] > 1] == []
        page = visit.open(site.addresses["drill-verified"])
        page.evaluate("document.querySelectorAll('details').forEach(more => { more.open = true })")
        lines = [label for label in page.evaluate(_BESIDE_THE_PLOT, "[id^=figure-check][id$=-drawing]") if label["text"].startswith(("baseline", "allowed"))]
        assert lines
        assert [label for label in lines if label["beside"] < 0 or label["over"] > 0] == []
