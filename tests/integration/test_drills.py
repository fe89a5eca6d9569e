"""Drills on a real gateway: the chapter's opening case, blind verification, two at once, the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any
from uuid import UUID

import pytest

from rollbackhub.common.errors import Conflict
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import ExecutionState, FindingCode
from rollbackhub.lab.envoy import GatewayMode
from rollbackhub.lab.metrics import MetricsMode
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.models import PolicyRevision
from tests.integration.hub import Staging
from tests.threads import at_once

CHAPTER_WEIGHTS = [25, 75]


def command(staging: Staging, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "drill", *arguments], env=os.environ | staging.hub.environment, capture_output=True, text=True, timeout=90
    )


def weights(staging: Staging) -> list[int]:
    return [candidate.weight for candidate in get_candidates(policy=staging.policy())]


def test_drill_command_as_json_passes_with_every_segment(staging: Staging) -> None:
    result = command(staging, "smart-reasoner", "--json")
    assert result.returncode == 0, result.stdout + result.stderr
    report: dict[str, Any] = json.loads(result.stdout)
    assert report["verdict"] == "passed"
    assert report["target_seconds"] == 600
    assert 0 < report["rollback_seconds"] < 10
    assert set(report["segments"]) == {"setup", "execute", "propagate", "drain", "verify", "clean_up"}
    assert all(seconds is not None and seconds >= 0 for seconds in report["segments"].values())
    assert report["rollback_seconds"] == pytest.approx(sum(report["segments"][key] for key in ("execute", "propagate", "drain")), abs=0.01)
    assert report["findings"] == []
    assert len(report["fingerprint"]) == 64
    assert {check["check_name"]: check["verdict"] for check in report["checks"]} == dict.fromkeys(("traffic_share", "negative_feedback"), "passed")


def test_drill_keeps_samples_that_show_the_traffic_leaving_the_bad_version(staging: Staging) -> None:
    execution = staging.wait_ended(staging.drill())
    traffic = list(execution.samples.filter(kind="traffic").order_by("taken_at"))
    before = [sample.value["requests"]["claude-sonnet-4-6"] for sample in traffic if execution.decided_at and sample.taken_at < execution.decided_at]
    after = [
        sample.value["requests"]["claude-sonnet-4-6"]
        for sample in traffic
        if execution.drained_at and execution.verified_at and execution.drained_at <= sample.taken_at <= execution.verified_at
    ]
    assert sum(before) > 0
    assert after
    assert sum(after) == 0
    assert execution.samples.filter(kind="metrics").count() > 2


def test_drill_command_for_people_shows_the_steps(staging: Staging) -> None:
    result = command(staging, "support-answer")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Passed: Restored in" in result.stdout
    assert "Flip the weights" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no-such-alias"], "There is no alias no-such-alias in staging. There are: smart-reasoner in staging"),
        (["smart-reasoner", "--environment", "moon"], "no alias smart-reasoner in moon"),
        (["smart-reasoner", "--bad-version", "claude-9"], "claude-9 is not a version"),
    ],
)
def test_drill_command_that_could_not_run_exits_2_with_one_sentence(staging: Staging, arguments: list[str], sentence: str) -> None:
    plain, as_json = command(staging, *arguments), command(staging, *arguments, "--json")
    assert (plain.returncode, as_json.returncode) == (2, 2)
    assert sentence in plain.stderr
    assert sentence in json.loads(as_json.stdout)["error"]["message"]


def test_drill_command_while_another_drill_runs_waits_for_its_end(staging: Staging) -> None:
    staging.settle()
    # A lost worker keeps it running for the length of a lease, longer than the command takes to start.
    staging.hub.arm("middle-verify", alias="smart-reasoner", lines=["kill self"])
    other = staging.drill()
    refused = command(staging, "smart-reasoner", "--json", "--wait", "0")
    assert refused.returncode == 2
    assert json.loads(refused.stdout)["error"]["execution_id"] == str(other)
    waited = command(staging, "smart-reasoner", "--json")
    assert waited.returncode == 0, waited.stdout + waited.stderr
    assert json.loads(waited.stdout)["id"] != str(other)


def test_drill_command_without_a_database_exits_2(staging: Staging) -> None:
    environment = os.environ | staging.hub.environment | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    result = subprocess.run([sys.executable, "manage.py", "drill", "smart-reasoner", "--json"], env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2, result.stdout + result.stderr
    assert "The database does not answer" in json.loads(result.stdout)["error"]["message"]


def test_flag_that_has_moved_fails_the_drill_until_it_is_mended(staging: Staging) -> None:
    """The chapter's opening case: the gateway serves by a table of its own, and a flip would change nothing."""
    revisions = PolicyRevision.objects.count()
    staging.world.set_gateway_mode("staging", GatewayMode.OWN_TABLE)
    staging.world.wait_ready()
    try:
        execution = staging.wait_ended(staging.drill())
    finally:
        staging.world.set_gateway_mode("staging", GatewayMode.FOLLOWING)
        staging.world.wait_ready()
    assert (execution.state, execution.verdict) == (ExecutionState.FINISHED, Verdict.FAILED)
    finding = execution.findings.get(code=FindingCode.CONFIG_MISMATCH)
    assert finding.subject == "gateway staging-gateway-1"
    assert "claude-sonnet-4-6:ap-south-1 25 %" in finding.expected
    assert "claude-sonnet-4-6:ap-south-1 60 %" in finding.found
    assert weights(staging) == CHAPTER_WEIGHTS
    assert PolicyRevision.objects.count() == revisions, "nothing was flipped"
    staging.wait_gateways()
    assert staging.wait_ended(staging.drill()).verdict == Verdict.PASSED


def test_gateway_that_refuses_the_routes_is_a_finding_with_its_words(staging: Staging) -> None:
    staging.world.set_gateway_mode("staging", GatewayMode.CLUSTER_MISSING)
    staging.world.wait_ready()
    try:
        execution = staging.wait_ended(staging.drill())
    finally:
        staging.world.set_gateway_mode("staging", GatewayMode.FOLLOWING)
        staging.world.wait_ready()
        staging.wait_gateways()
    assert execution.verdict == Verdict.FAILED
    refusal = execution.findings.get(code=FindingCode.CONFIG_MISMATCH, subject="gateway staging-gateway-1 and its routes")
    assert refusal.found.startswith("refused: ")
    assert "cluster" in refusal.found
    assert weights(staging) == CHAPTER_WEIGHTS


@pytest.mark.parametrize(("mode", "verdict"), [(MetricsMode.DOWN, Verdict.ERROR), (MetricsMode.SILENT, Verdict.INCONCLUSIVE)])
def test_verification_without_metrics_never_passes_and_staging_is_put_back(staging: Staging, mode: MetricsMode, verdict: Verdict) -> None:
    assert staging.world.set_metrics_mode("staging", mode)
    try:
        with staging.giving_up_draining(after_seconds=8):
            execution = staging.wait_ended(staging.drill(), timeout_seconds=120)
    finally:
        assert staging.world.set_metrics_mode("staging", MetricsMode.NORMAL)
    assert (execution.state, execution.verdict) == (ExecutionState.FINISHED, verdict)
    assert "By the gateways' counters" in execution.outcome
    assert "it is not shown that nobody is served by it" in execution.outcome
    assert (execution.restored_at, execution.verified_at) == (None, None), "whom it serves, nobody could see"
    assert not execution.checks.exists()
    assert weights(staging) == CHAPTER_WEIGHTS


def test_two_drills_at_once_on_one_alias_one_runs_the_other_is_told(staging: Staging) -> None:
    answers = at_once(2, lambda _: staging.drill())
    (conflict,) = [answer for answer in answers if isinstance(answer, Conflict)]
    (drill,) = [answer for answer in answers if isinstance(answer, UUID)]
    assert conflict.status == 409
    assert conflict.extra["execution_id"] == str(drill)
    assert staging.wait_ended(drill).verdict == Verdict.PASSED
