"""People's Markdown as safe HTML: the one place that turns it into such.

CommonMark with tables and strikethrough. HTML in the text is shown as text, images are left out (they would be fetched from elsewhere), links lead
only to http, https and mailto. What comes out is cleaned once more by a list of what is allowed.
"""

from __future__ import annotations

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

TAGS = frozenset(
    ("p", "br", "hr", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a")
    + ("h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td")
)  # fmt: skip
ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
SCHEMES = {"http", "https", "mailto"}
LOWEST = 6

_parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")


def to_html(text: str, *, first_heading: int = 3, base: str = "") -> SafeString:
    """The text as HTML that may stand in a page. `first_heading`: the level that its highest headings get. `base`: what links to our own pages begin with."""
    tokens = _parser.parse(text.replace("\x00", ""))
    _shift_headings(tokens, first_heading)
    if base:
        _lead_home(tokens, base)
    html = _parser.renderer.render(tokens, _parser.options, {})
    cleaned = nh3.clean(html, tags=set(TAGS), attributes=ATTRIBUTES, url_schemes=SCHEMES, link_rel="noopener noreferrer nofollow")
    return mark_safe(cleaned)


def _shift_headings(tokens: list[Token], first: int) -> None:
    """The highest heading of the text gets the level that the page has room for; the others follow, none skipped below the lowest."""
    levels = [int(token.tag[1]) for token in tokens if token.type == "heading_open"]
    shift = first - min(levels, default=first)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{max(2, min(LOWEST, int(token.tag[1]) + shift))}"


def _lead_home(tokens: list[Token], base: str) -> None:
    """Addresses within RollbackHub become whole ones: a document is read elsewhere."""
    for token in tokens:
        for child in token.children or ():
            href = str(child.attrGet("href") or "")
            if child.type == "link_open" and href.startswith("/") and not href.startswith("//"):
                child.attrSet("href", base.rstrip("/") + href)
