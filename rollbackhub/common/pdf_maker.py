"""PDF by WeasyPrint. Importing this loads libraries of the system (Pango), which may not be there: an OSError then."""

from __future__ import annotations

from typing import Any

from weasyprint import HTML
from weasyprint.urls import URLFetcher


class RefusingFetcher(URLFetcher):
    """A document holds all that it shows: whatever would be fetched is left out."""

    def fetch(self, url: str, headers: Any = None) -> Any:
        """Never."""
        raise ValueError(f"Documents fetch nothing, and {url[:100]} was asked for.")


def to_pdf(html: str) -> bytes:
    """The document as PDF/UA-1: tagged, with title, language and alternative texts."""
    return bytes(HTML(string=html, url_fetcher=RefusingFetcher()).write_pdf(pdf_variant="pdf/ua-1"))
