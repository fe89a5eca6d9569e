"""Registering a file of versions and letting a release through its gate, as people do it in a browser."""

from __future__ import annotations

import pytest

from tests.browser.visits import Visitor

pytestmark = pytest.mark.browser
HEADER = "artefact,label,digest,uri,changelog,eval_reference,author,parent"
CSV = f"""{HEADER}
support-prompt,support-prompt-10,sha256:{"9f2c" * 16},git://prompts/support.md,"Shorter answers, same facts",eval/7,Ada Lovelace,support-prompt-11
support-prompt,support-prompt-11,sha256:{"1e2d" * 16},,,,,
support-prompt,v12
"""
WIDTHS = "() => Object.fromEntries(['ul', 'td:nth-child(3) > div'].map(at => [at, document.querySelector(`#row-2 ${at}`).getBoundingClientRect().width]))"


@pytest.mark.parametrize("width", [380, 1280])
def test_rows_of_a_file_are_read_without_breaking_words_on_a_phone_and_a_screen(width: int, visitor: Visitor) -> None:
    with visitor.visit("lead", width=width) as visit:
        page = visit.open("/registry/import/")
        page.set_input_files("input[type=file]", {"name": "versions.csv", "mimeType": "text/csv", "buffer": CSV.encode()})
        page.get_by_role("button", name="Show what it would do").click()
        page.get_by_text("support-prompt-11 stands further down, in row 3.").wait_for()
        widths = page.evaluate(WIDTHS)
        assert min(widths.values()) >= 120, widths
        assert widths["ul"] >= 200, widths
        assert visit.overflow() <= 0
        assert visit.axe() == []


@pytest.mark.parametrize("width", [380, 1280])
def test_reason_that_the_server_refuses_comes_back_in_the_open_dialog(width: int, visitor: Visitor) -> None:
    with visitor.visit("lead", width=width) as visit:
        page = visit.open("/releases/start/production/support-reply/")
        if page.get_by_role("button", name="Plan the release").count():
            page.fill("[name=candidate_id]", "two words")
            page.get_by_role("button", name="Plan the release").click()
            assert page.get_by_text("A candidate's id has no spaces").is_visible()
            page.fill("[name=candidate_id]", "")
            page.get_by_role("button", name="Plan the release").click()
        else:
            page.get_by_role("link", name="Open it").click()
        page.get_by_role("button", name="Bypass the gate").first.click()
        reason = page.locator("#bypass-reason")
        reason.fill("short")
        page.locator("#bypass-dialog button[type=submit]").click()
        assert reason.evaluate("node => node.validity.tooShort"), "the browser says so first"
        reason.evaluate("node => node.removeAttribute('minlength')")
        page.locator("#bypass-dialog button[type=submit]").click()
        page.get_by_text("Say why, in 10 to 1000 characters").wait_for()
        assert page.locator("#bypass-dialog").evaluate("node => node.matches(':modal')")
        assert reason.input_value() == "short"
        assert visit.axe() == []
        page.get_by_role("button", name="Keep it closed").click()
        assert not page.locator("#bypass-dialog").is_visible()
        page.get_by_role("button", name="Bypass the gate").first.click()
        assert page.locator("#bypass-dialog").is_visible()
