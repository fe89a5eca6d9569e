"""Wait until the bad version gets no traffic any more, as the gateways' own counters say."""

from __future__ import annotations

from pydantic import Field

from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import Promise
from rollbackhub.executions.actions.base import Action, Params, StepOutcome
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.domain.observers import keep_counters, traffic_observer
from rollbackhub.executions.enums import FindingCode
from rollbackhub.executions.findings import FindingDraft
from rollbackhub.verification.traffic_share import check_traffic_share, drained_since


class AwaitDrainParams(Params):
    """Samples in a row that must see traffic and none of it at the bad version; the limit in seconds."""

    consecutive: int = Field(default=3, ge=1, le=100)
    limit_seconds: float = Field(default=60, gt=0, le=86400)
    interval_seconds: float = Field(default=0.3, gt=0, le=60)


class AwaitDrain(Action):
    """Reads gateways' counters."""

    name = "await_drain"
    promise = Promise.READ_ONLY
    params_type = AwaitDrainParams

    def run(self, context: StepContext, params: AwaitDrainParams) -> StepOutcome:
        """Passed when drained; `at` is the first of the samples in a row that saw it so."""
        traffic = traffic_observer(context)
        bad = context.bad_version
        while True:
            traffic.look()
            check = check_traffic_share(traffic.samples, bad_version=bad, consecutive=params.consecutive)
            if check.verdict == Verdict.PASSED:
                keep_counters(context)
                return StepOutcome(Verdict.PASSED, check.sentence, at=drained_since(traffic.samples, bad_version=bad), result=check.numbers)
            if context.seconds_left(params.limit_seconds) <= 0:
                break
            context.pause(params.interval_seconds)
        if traffic.errors:
            finding = FindingDraft(
                FindingCode.UNREACHABLE,
                "traffic",
                "counters of every gateway, or of the callers",
                traffic.errors[0],
                "Check the envoy connection's admin addresses and the prometheus connection.",
            )
            return StepOutcome(Verdict.ERROR, f"The traffic could not be observed: {traffic.errors[0]}", findings=(finding,))
        if check.verdict == Verdict.FAILED:
            finding = FindingDraft(
                FindingCode.NOT_RESTORED,
                f"traffic of {bad}",
                f"none within {params.limit_seconds:g} s",
                check.sentence,
                "Look for a gateway or a client that does not follow the policy.",
            )
            return StepOutcome(Verdict.FAILED, check.sentence, findings=(finding,), result=check.numbers)
        return StepOutcome(Verdict.INCONCLUSIVE, check.sentence, result=check.numbers)
