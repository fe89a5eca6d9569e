"""What the numbers of a check mean, beside the names by which they are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rollbackhub.common.durations import in_words

WORDS = {
    "verdict": "What it said",
    "requests": "Requests that were counted",
    "requests_judged": "Of them at the look that was judged last",
    "events": "Events at that look (complaints, errors)",
    "rate": "Their share of the requests",
    "baseline_kind": "What the baseline is",
    "baseline_requests": "Requests of the baseline",
    "baseline_events": "Events of the baseline",
    "baseline_rate": "Their share of the baseline's requests",
    "allowed_rate": "The highest share that counts as back",
    "passed_by": "The margin by which it passed",
    "margin_ratio": "Margin, as a share of the baseline",
    "margin_points": "Margin, as a share of requests above the baseline's",
    "harmless_below": "Harmless below this share of requests",
    "ratio": "How many times the baseline",
    "ratio_at_least": "At least so many times (with the confidence that is said)",
    "ratio_at_most": "At most so many times (with the confidence that is said)",
    "points": "Above the baseline's share by",
    "points_at_most": "At most so far above it (with the confidence that is said)",
    "rate_at_most": "The share is at most (with the confidence that is said)",
    "p_within_margin": "p value of “worse than the margin allows”: small means shown to be within the margin",
    "p_worse": "p value of “no worse than the baseline”: small means shown to be worse",
    "alpha_pass": "Error rate for passing wrongly, over all looks of this attempt",
    "alpha_fail": "Error rate for failing wrongly, over all looks of this attempt",
    "alpha_pass_at_this_look": "Of that, what the look judged last may spend: it passes with a p value at most so large",
    "alpha_fail_at_this_look": "The same for failing",
    "attempt": "Attempt",
    "looks_paid": "Looks that were judged",
    "looks_paid_to_pass": "Of them large enough to pass",
    "passes_from_requests": "Requests from which a look may pass",
    "next_paid_at_requests": "Requests at which the next look is judged",
    "more_requests_to_pass": "Requests until it passes, if everything stays as it is",
    "more_requests_to_fail": "Requests until it fails, if everything stays as it is",
    "more_requests_for_harmless_below_0_001": "Requests without any that would show it harmless below 0.1 %",
    "baseline_requests_needed": "Requests that the baseline would have to have",
    "looks_before_drain": "Looks from before the drain, left out",
    "duplicate_looks": "Looks that repeat a reading, left out",
    "absent_looks": "Looks without data",
    "counter_resets": "Times that the counter started anew",
    "clock_skew_seconds": "How far the source's clock is ahead of the hub's",
    "median_seconds": "Median latency",
    "baseline_median_seconds": "Median latency of the baseline",
    "probability_slower": "How often a request is slower than one of the baseline",
    "effect_threshold": "From which share on that counts as slower",
    "bad_served": "Requests lately served by the bad version, by the callers' metrics",
    "served": "Requests lately served by all",
    "samples": "Samples in a row",
    "wanted_samples": "Samples in a row that are wanted",
    "bad_requests": "Requests to the bad version in them",
    "bad_active": "Requests to the bad version that are under way",
    "gateways": "Gateways",
    "lagging": "Gateways that lag",
    "wanted": "Routing state that they should serve by",
    "version": "The version that answered",
    "asked": "Consumers that were asked",
    "right": "Consumers that use the good version",
    "looks": "Looks",
    "new_errors_and_complaints": "New errors and complaints about the bad version",
    "method": "Method",
    "source": "Where the method is from",
    "bad_version": "The bad version",
    "negative_feedback": "Negative feedback",
    "errors": "Errors",
}
_SHARES = ("rate", "baseline_rate", "allowed_rate", "harmless_below", "rate_at_most", "probability_slower", "effect_threshold")
_POINTS = ("points", "points_at_most", "margin_points")


@dataclass(frozen=True, slots=True)
class NumberRow:
    """One number: what it means, its name on the record, and its value with its unit."""

    words: str
    name: str
    value: str


def number_rows(numbers: Mapping[str, Any]) -> list[NumberRow]:
    """Every number in its own order; of a check with several parts with the part before it."""
    return list(_rows(numbers, "", ""))


def _rows(numbers: Mapping[str, Any], said: str, place: str) -> Iterator[NumberRow]:
    for name, value in numbers.items():
        words = WORDS.get(name, name.replace("_", " ").capitalize())
        if isinstance(value, Mapping):
            yield from _rows(value, f"{said}{words}: ", f"{place}{name}.")
        else:
            yield NumberRow(f"{said}{words}", f"{place}{name}", _value(name, value))


def _value(name: str, value: Any) -> str:
    if value is None or value == []:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(entry) for entry in value)
    if not isinstance(value, int | float):
        return str(value).replace("_", " ") if name in ("baseline_kind", "passed_by") else str(value)
    if name.endswith("_seconds"):
        return in_words(value)
    if name in _SHARES:
        return f"{100 * value:.2f} %"
    if name in _POINTS:
        return f"{100 * value:.2f} percentage points"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
