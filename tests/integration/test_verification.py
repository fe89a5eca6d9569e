"""Verified means verified: through a real Prometheus, through the plain page, through sources with bad habits, and with sessions that stick."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import psutil
import pytest
from django.test import Client

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.enums import Role
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain.recheck import recheck_execution
from rollbackhub.executions.enums import ExecutionState
from rollbackhub.executions.models import Execution
from rollbackhub.lab.catalogue import SMART_REASONER
from rollbackhub.lab.metrics import MetricsMode
from rollbackhub.registry.models import Artefact, Connection
from rollbackhub.rollbacks.domain.acts import retry_rollback
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.rules import CandidateSpec
from tests.connectors.test_prometheus import Exporter
from tests.factories.accounts import UserFactory
from tests.integration.hub import Observed
from tests.integration.production import Production
from tests.lab.worlds import eventually, totals

BAD = "claude-sonnet-4-6"
ALIAS = "smart-reasoner"
TOO_STRICT: list[dict[str, object]] = [
    {"kind": "traffic_share", "key": "traffic_share"},
    {"kind": "metric_threshold", "key": "harmless", "metric": "negative_feedback", "limit": 0.002, "failure_limit": 2},
]
"""The good version's users complain about two requests in a hundred, so this fails."""
MOST_GROWTH = 60_000_000
"""Bytes by which a worker's processes together may grow while ten answers of 10 MB come in one after the other."""


@pytest.fixture
def server(observed: Observed) -> Iterator[Connection]:
    """Staging's metrics connection: the lab's Prometheus; as it was afterwards."""
    observed.settle()
    connection = Connection.objects.get(environment__slug="staging", connector="prometheus")
    before = connection.settings
    assert "server" in before
    yield connection
    connection.settings = before
    connection.save()
    Artefact.objects.update(checks=observed.checks)


def verdicts(execution: Execution) -> dict[str, str]:
    return {check.check_name: check.verdict for check in execution.checks.all()}


def assert_rechecks(execution: Execution, environment: dict[str, str]) -> None:
    """Judged again from what was kept: the same, to the word."""
    judged = recheck_execution(execution.pk)
    assert judged
    for again in judged:
        assert again.agrees, again.differing
    assert execution.verdict in {again.verdict for again in judged}
    said = subprocess.run([sys.executable, "manage.py", "recheck", str(execution.pk)], env=os.environ | environment, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize(("checks", "verdict"), [(Observed.checks, Verdict.PASSED), (TOO_STRICT, Verdict.FAILED)])
def test_drill_by_real_prometheus_and_by_the_plain_page_have_the_same_verdict(
    observed: Observed, server: Connection, checks: list[dict[str, object]], verdict: Verdict
) -> None:
    Artefact.objects.update(checks=checks)
    found: list[dict[str, str]] = []
    for settings in (server.settings, {"endpoint": observed.world.metrics_url("staging")}):
        server.settings = settings
        server.save()
        execution = observed.wait_ended(observed.drill())
        assert (execution.state, execution.verdict) == (ExecutionState.FINISHED, verdict), execution.outcome
        queries = {sample.value["query"] for sample in execution.samples.filter(kind="metrics")}
        assert queries
        assert all(queries)
        assert_rechecks(execution, observed.hub.environment)
        found.append(verdicts(execution))
    assert found[0] == found[1]


def test_prometheus_killed_while_verifying_is_started_again_and_the_drill_passes(observed: Observed, server: Connection) -> None:
    child = next(child for child in observed.world.children if child.name == "prometheus")
    observed.hub.arm("middle-verify", alias=ALIAS, lines=[f"kill {child.pid}"])
    execution = observed.wait_ended(observed.drill(), timeout_seconds=90)
    assert observed.hub.fired_at("middle-verify", alias=ALIAS)
    assert child.restarts > 0
    assert execution.verdict == Verdict.PASSED, execution.outcome
    missed = [sample.value["error"] for sample in execution.samples.filter(kind="metrics", value__has_key="error")]
    assert missed, "some looks found it away"
    assert_rechecks(execution, observed.hub.environment)


def test_prometheus_that_hangs_is_an_error_in_words_and_the_worker_lives(observed: Observed, server: Connection) -> None:
    child = next(child for child in observed.world.children if child.name == "prometheus")
    assert child.pid
    workers = observed.hub.worker_children()
    observed.hub.arm("middle-verify", alias=ALIAS, lines=[f"stop {child.pid}"])
    try:
        execution = observed.wait_ended(observed.drill(), timeout_seconds=90)
    finally:
        os.kill(child.pid, signal.SIGCONT)
    assert execution.verdict == Verdict.ERROR, execution.outcome
    assert "did not answer within" in execution.outcome
    assert observed.hub.worker_children() == workers
    assert execution.restored_at is not None
    observed.world.wait_ready()


def test_prometheus_that_hangs_while_draining_is_waited_for_and_then_nothing_is_restored(observed: Observed, server: Connection) -> None:
    """It had passed after two seconds, on three requests."""
    child = next(child for child in observed.world.children if child.name == "prometheus")
    assert child.pid
    observed.hub.arm("started-drain", alias=ALIAS, lines=[f"stop {child.pid}"])
    try:
        with observed.giving_up_draining(after_seconds=8):
            execution = observed.wait_ended(observed.drill(), timeout_seconds=120)
    finally:
        os.kill(child.pid, signal.SIGCONT)
    assert execution.verdict == Verdict.ERROR, execution.outcome
    assert "did not answer within" in execution.outcome
    assert (execution.drained_at, execution.restored_at) == (None, None)
    observed.world.wait_ready()


def html(handler: BaseHTTPRequestHandler) -> tuple[int, str, bytes]:
    return 200, "text/html", b"<html><body>Please sign in</body></html>"


def nothing(handler: BaseHTTPRequestHandler) -> tuple[int, str, bytes]:
    return 200, "application/json", json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}}).encode()


def huge(handler: BaseHTTPRequestHandler) -> tuple[int, str, bytes]:
    series: dict[str, Any] = {"metric": {"__name__": "llm_requests_total", "padding": "x" * 10_000_000}, "value": [1, "1"]}
    return 200, "application/json", json.dumps({"status": "success", "data": {"resultType": "vector", "result": [series]}}).encode()


def slow(handler: BaseHTTPRequestHandler) -> tuple[int, str, bytes]:
    threading.Event().wait(30)
    return nothing(handler)


@pytest.mark.parametrize(
    ("habit", "verdict", "sentence"),
    [
        (html, Verdict.ERROR, "does not answer as a Prometheus server does"),
        (nothing, Verdict.INCONCLUSIVE, "has no series for smart-reasoner"),
        (huge, Verdict.ERROR, "answers with more than"),
        (slow, Verdict.ERROR, "did not answer within"),
    ],
)
def test_source_with_a_bad_habit_gives_a_clear_verdict_and_the_worker_neither_hangs_nor_grows(
    observed: Observed,
    server: Connection,
    habit: Callable[[BaseHTTPRequestHandler], tuple[int, str, bytes]],
    verdict: Verdict,
    sentence: str,
) -> None:
    source = Exporter()
    source.answer = habit
    server.settings = {"server": source.url}
    server.save()
    workers = observed.hub.worker_children()
    before = sum(psutil.Process(pid).memory_info().rss for pid in workers)
    try:
        with observed.giving_up_draining(after_seconds=8):
            execution = observed.wait_ended(observed.drill(), timeout_seconds=120)
    finally:
        source.close()
    assert execution.verdict == verdict, execution.outcome
    assert sentence in execution.outcome
    assert (execution.restored_at, execution.verified_at) == (None, None), "whom the bad version serves was never shown"
    assert execution.attempts.get(key="drain").result["unseen"] is True
    assert observed.hub.worker_children() == workers, "no process was lost"
    assert sum(psutil.Process(pid).memory_info().rss for pid in workers) - before < MOST_GROWTH
    assert observed.policy().revision_number >= 2


@pytest.mark.timeout(400)
def test_sessions_that_stick_to_the_bad_version_keep_the_rollback_from_being_restored_and_the_page_says_why(production: Production, client: Client) -> None:
    world = production.world
    assert world.set_sticky_clients("production", True)
    try:
        page = world.metrics_url("production")
        production.route(ALIAS, [CandidateSpec(spec.candidate_id, spec.version_pin, 50) for spec in SMART_REASONER.candidates])
        production.wait_gateways()
        eventually(lambda: totals(world, name="lab_sticky_clients", url=page).get(BAD, 0) >= 10, within=60, what="sessions that stick")
        with production.giving_up_draining(after_seconds=30):
            rollback_id = production.roll_back()
        stopped = production.wait_for(rollback_id, RollbackState.PARTIALLY_RESTORED, RollbackState.NEEDS_HUMAN, timeout_seconds=120)
        assert stopped.state == RollbackState.PARTIALLY_RESTORED
        assert stopped.restored_at is None
        assert "still served" in stopped.outcome
        assert "though gateways send it nothing" in stopped.outcome
        client.force_login(UserFactory(roles=[Role.ON_CALL]))
        shown = client.get(f"/rollbacks/{rollback_id}/").content.decode()
        assert "clients stick to it" in shown
    finally:
        assert world.set_sticky_clients("production", False)
    # Verifying may have been begun again meanwhile.
    if Rollback.objects.get(pk=rollback_id).state == RollbackState.PARTIALLY_RESTORED:
        retry_rollback(rollback_id=rollback_id, account=production.cast.on_call, actor=actor_of(production.cast.on_call))
    assert production.wait_for(rollback_id).restored_at is not None


@pytest.mark.timeout(400)
def test_metrics_that_go_down_while_a_session_is_seen_to_stick_do_not_restore_it_and_say_what_to_do(production: Production, client: Client) -> None:
    """One failed read had ended the drain as restored, though the read before had seen the bad version serve."""
    world = production.world
    assert world.set_sticky_clients("production", True)
    try:
        page = world.metrics_url("production")
        production.route(ALIAS, [CandidateSpec(spec.candidate_id, spec.version_pin, 50) for spec in SMART_REASONER.candidates])
        production.wait_gateways()
        eventually(lambda: totals(world, name="lab_sticky_clients", url=page).get(BAD, 0) >= 10, within=60, what="sessions that stick")
        with production.giving_up_draining(after_seconds=30):
            rollback_id = production.roll_back()
        client.force_login(UserFactory(roles=[Role.ON_CALL]))
        # Also in the banner, not in the steps' small print alone.
        eventually(
            lambda: "clients stick to it" in client.get(f"/rollbacks/{rollback_id}/").content.decode().partition("</section>")[0],
            within=30,
            what="the banner says why it waits",
        )
        assert world.set_metrics_mode("production", MetricsMode.DOWN)
        stopped = production.wait_for(rollback_id, RollbackState.PARTIALLY_RESTORED, RollbackState.VERIFIED, timeout_seconds=120)
    finally:
        assert world.set_metrics_mode("production", MetricsMode.NORMAL)
        assert world.set_sticky_clients("production", False)
    assert (stopped.state, stopped.restored_at) == (RollbackState.PARTIALLY_RESTORED, None)
    for words in (
        "By the gateways' counters",
        "cannot be read",
        "it had served",
        "Mend the callers' metrics, then try the step again",
        "a lead may skip the step",
    ):
        assert words in stopped.outcome
    retry_rollback(rollback_id=rollback_id, account=production.cast.on_call, actor=actor_of(production.cast.on_call))
    ended = production.wait_for(rollback_id)
    assert ended.restored_at is not None
    assert "counted by the callers' metrics" in ended.exposure_basis
