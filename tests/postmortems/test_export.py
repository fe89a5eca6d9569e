"""A postmortem as Markdown and as PDF: whole, and nothing that people wrote acts in it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from rollbackhub.common import pdf_maker
from rollbackhub.postmortems.domain.export import file_name, to_document, to_markdown, to_pdf
from rollbackhub.postmortems.domain.selectors import get_record
from rollbackhub.postmortems.enums import PostmortemState
from rollbackhub.postmortems.models import Cause, Section
from tests.factories.fixtures import Cast
from tests.factories.postmortems import PostmortemActionFactory, make_action, make_postmortem
from tests.postmortems.conftest import RolledBack

pytestmark = pytest.mark.django_db
ATTACK = '<script>alert(1)</script><img src="http://127.0.0.1:9/x.png"> [x](javascript:alert(1))'


def test_markdown_has_everything(rolled_back: RolledBack, cast: Cast) -> None:
    postmortem = make_postmortem(PostmortemState.PUBLISHED, incident=rolled_back.incident, owner=cast.on_call)
    PostmortemActionFactory(postmortem=postmortem, action=make_action(postmortem, title="Add the *case*", is_gating=True))
    postmortem.causes.add(Cause.objects.get(slug="eval-gap"))
    text = to_markdown(get_record(postmortem.pk))
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == [
        *("Summary", "Timeline", "Impact", "Root cause", "Response assessment", "What went well", "Discipline improvements"),
        *("Contributing factors", "Actions"),
    ]
    for said in (
        "What there is to say about root cause.",
        "| Restored in ",
        r"Add the \*case\*",
        "gates the hold",
        "**Causes:** Eval gap",
        "Published by Olga Call",
    ):
        assert said in text, said
    assert re.fullmatch(r"postmortem-\d{4}-\d\d-\d\d-[0-9a-f]{8}\.md", file_name(get_record(postmortem.pk), "md"))


def test_markdown_shows_titles_of_people_as_they_are() -> None:
    postmortem = make_postmortem(incident__title="# Not a heading | [x](http://evil.example) `code` <b>")
    first = to_markdown(get_record(postmortem.pk)).splitlines()[0]
    assert first == r"# Postmortem: \# Not a heading \| \[x\](http://evil.example) \`code\` \<b\>"


def test_pdf_is_tagged_has_the_text_and_fetches_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rolled_back: RolledBack) -> None:
    asked: list[str] = []
    monkeypatch.setattr(pdf_maker.RefusingFetcher, "fetch", lambda self, url, headers=None: asked.append(url))
    postmortem = make_postmortem(PostmortemState.CLOSED, incident=rolled_back.incident)
    Section.objects.filter(postmortem=postmortem, key="root_cause").update(text=f"The tokenizer.\n\n{ATTACK}")
    path = tmp_path / "postmortem.pdf"
    path.write_bytes(to_pdf(get_record(postmortem.pk)))
    text = subprocess.run(["pdftotext", "-layout", str(path), "-"], capture_output=True, text=True, check=True).stdout
    for said in ("Postmortem:", "The tokenizer.", "Timeline", "Contributing factors", "alert(1)", "closed by Olga Call"):
        assert said in text, said
    told = subprocess.run(["pdfinfo", str(path)], capture_output=True, text=True, check=True).stdout
    assert re.search(r"^Tagged: +yes$", told, re.MULTILINE), told
    assert asked == []


def test_document_has_nothing_that_acts() -> None:
    postmortem = make_postmortem(incident__title=ATTACK)
    Section.objects.filter(postmortem=postmortem).update(text=ATTACK)
    html = to_document(get_record(postmortem.pk))
    assert not re.search(r"<script|<img|href=\"javascript", html)
    assert "default-src 'none'" in html


def test_draft_says_that_it_is_one() -> None:
    assert "A draft, not approved by anybody: do not pass it on." in to_markdown(get_record(make_postmortem().pk))
