"""Control limits and signals, by numbers that can be followed by hand."""

from __future__ import annotations

import math
import random

import pytest

from rollbackhub.analytics.rules import LEAST_DRILLS, Limits, Signal, control_limits, signals_in

LIMITS = Limits(low=50, centre=100, high=200)


def test_limits_come_from_the_mean_moving_range_of_the_logarithms() -> None:
    values = [math.exp(number) for number in (1, 2, 1, 2, 1, 2, 1, 2)]
    limits = control_limits(values)
    assert math.log(limits.centre) == pytest.approx(1.5)
    assert math.log(limits.high) == pytest.approx(1.5 + 3 / 1.128)
    assert math.log(limits.low) == pytest.approx(1.5 - 3 / 1.128)


def test_limits_take_eight_values() -> None:
    with pytest.raises(ValueError, match="8 values"):
        control_limits([100.0] * (LEAST_DRILLS - 1))
    same = control_limits([100.0] * LEAST_DRILLS)
    assert (same.low, same.centre, same.high) == pytest.approx((100, 100, 100))


@pytest.mark.parametrize("seconds", [3.3, 100.0, 301.7, 86399.9])
def test_values_that_are_all_alike_are_as_usual(seconds: float) -> None:
    assert signals_in([seconds] * 20, control_limits([seconds] * 20)) == []


def test_one_beyond_a_limit_signals_on_its_side() -> None:
    assert signals_in([100, 201, 100, 49, 200, 50], LIMITS) == [Signal(1, "slower", 1, 1), Signal(1, "faster", 3, 3)]


def test_nine_in_a_row_signal_once_and_eight_do_not() -> None:
    assert signals_in([90, *[110] * 8, 90], LIMITS) == []
    assert signals_in([90, *[110] * 9, 90], LIMITS) == [Signal(2, "slower", 1, 9)]
    assert signals_in([*[90] * 12], LIMITS) == [Signal(2, "faster", 0, 11)]
    assert signals_in([*[110] * 5, 100, *[110] * 5], LIMITS) == [], "a value on the centre ends the row"


def test_signals_come_in_the_order_in_which_they_showed() -> None:
    assert [(signal.rule, signal.last) for signal in signals_in([*[110] * 9, 90, 300], LIMITS)] == [(2, 8), (1, 10)]
    assert signals_in([], LIMITS) == []


def test_steady_drills_rarely_signal_and_a_shift_of_two_sigma_mostly_does() -> None:
    drawn = random.Random(11)

    def signalled(shift: float) -> int:
        series = [[math.exp(drawn.gauss(5 + (shift if place >= 15 else 0), 0.3)) for place in range(30)] for _ in range(300)]
        return sum(bool(signals_in(values, control_limits(values))) for values in series)

    assert signalled(0) < 60
    assert signalled(0.6) > 200
