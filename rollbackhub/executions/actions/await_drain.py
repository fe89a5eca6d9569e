"""Wait until the bad version gets no traffic any more: by the gateways' own counters, and where it is counted as served."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from pydantic import Field

from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import Promise
from rollbackhub.connectors.prometheus import PrometheusConnector
from rollbackhub.executions.actions.base import Action, Params, StepOutcome
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.domain.looks import begin_looks, feed
from rollbackhub.executions.domain.observers import MetricsObserver, keep_counters, traffic_observer
from rollbackhub.executions.enums import FindingCode
from rollbackhub.executions.findings import FindingDraft
from rollbackhub.verification.looking import LatelyServed, lately_served
from rollbackhub.verification.traffic_share import check_traffic_share, drained_since


class AwaitDrainParams(Params):
    """Samples in a row that must see traffic and none of it at the bad version; the limit in seconds."""

    consecutive: int = Field(default=3, ge=1, le=100)
    limit_seconds: float = Field(default=60, gt=0, le=86400)
    interval_seconds: float = Field(default=0.3, gt=0, le=60)


class AwaitDrain(Action):
    """Reads gateways' counters, and the callers' metrics where they are: a session that sticks to the bad version is seen there alone."""

    name = "await_drain"
    promise = Promise.READ_ONLY
    params_type = AwaitDrainParams

    def run(self, context: StepContext, params: AwaitDrainParams) -> StepOutcome:
        """Passed when drained; `at` is the first of the samples in a row that saw it so."""
        traffic, served = traffic_observer(context), _Served(context)
        bad = context.bad_version
        while True:
            traffic.look()
            served.look()
            check = check_traffic_share(traffic.samples, bad_version=bad, consecutive=params.consecutive)
            late = context.seconds_left(params.limit_seconds) <= 0
            if check.verdict == Verdict.PASSED and (served.is_quiet or (late and not served.lately.by_bad)):
                keep_counters(context)
                at = max((instant for instant in (drained_since(traffic.samples, bad_version=bad), served.quiet_since) if instant), default=None)
                return StepOutcome(Verdict.PASSED, f"{check.sentence} {served.in_words}".strip(), at=at, result=check.numbers)
            if late:
                break
            context.say(f"{check.sentence} {served.in_words}".strip())
            context.pause(params.interval_seconds)
        if check.verdict == Verdict.PASSED:
            check = replace(check, verdict=Verdict.FAILED, sentence=served.in_words)
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


class _Served:
    """What the callers' metrics say about the bad version. Without metrics it has nothing to say; verifying asks for them."""

    def __init__(self, context: StepContext) -> None:
        self._bad = context.bad_version
        # In a roll-forward the traffic itself is read there already.
        wanted = PrometheusConnector.name in context.plan["connections"] and "fix_version" not in context.plan
        self._metrics = MetricsObserver(context) if wanted else None
        self._looks = begin_looks(context.execution, context.attempt, of_fix=False)
        self._looks.since = context.attempt.started_at

    def look(self) -> None:
        """One look, kept."""
        if self._metrics is None:
            return
        self._metrics.look()
        if self._metrics.kept is not None:
            feed(self._looks, kind="metrics", value=self._metrics.kept.value, taken_at=self._metrics.kept.taken_at)

    @property
    def lately(self) -> LatelyServed:
        """Who served, by the last readings; nobody while the source is away, or its scrapes are further apart than this wait is long."""
        return lately_served(self._looks.served, bad_version=self._bad)

    @property
    def is_quiet(self) -> bool:
        """Whether it does not speak against it: nobody was served by the bad version lately, or the source is away and cannot tell."""
        if self._metrics is None or self._metrics.errors_in_a_row or self._metrics.silent_in_a_row:
            return True
        return self.lately.is_enough and not self.lately.by_bad

    @property
    def quiet_since(self) -> dt.datetime | None:
        """The first of the last samples in a row that saw nobody served by it."""
        return drained_since(self._looks.served, bad_version=self._bad)

    @property
    def in_words(self) -> str:
        """What speaks against it; or how little was heard."""
        seen = self.lately
        if seen.by_bad:
            return (
                f"By the callers' metrics {self._bad} still served {seen.by_bad} of the last {seen.requests} requests, though gateways send it nothing:"
                " clients stick to it (sessions), or reach it beside the gateways."
            )
        if self._metrics is None or seen.is_enough:
            return ""
        return f"By the callers' metrics it served none of {seen.requests} requests since the flip: too few to be sure that no session sticks to it."
