"""People's Markdown becomes HTML that does nothing."""

from __future__ import annotations

import re

import pytest

from rollbackhub.common.markdown import ATTRIBUTES, TAGS, to_html

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:msgbox)",
    "[x](file:///etc/passwd)",
    '[x](https://example.org/"onmouseover="alert(1))',
    '[x](https://example.org "t\\" onmouseover=\\"alert(1)")',
    "![x](https://evil.example/p.png)",
    '![x](x "onerror=alert(1)")',
    "<javascript:alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe src=//evil.example>",
    "<style>@import 'http://evil.example'</style>",
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "`<script>alert(1)</script>`",
    "```html\n<script>alert(1)</script>\n```",
    "|a|\n|-|\n|<img src=x onerror=alert(1)>|",
    "a\x00<script\x00>alert(1)</script>",
    "<form action=//evil.example><button>x</button></form>",
]


@pytest.mark.parametrize("text", ATTACKS)
def test_html_has_only_what_is_allowed(text: str) -> None:
    html = to_html(text)
    assert "\x00" not in html
    for tag, attributes in re.findall(r"<([a-z0-9]+)((?:\s[^>]*)?)>", html):
        assert tag in TAGS
        names = set(re.findall(r'([a-z-]+)="[^"]*"', attributes))
        assert names <= {*ATTRIBUTES.get(tag, set()), *({"rel"} if tag == "a" else set())}, (tag, attributes)
    for href in re.findall(r'href="([^"]*)"', html):
        assert re.match(r"(https?:|mailto:|[^:]*$)", href), href


def test_markdown_says_what_it_means() -> None:
    html = to_html("# One\n\n## Two\n\n**bold** ~~gone~~ `code`\n\n3. three\n4. four\n\n> said\n\n|a|b|\n|-|-|\n|1|2|\n\n[ticket](https://example.org/1)")
    for part in (
        "<h3>One</h3>",
        "<h4>Two</h4>",
        "<strong>bold</strong> <s>gone</s> <code>code</code>",
        '<ol start="3">',
        "<blockquote>",
        "<th>a</th>",
        '<a href="https://example.org/1" rel="noopener noreferrer nofollow">ticket</a>',
    ):
        assert part in html, part


@pytest.mark.parametrize(
    ("text", "first", "tags"),
    [
        ("## A\n\n### B", 4, ["h4", "h5"]),
        ("# A\n\n# B", 3, ["h3", "h3"]),
        ("###### A", 4, ["h4"]),
        ("# A\n\n###### B", 4, ["h4", "h6"]),
    ],
)
def test_headings_begin_where_the_page_has_room(text: str, first: int, tags: list[str]) -> None:
    assert re.findall(r"<(h\d)>", to_html(text, first_heading=first)) == tags


def test_links_to_our_own_pages_are_whole_in_a_document() -> None:
    text = "[a](/drills/) [b](https://example.org/) [c](//example.org/)"
    assert re.findall(r'href="([^"]*)"', to_html(text, base="https://hub.example/")) == [
        "https://hub.example/drills/",
        "https://example.org/",
        "//example.org/",
    ]
    assert re.findall(r'href="([^"]*)"', to_html(text))[0] == "/drills/"


def test_nothing_stays_nothing() -> None:
    assert to_html("") == ""
    assert to_html("\x00 ") == ""
