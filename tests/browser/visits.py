"""Visits to pages: who, at which width, in which theme; and everything that must not happen on a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request

from tests.factories.accounts import PASSWORD

Theme = Literal["light", "dark"]
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
_WATCH_POLICY = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.__violations.push([event.violatedDirective, event.blockedURI, event.sourceFile, event.sample].join(" "));
});
"""


@dataclass
class Visit:
    """An open page, with what went wrong on it so far."""

    page: Page
    base: str
    problems: list[str] = field(default_factory=list)

    def open(self, path: str, *, expect: int = 200) -> Page:
        """Go there and wait until it is drawn."""
        answer = self.page.goto(self.base + path)
        assert answer is not None
        assert answer.status == expect, f"{path} answers {answer.status}"
        self.settle()
        return self.page

    def settle(self) -> None:
        """Until charts are drawn and nothing is loading."""
        self.page.wait_for_load_state("load")
        self.page.wait_for_function("() => [...document.querySelectorAll('[data-figure]')].every((node) => node.dataset.drawn)")

    def axe(self, *, only_contrast: bool = False) -> list[str]:
        """What axe finds serious or critical, a line each."""
        self.page.evaluate(AXE.read_text())
        options = {"resultTypes": ["violations"]} | ({"runOnly": ["color-contrast"]} if only_contrast else {})
        found: dict[str, Any] = self.page.evaluate("options => axe.run(document, options)", options)
        return [
            f"{violation['id']} ({violation['impact']}): {node['target']} {json.dumps([check.get('data') for check in node['any']], default=str)[:300]}"
            for violation in found["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]

    def violations(self) -> list[str]:
        """What broke the Content-Security-Policy."""
        return list(self.page.evaluate("() => window.__violations"))

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(self.page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def wider_than_window(self) -> list[str]:
        """Which elements stick out (for the message of a failed test)."""
        script = """() => [...document.querySelectorAll('body *')]
            .filter((node) => node.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !node.closest('.table-holder, pre, .diff'))
            .slice(0, 5).map((node) => node.outerHTML.slice(0, 160))"""
        return list(self.page.evaluate(script))


class Visitor:
    """Signs people in once, through the real sign-in page, and opens visits for them."""

    def __init__(self, browser: Browser, base: str, sign_ins: dict[str, Any]) -> None:
        self._browser = browser
        self._base = base
        self._states = sign_ins

    @contextmanager
    def visit(self, username: str | None, *, theme: Theme = "light", width: int = 1280, height: int = 900, scripts: bool = True) -> Iterator[Visit]:
        """A page of this person (None: nobody is signed in). Without `scripts` use `visit.page.goto`: nothing can be asked of the page then."""
        context = self._browser.new_context(
            storage_state=self._state_of(username) if username else None,
            viewport={"width": width, "height": height},
            color_scheme=theme,
            timezone_id="Asia/Kolkata",
            locale="en-GB",
            reduced_motion="reduce",
            java_script_enabled=scripts,
        )
        context.add_init_script(_WATCH_POLICY)
        page = context.new_page()
        visit = Visit(page, self._base)

        def on_console(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                visit.problems.append(f"console {message.type}: {message.text}")

        def on_request(request: Request) -> None:
            address = urlsplit(request.url)
            if address.scheme in ("http", "https") and address.netloc != urlsplit(self._base).netloc:
                visit.problems.append(f"outside request: {request.url}")

        page.on("console", on_console)
        page.on("request", on_request)
        page.on("pageerror", lambda error: visit.problems.append(f"script error: {error}"))
        try:
            yield visit
        finally:
            context.close()

    def _state_of(self, username: str) -> Any:
        if username not in self._states:
            context = self._browser.new_context()
            page = context.new_page()
            page.goto(f"{self._base}/accounts/login/")
            page.get_by_label("Name or e-mail").fill(username)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(lambda url: "/accounts/" not in url)
            self._states[username] = context.storage_state()
            context.close()
        return self._states[username]
