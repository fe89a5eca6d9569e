"""Error diffusion: the rate that is meant shows in small windows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollbackhub.lab.feedback import ErrorDiffusion


@pytest.mark.parametrize(("rate", "tries", "events"), [(0.02, 100, 2), (0.12, 100, 12), (0.12, 25, 3), (0.02, 50, 1), (0.0, 100, 0), (1.0, 7, 7)])
def test_diffusion_small_window_shows_the_rate(rate: float, tries: int, events: int) -> None:
    diffusion = ErrorDiffusion()
    assert sum(diffusion.happens(key="a", rate=rate) for _ in range(tries)) == events


@given(rate=st.floats(0, 1), tries=st.integers(0, 500))
def test_diffusion_any_rate_is_never_off_by_more_than_one(rate: float, tries: int) -> None:
    diffusion = ErrorDiffusion()
    assert abs(sum(diffusion.happens(key="a", rate=rate) for _ in range(tries)) - rate * tries) <= 1


def test_diffusion_keys_do_not_disturb_each_other() -> None:
    diffusion = ErrorDiffusion()
    mixed = [(key, diffusion.happens(key=key, rate=rate)) for _ in range(100) for key, rate in (("good", 0.02), ("bad", 0.12))]
    assert sum(happened for key, happened in mixed if key == "good") == 2
    assert sum(happened for key, happened in mixed if key == "bad") == 12
