"""An environment with two gateways and metrics that answer over real sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rollbackhub.readiness.domain import looking, preflight
from rollbackhub.readiness.domain.preflight import claim_run, make_runs, run_preflight
from rollbackhub.readiness.models import PreflightFinding
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import Environment, Version
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.executions import ProcedureVersionFactory
from tests.factories.registry import EnvironmentFactory
from tests.factories.routing import BAD, RoutingPolicyFactory
from tests.readiness.fake_systems import Systems, running_systems

Run = Callable[[], set[tuple[str, str | None, str]]]


@pytest.fixture
def systems(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systems]:
    """Nothing is connected yet."""
    settings.CONFIG = settings.CONFIG.model_copy(update={"outbound_allowed_hosts": [f"127.0.0.{number}" for number in range(1, 20)]})
    monkeypatch.setattr(preflight, "LOOK_AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(looking, "CALL_SECONDS", 1.0)
    with running_systems() as running:
        yield running


@pytest.fixture
def environment(db: None) -> Environment:
    """Staging."""
    found: Environment = EnvironmentFactory()
    return found


@pytest.fixture
def aliases(systems: Systems, environment: Environment) -> list[RoutingPolicy]:
    """Three aliases with the bad version in canary, which both gateways serve as the hub says."""
    ProcedureVersionFactory()
    made: list[RoutingPolicy] = [RoutingPolicyFactory(alias=name) for name in ("alpha", "beta", "gamma")]
    Version.objects.filter(label=BAD).update(lifecycle=Lifecycle.CANARY)
    systems.connect(environment, "gateway-1", "gateway-2")
    return made


@pytest.fixture
def run(environment: Environment) -> Run:
    """One preflight now; answers what is open after it, as (code, alias, subject)."""

    def do() -> set[tuple[str, str | None, str]]:
        make_runs()
        claim = claim_run(environment_id=environment.pk)
        assert claim is not None
        assert run_preflight(claim)
        rows = PreflightFinding.objects.filter(environment=environment, closed_at=None)
        return {(row.code, row.policy.alias if row.policy else None, row.subject) for row in rows.select_related("policy")}

    return do
