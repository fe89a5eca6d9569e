"""Wait until the bad version gets no traffic any more: by the gateways' own counters, and where it is counted as served."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from rollbackhub.common import clock
from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import Promise
from rollbackhub.connectors.prometheus import PrometheusConnector
from rollbackhub.executions.actions.base import Action, Params, StepOutcome
from rollbackhub.executions.domain import path_checks
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.domain.looks import UNSEEN, begin_looks, feed
from rollbackhub.executions.domain.observers import MetricsObserver, keep_counters, traffic_observer
from rollbackhub.executions.enums import FindingCode
from rollbackhub.executions.findings import FindingDraft
from rollbackhub.executions.models import Sample
from rollbackhub.verification.evidence import CheckOutcome
from rollbackhub.verification.looking import GATEWAYS_ALONE, LatelyServed, lately_served
from rollbackhub.verification.traffic_share import check_traffic_share, drained_since


class AwaitDrainParams(Params):
    """Samples in a row that must see traffic and none of it at the bad version; the limit in seconds."""

    consecutive: int = Field(default=3, ge=1, le=100)
    limit_seconds: float = Field(default=60, gt=0, le=86400)
    interval_seconds: float = Field(default=0.3, gt=0, le=60)


class AwaitDrain(Action):
    """Reads gateways' counters, and the callers' metrics where they are: a session that sticks to the bad version is seen there alone.

    Metrics that cannot be read are waited for until the step's deadline, and then it has not passed: no data is never a pass.
    """

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
            if check.verdict == Verdict.PASSED and (served.is_quiet or (late and served.was_never_seen)):
                keep_counters(context)
                # The source's clock may be fast: not later than now.
                instants = (
                    drained_since(traffic.samples, bad_version=bad),
                    served.quiet_since,
                )
                at = max((min(instant, clock.now()) for instant in instants if instant), default=None)
                return StepOutcome(Verdict.PASSED, f"{check.sentence} {served.in_words}".strip(), at=at, result=check.numbers)
            if late:
                break
            # Once gateways send it nothing, what is waited for comes first.
            said = [served.in_words, check.sentence] if check.verdict == Verdict.PASSED else [check.sentence, served.in_words]
            context.say(" ".join(said).strip())
            context.pause(params.interval_seconds)
        # What went on until now is exposure.
        keep_counters(context)
        if traffic.errors:
            finding = FindingDraft(
                FindingCode.UNREACHABLE,
                "traffic",
                "counters of every gateway, or of the callers",
                traffic.errors[0],
                "Check the envoy connection's admin addresses and the prometheus connection.",
            )
            return StepOutcome(Verdict.ERROR, f"The traffic could not be observed: {traffic.errors[0]}", findings=(finding,))
        if check.verdict == Verdict.PASSED:
            return served.not_shown(check, limit_seconds=params.limit_seconds)
        if check.verdict == Verdict.FAILED:
            return _still_served(bad, check.sentence, check, limit_seconds=params.limit_seconds)
        return StepOutcome(Verdict.INCONCLUSIVE, check.sentence, result=check.numbers)


def _still_served(bad: str, sentence: str, check: CheckOutcome, *, limit_seconds: float) -> StepOutcome:
    finding = FindingDraft(
        FindingCode.NOT_RESTORED,
        f"traffic of {bad}",
        f"none within {limit_seconds:g} s",
        sentence,
        "Look for a gateway or a client that does not follow the policy.",
    )
    return StepOutcome(Verdict.FAILED, sentence, findings=(finding,), result=check.numbers)


class _Served:
    """What the callers' metrics say about the bad version. An environment without them goes by the gateways' counters, and says so."""

    def __init__(self, context: StepContext) -> None:
        self._bad = context.bad_version
        self._is_told_apart = "fix_version" in context.plan
        # In a roll-forward the traffic itself is read there already.
        wanted = PrometheusConnector.name in context.plan["connections"] and not self._is_told_apart
        self._metrics = MetricsObserver(context) if wanted else None
        self._looks = begin_looks(context.execution, context.attempt, of_fix=False)
        self._looks.since = context.attempt.started_at
        self._seen_before = _was_seen_before(context) if wanted else False

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
    def problem(self) -> str:
        """Why the last look saw nothing; empty when it was one, and where there are no metrics."""
        return self._metrics.last_error if self._metrics is not None else ""

    @property
    def is_quiet(self) -> bool:
        """Whether nobody was served by the bad version lately, as the last look shows; always where there are no metrics to show it."""
        if self._metrics is None:
            return True
        return not self.problem and self.lately.is_enough and not self.lately.by_bad

    @property
    def was_never_seen(self) -> bool:
        """Whether the metrics can be read and show requests since the flip, too few to be sure, and never one that it served."""
        return not self.problem and bool(self.lately.requests) and not self._was_seen

    @property
    def _was_seen(self) -> bool:
        return self._seen_before or any(sample.requests.get(self._bad, 0) for sample in self._looks.served)

    @property
    def quiet_since(self) -> dt.datetime | None:
        """The first of the last samples in a row that saw nobody served by it."""
        return drained_since(self._looks.served, bad_version=self._bad)

    @property
    def in_words(self) -> str:
        """What speaks against it; or how little was heard."""
        if self._metrics is None:
            return "" if self._is_told_apart else GATEWAYS_ALONE
        seen = self.lately
        if self.problem:
            last = f" When they were read last, it had served {seen.by_bad} of {seen.requests} requests." if seen.by_bad else ""
            return (
                f"The callers' metrics, which would show sessions that stick to {self._bad}, cannot be read ({self.problem.rstrip('.')}), so it is not shown"
                f" that nobody is served by it.{last}"
            )
        if seen.by_bad:
            return (
                f"By the callers' metrics {self._bad} still served {seen.by_bad} of the last {seen.requests} requests, though gateways send it nothing:"
                " clients stick to it (sessions), or reach it beside the gateways."
            )
        if seen.is_enough:
            return ""
        if not seen.requests:
            return "The callers' metrics show no request at all since the flip yet, so they do not show that no session sticks to it."
        return f"By the callers' metrics it served none of {seen.requests} requests since the flip: too few to be sure that no session sticks to it."

    def not_shown(self, check: CheckOutcome, *, limit_seconds: float) -> StepOutcome:
        """How the step ends when gateways send it nothing and the callers' metrics do not show the same."""
        assert self._metrics is not None
        if self.lately.by_bad and not self.problem:
            return _still_served(self._bad, self.in_words, check, limit_seconds=limit_seconds)
        sentence = f"By the gateways' counters {check.sentence} {self.in_words}"
        result = {**check.numbers, UNSEEN: True}
        if not self.problem:
            return StepOutcome(Verdict.INCONCLUSIVE, sentence, result=result)
        if self._metrics.errors_in_a_row:
            return StepOutcome(Verdict.ERROR, sentence, findings=(path_checks.metrics_unreachable(self.problem),), result=result)
        return StepOutcome(Verdict.INCONCLUSIVE, sentence, findings=(path_checks.metrics_missing(self.problem),), result=result)


def _was_seen_before(context: StepContext) -> bool:
    """Whether an earlier attempt of this step saw it serve: then only metrics that show it quiet end this one. One query for a first attempt."""
    samples = Sample.objects.filter(
        execution=context.execution, attempt__position=context.attempt.position, attempt__number__lt=context.attempt.number, kind="metrics"
    ).select_related("attempt")
    looks = begin_looks(context.execution, context.attempt, of_fix=False)
    for sample in samples.order_by("id").iterator():
        looks.since = min(looks.since, sample.attempt.started_at)
        feed(looks, kind=sample.kind, value=sample.value, taken_at=sample.taken_at)
    return any(seen.requests.get(context.bad_version, 0) for seen in looks.served)
