"""Facts of runs for tests: imported ones, since those need no execution, or of the hub."""

from __future__ import annotations

import datetime as dt
from typing import Any

from rollbackhub.analytics.models import RunFact
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.analytics import ImportedRunFactory
from tests.factories.executions import ExecutionFactory

START = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)


def day(number: float) -> dt.datetime:
    """So many days after the first of the tests' days."""
    return START + dt.timedelta(days=number)


def make_fact(
    policy: RoutingPolicy, *, kind: str = "drill", at: dt.datetime = START, seconds: float | None = 240.0, hub: bool = False, **changes: Any
) -> RunFact:
    """A passed run of this alias (`hub=True`: with an execution), measured unless `seconds` is None."""
    verdict = changes.pop("verdict", "passed" if seconds is not None else "failed")
    target = changes.pop("target_seconds", 600)
    values: dict[str, Any] = {
        "kind": kind,
        "at": at,
        "month": at.date().replace(day=1),
        "environment": policy.environment,
        "team": policy.artefact.team,
        "artefact": policy.artefact,
        "policy": policy,
        "alias": policy.alias,
        "change_type": policy.artefact.change_type,
        "verdict": verdict,
        "outcome": verdict if kind in ("drill", "rehearsal") else "verified" if verdict == "passed" else "closed",
        "rollback_seconds": seconds,
        "target_seconds": target,
        "hit": None if seconds is None or target is None else seconds <= target,
    }
    values |= (
        {"source": "hub", "execution": ExecutionFactory(policy=policy, kind=kind, passed=True)}
        if hub
        else {"source": "imported", "imported": ImportedRunFactory()}
    )
    return RunFact.objects.create(**values | changes)
