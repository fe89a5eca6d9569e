"""Question 9: DORA's two metrics of stability: change fail rate and failed deployment recovery time. Drills are excluded.

Names and meaning as of the Accelerate State of DevOps Report 2024 (DORA, Google Cloud), https://dora.dev/guides/dora-metrics-four-keys/.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Count, Q
from django.db.models.functions import Coalesce, TruncMonth

from rollbackhub.analytics.answer import AnalyticsFilter, Answer, Cell, Column, NamedFigure, Table
from rollbackhub.analytics.domain.facts import start_of
from rollbackhub.analytics.domain.production import production_percentiles, production_totals
from rollbackhub.analytics.domain.rollups import Percentiles
from rollbackhub.analytics.domain.statistics import wilson
from rollbackhub.analytics.enums import ProductionMeasure, RunSource
from rollbackhub.analytics.questions.wording import TOO_FEW, bounds_in_words, interval_in_words
from rollbackhub.charts.duration_curve import duration_curve
from rollbackhub.charts.rate_intervals import RatePoint, rate_intervals
from rollbackhub.common.durations import in_words
from rollbackhub.common.sentences import counted
from rollbackhub.registry.enums import EnvironmentKind
from rollbackhub.releases.enums import ReleaseState
from rollbackhub.releases.models import Release

ENOUGH = 10
"""Releases or recoveries below which nothing is concluded."""
MOST_MONTHS = 12
"""Longer periods are shown by quarter."""
ENDED = (ReleaseState.LIVE, ReleaseState.SUPERSEDED, ReleaseState.ROLLED_BACK)
QUANTILES = (0.5, 0.9, *(step / 25 for step in range(1, 25)), 0.99)
RECOVERIES = (ProductionMeasure.RECOVERY, ProductionMeasure.RECOVERY_FROM_DECISION)
CURVES = {ProductionMeasure.RECOVERY: "Detected to restored", ProductionMeasure.RECOVERY_FROM_DECISION: "Decided to restored (no detection recorded)"}

_ARRAY = f"ARRAY[{', '.join(str(quantile) for quantile in QUANTILES)}]"
BARE_SQL = f"""
    SELECT date_trunc('month', coalesce(r.started_at, r.created_at) AT TIME ZONE 'UTC'), count(*), count(*) FILTER (WHERE r.state = 'rolled_back')
        FROM releases_release AS r JOIN routing_routingpolicy AS p ON p.id = r.policy_id JOIN registry_environment AS e ON e.id = p.environment_id
        WHERE r.state IN ('live', 'superseded', 'rolled_back') AND e.kind = 'production' GROUP BY 1;
    SELECT percentile_cont({_ARRAY}) WITHIN GROUP (ORDER BY detect_seconds + rollback_seconds), count(detect_seconds + rollback_seconds),
        percentile_cont({_ARRAY}) WITHIN GROUP (ORDER BY rollback_seconds) FILTER (WHERE detect_seconds IS NULL),
        count(rollback_seconds) FILTER (WHERE detect_seconds IS NULL), count(*), count(*) FILTER (WHERE source = 'imported')
        FROM analytics_runfact WHERE kind IN ('rollback', 'roll_forward')
"""


def answer(wanted: AnalyticsFilter) -> Answer:
    """The share of releases that failed in production by month or quarter, and how long recovery took. Three to four queries."""
    months = _releases(wanted)
    counts = production_totals(wanted, by=("source",))
    runs = sum(total.n for total in counts.values())
    spread = production_percentiles(wanted, n=runs, measures=RECOVERIES, quantiles=QUANTILES) if runs else None
    recovered = {measure: found for measure in RECOVERIES if spread is not None and (found := spread.of(measure)) is not None}
    if not months and not recovered:
        return Answer(
            headline="Nothing was released to production, and nothing recovered from, in this period.",
            empty="Releases that go live or are rolled back fill the change fail rate;"
            " production rollbacks and roll-forwards that restored traffic fill the recovery time.",
        )
    figures, tables = [], []
    if months:
        periods = _periods(months)
        figures.append(_rate_figure(periods))
        tables.append(_rate_table(periods))
    if spread is not None and recovered:
        figures.append(_curve_figure(recovered))
        tables.append(_recovery_table(recovered))
    imported = sum(total.n for (source,), total in counts.items() if source == RunSource.IMPORTED)
    notes = [
        "Change fail rate (DORA 2024): releases that were rolled back or fixed forward in production, of those that went live or ended so, by when they"
        " first got traffic. A release that a fix replaced counts as failed. Abandoned ones that did no harm are not counted.",
        "Failed deployment recovery time (DORA 2024): detected to restored, of every alias that a production rollback or roll-forward restored; where no"
        " detection is recorded decided to restored, apart, since that is shorter.",
        "Drills and rehearsals are excluded. Imported history has no releases; its rollbacks count among the recoveries"
        + (f" ({counted(imported, 'run')} of {runs:,} imported)." if imported else "."),
    ]
    if spread is not None:
        notes.append(spread.note)
    return Answer(headline=_headline(months, recovered), figures=figures, tables=tables, notes=notes, extra=_extra(months, recovered))


def _releases(wanted: AnalyticsFilter) -> dict[dt.date, tuple[int, int]]:
    """By month: releases that went live or failed, and those that failed. One query."""
    found = Release.objects.filter(state__in=ENDED, policy__environment__kind=EnvironmentKind.PRODUCTION)
    named = {
        "policy__artefact__team__slug": wanted.team,
        "policy__environment__slug": wanted.environment,
        "policy__artefact__change_type": wanted.change_type,
        "policy__alias": wanted.alias,
    }
    found = found.filter(**{column: value for column, value in named.items() if value}).annotate(began=Coalesce("started_at", "created_at"))
    if wanted.since is not None:
        found = found.filter(began__gte=start_of(wanted.since))
    if wanted.until is not None:
        found = found.filter(began__lt=start_of(wanted.until))
    if not wanted.with_lab:
        found = found.filter(policy__environment__is_lab=False, policy__artefact__is_lab=False)
    by_month = found.order_by().annotate(month=TruncMonth("began", tzinfo=dt.UTC)).values_list("month")
    rows = by_month.annotate(n=Count("pk"), failed=Count("pk", filter=Q(state=ReleaseState.ROLLED_BACK)))
    return {month.date(): (n, failed) for month, n, failed in rows}


def _periods(months: Mapping[dt.date, tuple[int, int]]) -> list[tuple[str, int, int]]:
    """Name, releases and failed ones of each month, of each quarter when there are many months; the earliest first."""
    by_quarter = (max(months) - min(months)).days > MOST_MONTHS * 31
    found: dict[str, tuple[int, int]] = {}
    for month, (n, failed) in sorted(months.items()):
        name = f"{month.year} Q{(month.month + 2) // 3}" if by_quarter else f"{month:%b %Y}"
        before = found.get(name, (0, 0))
        found[name] = (before[0] + n, before[1] + failed)
    return [(name, n, failed) for name, (n, failed) in found.items()]


def _rate_figure(periods: Sequence[tuple[str, int, int]]) -> NamedFigure:
    points = []
    for name, n, failed in periods:
        share = wilson(failed, n)
        points.append(RatePoint(name, failed, n, share.value, share.low, share.high))
    return NamedFigure(
        key="change-fail-rate",
        title="Change fail rate by period, with 95 % intervals",
        label="; ".join(f"{point.period}: {point.hits:,} of {point.n:,}" for point in points[-8:]) + ". The table below has every period.",
        figure=rate_intervals(points=points, axis="Change fail rate"),
    )


def _rate_table(periods: Sequence[tuple[str, int, int]]) -> Table:
    columns = [
        Column("period", "Period"),
        Column("releases", "Releases", "count"),
        Column("failed", "Failed", "count"),
        Column("share", "Change fail rate", "share"),
        Column("interval", "95 % interval"),
    ]
    rows: list[list[Cell]] = []
    for name, n, failed in reversed(periods):
        share = wilson(failed, n)
        rows.append([name, n, failed, share.value, bounds_in_words(share) if n >= ENOUGH else TOO_FEW])
    return Table("Change fail rate by period", columns, rows)


def _curve_figure(recovered: Mapping[ProductionMeasure, Percentiles]) -> NamedFigure:
    order = sorted(range(len(QUANTILES)), key=lambda place: QUANTILES[place])
    curves = [
        (f"{CURVES[measure]} ({found.measured:,})", [(found.seconds[place], QUANTILES[place]) for place in order]) for measure, found in recovered.items()
    ]
    label = "; ".join(f"{CURVES[measure].lower()}: half within {in_words(found.seconds[0])} of {found.measured:,}" for measure, found in recovered.items())
    return NamedFigure(
        key="recovery-time",
        title="Failed deployment recovery time: share restored within a time",
        label=f"{label}. The table below has the percentiles.",
        figure=duration_curve(curves=curves, axis="Recovery time", share="Restored"),
    )


def _recovery_table(recovered: Mapping[ProductionMeasure, Percentiles]) -> Table:
    columns = [
        Column("measured_as", "Measured as"),
        Column("n", "Recoveries", "count"),
        Column("median", "Median", "seconds"),
        Column("p90", "90th percentile", "seconds"),
        Column("p99", "99th percentile", "seconds"),
        Column("said", "How sure"),
    ]
    rows: list[list[Cell]] = [
        [CURVES[measure], found.measured, found.seconds[0], found.seconds[1], found.seconds[-1], "" if found.measured >= ENOUGH else TOO_FEW]
        for measure, found in recovered.items()
    ]
    return Table("Failed deployment recovery time", columns, rows)


def _headline(months: Mapping[Any, tuple[int, int]], recovered: Mapping[ProductionMeasure, Percentiles]) -> str:
    n, failed = sum(n for n, _ in months.values()), sum(failed for _, failed in months.values())
    parts = []
    if not n:
        parts.append("No release went to production in this period.")
    elif n < ENOUGH:
        parts.append(f"{failed:,} of {counted(n, 'release')} failed: too few to say more ({ENOUGH} are needed).")
    else:
        parts.append(f"Change fail rate {interval_in_words(wilson(failed, n))}: {failed:,} of {counted(n, 'release')}.")
    if not recovered:
        parts.append("Nothing was recovered from.")
    else:
        measure, found = next(iter(recovered.items()))
        how = "from the detection" if measure == ProductionMeasure.RECOVERY else "from the decision, since no detection is recorded"
        if found.measured < ENOUGH:
            parts.append(f"{counted(found.measured, 'recovery', 'recoveries')} {how}: too few to say how long they take ({ENOUGH} are needed).")
        else:
            parts.append(
                f"Half of {counted(found.measured, 'recovery', 'recoveries')} took at most {in_words(found.seconds[0])} {how},"
                f" nine of ten {in_words(found.seconds[1])}."
            )
    return " ".join(parts)


def _extra(months: Mapping[Any, tuple[int, int]], recovered: Mapping[ProductionMeasure, Percentiles]) -> dict[str, float]:
    n, failed = sum(n for n, _ in months.values()), sum(failed for _, failed in months.values())
    extra = {"releases": float(n), "failed": float(failed)}
    if n:
        extra["change_fail_rate"] = failed / n
    for measure, found in recovered.items():
        extra |= {f"{measure.value}_median": found.seconds[0], f"{measure.value}_n": float(found.measured)}
    return extra
