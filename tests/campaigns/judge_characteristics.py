"""`make bench-judge`: how often the judge errs, beside two simpler judges, on simulated verifications with fixed seeds. Prints Markdown.

One verification: a baseline is drawn, then requests come, with a look after each fortieth of them; each judge says what it says at the first look at
which it decides. The judge may stay inconclusive. The simpler ones fail what has not passed by the last look:
- threshold: passes at the first look whose rate (mean latency) is at most 1.25 times the baseline's;
- plain test: passes at the first look at which a test finds no difference, p > 0.05 (pooled two-proportion z test, Mann–Whitney).
Exit code 1 when the judge breaks what is demanded of it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import math
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from rollbackhub.common.verdict import Verdict
from rollbackhub.verification.judge import Baseline, BaselineKind, Counts, Histogram, LatencyMargin, Look, RateMargin, Samples
from rollbackhub.verification.judge.ladder import ERROR_RATES, coming
from rollbackhub.verification.judge.latencies import climb_latency, pay_latency
from rollbackhub.verification.judge.latency_question import PASS_FROM, LatencyQuestion
from rollbackhub.verification.judge.rate_question import RateQuestion
from rollbackhub.verification.judge.rates import climb_rate, pay_rate

SEED = 20261123
LOOKS = 40
LEAST = 10
MARGIN = 0.25
RATES = (0.005, 0.01, 0.02, 0.05, 0.10)
REQUESTS = (10, 100, 1_000, 10_000)
BASELINES = (10_000, 1_000)
TRUTHS = (1.0, 1.10, 1.25, 1.50)
MEDIAN, SIGMA = 0.8, 0.5
PROMETHEUS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, math.inf)
DRAINED = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
JUDGE, BUCKETS, THRESHOLD, PLAIN = "the judge", "the judge, buckets", "threshold", "plain test"
Said = tuple[Verdict, int | None]
"""What a judge said, and after how many requests (None: it did not decide)."""


@dataclass(frozen=True)
class Cell:
    """One kind of verification, `times` of them. `rate` None: latency. `points`: a margin in points beside the ratio, and the truth lies on it."""

    number: int
    rate: float | None
    baseline: int
    requests: int
    truth: float
    times: int
    points: float | None = None


@dataclass
class Tally:
    """What one judge said in one cell."""

    cell: Cell
    judge: str
    passed: int = 0
    failed: int = 0
    at: list[int] = field(default_factory=list)

    def add(self, said: Said) -> None:
        verdict, requests = said
        self.passed += verdict == Verdict.PASSED
        self.failed += verdict == Verdict.FAILED
        if requests is not None:
            self.at.append(requests)

    @property
    def inconclusive(self) -> int:
        return self.cell.times - self.passed - self.failed


def main() -> int:
    """Simulate, print the tables and whether the demands are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=600, help="verifications in most cells; some have more, some fewer")
    options = parser.parse_args()
    os.nice(10)
    begin = time.monotonic()
    cells = list(_cells(options.times))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        tallies = [tally for of_cell in pool.imap_unordered(run_cell, sorted(cells, key=_cost, reverse=True), chunksize=1) for tally in of_cell]
    tallies.sort(key=lambda tally: (tally.cell.number, tally.judge))
    total = sum(cell.times for cell in cells)
    print(f"Seed {SEED} (each cell: `default_rng([{SEED}, number of the cell])`), {total:,} verifications of {LOOKS} looks each.\n")
    demands = _print_demands(tallies)
    _print_rates(tallies)
    _print_small_baseline(tallies)
    _print_points(tallies)
    _print_latencies(tallies)
    _print_needed()
    print(f"Took {time.monotonic() - begin:.0f} s.", file=sys.stderr)
    return 0 if demands else 1


def run_cell(cell: Cell) -> list[Tally]:
    """All verifications of a cell."""
    random = np.random.default_rng([SEED, cell.number])
    simulate: Callable[[Cell, np.random.Generator], dict[str, Said]] = _latency if cell.rate is None else _rate
    tallies: dict[str, Tally] = {}
    for _ in range(cell.times):
        for judge, said in simulate(cell, random).items():
            tallies.setdefault(judge, Tally(cell, judge)).add(said)
    return list(tallies.values())


def _cells(times: int) -> Iterator[Cell]:
    """The cells. Those that the demand on false passes is about are run more often, those that take long less often."""
    number = 0
    for baseline in BASELINES:
        for requests in REQUESTS:
            for truth in TRUTHS:
                demanded = requests == 1_000 and truth == 1.25
                for rate in RATES:
                    yield Cell(number, rate, baseline, requests, truth, times * 3 if demanded else times)
                    number += 1
                yield Cell(number, None, baseline, requests, truth, times * 5 // 2 if demanded else times // 6 if requests == 10_000 else times * 2 // 3)
                number += 1
    for requests in REQUESTS[2:]:
        for rate in RATES:
            for truth in (1.0, 1.25):
                yield Cell(number, rate, BASELINES[0], requests, truth, times, points=0.01)
                number += 1


def _cost(cell: Cell) -> float:
    return cell.times * (cell.requests if cell.rate is None else 100)


def _looks_at(requests: int) -> list[int]:
    return sorted({round(requests * look / LOOKS) for look in range(LOOKS + 1)})


def _at(number: int) -> dt.datetime:
    return DRAINED + dt.timedelta(seconds=15 * number)


def _rate(cell: Cell, random: np.random.Generator) -> dict[str, Said]:
    assert cell.rate is not None
    margin = RateMargin(MARGIN, cell.points)
    now = cell.rate * cell.truth
    if cell.points and cell.truth > 1:
        now = max(cell.rate * (1 + MARGIN), cell.rate + cell.points)  # exactly as bad as is not allowed any more
    before = Counts(int(random.binomial(cell.baseline, cell.rate)), cell.baseline)
    at = _looks_at(cell.requests)
    events = np.concatenate([[0], np.cumsum(random.binomial(np.diff(at), now))]).tolist()
    looks = [Look(_at(number), _at(number), Counts(*pair)) for number, pair in enumerate(zip(events, at, strict=True))]
    course, question = climb_rate(
        what="negative feedback", baseline=Baseline(BaselineKind.BEFORE_RELEASE, before), looks=looks, drained_at=DRAINED, margin=margin
    )
    said: dict[str, Said] = {JUDGE: _first((paid.verdict, paid.requests) for paid in (pay_rate(question, payment) for payment in course.payments))}
    if not cell.points:
        pairs = [(bad, seen) for bad, seen in zip(events, at, strict=True) if seen >= LEAST]
        said[THRESHOLD] = _plain((bad / seen <= before.rate * (1 + MARGIN), seen) for bad, seen in pairs)
        said[PLAIN] = _plain((_two_proportions(bad, seen, before) > 0.05, seen) for bad, seen in pairs)
    return said


def _latency(cell: Cell, random: np.random.Generator) -> dict[str, Said]:
    before = MEDIAN * np.exp(SIGMA * random.standard_normal(cell.baseline))
    now = MEDIAN * cell.truth * np.exp(SIGMA * random.standard_normal(cell.requests))
    at = _looks_at(cell.requests)
    seconds, buckets = tuple(now.tolist()), np.searchsorted(PROMETHEUS, now)
    readings: dict[str, Callable[[int], Samples | Histogram]] = {
        JUDGE: lambda seen: Samples(seconds[:seen]),
        BUCKETS: lambda seen: _histogram(buckets[:seen]),
    }
    bases: dict[str, Samples | Histogram] = {JUDGE: Samples(tuple(before.tolist())), BUCKETS: _histogram(np.searchsorted(PROMETHEUS, before))}
    said: dict[str, Said] = {}
    for judge, read in readings.items():
        looks = [Look(_at(number), _at(number), read(seen)) for number, seen in enumerate(at)]
        course, question = climb_latency(baseline=Baseline(BaselineKind.BEFORE_RELEASE, bases[judge]), looks=looks, drained_at=DRAINED)
        assert question is not None
        said[judge] = _first((paid.verdict, paid.requests) for paid in (pay_latency(question, payment) for payment in course.payments))
    enough = [seen for seen in at if seen >= LEAST]
    said[THRESHOLD] = _plain((now[:seen].mean() <= before.mean() * (1 + MARGIN), seen) for seen in enough)
    below = np.searchsorted(np.sort(before), now)
    said[PLAIN] = _plain((mann_whitney(below[:seen], cell.baseline) > 0.05, seen) for seen in enough)
    return said


def _histogram(buckets: NDArray[np.int64]) -> Histogram:
    return Histogram(PROMETHEUS, tuple(np.bincount(buckets, minlength=len(PROMETHEUS)).tolist()))


def _first(verdicts: Iterator[Said]) -> Said:
    """The first verdict that decides: the verification ends there."""
    return next((said for said in verdicts if said[0] != Verdict.INCONCLUSIVE), (Verdict.INCONCLUSIVE, None))


def _plain(looks: Iterator[tuple[bool, int]]) -> Said:
    seen = 0
    for passes, requests in looks:
        seen = requests
        if passes:
            return Verdict.PASSED, requests
    return Verdict.FAILED, seen


def _two_proportions(bad: int, seen: int, before: Counts) -> float:
    """One-sided p value of the pooled z test: current is worse."""
    pooled = (bad + before.events) / (seen + before.requests)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / seen + 1 / before.requests))
    return float(norm.sf((bad / seen - before.rate) / spread)) if spread else 1.0


def mann_whitney(below: NDArray[np.int64], size: int) -> float:
    """One-sided p value of Mann–Whitney (current is slower), without ties: how many of the baseline's `size` lie below each current value."""
    seen = len(below)
    spread = math.sqrt(seen * size * (seen + size + 1) / 12)
    return float(norm.sf((float(below.sum()) - seen * size / 2 - 0.5) / spread))


def _share(part: int, of: int) -> str:
    """`0.4% (0.1–1.0)`: with the exact 95 % interval of the simulation."""
    low, high = proportion_confint(part, of, method="beta")
    return f"{100 * part / of:.1f}% ({100 * low:.1f}–{100 * high:.1f})"


def _median(at: list[int], of: int) -> str:
    """The median number of requests to a verdict, where at least half came to one."""
    missing: list[float] = [math.inf] * (of - len(at))
    middle = statistics.median([*at, *missing]) if of else math.inf
    return f"{middle:,.0f}" if middle < math.inf else "–"


def _pick(tallies: list[Tally], *, judge: str, truth: float | None = None, **wanted: object) -> list[Tally]:
    return [
        tally
        for tally in tallies
        if tally.judge == judge and truth in (None, tally.cell.truth) and all(getattr(tally.cell, name) == value for name, value in wanted.items())
    ]


def _row(tallies: list[Tally]) -> str:
    """False passes at +25 and +50 %, both verdicts at +10 %, false fails and what else when healthy, medians: pooled over the tallies."""

    def of(truth: float) -> list[Tally]:
        return [tally for tally in tallies if tally.cell.truth == truth]

    def total(truth: float, what: str) -> str:
        return _share(sum(getattr(tally, what) for tally in of(truth)), sum(tally.cell.times for tally in of(truth)))

    def median(truth: float) -> str:
        return _median([at for tally in of(truth) for at in tally.at], sum(tally.cell.times for tally in of(truth)))

    cells = [total(1.25, "passed"), total(1.5, "passed"), total(1.0, "failed"), total(1.0, "inconclusive"), total(1.5, "inconclusive")]
    cells += [total(1.1, "passed"), total(1.1, "failed"), median(1.0), median(1.5)]
    return " | ".join(cells)


COLUMNS = (
    "passes at +25 % | passes at +50 % | fails when healthy | inconclusive when healthy | inconclusive at +50 %"
    " | passes at +10 % | fails at +10 % | median requests, healthy | median requests, +50 %"
)


def _head(*names: str) -> None:
    columns = " | ".join([*names, COLUMNS])
    print(f"| {columns} |\n|{'---|' * (columns.count('|') + 1)}")


def _print_demands(tallies: list[Tally]) -> bool:
    """False passes at +25 % with 1,000 requests at most 1 %, false fails when healthy at most 5 %: in the worst cell of each judge."""
    print("### What is demanded\n\nThe worst cell of each judge, over all rates and both baselines; in brackets the exact 95 % interval of the simulation.\n")
    print(
        "| evidence | judge | false passes at +25 %, 1,000 requests (at most 1 %) | false fails when healthy, any requests (at most 5 %) |\n|---|---|---|---|"
    )
    met = True
    for evidence, judges in (("rates", (JUDGE, THRESHOLD, PLAIN)), ("latency", (JUDGE, BUCKETS, THRESHOLD, PLAIN))):
        for judge in judges:
            of = [t for t in tallies if t.judge == judge and (t.cell.rate is None) == (evidence == "latency") and not t.cell.points]
            passes = max((t for t in of if t.cell.truth == 1.25 and t.cell.requests == 1000), key=lambda t: t.passed / t.cell.times)
            fails = max((t for t in of if t.cell.truth == 1.0), key=lambda t: t.failed / t.cell.times)
            good = passes.passed / passes.cell.times <= 0.01, fails.failed / fails.cell.times <= 0.05
            said = [f"{_share(a, b)} {'kept' if ok else '**broken**'}" for a, b, ok in _demanded(passes, fails, good)]
            print(f"| {evidence} | {judge} | {said[0]} | {said[1]} |")
            met &= all(good) or judge in (THRESHOLD, PLAIN)
    print()
    return met


def _demanded(passes: Tally, fails: Tally, good: tuple[bool, bool]) -> list[tuple[int, int, bool]]:
    return [(passes.passed, passes.cell.times, good[0]), (fails.failed, fails.cell.times, good[1])]


def _print_rates(tallies: list[Tally]) -> None:
    print(f"### Rates: baseline of {BASELINES[0]:,} requests, margin 25 %\n")
    _head("requests", "baseline rate", "judge")
    for requests in REQUESTS:
        for rate in RATES:
            for judge in (JUDGE, THRESHOLD, PLAIN):
                picked = _pick(tallies, judge=judge, baseline=BASELINES[0], requests=requests, rate=rate, points=None)
                print(f"| {requests:,} | {rate:.1%} | {judge} | {_row(picked)} |")
    print()


def _print_small_baseline(tallies: list[Tally]) -> None:
    print(f"### Rates: baseline of {BASELINES[1]:,} requests, margin 25 %, all rates together\n")
    _head("requests", "judge")
    for requests in REQUESTS:
        for judge in (JUDGE, THRESHOLD, PLAIN):
            picked = [t for t in _pick(tallies, judge=judge, baseline=BASELINES[1], requests=requests, points=None) if t.cell.rate is not None]
            print(f"| {requests:,} | {judge} | {_row(picked)} |")
    print()


def _print_points(tallies: list[Tally]) -> None:
    print(f"### Rates: baseline of {BASELINES[0]:,} requests, margin 25 % or one percentage point, whichever allows more\n")
    print("Degraded is exactly as bad as is not allowed any more.\n")
    names = "requests", "baseline rate", "passes when degraded", "fails when healthy", "passes when healthy", "median requests, healthy"
    print(f"| {' | '.join(names)} |\n|{'---|' * len(names)}")
    of_points = [tally for tally in tallies if tally.cell.points]
    for (requests, rate), group in groupby(of_points, key=lambda tally: (tally.cell.requests, tally.cell.rate)):
        by_truth = {tally.cell.truth: tally for tally in group}
        healthy, degraded = by_truth[1.0], by_truth[1.25]
        shares = _share(degraded.passed, degraded.cell.times), _share(healthy.failed, healthy.cell.times), _share(healthy.passed, healthy.cell.times)
        print(f"| {requests:,} | {rate:.1%} | {' | '.join(shares)} | {_median(healthy.at, healthy.cell.times)} |")
    print()


def _print_latencies(tallies: list[Tally]) -> None:
    print(f"### Latency: log-normal, median {MEDIAN * 1000:.0f} ms, sigma {SIGMA}, margin 25 %\n")
    _head("baseline", "requests", "judge")
    for baseline in BASELINES:
        for requests in REQUESTS:
            for judge in (JUDGE, BUCKETS, THRESHOLD, PLAIN):
                picked = _pick(tallies, judge=judge, baseline=baseline, requests=requests, rate=None)
                print(f"| {baseline:,} | {requests:,} | {judge} | {_row(picked)} |")
    print()


def _print_needed() -> None:
    """How many current requests pass when nothing has changed, asked of the judge's own tests at frequent looks."""
    print("### How many requests a margin takes\n\nUntil a paid look passes when both windows show exactly the same, with frequent looks.\n")
    margins = {
        "10 %": RateMargin(0.10),
        "25 %": RateMargin(0.25),
        "50 %": RateMargin(0.50),
        "1 point": RateMargin(None, 0.01),
        "0.5 points": RateMargin(None, 0.005),
        "harmless below 1 %": RateMargin(None, None, 0.01),
    }
    print(f"| baseline requests | rate | {' | '.join(margins)} |\n|{'---|' * (len(margins) + 2)}")
    for size in (1_000, 10_000, 100_000, 1_000_000):
        for rate in RATES:
            needed = [_needed_for_rate(RateQuestion(Counts(round(rate * size), size), margin), rate) for margin in margins.values()]
            print(f"| {size:,} | {rate:.1%} | {' | '.join(needed)} |")
    ratios = (0.05, 0.10, 0.25, 0.50)
    print(f"\n| baseline requests | spread of latency (sigma of the logarithm) | {' | '.join(f'{ratio:.0%}' for ratio in ratios)} |\n|{'---|' * 6}")
    for size in BASELINES:
        for sigma in (0.3, 0.5, 1.0):
            print(f"| {size:,} | {sigma} | {' | '.join(_needed_for_latency(size, sigma, ratio) for ratio in ratios)} |")
    print()


def _needed_for_rate(question: RateQuestion, rate: float) -> str:
    rates = ERROR_RATES.of_attempt(1)
    for requests, to_pass, _ in coming((), run=0, pass_from=question.pass_from(rates), rates=rates):
        if to_pass and question.p_within(Counts(math.ceil(rate * requests), requests)) <= to_pass:
            return f"{requests:,}"
    return "baseline too small" if question.margin.harmless_below is None else "not harmless"


def _needed_for_latency(size: int, sigma: float, ratio: float) -> str:
    question = LatencyQuestion(_quantiles(size, sigma), LatencyMargin(ratio))
    for requests, to_pass, _ in coming((), run=0, pass_from=PASS_FROM, rates=ERROR_RATES.of_attempt(1), rungs=14):
        if to_pass and question.p_within(_quantiles(requests, sigma)) <= to_pass:
            return f"{requests:,}"
    return "baseline too small"


def _quantiles(size: int, sigma: float) -> Samples:
    return Samples(tuple((MEDIAN * np.exp(sigma * ndtri((np.arange(size) + 0.5) / size))).tolist()))


if __name__ == "__main__":
    raise SystemExit(main())
