"""Facts of runs for tests: imported ones, since those need no execution, or of the hub."""

from __future__ import annotations

import datetime as dt
from typing import Any

from rollbackhub.analytics.models import ImportedRun, RunFact
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.analytics import HistoryImportFactory, ImportedRunFactory
from tests.factories.executions import ExecutionFactory

START = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)


def day(number: float) -> dt.datetime:
    """So many days after the first of the tests' days."""
    return START + dt.timedelta(days=number)


def make_fact(
    policy: RoutingPolicy, *, kind: str = "drill", at: dt.datetime = START, seconds: float | None = 240.0, hub: bool = False, **changes: Any
) -> RunFact:
    """A passed run of this alias (`hub=True`: with an execution), measured unless `seconds` is None."""
    source: dict[str, Any] = {"source": "hub", "execution": ExecutionFactory(policy=policy, kind=kind, passed=True)} if hub else {}
    if not hub:
        source = {"source": "imported", "imported": ImportedRunFactory()}
    fact = fact_of_values(policy, kind=kind, at=at, seconds=seconds, **source, **changes)
    fact.save(force_insert=True)
    return fact


def make_facts(policy: RoutingPolicy, values: list[dict[str, Any]]) -> None:
    """Imported runs with these values, in one statement."""
    file = HistoryImportFactory(rows=len(values))
    runs = ImportedRun.objects.bulk_create(ImportedRun(history_import=file, row=row + 2) for row in range(len(values)))
    RunFact.objects.bulk_create(fact_of_values(policy, source="imported", imported=run, **of_one) for run, of_one in zip(runs, values, strict=True))


def fact_of_values(policy: RoutingPolicy, *, kind: str, at: dt.datetime, seconds: float | None, **changes: Any) -> RunFact:
    """Not saved."""
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
    return RunFact(**values | changes)
