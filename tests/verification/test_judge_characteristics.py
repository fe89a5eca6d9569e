"""How often the judge errs, on small simulations with fixed seeds; `make bench-judge` runs thousands more."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from rollbackhub.common.verdict import Verdict
from tests.campaigns import judge_characteristics as bench
from tests.campaigns.judge_characteristics import Cell, Tally, run_cell


def _said(cell: Cell) -> dict[str, Tally]:
    return {tally.judge: tally for tally in run_cell(cell)}


def test_what_is_worse_by_the_margin_hardly_ever_passes_though_it_is_looked_at_forty_times() -> None:
    said = _said(Cell(number=9001, rate=0.1, baseline=10_000, requests=4000, truth=1.25, times=300))
    assert said[bench.JUDGE].passed <= 3
    assert said[bench.THRESHOLD].passed > 150
    assert said[bench.PLAIN].passed > 100


def test_what_is_healthy_hardly_ever_fails_and_passes_when_there_is_enough_of_it() -> None:
    said = _said(Cell(number=9002, rate=0.1, baseline=10_000, requests=4000, truth=1.0, times=300))
    assert said[bench.JUDGE].failed <= 15
    assert said[bench.JUDGE].passed > 200


@pytest.mark.parametrize(("truth", "passed", "failed"), [(1.0, (50, 60), (0, 3)), (1.25, (0, 2), (40, 60)), (1.5, (0, 0), (60, 60))])
def test_latencies_are_told_apart_by_samples_and_by_buckets(truth: float, passed: tuple[int, int], failed: tuple[int, int]) -> None:
    said = _said(Cell(number=9003, rate=None, baseline=1000, requests=400, truth=truth, times=60))
    for judge in (bench.JUDGE, bench.BUCKETS):
        assert passed[0] <= said[judge].passed <= passed[1]
        assert failed[0] <= said[judge].failed <= failed[1]


def test_the_same_seed_says_the_same() -> None:
    cell = Cell(number=9004, rate=0.05, baseline=1000, requests=1000, truth=1.5, times=30)
    assert run_cell(cell) == run_cell(cell)


def test_the_plain_rank_test_that_it_is_compared_with_is_scipys() -> None:
    random = np.random.default_rng(5)
    now, before = random.normal(0.1, 1, 60), random.normal(0, 1, 400)
    plain = bench.mann_whitney(np.searchsorted(np.sort(before), now), 400)
    assert plain == pytest.approx(mannwhitneyu(now, before, alternative="greater", method="asymptotic").pvalue)
    assert bench._plain(iter([(False, 10), (True, 20), (False, 30)]))[0] == Verdict.PASSED
