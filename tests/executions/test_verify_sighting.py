"""Verifying that sees the bad version serve after the drain takes `restored` back while it looks, and gives it again only by what it saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rollbackhub.common import clock
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.actions import verify
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.domain.engine import advance_execution
from rollbackhub.executions.domain.recheck import recheck_execution
from rollbackhub.executions.domain.transitions import retry_execution
from rollbackhub.executions.enums import ExecutionState, FindingCode
from rollbackhub.executions.models import Execution, Sample
from rollbackhub.registry.models import Artefact
from rollbackhub.routing.models import RoutingPolicy
from tests.executions.conftest import FLIP, start
from tests.executions.test_await_drain import AWAY, QUIET, STICKS, metrics  # noqa: F401
from tests.rollbacks.conftest import script  # registers the action that passes
from tests.routing.conftest import ACTOR, BAD, GOOD

WAITS = [{"key": key, "title": key.title(), "action": "observe_at", "segment": key} for key in ("propagate", "drain")]
VERIFY = {"key": "verify", "title": "Verify", "action": "verify", "segment": "verify", "params": {"limit_seconds": 30, "interval_seconds": 0.02}}


class Routed:
    """Gateways that send the bad version nothing."""

    def __init__(self, context: StepContext) -> None:
        self._context = context
        self.kept: Sample | None = None

    def look(self) -> None:
        """One look more, kept."""
        value = {"requests": {BAD.version_pin: 0, GOOD.version_pin: 20}, "active": {}, "complete": True, "total": 20, "shares": {}, "per_gateway": {}}
        self.kept = self._context.keep_sample(kind="traffic", source="test", value=value)


@pytest.fixture
def verified(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Execution]:
    """Runs what is due: a new execution whose drain has passed, or the one that there is, again."""
    monkeypatch.setattr(verify, "traffic_observer", Routed)
    monkeypatch.setattr(verify, "keep_counters", lambda context: None)
    Artefact.objects.update(checks=[{"kind": "traffic_share", "key": "traffic", "consecutive": 1, "failure_limit": 4, "error_limit": 4}])

    def run() -> Execution:
        execution = Execution.objects.first()
        if execution is None:
            execution = start(policy, FLIP, *WAITS, VERIFY)
        else:
            retry_execution(execution_id=execution.pk, actor=ACTOR)
        advance_execution(execution_id=execution.pk, worker="worker-1")
        return Execution.objects.get()

    return run


def assert_rechecks() -> None:
    for again in recheck_execution(Execution.objects.get().pk):
        assert again.agrees, again.differing


def test_verification_that_sees_it_serve_revokes_and_one_that_sees_it_quiet_restores(
    verified: Callable[[], Execution],
    metrics: Callable[..., None],  # noqa: F811
) -> None:
    script("drain", None)
    metrics(QUIET, STICKS)
    stopped = verified()
    assert (stopped.state, stopped.drained_at, stopped.restored_at, stopped.rollback_seconds) == (ExecutionState.NEEDS_HUMAN, None, None, None)
    assert stopped.propagated_at is not None
    assert stopped.attempts.get(key="verify").result["served_again"] is True
    finding = stopped.findings.get(code=FindingCode.NOT_RESTORED)
    assert (finding.subject, finding.expected) == (f"requests that {BAD.version_pin} serves", "none after the drain")
    assert "verify again" in finding.remedy
    assert_rechecks()
    metrics(QUIET)
    before = clock.now()
    ended = verified()
    assert ended.verdict == Verdict.PASSED
    assert ended.drained_at is not None
    assert ended.restored_at is not None
    assert before < ended.drained_at <= ended.restored_at
    finding.refresh_from_db()
    assert finding.mended_at is not None
    # What the first attempt was judged by stands, whatever the clock says now.
    assert_rechecks()


def test_sighting_needs_so_many_requests_as_would_show_it_before_it_is_over(
    verified: Callable[[], Execution],
    metrics: Callable[..., None],  # noqa: F811
) -> None:
    metrics(QUIET, STICKS)
    verified()
    metrics({"good": 1}, *[{"good": 1}] * 20, QUIET)
    ended = verified()
    assert ended.verdict == Verdict.PASSED
    attempt = ended.attempts.get(key="verify", number=2)
    looked: list[dict[str, Any]] = [sample.value["verdicts"] for sample in Sample.objects.filter(attempt=attempt, kind="look")]
    assert looked[5]["traffic"] == "inconclusive"


def test_metrics_that_go_away_while_verifying_are_no_pass_and_revoke_nothing(
    verified: Callable[[], Execution],
    metrics: Callable[..., None],  # noqa: F811
) -> None:
    metrics(AWAY)
    stopped = verified()
    assert (stopped.state, stopped.restored_at is None) == (ExecutionState.NEEDS_HUMAN, False)
    check = stopped.checks.get(check_name="traffic")
    assert check.verdict == Verdict.ERROR
    assert "By the gateways' counters alone" in check.sentence
    assert_rechecks()
