"""Checks as a person writes them: beyond their shape, what would not be kept, could not work at night, or would let anything pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rollbackhub.common.http import OutboundRefused, require_callable
from rollbackhub.common.secret_names import holds_secret
from rollbackhub.common.shown_text import problem_of
from rollbackhub.verification.specs import METRICS, Check, CheckSpec, ImpactCeased, MetricBaseline, MetricThreshold, Probe, parse_checks, refused

LEAST = {"margin_ratio": 0.01, "margin_points": 0.0001, "harmless_below": 0.00001, "limit": 0.00001}
"""Less than a hundredth of the baseline, a hundredth of a percentage point, or one in 100,000 takes millions of requests to show."""

WIDE_RATIO, WIDE_POINTS, WIDE_HARMLESS, WIDE_LIMIT = 0.5, 0.05, 0.05, 0.1
"""Wider margins are taken with a warning. The template's are 5 percentage points, and half as long again; one answer in ten that fails or
is complained about is harm wherever it is usual."""


def parse_written(values: object) -> list[Check]:
    """As `parse_checks`, for what is about to be kept. Raises InvalidInput with a sentence per place (`checks.1.url`). No network."""
    checks = parse_checks(values)
    fields: dict[str, list[str]] = {}
    for number, check in enumerate(checks):
        for place, sentence in _problems(check):
            fields.setdefault(f"checks.{number}.{place}", []).append(sentence)
    if fields:
        raise refused(fields)
    return checks


def _problems(check: CheckSpec) -> Iterator[tuple[str, str]]:
    if problem := problem_of(check.title):
        yield "title", problem
    for name, least in LEAST.items():
        stated = getattr(check, name, None)
        if stated is not None and stated < least:
            yield name, f"It must be {_plain(least)} or more."
    if isinstance(check, Probe):
        problem = address_problem(check)
        if problem:
            yield "url", problem


def address_problem(check: Probe) -> str:
    """Why its address would not be called, as a sentence; empty when it would. Without network: a name may still lead to a forbidden address."""
    if problem := problem_of(check.url):
        return problem
    if holds_secret(check.url):
        return "It holds a password or a key. It would be shown to everybody: give the probe an address that needs none."
    try:
        require_callable(check.url)
    except OutboundRefused as error:
        return error.message
    return ""


def warnings_of(check: CheckSpec) -> list[str]:
    """What it would let pass, in sentences: margins that are wider than is usual, and a single look. Empty when there is nothing to say."""
    said = []
    margins = isinstance(check, MetricBaseline | ImpactCeased)
    of = METRICS[check.metric].lower() if isinstance(check, MetricBaseline | MetricThreshold) else "the users' errors and complaints"
    ratio, points, harmless = (getattr(check, name, None) for name in ("margin_ratio", "margin_points", "harmless_below"))
    if ratio is not None and ratio > WIDE_RATIO:
        said.append(f"This would call {of} of {1 + ratio:g} times the baseline “back at the baseline”.")
    if points is not None and points > WIDE_POINTS:
        said.append(f"This would call {100 * points:g} percentage points worse “back at the baseline”.")
    if harmless is not None and harmless > WIDE_HARMLESS:
        said.append(f"This would call anything below {100 * harmless:g} % of requests harmless, whatever the baseline was.")
    if isinstance(check, MetricThreshold) and check.limit > WIDE_LIMIT:
        said.append(f"This would pass with {of} at nearly {100 * check.limit:g} % of requests.")
    if check.consecutive == 1 and (margins or isinstance(check, MetricThreshold)):
        said.append("One look is enough for it to pass: a good moment would do. The template wants 2 in a row.")
    return said


def all_warnings(checks: Iterable[CheckSpec]) -> list[str]:
    """Those of every check, each with its key."""
    return [f"{check.key}: {sentence}" for check in checks for sentence in warnings_of(check)]


def _plain(value: float) -> str:
    return f"{value:.6f}".rstrip("0")
