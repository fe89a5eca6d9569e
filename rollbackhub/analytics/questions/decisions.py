"""Question 5: how long do decisions and approvals take, by authority level?

Decision: detected to decided. Approval: decided to authorised. Counted once a rollback, whatever the number of its aliases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rollbackhub.accounts.enums import Role
from rollbackhub.analytics.answer import AnalyticsFilter, Answer, Cell, Column, NamedFigure, Table
from rollbackhub.analytics.domain.production import DECISIONS, ProductionSpread, ProductionTotals, production_percentiles, production_totals
from rollbackhub.analytics.enums import ProductionMeasure
from rollbackhub.analytics.questions.wording import how_in_words, listed, role_in_words
from rollbackhub.charts.spread_rows import SpreadRow, spread_rows
from rollbackhub.common.durations import in_words
from rollbackhub.common.sentences import counted
from rollbackhub.rollbacks.enums import AuthorisedBy

ENOUGH = 5
"""Measured decisions below which no median is said."""
DECISION, APPROVAL = "Decision (detected to decided)", "Approval (decided to authorised)"
SERIES = {ProductionMeasure.DETECT: DECISION, ProductionMeasure.AUTHORISE: APPROVAL}
ROLES = [role.value for role in Role]
HOWS = list(AuthorisedBy.values)

BARE_SQL = """
    SELECT authority, authorised_how, count(*),
        percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY detect_seconds), count(detect_seconds),
        percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY authorise_seconds), count(authorise_seconds)
    FROM analytics_runfact WHERE kind IN ('rollback', 'roll_forward') AND is_whole
    GROUP BY GROUPING SETS ((authority, authorised_how), (authority), (authorised_how), ())
"""


def answer(wanted: AnalyticsFilter) -> Answer:
    """Median and 90th percentile of decisions and approvals by authority, and by how it was come by. Two or three queries."""
    counts = production_totals(wanted, by=("authority", "authorised_how", "source"))
    if not counts:
        return Answer(
            headline="Nothing was decided for production yet.",
            empty="Production rollbacks and roll-forwards fill this: each has an instant of its decision and approval, and of the detection if it is given.",
        )
    n = sum(found.n for found in counts.values())
    spread = production_percentiles(wanted, n=n, measures=DECISIONS, by=(("authority", "authorised_how"), ("authority",), ("authorised_how",), ()))
    figures = [
        figure
        for key, title, column, order, words in (
            ("decisions-by-authority", "Decision and approval latency by authority level", "authority", ROLES, role_in_words),
            ("decisions-by-way", "Decision and approval latency by own authority, approval and break-glass", "authorised_how", HOWS, how_in_words),
        )
        if (figure := _figure(key, title, spread, column, order, words)) is not None
    ]
    notes = [
        "Decisions of production alone: drills are decided by nobody under stress. A rollback of several aliases is one decision.",
        "Without an instant of detection there is no decision latency; the instant is what people give, and may be corrected later.",
        f"No median is said of fewer than {ENOUGH} measured ones.",
        spread.note,
    ]
    return Answer(headline=_headline(spread, counts), figures=figures, tables=[_table(spread, counts)], notes=notes, extra=_extra(spread))


def _headline(spread: ProductionSpread, counts: Mapping[tuple[Any, ...], ProductionTotals]) -> str:
    decided = sum(total.wholes for total in counts.values())
    parts = []
    for measure, verb in (
        (ProductionMeasure.DETECT, "decided within {} of the detection"),
        (ProductionMeasure.AUTHORISE, "authorised within {} of the decision"),
    ):
        found = spread.of(measure)
        if found is not None and found.measured >= ENOUGH:
            half, most = (in_words(seconds) for seconds in found.seconds)
            parts.append(f"half were {verb.format(half)} (nine of ten within {most}; {found.measured:,} measured)")
    if not parts:
        return f"{counted(decided, 'decision')} so far: too few measured ones to say how long they take ({ENOUGH} are needed)."
    ways = [
        f"{how_in_words(how).lower()} {in_words(found.seconds[0])}"
        for how in HOWS
        if (found := spread.of(ProductionMeasure.AUTHORISE, authorised_how=how)) is not None and found.measured >= ENOUGH
    ]
    split = f" Approval, half within: {listed(ways)}." if len(ways) > 1 else ""
    return f"Of {counted(decided, 'production decision')}, {' and '.join(parts)}.{split}"


def _figure(key: str, title: str, spread: ProductionSpread, column: str, order: list[str], words: Callable[[str], str]) -> NamedFigure | None:
    rows = [
        SpreadRow(group=words(group), series=SERIES[measure], median=found.seconds[0], p90=found.seconds[1], n=found.measured)
        for group in [*order, ""]
        for measure in DECISIONS
        if (found := spread.of(measure, **{column: group})) is not None and found.measured >= ENOUGH
    ]
    if not rows:
        return None
    label = "; ".join(f"{row.group}, {row.series.split(' ')[0].lower()}: median {in_words(row.median)}" for row in rows)
    return NamedFigure(key=key, title=title, label=f"{label}. The table below has the same numbers.", figure=spread_rows(rows=rows, axis="Time"), table=0)


def _table(spread: ProductionSpread, counts: Mapping[tuple[Any, ...], ProductionTotals]) -> Table:
    columns = [
        Column("authority", "Authority level"),
        Column("how", "How"),
        Column("decisions", "Decisions", "count"),
        Column("imported", "of them imported", "count"),
        Column("decision_measured", "Decision measured", "count"),
        Column("decision_median", "Decision, median", "seconds"),
        Column("decision_p90", "Decision, 90th percentile", "seconds"),
        Column("approval_measured", "Approval measured", "count"),
        Column("approval_median", "Approval, median", "seconds"),
        Column("approval_p90", "Approval, 90th percentile", "seconds"),
    ]
    groups: dict[tuple[str, str], list[int]] = {}
    for (role, how, source), total in counts.items():
        mine = groups.setdefault((role, how), [0, 0])
        mine[0] += total.wholes
        mine[1] += total.wholes if source == "imported" else 0
    rows: list[list[Cell]] = []
    for (role, how), (decided, imported) in sorted(groups.items(), key=lambda group: (_place(ROLES, group[0][0]), _place(HOWS, group[0][1]))):
        row: list[Cell] = [role_in_words(role), how_in_words(how), decided, imported]
        for measure in DECISIONS:
            found = spread.of(measure, authority=role, authorised_how=how)
            row += [found.measured if found else 0, *(found.seconds if found and found.measured >= ENOUGH else (None, None))]
        rows.append(row)
    return Table("Decisions and approvals by authority level and way", columns, rows)


def _place(order: list[str], value: str) -> int:
    return order.index(value) if value in order else len(order)


def _extra(spread: ProductionSpread) -> dict[str, float]:
    extra: dict[str, float] = {}
    for measure, name in ((ProductionMeasure.DETECT, "decision"), (ProductionMeasure.AUTHORISE, "approval")):
        if (found := spread.of(measure)) is not None:
            extra |= {f"{name}_median": found.seconds[0], f"{name}_p90": found.seconds[1], f"{name}_measured": float(found.measured)}
    return extra
