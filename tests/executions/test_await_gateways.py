"""Waiting for gateways: all that were live when it was requested, by name; a hub that was away gives them time to come back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from rollbackhub.common import clock
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain.engine import advance_execution
from rollbackhub.executions.enums import ExecutionState, FindingCode
from rollbackhub.executions.models import Execution
from rollbackhub.routing.models import Gateway, RoutingPolicy, RoutingState
from tests.executions.conftest import FLIP, RESTORE, start

WAIT = {"key": "propagate", "title": "Gateways", "action": "await_gateways", "segment": "propagate", "params": {"limit_seconds": 0.4, "interval_seconds": 0.05}}


def gateway(policy: RoutingPolicy, name: str, **values: object) -> Gateway:
    return Gateway.objects.create(environment=policy.environment, node_id=name, **values)


def run(execution: Execution) -> Execution:
    advance_execution(execution_id=execution.pk, worker="worker-1")
    execution.refresh_from_db()
    return execution


def apply_all(policy: RoutingPolicy) -> None:
    number = RoutingState.objects.get(environment=policy.environment).number
    Gateway.objects.update(applied_number=number, applied_at=clock.now(), last_seen_at=clock.now())


def test_gateway_that_does_not_follow_is_listed_by_name(policy: RoutingPolicy) -> None:
    gateway(policy, "gateway-1", applied_number=99, applied_at=clock.now())
    gateway(policy, "gateway-2", applied_number=1)
    execution = run(start(policy, FLIP, WAIT, RESTORE))
    assert execution.verdict == Verdict.FAILED
    assert execution.findings.get(code=FindingCode.NOT_RESTORED).subject == "gateway gateway-2"
    assert execution.propagated_at is None


def test_gateway_that_refuses_is_a_finding_with_its_words(policy: RoutingPolicy) -> None:
    gateway(policy, "gateway-1", applied_number=1, refused_number=2, refusal="unknown cluster")
    execution = run(start(policy, FLIP, WAIT, RESTORE))
    assert execution.findings.get().found == "refused: unknown cluster"


def test_gateway_that_fell_silent_meanwhile_is_not_forgotten(policy: RoutingPolicy) -> None:
    gateway(policy, "gateway-1", applied_number=99, applied_at=clock.now())
    gateway(policy, "gateway-2", applied_number=1, last_seen_at=clock.now() - timedelta(seconds=20))
    execution = start(policy, FLIP, WAIT, RESTORE)
    Execution.objects.filter(pk=execution.pk).update(created_at=Now() - timedelta(seconds=15))
    assert run(execution).findings.get().subject == "gateway gateway-2"


def test_gateway_that_was_gone_long_before_is_not_waited_for(policy: RoutingPolicy) -> None:
    gateway(policy, "gateway-1", applied_number=99, applied_at=clock.now())
    gateway(policy, "gateway-2", applied_number=1, last_seen_at=clock.now() - timedelta(days=1))
    execution = run(start(policy, FLIP, WAIT, RESTORE))
    assert execution.propagated_at is not None
    assert execution.attempts.get(key="propagate").result == {"gateways": ["gateway-1"]}


def test_no_gateway_at_all_is_a_finding_and_never_passes(policy: RoutingPolicy) -> None:
    execution = run(start(policy, FLIP, WAIT, RESTORE))
    assert (execution.state, execution.verdict) == (ExecutionState.FINISHED, Verdict.FAILED)
    assert execution.findings.get().code == FindingCode.UNREACHABLE


def test_gateways_that_come_back_while_it_waits_are_waited_for(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway(policy, "gateway-1", applied_number=1, last_seen_at=clock.now() - timedelta(days=1))
    waits: list[float] = []

    def come_back(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            apply_all(policy)

    monkeypatch.setattr(clock, "sleep", come_back)
    execution = run(start(policy, FLIP, {**WAIT, "params": {"limit_seconds": 5}}, RESTORE))
    assert execution.propagated_at is not None
