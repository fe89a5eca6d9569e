"""From one HTML document that holds all that it shows to a PDF."""

from __future__ import annotations

from rollbackhub.common.errors import Unavailable


def write_pdf(html: str) -> bytes:
    """The document as PDF/UA-1: tagged, with title and language. Nothing is fetched. Raises Unavailable when WeasyPrint's libraries are missing."""
    try:
        # Not at the top: it loads libraries of the system, which may not be there.
        from rollbackhub.common.pdf_maker import to_pdf
    except OSError as error:
        sentence = "There is no PDF: WeasyPrint needs Pango on this machine (Debian: apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0)."
        raise Unavailable(sentence, code="no_pango") from error
    return to_pdf(html)
