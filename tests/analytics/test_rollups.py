"""Rollups say what a recount of the facts says, whatever was written, corrected and deleted, in whatever order, by two at once."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import random
import statistics
from collections import Counter
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, OperationalError, connections, transaction

from rollbackhub.analytics.answer import AnalyticsFilter
from rollbackhub.analytics.domain import rollups
from rollbackhub.analytics.domain.recount import recount
from rollbackhub.analytics.domain.rollups import ACCURACY, all_of, percentiles, totals
from rollbackhub.analytics.enums import SEGMENTS, Measure, RunGroup, RunKind, RunSource
from rollbackhub.analytics.models import HistoryImport, ImportedRun, RunCell, RunFact, RunHistogram
from rollbackhub.common.verdict import Verdict
from rollbackhub.registry.enums import ChangeType
from rollbackhub.routing.models import RoutingPolicy
from tests.databases import FreshDatabase
from tests.factories.accounts import TeamFactory
from tests.factories.analytics import HistoryImportFactory, RunFactFactory, add_facts
from tests.factories.registry import ArtefactFactory, EnvironmentFactory
from tests.factories.routing import RoutingPolicyFactory
from tests.threads import at_once

INSERTS = 10_000
START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)


def aliases(count: int = 6) -> list[RoutingPolicy]:
    """Aliases of several teams and types, in staging and production."""
    types = list(ChangeType)
    return [
        RoutingPolicyFactory(
            environment=EnvironmentFactory(slug=slug),
            alias=f"alias-{number}",
            artefact=ArtefactFactory(slug=f"artefact-{number}", change_type=types[number % 5], team=TeamFactory(slug=f"team-{number % 3}")),
            revision=False,
        )
        for number in range(count)
        for slug in ("staging", "production")
    ]


class Writer:
    """Somebody who writes facts at random, from a seed; imported ones, since those are the cheapest."""

    def __init__(self, seed: int, policies: list[RoutingPolicy], file: HistoryImport) -> None:
        self.random = random.Random(seed)
        self.policies, self.file = policies, file
        self.rows = itertools.count(seed * 1_000_000)
        self.mine: list[int] = []

    def insert(self, count: int) -> None:
        """New facts, a batch of them."""
        runs = ImportedRun.objects.bulk_create(ImportedRun(history_import=self.file, row=next(self.rows)) for _ in range(count))
        self.mine += [fact.pk for fact in RunFact.objects.bulk_create(self._fact(run) for run in runs)]

    def correct_detection(self) -> None:
        """The detection of some was corrected: each to a time of its own, in one statement."""
        facts = list(RunFact.objects.filter(pk__in=self._some()))
        for fact in facts:
            fact.detect_seconds = self.random.choice([None, 0.0, self.random.lognormvariate(5, 1)])
        RunFact.objects.bulk_update(facts, ["detect_seconds"])

    def verify_late(self) -> None:
        """Some were restored and verified after all: all columns are written anew, as the follower does it."""
        facts = list(RunFact.objects.filter(pk__in=self._some()))
        for fact in facts:
            fact.verdict, fact.verify_seconds, fact.rollback_seconds = Verdict.PASSED, self.random.lognormvariate(4, 1), self.random.lognormvariate(5, 1)
            fact.hit = fact.rollback_seconds <= fact.target_seconds if fact.target_seconds is not None else None
            fact.followed_number += 1
        columns = [field.name for field in RunFact._meta.concrete_fields if field.name not in ("id", "imported")]
        RunFact.objects.bulk_create(facts, update_conflicts=True, unique_fields=["imported"], update_fields=columns)

    def delete_lab(self) -> None:
        """What the lab made is cleared away, some of it."""
        RunFact.objects.filter(pk__in=self._some(), is_lab=True).delete()

    def act(self) -> None:
        """One of these."""
        self.random.choice([self.correct_detection, self.verify_late, self.delete_lab])()

    def _some(self) -> list[int]:
        return self.random.sample(self.mine, min(len(self.mine), self.random.randint(1, 80)))

    def _maybe(self, chance: float, mean: float) -> float | None:
        return self.random.lognormvariate(mean, 1) if self.random.random() < chance else None

    def _fact(self, run: ImportedRun) -> RunFact:
        policy = self.random.choice(self.policies)
        at = START + dt.timedelta(seconds=self.random.random() * 400 * 86400)
        seconds, target = self._maybe(0.9, 5), self.random.choice([None, 120, 300])
        return RunFact(
            source=RunSource.IMPORTED,
            imported=run,
            kind=self.random.choice(list(RunKind)),
            at=at,
            month=at.date().replace(day=1),
            environment_id=policy.environment_id,
            artefact=policy.artefact,
            team_id=policy.artefact.team_id,
            policy=policy if self.random.random() < 0.9 else None,
            alias=policy.alias,
            change_type=policy.artefact.change_type,
            verdict=self.random.choice(list(Verdict)),
            outcome="closed",
            rollback_seconds=seconds,
            target_seconds=target,
            hit=None if seconds is None or target is None else seconds <= target,
            is_lab=self.random.random() < 0.4,
            **{f"{segment}_seconds": self._maybe(0.7, 2) for segment in SEGMENTS},
        )


def reckoned_in_python() -> dict[tuple[Any, ...], list[Any]]:
    """Cells once more, by hand, from every fact: another opinion than the database's own recount."""
    cells: dict[tuple[Any, ...], list[Any]] = {}
    for fact in RunFact.objects.all():
        key = (fact.month, fact.kind, fact.alias, fact.policy_id, fact.environment_id, fact.team_id, fact.artefact_id, fact.change_type, fact.is_lab)
        counts = cells.setdefault(key, [0] * 5)
        for place, value in enumerate([1, fact.verdict == "passed", fact.hit is not None, fact.hit is True, round((fact.detect_seconds or 0) * 1e6)]):
            counts[place] += int(value)
    return cells


def kept() -> dict[tuple[Any, ...], list[Any]]:
    """The same numbers from the rollup."""
    rows = RunCell.objects.values_list(
        *("month", "kind", "alias", "policy", "environment", "team", "artefact", "change_type", "is_lab"), "n", "passed", "with_target", "hits", "detect_us"
    )
    return {row[:9]: list(row[9:]) for row in rows}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_rollups_equal_a_recount_after_10000_inserts_corrections_late_verifications_and_deletions_by_two_at_once(fresh_database: FreshDatabase) -> None:
    policies, file = aliases(), HistoryImportFactory()
    again = Counter[str]()

    def write(number: int) -> int:
        writer = Writer(number + 1, policies, file)
        left = INSERTS // 2
        while left:
            count = min(left, writer.random.choice([1, 1, 3, 40, 300]))
            before = list(writer.mine)
            try:
                with transaction.atomic():
                    writer.insert(count)
                    writer.act()
                    if writer.random.random() < 0.1:
                        raise InterruptedError
                    if writer.random.random() < 0.5:
                        writer.act()
            except InterruptedError:
                again["given up"] += 1
                writer.mine = before
            except OperationalError:
                # Two that touch several cells in turn may wait for each other: PostgreSQL ends one of them, which does it again.
                again["deadlock"] += 1
                writer.mine = before
            else:
                left -= count
        return INSERTS // 2

    assert at_once(2, write) == [INSERTS // 2] * 2, again
    assert again["given up"] > 0
    assert 0 < RunFact.objects.filter(is_lab=True).count() < RunFact.objects.filter(is_lab=False).count() < INSERTS
    assert recount(mend=False) == []
    assert kept() == reckoned_in_python()
    assert not RunCell.objects.filter(n__lte=0).exists()
    assert not RunHistogram.objects.filter(n__lte=0).exists()
    RunFact.objects.all().delete()
    assert (RunCell.objects.count(), RunHistogram.objects.count()) == (0, 0), "empty cells vanish"


def test_command_says_that_all_is_equal(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    add_facts(RoutingPolicyFactory(), [10.0, 20.0, None], end=START, every=dt.timedelta(minutes=1), execute_seconds=None)
    call_command("recount_analytics", check=True)
    call_command("recount_analytics")
    assert capsys.readouterr().out == "The rollups say what the facts say: 3 runs in 2 cells and 7 histograms.\n" * 2


def test_application_cannot_write_rollups_itself(db: None) -> None:
    add_facts(RoutingPolicyFactory(), [10.0], end=START)
    for model in (RunCell, RunHistogram):
        for act in (lambda model=model: model.objects.update(n=7), lambda model=model: model.objects.all().delete()):
            with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
                act()


def test_tampering_is_found_named_and_mended(fresh_database: FreshDatabase, capsys: pytest.CaptureFixture[str]) -> None:
    policy = RoutingPolicyFactory(alias="smart-reasoner")
    add_facts(policy, [10.0, 20.0], end=START, every=dt.timedelta(0))
    with connections["owner"].cursor() as cursor:
        cursor.execute("UPDATE analytics_runcell SET n = 5; UPDATE analytics_runhistogram SET counts = '{2, 1}' WHERE measure = 'rollback'")
    with pytest.raises(SystemExit) as ended:
        call_command("recount_analytics", check=True)
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "2 rows of the rollups differ" in said
    assert "cell 2025-01-01 drill smart-reasoner" in said
    assert "n 5, should be 2" in said
    call_command("recount_analytics")
    assert "2 rows of the rollups differed and were mended" in capsys.readouterr().out
    assert recount(mend=False) == []
    assert RunCell.objects.get().n == 2


def test_truncate_is_refused(fresh_database: FreshDatabase) -> None:
    add_facts(RoutingPolicyFactory(), [10.0], end=START)
    with pytest.raises(DatabaseError, match="TRUNCATE is refused"), connections["owner"].cursor() as cursor:
        cursor.execute("TRUNCATE analytics_runfact CASCADE")
    assert RunCell.objects.get().n == 1


def test_deleting_an_execution_deletes_its_fact_and_what_it_counted(db: None) -> None:
    fact = RunFactFactory()
    assert RunCell.objects.get().rollback_us == 12_500_000
    assert fact.execution is not None
    fact.execution.delete()
    assert (RunFact.objects.count(), RunCell.objects.count(), RunHistogram.objects.count()) == (0, 0, 0)


@pytest.mark.parametrize("values", [{"month": dt.date(2025, 2, 1)}, {"hit": False}, {"hit": True, "target_seconds": None}])
def test_fact_that_contradicts_itself_is_refused(db: None, values: dict[str, Any]) -> None:
    with pytest.raises(DatabaseError, match="violates check constraint"):
        RunFactFactory(**({"at": START, "rollback_seconds": 10.0} | values))


PERIODS = [
    (None, None),
    (dt.date(2025, 2, 1), None),
    (dt.date(2025, 2, 10), None),
    (None, dt.date(2025, 5, 1)),
    (None, dt.date(2025, 5, 17)),
    (dt.date(2025, 2, 10), dt.date(2025, 5, 17)),
    (dt.date(2025, 2, 1), dt.date(2025, 3, 1)),
    (dt.date(2025, 2, 10), dt.date(2025, 2, 20)),
    (dt.date(2025, 2, 10), dt.date(2025, 3, 1)),
    (dt.date(2025, 2, 10), dt.date(2025, 3, 4)),
    (dt.date(2025, 3, 4), dt.date(2025, 3, 4)),
    (dt.date(2025, 3, 4), dt.date(2025, 2, 4)),
]
FILTERS = [
    AnalyticsFilter(since=since, until=until, **others)
    for since, until in PERIODS
    for others in ({}, {"team": "team-1"}, {"environment": "production", "with_lab": False}, {"change_type": "model"}, {"alias": "alias-3"})
]


@pytest.fixture
def some_facts(db: None) -> list[RunFact]:
    """Six hundred facts over thirteen months."""
    Writer(7, aliases(), HistoryImportFactory()).insert(600)
    return list(RunFact.objects.select_related("team", "environment"))


def _matches(fact: RunFact, wanted: AnalyticsFilter) -> bool:
    day = fact.at.astimezone(dt.UTC).date()
    return (
        (wanted.since is None or day >= wanted.since)
        and (wanted.until is None or day < wanted.until)
        and wanted.team in ("", fact.team.slug)
        and wanted.environment in ("", fact.environment.slug)
        and wanted.change_type in ("", fact.change_type)
        and wanted.alias in ("", fact.alias)
        and (wanted.with_lab or not fact.is_lab)
        and fact.kind != RunKind.ROLL_FORWARD
    )


def _group(fact: RunFact) -> str:
    return RunGroup.PRODUCTION if fact.kind == RunKind.ROLLBACK else RunGroup.DRILLS


def test_totals_are_those_of_the_facts_in_every_period_and_by_every_filter(some_facts: list[RunFact]) -> None:
    for wanted in FILTERS:
        right = [fact for fact in some_facts if _matches(fact, wanted)]
        found = totals(wanted, by=("change_type", "group"))
        assert {key: total.n for key, total in found.items()} == Counter((fact.change_type, _group(fact)) for fact in right), wanted
        whole = all_of(found)
        assert whole == all_of(totals(wanted)), wanted
        assert (whole.hits, whole.with_target) == (sum(fact.hit is True for fact in right), sum(fact.hit is not None for fact in right))
        assert whole.measured == sum(fact.rollback_seconds is not None for fact in right)
        assert (whole.passed, whole.imported) == (sum(fact.verdict == "passed" for fact in right), len(right))


def test_percentiles_from_buckets_are_within_a_hundredth_of_the_exact_ones(some_facts: list[RunFact], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "EXACT_UP_TO", -1)
    measures = (Measure.ROLLBACK, Measure.DRAIN)
    compared = 0
    for wanted in FILTERS:
        spread = percentiles(wanted, measured=0, measures=measures, by=("change_type",))
        assert spread.is_exact is bool(wanted.team or wanted.alias)
        right: dict[tuple[Any, ...], list[float]] = {}
        for fact in some_facts:
            for measure in measures:
                seconds = getattr(fact, f"{measure}_seconds")
                if _matches(fact, wanted) and seconds is not None:
                    for group in (_group(fact), RunGroup.TOGETHER):
                        right.setdefault((measure, group, fact.change_type), []).append(seconds)
        assert {key: found.measured for key, found in spread.found.items()} == {key: len(values) for key, values in right.items()}, wanted
        for key, values in right.items():
            values.sort()
            for quantile, seconds in zip((0.5, 0.9), spread.found[key].seconds, strict=True):
                if spread.is_exact:
                    at = quantile * (len(values) - 1)
                    low, high = values[math.floor(at)], values[math.ceil(at)]
                    assert seconds == pytest.approx(low + (high - low) * (at - math.floor(at))), (wanted, key)
                else:
                    assert seconds == pytest.approx(values[math.floor(quantile * (len(values) - 1))], rel=ACCURACY * 1.0001), (wanted, key)
                compared += 1
    assert compared > 400


def test_percentiles_by_month_and_of_nothing(db: None) -> None:
    policy = RoutingPolicyFactory()
    assert percentiles(AnalyticsFilter(), measured=0).found == {}
    add_facts(policy, [1.0, 2.0, 4.0], end=START)
    spread = percentiles(AnalyticsFilter(), measured=3, by=("month",))
    assert spread.found[Measure.ROLLBACK, "drills", dt.date(2025, 1, 1)].seconds == (4.0, 4.0)
    assert spread.found[Measure.ROLLBACK, "together", dt.date(2024, 12, 1)].seconds[0] == statistics.median([1.0, 2.0])


def test_buckets_of_nothing_and_next_to_nothing(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = RoutingPolicyFactory()
    add_facts(policy, [0.0, 1e-7, 5.0], end=START, every=dt.timedelta(0))
    assert RunHistogram.objects.values_list("buckets", "counts", "n").get(measure="rollback") == ([-32768, 81], [2, 1], 3)
    monkeypatch.setattr(rollups, "EXACT_UP_TO", -1)
    assert percentiles(AnalyticsFilter(), measured=3).found[Measure.ROLLBACK, "drills"].seconds == (0.0, 0.0)
