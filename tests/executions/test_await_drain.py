"""Draining: gateways that send the bad version nothing are half of it; whom it serves, the callers' metrics have to show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rollbackhub.common import clock
from rollbackhub.common.errors import TransientError
from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.prometheus import NoData, PrometheusConnector, Reading, VersionMetrics
from rollbackhub.executions.actions import await_drain
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.domain.engine import advance_execution
from rollbackhub.executions.domain.transitions import retry_execution
from rollbackhub.executions.enums import ExecutionState, FindingCode
from rollbackhub.executions.models import Execution, StepAttempt
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.verification.evidence import TrafficSample
from tests.executions.conftest import FLIP, start
from tests.factories.registry import ConnectionFactory
from tests.routing.conftest import ACTOR, BAD, GOOD

LIMIT = 1.0
DRAIN = {"key": "drain", "title": "Drain", "action": "await_drain", "segment": "drain", "params": {"limit_seconds": LIMIT, "interval_seconds": 0.02}}
Look = dict[str, int] | Exception
AWAY = TransientError("http://metrics answered 503.")
SILENT = NoData("The newest sample is 300 s old.")


class Gateways:
    """Their counters show good requests alone, at every look."""

    def __init__(self, context: StepContext) -> None:
        self.samples: list[TrafficSample] = []
        self.errors: list[str] = []

    def look(self) -> None:
        """One look more."""
        self.samples.append(TrafficSample(clock.now(), {BAD.version_pin: 0, GOOD.version_pin: 20}))


@pytest.fixture
def metrics(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What the callers' metrics count from look to look (good, bad: grown since the one before); the last of them for ever."""
    ConnectionFactory(environment=policy.environment)
    monkeypatch.setattr(await_drain, "traffic_observer", Gateways)
    monkeypatch.setattr(await_drain, "keep_counters", lambda context: None)
    counted = {"good": 10_000, "bad": 5_000}
    now: dict[str, Iterator[Look]] = {}

    def read(self: object, *, environment: str, alias: str, at: object = None) -> Reading:
        look = next(now["looks"])
        if isinstance(look, Exception):
            raise look
        for name, grown in look.items():
            counted[name] += grown
        versions = {GOOD.version_pin: VersionMetrics(requests=counted["good"]), BAD.version_pin: VersionMetrics(requests=counted["bad"])}
        return Reading(totals={alias: versions}, query="q", read_at=clock.now())

    monkeypatch.setattr(PrometheusConnector, "read", read)

    def shows(*looks: Look) -> None:
        def endless() -> Iterator[Look]:
            yield from looks
            while True:
                yield looks[-1]

        now["looks"] = endless()

    return shows


def drained(policy: RoutingPolicy, **params: Any) -> StepAttempt:
    """The first attempt to drain; without steps that put back it waits for a person when it did not pass."""
    execution = start(policy, FLIP, {**DRAIN, "params": {**DRAIN["params"], **params}})  # type: ignore[dict-item]
    advance_execution(execution_id=execution.pk, worker="worker-1")
    return execution.attempts.get(key="drain")


def retried(attempt: StepAttempt) -> StepAttempt:
    retry_execution(execution_id=attempt.execution_id, actor=ACTOR)
    advance_execution(execution_id=attempt.execution_id, worker="worker-1")
    return StepAttempt.objects.get(execution=attempt.execution_id, key="drain", number=attempt.number + 1)


STICKS: Look = {"good": 20, "bad": 3}
QUIET: Look = {"good": 20}


def test_metrics_that_show_nobody_there_end_it(policy: RoutingPolicy, metrics: Callable[..., None]) -> None:
    metrics(QUIET)
    attempt = drained(policy)
    assert attempt.verdict == Verdict.PASSED
    assert Execution.objects.get().drained_at is not None


def test_sessions_that_stick_fail_it_and_while_it_waits_it_says_so_first(
    policy: RoutingPolicy, metrics: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(StepContext, "say", lambda self, message: said.append(message))
    metrics(STICKS)
    attempt = drained(policy)
    assert (attempt.verdict, attempt.execution.findings.get().code) == (Verdict.FAILED, FindingCode.NOT_RESTORED)
    assert any(
        words.startswith("By the callers' metrics claude-sonnet-4-6 still served") and "of the last" in words and "clients stick to it" in words
        for words in said
    )


@pytest.mark.parametrize(("away", "verdict"), [(AWAY, Verdict.ERROR), (SILENT, Verdict.INCONCLUSIVE)], ids=["down", "too old"])
@pytest.mark.parametrize("before", [[], [STICKS, STICKS], [QUIET, QUIET]], ids=["from the beginning", "after a sighting", "before it was enough"])
def test_metrics_that_go_away_never_end_it(policy: RoutingPolicy, metrics: Callable[..., None], before: list[Look], away: Exception, verdict: Verdict) -> None:
    """One failed read had ended it as restored, also just after the bad version was seen to serve."""
    metrics(*before, away)
    attempt = drained(policy)
    execution = Execution.objects.get()
    assert (attempt.verdict, execution.drained_at, execution.state) == (verdict, None, ExecutionState.NEEDS_HUMAN)
    assert attempt.result["unseen"] is True
    assert "By the gateways' counters claude-sonnet-4-6 got 0 of" in attempt.message
    assert "cannot be read" in attempt.message
    assert "it is not shown that nobody is served by it" in attempt.message
    assert ("it had served" in attempt.message) == (STICKS in before)


def test_metrics_that_come_back_quiet_end_it_before_the_deadline(policy: RoutingPolicy, metrics: Callable[..., None]) -> None:
    metrics(STICKS, STICKS, AWAY, SILENT, AWAY, *[QUIET] * 8)
    attempt = drained(policy, limit_seconds=60)
    assert attempt.verdict == Verdict.PASSED
    assert attempt.execution.samples.filter(kind="metrics", value__has_key="error").count() == 3


def test_too_little_traffic_without_a_sighting_passes_at_the_deadline_and_says_so(policy: RoutingPolicy, metrics: Callable[..., None]) -> None:
    metrics(QUIET, {"good": 1}, {"good": 0})
    attempt = drained(policy)
    assert attempt.verdict == Verdict.PASSED
    assert "too few to be sure that no session sticks to it" in attempt.message


def test_metrics_without_any_request_are_no_data(policy: RoutingPolicy, metrics: Callable[..., None]) -> None:
    metrics({"good": 0})
    attempt = drained(policy)
    assert attempt.verdict == Verdict.INCONCLUSIVE
    assert "show no request at all since the flip" in attempt.message


def test_too_little_traffic_after_an_earlier_attempt_saw_it_serve_does_not_pass(policy: RoutingPolicy, metrics: Callable[..., None]) -> None:
    metrics(STICKS)
    first = drained(policy)
    metrics(QUIET, {"good": 1}, {"good": 0})
    assert retried(first).verdict == Verdict.INCONCLUSIVE
    metrics(QUIET)
    third = retried(StepAttempt.objects.get(key="drain", number=2))
    assert third.verdict == Verdict.PASSED
    finding = first.execution.findings.get(code=FindingCode.NOT_RESTORED)
    assert finding.mended_at == third.ended_at, "the attempt that passed no longer found it"


def test_environment_without_metrics_goes_by_the_gateways_and_says_so(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(await_drain, "traffic_observer", Gateways)
    attempt = drained(policy)
    assert attempt.verdict == Verdict.PASSED
    assert "By the gateways' counters alone: the environment has no callers' metrics" in attempt.message
