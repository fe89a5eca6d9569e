"""Putting texts of people and systems into sentences: one full stop, the right number."""

from __future__ import annotations


def without_stop(text: str) -> str:
    """The text without surrounding space and without its full stop, to stand inside a sentence. An ellipsis stays."""
    text = text.strip()
    return text if text.endswith("..") else text.removesuffix(".").rstrip()


def with_stop(text: str) -> str:
    """The text as a sentence: with a full stop unless it ends with a mark of its own. Nothing stays nothing."""
    text = text.strip()
    return text if not text or text.endswith((".", "!", "?", "…")) else f"{text}."


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 cell`, `2 cells`; `plural` where it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
