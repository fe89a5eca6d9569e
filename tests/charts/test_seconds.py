"""Durations in words, and round ticks for axes of seconds."""

from __future__ import annotations

import pytest

from rollbackhub.charts.seconds import ticks
from rollbackhub.common.durations import in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.00 s"),
        (0.004, "<0.01 s"),
        (0.31, "0.31 s"),
        (1.44, "1.4 s"),
        (9.96, "10 s"),
        (45.2, "45 s"),
        (59.7, "1 min"),
        (252, "4 min 12 s"),
        (600, "10 min"),
        (3599.8, "1 h"),
        (3900, "1 h 05 min"),
        (-3, "-3.0 s"),
    ],
)
def test_in_words_any_duration_reads_short(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


@pytest.mark.parametrize("largest", [0.02, 0.8, 3.7, 42, 610, 3700, 90_000, 4_000_000])
def test_ticks_any_extent_start_at_zero_and_stay_few(largest: float) -> None:
    values, words = ticks(largest)
    assert values[0] == 0
    assert 1 < len(values) <= 8
    assert values[-1] <= largest
    assert len(set(words)) == len(words) == len(values)


def test_ticks_minutes_are_round() -> None:
    assert ticks(660) == ([0, 120, 240, 360, 480, 600], ["0", "2 min", "4 min", "6 min", "8 min", "10 min"])
