"""Observe that it worked: every check of the artefact, look after look, until all pass together or one is given up."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Literal

from pydantic import Field

from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import Promise
from rollbackhub.executions.actions.base import Action, Params, StepOutcome
from rollbackhub.executions.domain import path_checks
from rollbackhub.executions.domain.baselines import read_baselines
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.domain.looks import ACTION, TEMPLATE_PARAMS, WITHOUT_BASELINE, begin_looks, checks_of, feed
from rollbackhub.executions.domain.observers import MetricsObserver, ServedObserver, TrafficObserver, keep_counters, traffic_observer
from rollbackhub.executions.domain.probes import ask_probe, gateways_now
from rollbackhub.executions.domain.restoring import is_revoked
from rollbackhub.executions.enums import FindingCode
from rollbackhub.executions.findings import FindingDraft
from rollbackhub.executions.models import Sample
from rollbackhub.verification.course import Course
from rollbackhub.verification.evidence import CheckOutcome
from rollbackhub.verification.looking import Looks, evaluate
from rollbackhub.verification.served import said_at
from rollbackhub.verification.specs import Check, GatewayRevision, ImpactCeased, MetricBaseline, MetricThreshold, Probe, TrafficShare, title_of
from rollbackhub.verification.traffic_share import drained_since

NO_BASELINE = (
    "No metrics were read before the flip, so there is no baseline: verifying again cannot show that they are back at it."
    " Look at the metrics yourself, and close it saying what you saw."
)
OF_METRICS = (MetricBaseline, MetricThreshold, ImpactCeased)


class VerifyParams(Params):
    """How long to look and how often; the margins count for artefacts that have no checks of their own."""

    limit_seconds: float = Field(default=900, gt=0, le=86400)
    """Traffic is restored by then, so waiting harms nobody: an alias with a request a second needs minutes to show that it is back."""
    interval_seconds: float = Field(default=0.5, gt=0, le=60)
    consecutive: int = Field(default=TEMPLATE_PARAMS["consecutive"], ge=1, le=100)
    window_seconds: float = Field(default=0, ge=0, le=3600)
    """The looks in a row that pass must span at least this time."""
    versions: Literal["all", "fix"] = "all"
    """Whose metrics must be back at the baseline: of all that serve, or (roll-forward) of the fix alone."""
    min_requests: int = Field(default=30, ge=1, le=1_000_000)
    """No longer used: the judge says how many requests it needs. Procedures that name it go on running."""
    feedback_margin: float = Field(default=TEMPLATE_PARAMS["feedback_margin"], gt=0, lt=1)
    latency_ratio: float = Field(default=TEMPLATE_PARAMS["latency_ratio"], gt=1, le=100)
    no_data_limit: int = Field(default=10, ge=1, le=10_000)


class Verify(Action):
    """Reads what was counted after the drain. A source that is down is `error`, a silent one `inconclusive`: never passed."""

    name = ACTION
    promise = Promise.READ_ONLY
    params_type = VerifyParams

    def run(self, context: StepContext, params: VerifyParams) -> StepOutcome:
        """Passed when every check passed at as many looks in a row as it wants, over `window_seconds`; `at` is when the last of them did."""
        checks = checks_of(context.plan, params.model_dump())
        looks = begin_looks(context.execution, context.attempt, of_fix=params.versions == "fix")
        self._keep(context, looks, kind="baseline", source="before the flip", value={**read_baselines(context), "since": looks.since.isoformat()})
        served_again = False
        course = Course(checks, span_seconds=params.window_seconds)
        traffic, metrics = traffic_observer(context), MetricsObserver(context)
        while True:
            self._look(context, looks, checks, traffic=traffic, metrics=metrics)
            outcomes = [evaluate(check, looks) for check in checks]
            kept = context.keep_sample(kind="look", source="checks", value=said_at(outcomes))
            verdict = course.take(outcomes, at=kept.taken_at)
            if not served_again and _shows_bad(checks, outcomes):
                served_again = True
                context.served_again()
            if verdict == Verdict.PASSED:
                said = " ".join(check.sentence for check in outcomes)
                _keep_what_was_served(context, served_again)
                return StepOutcome(
                    Verdict.PASSED, said, at=kept.taken_at, drained_at=_drained_at(checks, outcomes, looks, at=kept.taken_at), checks=tuple(outcomes)
                )
            no_data = max(metrics.errors_in_a_row, metrics.silent_in_a_row) >= params.no_data_limit
            # Without a baseline no number of looks shows that it is back at it.
            hopeless = course.looks >= params.no_data_limit and course.verdict == Verdict.INCONCLUSIVE and _lacks_baseline(checks, looks)
            if verdict is not None or no_data or hopeless or context.seconds_left(params.limit_seconds) <= 0:
                ended = _not_verified(checks, outcomes, course.verdict, metrics, bad=looks.bad_version, without_baseline=_lacks_baseline(checks, looks))
                _keep_what_was_served(context, served_again)
                return replace(ended, drained_at=_drained_at(checks, outcomes, looks, at=kept.taken_at))
            context.say(_so_far(checks, outcomes, look=course.looks))
            context.pause(params.interval_seconds)

    def _look(self, context: StepContext, looks: Looks, checks: list[Check], *, traffic: TrafficObserver | ServedObserver, metrics: MetricsObserver) -> None:
        """Take one look at everything that some check asks for; what is seen is kept first, and judged as it was kept."""
        kinds = {type(check) for check in checks}
        if TrafficShare in kinds:
            traffic.look()
            _feed(looks, traffic.kept)
        if TrafficShare in kinds or any(issubclass(kind, OF_METRICS) for kind in kinds):
            metrics.look()
            _feed(looks, metrics.kept)
        if GatewayRevision in kinds:
            self._keep(context, looks, kind="gateways", source="discovery requests", value=gateways_now(context))
        for check in checks:
            if isinstance(check, Probe):
                self._keep(context, looks, kind="probe", source=check.url, value={"check": check.key, **ask_probe(check)})

    @staticmethod
    def _keep(context: StepContext, looks: Looks, *, kind: str, source: str, value: dict[str, object]) -> None:
        _feed(looks, context.keep_sample(kind=kind, source=source, value=value))


def _feed(looks: Looks, sample: Sample | None) -> None:
    if sample is not None:
        feed(looks, kind=sample.kind, value=sample.value, taken_at=sample.taken_at)


def _keep_what_was_served(context: StepContext, served_again: bool) -> None:
    """The exposure had been reckoned until a drain that was none: it goes on until now."""
    if served_again or is_revoked(context.execution):
        keep_counters(context)


def _shows_bad(checks: list[Check], outcomes: list[CheckOutcome]) -> bool:
    """Whether a check of the traffic saw requests at the bad version."""
    return any(
        isinstance(check, TrafficShare) and outcome.verdict == Verdict.FAILED and (outcome.numbers["bad_requests"] or outcome.numbers["bad_served"])
        for check, outcome in zip(checks, outcomes, strict=True)
    )


def _drained_at(checks: list[Check], outcomes: list[CheckOutcome], looks: Looks, *, at: dt.datetime) -> dt.datetime | None:
    """Since when nothing goes to it, when the last look shows that nothing does; None when it does not, or nothing looked."""
    of_traffic = [outcome for check, outcome in zip(checks, outcomes, strict=True) if isinstance(check, TrafficShare)]
    if not of_traffic or any(outcome.verdict != Verdict.PASSED for outcome in of_traffic):
        return None
    instants = (drained_since(samples, bad_version=looks.bad_version) for samples in (looks.traffic, looks.served))
    # The source's clock may be fast: not later than the last look, `at`.
    return max((min(instant, at) for instant in instants if instant is not None), default=None)


def _so_far(checks: list[Check], outcomes: list[CheckOutcome], *, look: int) -> str:
    """What stands in the way at this look, for those who watch."""
    titles = {check.key: title_of(check) for check in checks}
    waiting = [f"{titles[outcome.name]}: {outcome.sentence}" for outcome in outcomes if outcome.verdict != Verdict.PASSED]
    begin = f"Look {look}: {len(outcomes) - len(waiting)} of {len(outcomes)} checks pass."
    return " ".join([begin, *waiting])


def _lacks_baseline(checks: list[Check], looks: Looks) -> bool:
    return not looks.baselines and any(isinstance(check, MetricBaseline) for check in checks)


def _not_verified(
    specs: list[Check], checks: list[CheckOutcome], verdict: Verdict, metrics: MetricsObserver, *, bad: str, without_baseline: bool
) -> StepOutcome:
    findings: list[FindingDraft] = []
    if metrics.errors_in_a_row:
        findings.append(path_checks.metrics_unreachable(metrics.last_error))
    elif metrics.silent_in_a_row:
        findings.append(path_checks.metrics_missing(metrics.last_error))
    findings += [_finding_of(spec, check, bad=bad) for spec, check in zip(specs, checks, strict=True) if check.verdict == Verdict.FAILED]
    said = list(dict.fromkeys(check.sentence for check in checks if check.verdict != Verdict.PASSED))
    if without_baseline:
        said.append(NO_BASELINE)
    return StepOutcome(verdict, " ".join(said), findings=tuple(findings), checks=tuple(checks), result={WITHOUT_BASELINE: True} if without_baseline else {})


def _finding_of(spec: Check, check: CheckOutcome, *, bad: str) -> FindingDraft:
    """A check that failed, with what it had to show."""
    if isinstance(spec, TrafficShare):
        remedy = "Find what holds clients there (sessions that stick, callers beside the gateways), end it, then verify again."
        return FindingDraft(FindingCode.NOT_RESTORED, f"requests that {bad} serves", "none after the drain", check.sentence, remedy)
    if isinstance(spec, GatewayRevision):
        remedy = "Mend or stop the gateways that lag, then verify again."
        return FindingDraft(FindingCode.NOT_RESTORED, title_of(spec), "every live gateway serves by what was written last", check.sentence, remedy)
    expected = "back at the baseline"
    if isinstance(spec, MetricThreshold):
        expected = f"below {spec.limit:.2%} of requests"
    elif isinstance(spec, ImpactCeased):
        expected = "no new harm by the bad version, and all users back at the baseline"
    elif isinstance(spec, Probe):
        expected = "the good version answers"
    return FindingDraft(FindingCode.NOT_RESTORED, title_of(spec), expected, check.sentence, "The rollback did not undo the harm: look further.")
