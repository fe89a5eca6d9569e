"""Audit events in words, where nobody has found better ones. Pure."""

from __future__ import annotations


def readable(event: str) -> str:
    """`Rollback step skipped` for the event `rollback.step_skipped`."""
    return event.replace(".", " ").replace("_", " ").capitalize()
