"""What holds for any evidence."""

from __future__ import annotations

import json
import math
from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollbackhub.common.verdict import Verdict
from rollbackhub.verification.judge import Counts, Histogram, Look, RateMargin, Samples
from tests.verification.judging import at, latency, looks_at, rate

GROWTH = st.integers(0, 3000).flatmap(lambda requests: st.tuples(st.integers(0, requests), st.just(requests)))
PATHS = st.lists(GROWTH, min_size=1, max_size=8).map(lambda steps: list(accumulate(steps, lambda a, b: (a[0] + b[0], a[1] + b[1]), initial=(0, 0))))
BASES = st.integers(1, 50_000).flatmap(lambda requests: st.tuples(st.integers(0, requests), st.just(requests)))
PART = st.floats(0.001, 0.2)
MARGINS = st.one_of(
    st.builds(RateMargin, PART),
    st.builds(RateMargin, st.none() | PART, PART),
    st.builds(RateMargin, st.none() | PART, st.none() | PART, PART),
)
MILLISECONDS = st.lists(st.integers(1, 60_000), min_size=30, max_size=200)
ORDER = {Verdict.PASSED: 0, Verdict.INCONCLUSIVE: 1, Verdict.FAILED: 2}


@given(path=PATHS, base=BASES, margin=MARGINS, parts=st.lists(st.floats(0, 1), min_size=8, max_size=8))
@settings(deadline=None, max_examples=200)
def test_more_bad_events_never_make_a_verdict_better(path: list[tuple[int, int]], base: tuple[int, int], margin: RateMargin, parts: list[float]) -> None:
    grown = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(path)]
    steps = [(bad + int(part * (seen - bad)), seen) for (bad, seen), part in zip(grown, parts, strict=False)]
    worse = list(accumulate(steps, lambda a, b: (a[0] + b[0], a[1] + b[1]), initial=(0, 0)))
    one, other = (rate(looks_at(*(Counts(*pair) for pair in pairs)), base, margin=margin) for pairs in (path, worse))
    assert ORDER[one.verdict] <= ORDER[other.verdict]


@given(path=PATHS, base=BASES, margin=MARGINS, data=st.data())
@settings(deadline=None, max_examples=100)
def test_order_and_repetition_of_looks_change_nothing(path: list[tuple[int, int]], base: tuple[int, int], margin: RateMargin, data: st.DataObject) -> None:
    looks = looks_at(*(Counts(*pair) for pair in path))
    again = [Look(look.at_source, at(3600), look.evidence) for look in data.draw(st.lists(st.sampled_from(looks), max_size=4))]
    straight, mixed = rate(looks, base, margin=margin), rate(data.draw(st.permutations([*looks, *again])), base, margin=margin)
    assert (mixed.verdict, mixed.paid) == (straight.verdict, straight.paid)
    assert mixed.sentence.startswith(straight.sentence)
    assert rate(looks, base, margin=margin) == straight


@given(path=PATHS, base=BASES, margin=MARGINS)
@settings(deadline=None, max_examples=200)
def test_every_verdict_has_a_sentence_and_numbers_that_can_be_stored(path: list[tuple[int, int]], base: tuple[int, int], margin: RateMargin) -> None:
    judgement = rate(looks_at(*(Counts(*pair) for pair in path)), base, margin=margin)
    assert judgement.verdict in ORDER
    assert judgement.sentence.endswith(".")
    json.dumps(judgement.numbers, allow_nan=False)
    spent = sum(paid.to_pass for paid in judgement.paid), sum(paid.to_fail for paid in judgement.paid)
    assert spent[0] <= 0.01
    assert spent[1] <= 0.025


@given(base=MILLISECONDS, now=MILLISECONDS)
@settings(deadline=None, max_examples=40)
def test_milliseconds_and_seconds_are_judged_alike(base: list[int], now: list[int]) -> None:
    one, other = (latency(Samples(tuple(value / unit for value in base)), Samples(()), Samples(tuple(value / unit for value in now))) for unit in (1, 1000))
    assert one.verdict == other.verdict
    # Dividing rounds the last digit: a tie may fall to the other side, which small p values show.
    for name in ("p_within", "p_worse"):
        assert [getattr(paid, name) for paid in one.paid] == pytest.approx([getattr(paid, name) for paid in other.paid], rel=0.2, abs=1e-6)


@given(base=MILLISECONDS, now=MILLISECONDS, factor=st.floats(1, 5))
@settings(deadline=None, max_examples=80)
def test_slower_never_makes_a_verdict_better(base: list[int], now: list[int], factor: float) -> None:
    reference = Samples(tuple(value / 1000 for value in base))
    one, other = (latency(reference, Samples(()), Samples(tuple(value * slower / 1000 for value in now))) for slower in (1, factor))
    assert ORDER[one.verdict] <= ORDER[other.verdict]


@given(numbers=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=5, max_size=5))
@settings(deadline=None, max_examples=60)
def test_any_histogram_is_judged_and_the_unit_does_not_matter(numbers: list[tuple[int, int]]) -> None:
    verdicts = []
    for unit in (1.0, 1024.0):
        bounds = (0.25 * unit, 0.5 * unit, 1.0 * unit, 2.5 * unit, math.inf)
        base, now = (Histogram(bounds, tuple(pair[side] for pair in numbers)) for side in (0, 1))
        judgement = latency(base, Histogram(bounds, (0,) * 5), now)
        json.dumps(judgement.numbers, allow_nan=False)
        verdicts.append(judgement.verdict)
    assert verdicts[0] == verdicts[1]
