"""Frozen figures as SVG, by plotly.js in the Chromium of this machine: one browser for all figures of a document."""

from __future__ import annotations

import asyncio
import copy
import os
import re
import shutil
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from rollbackhub.charts.theme import template
from rollbackhub.common.errors import Unavailable
from rollbackhub.reviews.domain.frozen import FrozenFigure

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, PAIR_WIDTH = 960, 560
"""Of a figure that stands alone, and of one that stands beside another; in pixels."""
HEIGHT = 320
FONT = "DejaVu Sans, Liberation Sans, sans-serif"
FIGURE_SECONDS = 30.0
ALL_SECONDS = 120.0

NOWHERE = "http://127.0.0.1:9"
"""The browser's proxy: figures are drawn from what is handed over, and nothing is fetched."""

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
REMOVED = frozenset({"script", "foreignObject", "image", "iframe", "animate", "set", "style"})
_OUTSIDE = re.compile(r"url\(\s*['\"]?(?!['\"]?#)")


def draw_figures(figures: Sequence[tuple[FrozenFigure, int]]) -> list[str]:
    """Each figure, with its width in pixels, as an SVG element: in the light theme, cleaned and with its sentence for those who cannot see it.

    Raises Unavailable, saying what to install or what happened, when this machine cannot draw.
    """
    if not figures:
        return []
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        raise Unavailable("Figures are left out: this machine has no Chromium to draw them with (Debian: apt-get install chromium).", code="no_browser")
    try:
        drawn = asyncio.run(asyncio.wait_for(_draw([(_themed(figure), width) for figure, width in figures], browser), ALL_SECONDS))
    except Exception as error:
        # Whatever the browser did: it is another program, and its failures have no common type.
        sentence = f"Figures are left out: Chromium could not draw them ({type(error).__name__}: {str(error)[:200]})."
        raise Unavailable(sentence, code="browser_failed") from error
    return [clean_svg(svg, title=figure.title, label=figure.label) for svg, (figure, _) in zip(drawn, figures, strict=True)]


def clean_svg(svg: str, *, title: str, label: str) -> str:
    """The SVG without anything that acts, links or fetches, and with its words for screen readers. Raises ParseError for what is no XML."""
    root = ElementTree.fromstring(svg)
    for parent in root.iter():
        for child in list(parent):
            if _name(child.tag) in REMOVED:
                parent.remove(child)
    for element in root.iter():
        # Without prefixes, which no HTML parser knows.
        element.tag = "g" if _name(element.tag) == "a" else _name(element.tag)
        for attribute, value in list(element.attrib.items()):
            name = _name(attribute).lower()
            leads_out = name == "href" and not value.startswith("#")
            if name.startswith("on") or leads_out or _OUTSIDE.search(value):
                del element.attrib[attribute]
            elif attribute == f"{{{XLINK}}}href":
                del element.attrib[attribute]
                element.attrib["href"] = value
    root.attrib["xmlns"] = SVG
    root.attrib["role"], root.attrib["aria-label"] = "img", f"{title}. {label}"
    named = ElementTree.Element("title")
    named.text = f"{title}. {label}"
    root.insert(0, named)
    return ElementTree.tostring(root, encoding="unicode")


async def _draw(contents: Sequence[tuple[dict[str, Any], int]], browser: str) -> list[str]:
    # Half a second to import, which only who draws needs.
    from kaleido import Kaleido

    async with Kaleido(n=1, timeout=FIGURE_SECONDS, mathjax=False, path=browser, enable_sandbox=os.geteuid() != 0, proxy_server=NOWHERE) as kaleido:
        found = []
        for content, width in contents:
            size = {"format": "svg", "width": width, "height": content["layout"].get("height") or HEIGHT}
            found.append((await kaleido.calc_fig(content, opts=size)).decode())
        return found


def _themed(figure: FrozenFigure) -> dict[str, Any]:
    content = copy.deepcopy(figure.content)
    theme = template("light")
    theme.layout.font.family = FONT
    content["layout"]["template"] = theme.to_plotly_json()
    return content


def _name(tag: object) -> str:
    return str(tag).rpartition("}")[2]
