"""See real traffic reach the candidate under test, and take the baseline of the others meanwhile."""

from __future__ import annotations

from pydantic import Field

from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import Promise
from rollbackhub.executions.actions.base import Action, Params, StepOutcome
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.domain.observers import MetricsObserver, TrafficObserver, summed
from rollbackhub.executions.enums import FindingCode
from rollbackhub.executions.findings import FindingDraft


class AwaitTrafficParams(Params):
    """Requests wanted at the candidate and, for the baseline, at the good versions; the limit in seconds."""

    min_requests: int = Field(default=3, ge=1, le=1_000_000)
    min_baseline_requests: int = Field(default=30, ge=1, le=1_000_000)
    limit_seconds: float = Field(default=60, gt=0, le=3600)
    interval_seconds: float = Field(default=0.5, gt=0, le=60)


class AwaitTraffic(Action):
    """Reads gateways' counters and the metrics endpoint. A drill that never saw the bad version serve has proven nothing."""

    name = "await_traffic"
    promise = Promise.READ_ONLY
    params_type = AwaitTrafficParams

    def run(self, context: StepContext, params: AwaitTrafficParams) -> StepOutcome:
        """Passed when the candidate was seen serving. The baseline is waited for only while its source answers: verifying judges it."""
        traffic, metrics = TrafficObserver(context), MetricsObserver(context)
        bad, good = context.bad_version, context.good_versions
        while True:
            traffic.look()
            totals = metrics.look()
            baseline = summed(totals, good).requests if totals else 0
            reached = sum(sample.requests.get(bad, 0) for sample in traffic.samples)
            total = sum(sample.total for sample in traffic.samples)
            enough_baseline = baseline >= params.min_baseline_requests or metrics.errors_in_a_row >= 3 or metrics.silent_in_a_row >= 3
            if reached >= params.min_requests and enough_baseline:
                message = f"{bad} got {reached} of {total} requests; the baseline has {baseline:.0f} requests."
                return StepOutcome(Verdict.PASSED, message, result={"bad_requests": reached, "requests": total, "baseline_requests": baseline})
            if context.seconds_left(params.limit_seconds) <= 0:
                return self._not_seen(context, reached, total, traffic, params)
            context.pause(params.interval_seconds)

    @staticmethod
    def _not_seen(context: StepContext, reached: int, total: int, traffic: TrafficObserver, params: AwaitTrafficParams) -> StepOutcome:
        bad = context.bad_version
        if traffic.errors:
            finding = FindingDraft(
                FindingCode.UNREACHABLE,
                "gateway counters",
                "counters of every gateway",
                traffic.errors[0],
                "Check the admin addresses of the envoy connection.",
            )
            return StepOutcome(Verdict.ERROR, f"The gateways' traffic could not be observed: {traffic.errors[0]}", findings=(finding,))
        if reached < params.min_requests and total:
            expected = f"at least {params.min_requests} requests at {bad} within {params.limit_seconds:g} s"
            finding = FindingDraft(
                FindingCode.CONFIG_MISMATCH,
                f"traffic of {context.plan['alias']}",
                expected,
                f"{reached} of {total}",
                "The gateway does not serve by the policy.",
            )
            return StepOutcome(Verdict.FAILED, f"{bad} got {reached} of {total} requests: the canary weight does not reach the traffic.", findings=(finding,))
        return StepOutcome(
            Verdict.INCONCLUSIVE,
            f"Only {total} requests were seen in {params.limit_seconds:g} s, {reached} of them at {bad}; without traffic a drill proves nothing.",
        )
