"""Putting texts of people and systems into sentences: one full stop, the right number, one zone."""

from __future__ import annotations

import datetime as dt


def without_stop(text: str) -> str:
    """The text without surrounding space and without its full stop, to stand inside a sentence. An ellipsis stays."""
    text = text.strip()
    return text if text.endswith("..") else text.removesuffix(".").rstrip()


def with_stop(text: str) -> str:
    """The text as a sentence: with a full stop unless it ends with a mark of its own. Nothing stays nothing."""
    text = text.strip()
    return text if not text or text.endswith((".", "!", "?", "…")) else f"{text}."


def in_utc(at: str) -> str:
    """An instant in ISO 8601, of whichever zone, for a text that everybody reads alike: `2026-12-01 05:05:00 UTC`."""
    return f"{dt.datetime.fromisoformat(at).astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 cell`, `2 cells`; `plural` where it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
