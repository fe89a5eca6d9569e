"""Durations in words; the same on pages, figures and command lines."""

from __future__ import annotations


def in_words(seconds: float) -> str:
    """`0.31 s`, `4.2 s`, `45 s`, `4 min 12 s`, `1 h 05 min`. Rounded, never down to nothing."""
    if seconds < 0:
        return "-" + in_words(-seconds)
    if 0 < seconds < 0.01:
        return "<0.01 s"
    if seconds < 1:
        return f"{seconds:.2f} s"
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min" + (f" {rest:02d} s" if rest else "")
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours} h" + (f" {rest:02d} min" if rest else "")
