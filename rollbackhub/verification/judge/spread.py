"""Latencies as numbers that can be ranked: logarithms of seconds, from samples or from a histogram's buckets. Deterministic, at most `LARGEST` of them.

Where in its bucket a request lies is not known, and a margin of 25 % is finer than most buckets. So a histogram is spread in two ways: evenly over
the bucket's logarithms, and along the log-normal curve through the bucket's two ends (latencies mostly look so, and are dense at the near end of a
bucket that the tail crosses). It has to pass by both, and the margin shrinks by what the two disagree about the shift: nothing when nothing
has changed, most when much has. In `+Inf` the current window lies above all of the baseline, shifted or not.
Whether it is slower at all is asked of the buckets as they are, with ties, for which nothing is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from rollbackhub.verification.judge.evidence import Histogram, Samples

LARGEST = 10_000
"""More are thinned in proportion to this: it can only widen intervals."""

ABOVE_ALL = 50.0
"""The logarithm that stands for `+Inf`: beyond every latency."""

DIGITS = 9
"""Logarithms are rounded so that what is equal in milliseconds is equal in seconds."""

Logs = NDArray[np.float64]


def logs_of_samples(samples: Samples) -> Logs:
    """The samples' logarithms, rising; of more than `LARGEST` every so-manyth."""
    logs: Logs = np.sort(np.round(np.log(np.asarray(samples.seconds, dtype=np.float64)), DIGITS))
    if len(logs) <= LARGEST:
        return logs
    return logs[((np.arange(LARGEST) + 0.5) * len(logs) / LARGEST).astype(np.int64)]


def spread(histogram: Histogram, *, curved: bool, current: bool) -> Logs:
    """The histogram's requests as logarithms of seconds, rising: evenly over each bucket, or `curved` along a log-normal."""
    counts = reduced(histogram.counts)
    total, below = sum(counts), 0
    parts = []
    for (low, high), count in zip(edges(histogram.bounds), counts, strict=True):
        if count and high == math.inf:
            parts.append(np.full(count, ABOVE_ALL + 10 * current))
        elif count:
            place = (np.arange(count) + 0.5) / count
            if curved:
                least, most = np.clip([below / total, (below + count) / total], 0.5 / total, 1 - 0.5 / total)
                begin, end = ndtri(least), ndtri(most)
                within = ndtri(np.clip((below + place * count) / total, least, most))
                place = (within - begin) / (end - begin) if end > begin else place
            parts.append(math.log(low) + place * (math.log(high) - math.log(low)))
        below += count
    return np.round(np.concatenate(parts), DIGITS) if parts else np.empty(0)


def bucket_numbers(histogram: Histogram) -> Logs:
    """The number of each request's bucket: what is known for sure, with ties."""
    counts = reduced(histogram.counts)
    return np.repeat(np.arange(len(counts), dtype=np.float64), counts)


def edges(bounds: Sequence[float]) -> list[tuple[float, float]]:
    """Each bucket's ends in seconds. The first has none below: it is taken as wide, by ratio, as the second (or as a doubling)."""
    finite = bounds[:-1]
    first = finite[0] * (finite[0] / finite[1] if len(finite) > 1 else 0.5)
    return list(zip([first, *finite], bounds, strict=True))


def widest_share(histogram: Histogram, *, ratio: float) -> float:
    """The largest share of requests in one bucket that is wider than `ratio`, or open at an end."""
    total = histogram.exposure
    last = len(histogram.bounds) - 1
    wide = (
        count
        for position, ((low, high), count) in enumerate(zip(edges(histogram.bounds), histogram.counts, strict=True))
        if position in (0, last) or high / low > ratio
    )
    return max(wide, default=0) / total if total else 0.0


def reduced(counts: Sequence[int]) -> list[int]:
    """Counts that add up to `LARGEST` at most, in the same proportions (largest remainders)."""
    total = sum(counts)
    if total <= LARGEST:
        return list(counts)
    floors = [count * LARGEST // total for count in counts]
    by_remainder = sorted(range(len(counts)), key=lambda i: (-(counts[i] * LARGEST % total), i))
    for position in by_remainder[: LARGEST - sum(floors)]:
        floors[position] += 1
    return floors
