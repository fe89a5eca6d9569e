"""A year of runs for pages of analytics: drills and rollbacks of a world's aliases, imported, with their segments; slower and slower for one of them."""

from __future__ import annotations

import datetime as dt
import random

from rollbackhub.analytics.enums import RunKind, RunSource
from rollbackhub.analytics.models import ImportedRun, RunFact
from rollbackhub.common.clock import now
from rollbackhub.common.verdict import Verdict
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.analytics import HistoryImportFactory

RUNS = 160
TARGET = 600
_SEGMENTS = {"execute": 0.15, "propagate": 0.1, "drain": 0.55, "verify": 0.2}


def make_history(*, runs: int = RUNS) -> list[RunFact]:
    """Facts of the aliases that there are, every second day until yesterday, one rollback in five runs. Drawn with a fixed seed."""
    policies = list(RoutingPolicy.objects.select_related("environment", "artefact__team").order_by("environment__slug", "alias"))
    chance = random.Random(20_261_130)
    history = HistoryImportFactory(rows=runs)
    rows = ImportedRun.objects.bulk_create(ImportedRun(history_import=history, row=number + 2, reference=f"OPS-{number}") for number in range(runs))
    start = now() - dt.timedelta(days=2 * runs + 1)
    return RunFact.objects.bulk_create(
        _fact(row, chance.choice(policies), at=start + dt.timedelta(days=2 * number), number=number, chance=chance) for number, row in enumerate(rows)
    )


def _fact(row: ImportedRun, policy: RoutingPolicy, *, at: dt.datetime, number: int, chance: random.Random) -> RunFact:
    in_production = policy.environment.slug == "production"
    seconds = chance.lognormvariate(5.3, 0.5) * (1.6 if in_production else 1.0) * (1.0 + number / 80 if policy.alias == "smart-reasoner" else 1.0)
    passed = chance.random() > 0.12
    kind = RunKind.DRILL if not in_production else RunKind.ROLL_FORWARD if number % 7 == 0 else RunKind.ROLLBACK
    production = {
        "detect_seconds": seconds * 1.5,
        "decide_seconds": seconds * 0.4,
        "authorise_seconds": seconds * 0.2,
        "exposure": round(seconds * 40),
        "authority": "platform_lead" if number % 3 == 0 else "on_call",
        "authorised_how": "approved" if number % 3 == 0 else "own",
    }
    rolled_forward = "rolled_forward" if passed else "closed"
    return RunFact(
        source=RunSource.IMPORTED,
        imported=row,
        kind=kind,
        at=at,
        month=at.date().replace(day=1),
        environment=policy.environment,
        team=policy.artefact.team,
        artefact=policy.artefact,
        policy=policy,
        alias=policy.alias,
        change_type=policy.artefact.change_type,
        verdict=Verdict.PASSED if passed else Verdict.FAILED,
        outcome=rolled_forward if kind == RunKind.ROLL_FORWARD else ("verified" if passed else "verification_failed") if in_production else "passed",
        rollback_seconds=seconds if passed else None,
        target_seconds=TARGET,
        hit=seconds <= TARGET if passed else None,
        **{f"{name}_seconds": seconds * share for name, share in _SEGMENTS.items()},
        **(production if in_production else {}),
        is_lab=number % 10 == 0,
    )
