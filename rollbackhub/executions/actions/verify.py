"""Observe that it worked: traffic share, negative feedback and latency, several looks in a row."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rollbackhub.common import clock
from rollbackhub.common.verdict import Verdict, combine
from rollbackhub.connectors.base import Promise
from rollbackhub.executions.actions.base import Action, Params, StepOutcome
from rollbackhub.executions.domain import path_checks
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.domain.observers import MetricsObserver, summed, totals_of, traffic_observer
from rollbackhub.executions.enums import FindingCode
from rollbackhub.executions.findings import FindingDraft
from rollbackhub.executions.models import Sample
from rollbackhub.verification.evidence import CheckOutcome, Totals
from rollbackhub.verification.metric_baseline import FEEDBACK, LATENCY, check_latency, check_negative_feedback
from rollbackhub.verification.traffic_share import check_traffic_share

LOOKS_BACK = 200
"""How many looks a window may reach back."""


NO_BASELINE = (
    "No metrics were read before the flip, so there is no baseline: verifying again cannot show that they are back at it."
    " Look at the metrics yourself, and close it saying what you saw."
)


class VerifyParams(Params):
    """The margins of the checks, how many looks in a row must pass, and after how many without data to give up."""

    limit_seconds: float = Field(default=60, gt=0, le=86400)
    interval_seconds: float = Field(default=0.5, gt=0, le=60)
    consecutive: int = Field(default=2, ge=1, le=100)
    window_seconds: float = Field(default=0, ge=0, le=3600)
    """The looks in a row that pass must span at least this time."""
    versions: Literal["all", "fix"] = "all"
    """Whose metrics must be back at the baseline: of all that serve, or (roll-forward) of the fix alone."""
    min_requests: int = Field(default=30, ge=1, le=1_000_000)
    feedback_margin: float = Field(default=0.05, ge=0, le=1)
    latency_ratio: float = Field(default=1.5, ge=1, le=100)
    no_data_limit: int = Field(default=10, ge=1, le=10_000)


class Verify(Action):
    """Reads counters and metrics taken after the flip. A source that is down is `error`, a silent one `inconclusive`: never passed."""

    name = "verify"
    promise = Promise.READ_ONLY
    params_type = VerifyParams

    def run(self, context: StepContext, params: VerifyParams) -> StepOutcome:
        """Passed when every check passed at `consecutive` looks in a row; `at` is when the last of them did."""
        traffic, metrics = traffic_observer(context), MetricsObserver(context)
        passes, since = 0, clock.now()
        while True:
            traffic.look()
            totals = metrics.look()
            checks = [
                check_traffic_share(traffic.samples, bad_version=context.bad_version, consecutive=3),
                *self._metric_checks(context, totals, metrics, params),
            ]
            verdict = combine(check.verdict for check in checks)
            if verdict != Verdict.PASSED:
                passes = 0
            elif passes == 0:
                passes, since = 1, clock.now()
            else:
                passes += 1
            if passes >= params.consecutive and (clock.now() - since).total_seconds() >= params.window_seconds:
                at = Sample.objects.filter(attempt=context.attempt).order_by("-id").values_list("taken_at", flat=True).first()
                return StepOutcome(Verdict.PASSED, " ".join(check.sentence for check in checks), at=at, checks=tuple(checks))
            no_data = max(metrics.errors_in_a_row, metrics.silent_in_a_row) >= params.no_data_limit
            if no_data or context.seconds_left(params.limit_seconds) <= 0:
                return self._not_verified(checks, verdict, metrics)
            context.pause(params.interval_seconds)

    def _metric_checks(self, context: StepContext, totals: dict[str, Totals] | None, metrics: MetricsObserver, params: VerifyParams) -> list[CheckOutcome]:
        names = (FEEDBACK, LATENCY)
        if totals is None:
            verdict = Verdict.ERROR if metrics.errors_in_a_row else Verdict.INCONCLUSIVE
            return [CheckOutcome(name, verdict, f"No data: {metrics.last_error}") for name in names]
        of = [str(context.plan["fix_version"])] if params.versions == "fix" else None
        baseline, current = _baseline(context), _window(context, summed(totals, of), of=of, min_requests=params.min_requests)
        if baseline is None or current is None:
            return [CheckOutcome(name, Verdict.INCONCLUSIVE, NO_BASELINE) for name in names]
        if current.went_backwards:
            return [
                CheckOutcome(name, Verdict.INCONCLUSIVE, "The counters of the metrics source went backwards: it restarted after the flip.") for name in names
            ]
        return [
            check_negative_feedback(baseline=baseline, current=current, margin=params.feedback_margin, min_requests=params.min_requests),
            check_latency(baseline=baseline, current=current, ratio=params.latency_ratio, min_requests=params.min_requests),
        ]

    @staticmethod
    def _not_verified(checks: list[CheckOutcome], verdict: Verdict, metrics: MetricsObserver) -> StepOutcome:
        findings: list[FindingDraft] = []
        if metrics.errors_in_a_row:
            findings.append(path_checks.metrics_unreachable(metrics.last_error))
        elif metrics.silent_in_a_row:
            findings.append(path_checks.metrics_missing(metrics.last_error))
        findings += [
            FindingDraft(FindingCode.NOT_RESTORED, check.name, "back at the baseline", check.sentence, "The rollback did not undo the harm: look further.")
            for check in checks
            if check.verdict == Verdict.FAILED
        ]
        message = " ".join(dict.fromkeys(check.sentence for check in checks if check.verdict != Verdict.PASSED))
        return StepOutcome(verdict, message, findings=tuple(findings), checks=tuple(checks))


def _baseline(context: StepContext) -> Totals | None:
    """What the good versions had done before the flip (all that their source has counted until then)."""
    flipped_at = context.execution.executed_at
    before = Sample.objects.filter(execution=context.execution, kind="metrics", taken_at__lte=flipped_at).order_by("-id")[:5] if flipped_at else ()
    for sample in before:
        totals = totals_of(sample)
        if totals:
            return summed(totals, context.good_versions)
    return None


def _window(context: StepContext, now: Totals, *, of: list[str] | None, min_requests: int) -> Totals | None:
    """What was counted in the shortest window up to now that has `min_requests`, of this step's looks, whichever attempt took them.

    The latest window, not all since the flip: what is asked is whether things are back now. None before the first look.
    """
    window: Totals | None = None
    for sample in Sample.objects.filter(execution=context.execution, kind="metrics", attempt__position=context.attempt.position).order_by("-id")[:LOOKS_BACK]:
        totals = totals_of(sample)
        if totals:
            window = now - summed(totals, of)
            if window.requests >= min_requests and window.duration_count >= min_requests:
                break
    return window
