"""The documents: what stands in them, how they are tagged, that nothing is fetched and nothing acts."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.actions.domain.transitions import change_action
from rollbackhub.common import pdf_maker
from rollbackhub.common.clock import now
from rollbackhub.common.errors import Conflict, Forbidden, NotFound, Unavailable
from rollbackhub.common.pdf import write_pdf
from rollbackhub.reviews.domain import documents
from rollbackhub.reviews.domain.actions import give_action
from rollbackhub.reviews.domain.document_page import render_document
from rollbackhub.reviews.domain.documents import Made, build_documents, get_made, make_documents, request_documents
from rollbackhub.reviews.domain.drawing import clean_svg, draw_figures
from rollbackhub.reviews.domain.frozen import frozen_figures
from rollbackhub.reviews.domain.preparing import prepare_review
from rollbackhub.reviews.domain.selectors import get_document, get_record
from rollbackhub.reviews.enums import Agenda, ReviewState
from rollbackhub.reviews.models import Review, ReviewDocument, ReviewItem
from tests.factories.accounts import UserFactory
from tests.factories.fixtures import Cast
from tests.factories.reviews import CONTENT, AttendanceFactory, ReviewDecisionFactory, ReviewFactory, ReviewItemFactory, make_review
from tests.reviews.quarter import AT, QUARTER, make_quarter

pytestmark = pytest.mark.django_db

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>"
MINUTES = f"## Said\n\n{ATTACK}\n\n[click](javascript:alert(3)) ![p](http://evil.example/p.png) **bold** [here](/drills/)"


@dataclass
class Document:
    """Of the seeded quarter, with its PDF in a file."""

    review: Review
    made: Made
    path: Path


@pytest.fixture
def document(cast: Cast, tmp_path: Path) -> Document:
    """Prepared, minuted, held and made."""
    quarter = make_quarter(cast)
    review: Review = ReviewFactory(team=quarter.team, quarter=QUARTER, presenter=cast.lead)
    assert prepare_review(review_id=review.pk, at=AT)
    ReviewItem.objects.filter(review=review, agenda=Agenda.MISSES).update(minutes=MINUTES)
    ReviewDecisionFactory(review=review, item=review.items.get(agenda=Agenda.MISSES), text=f"Two regions {ATTACK}", owner_label=f"Lee {ATTACK}")
    AttendanceFactory(review=review, name=f"Gina {ATTACK}")
    made = build_documents(get_record(review.pk))
    path = tmp_path / "review.pdf"
    assert made.pdf is not None, made.problem
    path.write_bytes(made.pdf)
    return Document(review, made, path)


def test_documents_of_a_quarter_have_all_of_it_and_harm_nobody(document: Document) -> None:
    made = document.made
    assert made.problem == ""
    text = " ".join(subprocess.run(["pdftotext", str(document.path), "-"], check=True, capture_output=True, text=True, timeout=60).stdout.split())
    record = get_record(document.review.pk)
    for item in record.items:
        assert str(item) in text
        assert " ".join(item.headline.split()) in text
    for said in (
        "Quarterly review of Platform, 2026 Q3",
        "A draft: the meeting has not been recorded as held",
        "Presented by Lee Lead",
        "Mend the flag of smart-reasoner",
        "The hub was down for the whole day.",
        "Its provider shuts it down",
        "Signatures",
        "Not signed yet: Platform lead, Senior leadership.",
        "5 Oct 2026, 14:30 IST",
    ):
        assert said in text, said
    for drawn_words in ("Planned drills", "Within target (%)", "Propagate"):
        assert drawn_words in text, drawn_words
    assert text.count("Page ") >= 9

    info = subprocess.run(["pdfinfo", str(document.path)], check=True, capture_output=True, text=True, timeout=60).stdout
    assert re.search(r"Title: +Quarterly review of Platform, 2026 Q3", info)
    assert re.search(r"Tagged: +yes", info)
    assert re.search(r"JavaScript: +no", info)
    raw = subprocess.run(["pdfinfo", "-meta", str(document.path)], check=True, capture_output=True, text=True, timeout=60).stdout
    assert re.search(r"pdfuaid:part[^0-9]*1", raw), "PDF/UA-1"
    tags = subprocess.run(["pdfinfo", "-struct-text", str(document.path)], check=True, capture_output=True, text=True, timeout=60).stdout
    figures = [figure for item in record.items for figure in frozen_figures(item.content)]
    assert len(figures) == 3
    assert len(re.findall(r"^ *Figure", tags, re.MULTILINE)) == len(figures)
    for tag in ("H1", "H2", "Table", "TH", "TD", "L", "LI", "Caption"):
        assert re.search(rf"^ *{tag}\b", tags, re.MULTILINE), tag

    # The same in the HTML, whole in itself.
    html = made.html
    assert html.count("<svg") == len(figures)
    for figure in figures:
        assert figure.title in html
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "onerror=" not in re.sub(r"&lt;img src=x onerror=alert\(2\)&gt;", "", html)
    assert "javascript:" not in html.replace("[click](javascript:alert(3))", "")
    assert "evil.example" not in re.sub(r'<a href="http://evil\.example/p\.png"[^>]*>p</a>', "", html)
    sources = re.findall(r'(?:\bsrc|xlink:href|(?<!<a )\bhref)="([^"#][^"]*)"', html)
    assert sources == [], sources
    assert not re.findall(r"url\(\s*['\"]?(?!#|['\"]#)", html)
    assert "@import" not in html
    drawn = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(drawn) == len(figures)
    for svg in drawn:
        assert ElementTree.fromstring(svg).attrib["role"] == "img"


WIDE = {
    "tables": [
        {
            "title": "Failed drills",
            "columns": [
                {"key": "alias", "heading": "Alias", "unit": "text"},
                {"key": "at", "heading": "Started", "unit": "instant"},
                {"key": "kind", "heading": "Kind", "unit": "text"},
                {"key": "caught", "heading": "What it caught", "unit": "text"},
                {"key": "outcome", "heading": "Outcome", "unit": "text"},
            ],
            "rows": [["smart-reasoner", AT.isoformat(), "Rehearsal", "A difference: " + "smart-reasoner/" * 9, "It did not restore. " * 30]],
            "url_column": None,
        }
    ],
    "figures": [],
    "notes": [],
}


def test_pdf_breaks_no_heading_nor_short_cell_and_has_what_an_action_is_about(cast: Cast, tmp_path: Path) -> None:
    review = make_review(ReviewState.PREPARING)
    for place, agenda in enumerate(Agenda):
        ReviewItemFactory(review=review, position=place, agenda=agenda, content=WIDE if agenda == Agenda.FINDINGS else {})
    Review.objects.filter(pk=review.pk).update(state=ReviewState.PREPARED, prepared_at=now())
    actor = actor_of(cast.lead)
    due_on = now().date() + dt.timedelta(days=9)
    link = give_action(
        review_id=review.pk, title="Mend it", detail="First the flag.\nThen the <hub>.", owner=cast.lead, due_on=due_on, account=cast.lead, actor=actor
    )
    change_action(action_id=link.action_id, detail="Something else.", user=cast.lead, actor=actor)
    path = tmp_path / "review.pdf"
    path.write_bytes(write_pdf(render_document(get_record(review.pk), drawings={}, problem="")))
    words = subprocess.run(["pdftotext", "-layout", str(path), "-"], check=True, capture_output=True, text=True, timeout=60).stdout
    assert {"Alias", "Started", "Kind", "Outcome", "Rehearsal"} <= set(words.split())
    # As it was agreed, whatever became of it since.
    assert all(line in words for line in ("First the flag.", "Then the <hub>."))
    assert "Something else." not in words


def test_drawn_figure_has_its_points_axes_and_words() -> None:
    (svg,) = draw_figures([(figure, 700) for figure in frozen_figures(CONTENT)])
    root = ElementTree.fromstring(svg)
    texts = "".join(root.itertext())
    for said in ("Jul 2026", "Sep 2026", "Planned", "Done", "Drills by month. Drills planned and done in each month."):
        assert said in texts, said
    assert root.findtext("{http://www.w3.org/2000/svg}title", "").startswith("Drills by month.")
    bars = [path for path in root.iter("{http://www.w3.org/2000/svg}path") if "vector-effect" in path.get("style", "")]
    assert len(bars) >= 6


@pytest.mark.parametrize(
    "evil",
    [
        "<script>alert(1)</script>",
        '<a href="javascript:alert(1)"><text>x</text></a>',
        '<a xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="https://evil.example/"><text>x</text></a>',
        '<rect onclick="alert(1)" width="1" height="1"/>',
        '<image href="https://evil.example/x.png"/>',
        "<foreignObject><p>evil.example</p></foreignObject>",
        '<rect fill="url(https://evil.example/#a)"/>',
        '<g><g><style>@import "https://evil.example/a.css"</style></g></g>',
        '<use href="https://evil.example/a.svg#x"/>',
        '<set attributeName="href" to="javascript:alert(1)"/>',
    ],
)
def test_cleaned_figure_acts_links_and_fetches_nothing(evil: str) -> None:
    cleaned = clean_svg(f'<svg xmlns="http://www.w3.org/2000/svg"><clipPath id="c"/><g clip-path="url(#c)">{evil}</g></svg>', title="T", label='"<b>&')
    assert not re.search(r"evil\.example|javascript|alert|script", cleaned)
    assert 'clip-path="url(#c)"' in cleaned
    assert ElementTree.fromstring(cleaned).attrib["aria-label"] == 'T. "<b>&'


def test_pdf_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    refuse = pdf_maker.RefusingFetcher.fetch

    def watched(self: Any, url: str, headers: Any = None) -> Any:
        asked.append(url)
        return refuse(self, url, headers)

    monkeypatch.setattr(pdf_maker.RefusingFetcher, "fetch", watched)
    html = '<html lang="en"><title>x</title><link rel="stylesheet" href="http://127.0.0.1:9/a.css"><img alt="x" src="file:///etc/hostname"><p>words</p></html>'
    assert write_pdf(html).startswith(b"%PDF")
    assert sorted(asked) == ["file:///etc/hostname", "http://127.0.0.1:9/a.css"]


def test_machine_without_chromium_makes_documents_that_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollbackhub.reviews.domain.drawing.shutil.which", lambda name: None)
    made = build_documents(get_record(make_review().pk))
    assert "apt-get install chromium" in made.problem
    assert "apt-get install chromium" in made.html
    assert "Reasoner monthly" in made.html
    assert made.pdf is not None


def test_machine_without_pango_makes_html_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(html: str) -> bytes:
        raise Unavailable("There is no PDF: WeasyPrint needs Pango.", code="no_pango")

    monkeypatch.setattr(documents, "write_pdf", missing)
    monkeypatch.setattr(documents, "draw_figures", lambda figures: ["<svg/>"] * len(figures))
    review = make_review(ReviewState.HELD)
    request_documents(review_id=review.pk, account=review_reader())
    assert make_documents(review_id=review.pk)
    made = get_made(review.pk)
    assert (made.pdf, made.problem) == (None, "There is no PDF: WeasyPrint needs Pango.")
    assert "Quarterly review" in made.html
    # It may have been installed since: whoever asks again gets it made again.
    assert request_documents(review_id=review.pk, account=review_reader()).due_at is not None


def review_reader() -> User:
    """Somebody who may look."""
    reader: User = UserFactory(roles=[Role.AUDITOR])
    return reader


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Documents that are made at once; answers the numbers of the reviews that they were made of."""
    made: list[int] = []

    def build(record: Any) -> Made:
        made.append(record.review.number)
        return Made(html=f"number {record.review.number}", pdf=b"%PDF", problem="")

    monkeypatch.setattr(documents, "build_documents", build)
    return made


def test_documents_are_made_once_for_what_they_show(quick: list[int], cast: Cast) -> None:
    review = make_review(ReviewState.HELD)
    for _ in range(2):
        request_documents(review_id=review.pk, account=cast.auditor)
    assert make_documents(review_id=review.pk)
    assert not make_documents(review_id=review.pk)
    request_documents(review_id=review.pk, account=cast.auditor)
    assert not make_documents(review_id=review.pk), "they show the review as it stands"
    Review.objects.filter(pk=review.pk).update(number=9)
    request_documents(review_id=review.pk, account=cast.auditor)
    assert make_documents(review_id=review.pk)
    assert quick == [1, 9]
    found = get_document(review.pk)
    assert found is not None
    assert (found.made_number, found.due_at, found.make_seconds is not None) == (9, None, True)


def test_documents_of_a_maker_that_was_overtaken_are_not_kept(quick: list[int], cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    review = make_review(ReviewState.HELD)
    request_documents(review_id=review.pk, account=cast.auditor)
    build = documents.build_documents

    def overtaken(record: Any) -> Made:
        ReviewDocument.objects.filter(review=review).update(claimed_until=AT)
        monkeypatch.setattr(documents, "build_documents", build)
        assert make_documents(review_id=review.pk)
        return Made(html="late", pdf=None, problem="")

    monkeypatch.setattr(documents, "build_documents", overtaken)
    assert not make_documents(review_id=review.pk)
    assert get_made(review.pk).html == f"number {review.number}"


def test_error_of_ours_is_kept_in_words_and_raised(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(record: Any) -> Made:
        raise ZeroDivisionError

    review = make_review(ReviewState.HELD)
    request_documents(review_id=review.pk, account=cast.auditor)
    monkeypatch.setattr(documents, "build_documents", broken)
    with pytest.raises(ZeroDivisionError):
        make_documents(review_id=review.pk)
    found = get_document(review.pk)
    assert found is not None
    assert found.problem.startswith("The documents could not be made (ZeroDivisionError)")
    assert found.due_at is None
    with pytest.raises(NotFound):
        get_made(review.pk)


def test_documents_are_not_for_strangers_nor_of_what_is_not_prepared(cast: Cast) -> None:
    review: Review = ReviewFactory()
    with pytest.raises(Forbidden):
        request_documents(review_id=review.pk, account=cast.stranger)
    with pytest.raises(Conflict) as caught:
        request_documents(review_id=review.pk, account=cast.auditor)
    assert caught.value.code == "review_not_prepared"
