"""Facts of runs, and imported ones. Rollups come by themselves: the database keeps them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import factory
from factory.django import DjangoModelFactory

from rollbackhub.accounts.enums import Role
from rollbackhub.analytics.enums import RunKind, RunSource
from rollbackhub.analytics.models import HistoryImport, ImportedRun, RunFact
from rollbackhub.common.clock import now
from rollbackhub.common.verdict import Verdict
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.accounts import UserFactory
from tests.factories.executions import ExecutionFactory
from tests.factories.routing import RoutingPolicyFactory


class HistoryImportFactory(DjangoModelFactory):
    """A file with one run."""

    class Meta:
        model = HistoryImport

    file_name = "drills.csv"
    digest = factory.Sequence("{:064x}".format)
    rows = 1
    imported_by = factory.SubFactory(UserFactory, roles=[Role.PLATFORM_LEAD])


class ImportedRunFactory(DjangoModelFactory):
    """A row of a file."""

    class Meta:
        model = ImportedRun

    history_import = factory.SubFactory(HistoryImportFactory)
    row = factory.LazyAttribute(lambda run: 2 + run.history_import.runs.count())
    reference = factory.Sequence("OPS-{}".format)


class RunFactFactory(DjangoModelFactory):
    """A drill of an alias in staging that passed in 12.5 s, of the hub's own. Traits: `imported_run`, `production` (a rollback, detected 5 min before)."""

    class Meta:
        model = RunFact

    class Params:
        imported_run = factory.Trait(source=RunSource.IMPORTED, execution=None, imported=factory.SubFactory(ImportedRunFactory))
        production = factory.Trait(
            kind=RunKind.ROLLBACK,
            outcome="closed",
            authority=Role.ON_CALL,
            authorised_how="own",
            detect_seconds=300.0,
            authorise_seconds=0.5,
            policy=factory.SubFactory(RoutingPolicyFactory, environment__slug="production"),
        )

    source = RunSource.HUB
    kind = RunKind.DRILL
    policy = factory.SubFactory(RoutingPolicyFactory)
    execution = factory.LazyAttribute(lambda fact: ExecutionFactory(kind=fact.kind, policy=fact.policy, passed=True))
    at = factory.LazyFunction(lambda: now() - dt.timedelta(minutes=1))
    month = factory.LazyAttribute(lambda fact: fact.at.astimezone(dt.UTC).date().replace(day=1))
    environment = factory.SelfAttribute("policy.environment")
    artefact = factory.SelfAttribute("policy.artefact")
    team = factory.SelfAttribute("artefact.team")
    alias = factory.SelfAttribute("policy.alias")
    change_type = factory.SelfAttribute("artefact.change_type")
    verdict = Verdict.PASSED
    outcome = factory.SelfAttribute("verdict")
    rollback_seconds = 12.5
    target_seconds = 600
    hit = factory.LazyAttribute(
        lambda fact: None if fact.rollback_seconds is None or fact.target_seconds is None else fact.rollback_seconds <= fact.target_seconds
    )
    execute_seconds = 0.2
    propagate_seconds = 0.3
    drain_seconds = 2.0
    verify_seconds = 10.0


def add_facts(
    policy: RoutingPolicy, seconds: Sequence[float | None], *, end: dt.datetime, every: dt.timedelta = dt.timedelta(days=1), **values: Any
) -> list[RunFact]:
    """A fact for each of these rollback times, oldest first, the newest at `end`: imported ones, since those need nothing around them."""
    file = HistoryImportFactory(rows=len(seconds))
    runs = ImportedRun.objects.bulk_create(ImportedRun(history_import=file, row=row + 2) for row in range(len(seconds)))
    first = end - every * (len(seconds) - 1)
    return RunFact.objects.bulk_create(
        RunFactFactory.build(
            source=RunSource.IMPORTED,
            execution=None,
            imported=run,
            policy=policy,
            at=first + every * number,
            rollback_seconds=taken,
            verdict=values.get("verdict", Verdict.PASSED if taken is not None else Verdict.FAILED),
            **{name: value for name, value in values.items() if name != "verdict"},
        )
        for number, (run, taken) in enumerate(zip(runs, seconds, strict=True))
    )
