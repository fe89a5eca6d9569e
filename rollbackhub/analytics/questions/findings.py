"""Question 7: what do drills catch, how long does mending it take, and does it come back?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Func, Sum

from drills.models import FindingAction
from rollbackhub.actions.enums import ActionState
from rollbackhub.analytics.answer import AnalyticsFilter, Answer, Cell, Column, NamedFigure, Table
from rollbackhub.analytics.domain.facts import dimensions_of, start_of
from rollbackhub.analytics.domain.rollups import parts_of, totals
from rollbackhub.analytics.domain.statistics import Survival, kaplan_meier, wilson
from rollbackhub.analytics.enums import COMPARABLE, REHEARSED, ROLLED_BACK, RunKind, RunSource
from rollbackhub.analytics.models import FindingCell, RunFact
from rollbackhub.analytics.questions.saying import per_cent
from rollbackhub.analytics.questions.wording import TOO_FEW, interval_in_words
from rollbackhub.charts.duration_curve import duration_curve
from rollbackhub.charts.stacked_rows import stacked_rows
from rollbackhub.common import clock
from rollbackhub.common.durations import in_words
from rollbackhub.common.sentences import counted
from rollbackhub.executions.enums import FindingCode

NEWEST = 5000
"""So many actions for findings are looked at, the newest."""
ENOUGH = 5

BARE_SQL = f"""
    SELECT kind, code, count(*) FROM analytics_runfact CROSS JOIN LATERAL unnest(finding_codes) AS caught (code)
        WHERE kind IN ('drill', 'rehearsal', 'rollback') GROUP BY kind, code;
    SELECT kind, count(*) FROM analytics_runfact WHERE kind IN ('drill', 'rehearsal', 'rollback') AND source = 'hub' GROUP BY kind;
    SELECT link.code, action.state, action.created_at, action.closed_at, link.recurrences
        FROM drills_findingaction AS link JOIN actions_action AS action ON action.id = link.action_id ORDER BY action.created_at DESC LIMIT {NEWEST}
"""


@dataclass(frozen=True, slots=True)
class Mending:
    """One action for a finding. `seconds`: until it was mended for good, or its age while it is not (then it may take longer)."""

    code: str
    seconds: float
    mended: bool
    state: str
    came_back: bool
    """It was mended once, and found again."""


def answer(wanted: AnalyticsFilter) -> Answer:
    """What was caught by code, drills and production apart; Kaplan–Meier of the time to mend; recurrence. Three to five queries."""
    drills, production = _caught(wanted, REHEARSED), _caught(wanted, ROLLED_BACK)
    runs = totals(wanted, by=("kind", "source"), kinds=COMPARABLE)
    drilled, rolled = _runs(runs, REHEARSED), _runs(runs, ROLLED_BACK)
    mendings = _mendings(wanted)
    if not drills and not production and not mendings:
        looked = f" {counted(drilled, 'drill')} caught nothing." if drilled else ""
        return Answer(
            headline="Nothing was caught yet." if not drilled else f"Nothing was caught in {counted(drilled, 'drill')}.",
            empty=f"Drills and rollbacks whose checks find something that is not as it should be fill this.{looked}",
        )
    curve = _mended(mendings)
    codes = sorted({*drills, *production, *(mending.code for mending in mendings)}, key=lambda code: (-drills.get(code, 0), -production.get(code, 0), code))
    figures = []
    if drills or production:
        figures.append(
            NamedFigure(
                key="findings-by-code",
                title="What drills and production rollbacks caught",
                label="; ".join(f"{_label(code)}: {drills.get(code, 0):,} drills, {production.get(code, 0):,} rollbacks" for code in codes) + ".",
                figure=stacked_rows(
                    groups=[_label(code) for code in codes],
                    series=[
                        ("Drills and rehearsals", [drills.get(code, 0) for code in codes]),
                        ("Production rollbacks", [production.get(code, 0) for code in codes]),
                    ],
                    axis="Runs that caught it",
                ),
                table=0,
            )
        )
    if curve is not None and len(curve.steps) > 1:
        figures.append(
            NamedFigure(
                key="time-to-mend",
                title="Time to mend what drills caught",
                label=f"{_median_in_words(curve)} of {counted(curve.n, 'finding')}, {curve.censored:,} still open. The table below has the medians by code.",
                figure=duration_curve(curves=[("Mended", curve.steps)], axis="Time since it was found", share="Mended"),
                table=1,
            )
        )
    notes = [
        "A run counts once for each code that it caught. Imported runs have no findings, and are not among the runs.",
        "Time to mend is from the opening of a finding's action to its being done, by Kaplan and Meier: open ones, and those that will not be done,"
        " count as lasting longer than so far.",
        "It came back: it was done, and a later drill of the same alias found the same at the same place. Its time to mend goes on until it stays mended.",
    ]
    if len(mendings) == NEWEST:
        notes.append(f"The newest {NEWEST:,} actions are looked at.")
    return Answer(
        headline=_headline(drills, drilled, mendings, curve),
        figures=figures,
        tables=[_table(codes, drills, production, drilled, rolled), *([_mend_table(mendings)] if mendings else [])],
        notes=notes,
        extra=_extra(mendings, curve),
    )


def _caught(wanted: AnalyticsFilter, kinds: Collection[RunKind]) -> dict[str, int]:
    """How many runs caught each code. One or two queries."""
    cells, days = parts_of(wanted)
    found: dict[str, int] = {}
    if cells is not None:
        for code, n in FindingCell.objects.filter(dimensions_of(wanted, kinds), cells).order_by().values_list("code").annotate(Sum("n")):
            found[code] = n
    if days is not None:
        facts = RunFact.objects.filter(dimensions_of(wanted, kinds), days).order_by()
        for code, n in facts.annotate(code=Func(F("finding_codes"), function="unnest")).values_list("code").annotate(Count("pk")):
            found[code] = found.get(code, 0) + n
    return found


def _runs(found: Mapping[tuple[Any, ...], Any], kinds: Collection[RunKind]) -> int:
    return sum(total.n for (kind, source), total in found.items() if kind in kinds and source == RunSource.HUB)


def _mendings(wanted: AnalyticsFilter) -> list[Mending]:
    """The newest actions for findings that were opened in the period. One query."""
    links = FindingAction.objects.all()
    if wanted.since is not None:
        links = links.filter(action__created_at__gte=start_of(wanted.since))
    if wanted.until is not None:
        links = links.filter(action__created_at__lt=start_of(wanted.until))
    named = {
        "action__team__slug": wanted.team,
        "policy__environment__slug": wanted.environment,
        "policy__artefact__change_type": wanted.change_type,
        "policy__alias": wanted.alias,
    }
    links = links.filter(**{column: value for column, value in named.items() if value})
    if not wanted.with_lab:
        links = links.filter(action__is_lab=False)
    now = clock.now()
    rows = links.order_by("-action__created_at").values_list("code", "action__state", "action__created_at", "action__closed_at", "recurrences")[:NEWEST]
    return [_mending(code, state, opened, closed, recurrences, now=now) for code, state, opened, closed, recurrences in rows]


def _mending(code: str, state: str, opened: dt.datetime, closed: dt.datetime | None, recurrences: int, *, now: dt.datetime) -> Mending:
    done = state == ActionState.DONE and closed is not None
    return Mending(code, max(((closed or now) - opened).total_seconds(), 0.0), done, state, recurrences > 0)


def _mended(mendings: Sequence[Mending]) -> Survival | None:
    if not mendings:
        return None
    return kaplan_meier([mending.seconds for mending in mendings if mending.mended], [mending.seconds for mending in mendings if not mending.mended])


def _median_in_words(curve: Survival) -> str:
    return f"half are mended within {in_words(curve.median)}" if curve.median is not None else "less than half is known to be mended, so there is no median yet"


def _headline(drills: Mapping[str, int], drilled: int, mendings: Sequence[Mending], curve: Survival | None) -> str:
    parts = []
    if drills and drilled:
        most = max(drills, key=lambda code: (drills[code], code))
        parts.append(
            f"In {counted(drilled, 'drill')}, most often caught: {_label(most).lower()} ({counted(drills[most], 'drill')}, {per_cent(drills[most] / drilled)})"
        )
    if curve is not None:
        open_ones = sum(1 for mending in mendings if mending.state == ActionState.OPEN)
        if curve.n < ENOUGH:
            parts.append(f"{counted(curve.n, 'action')} for findings, {open_ones:,} open: too few to say how long mending takes ({ENOUGH} are needed)")
        else:
            parts.append(f"Of {counted(curve.n, 'action')} for findings {_median_in_words(curve)}; {open_ones:,} {'is' if open_ones == 1 else 'are'} open")
        once = [mending for mending in mendings if mending.mended or mending.came_back]
        if len(once) >= ENOUGH:
            back = sum(1 for mending in once if mending.came_back)
            parts.append(f"{back:,} of {len(once):,} mended ones came back: {interval_in_words(wilson(back, len(once)))}")
    return ". ".join(parts) + "." if parts else "Only production rollbacks caught anything."


def _label(code: str) -> str:
    return str(FindingCode(code).label) if code in FindingCode.values else code


def _table(codes: Sequence[str], drills: Mapping[str, int], production: Mapping[str, int], drilled: int, rolled: int) -> Table:
    columns = [
        Column("code", "What was caught"),
        Column("drills", "Drills", "count"),
        Column("drills_share", "of all drills", "share"),
        Column("rollbacks", "Production rollbacks", "count"),
        Column("rollbacks_share", "of all rollbacks", "share"),
        Column("together", "Together", "count"),
    ]
    rows: list[list[Cell]] = []
    for code in codes:
        in_drills, in_production = drills.get(code, 0), production.get(code, 0)
        shares = (in_drills / drilled if drilled else None, in_production / rolled if rolled else None)
        rows.append([_label(code), in_drills, shares[0], in_production, shares[1], in_drills + in_production])
    return Table("What was caught, by code", columns, rows)


def _mend_table(mendings: Sequence[Mending]) -> Table:
    columns = [
        Column("code", "What was caught"),
        Column("actions", "Actions", "count"),
        Column("mended", "Mended", "count"),
        Column("open", "Open", "count"),
        Column("not_doing", "Will not be done", "count"),
        Column("median", "Half mended within", "seconds"),
        Column("said", "How sure"),
        Column("came_back", "Came back", "count"),
    ]
    rows: list[list[Cell]] = []
    for code in sorted({mending.code for mending in mendings}):
        mine = [mending for mending in mendings if mending.code == code]
        curve = _mended(mine)
        enough = curve is not None and curve.n >= ENOUGH
        said = TOO_FEW if not enough else "" if curve is not None and curve.median is not None else "less than half is mended"
        rows.append(
            [
                _label(code),
                len(mine),
                sum(1 for mending in mine if mending.mended),
                sum(1 for mending in mine if mending.state == ActionState.OPEN),
                sum(1 for mending in mine if mending.state == ActionState.NOT_DOING),
                curve.median if curve is not None and enough else None,
                said,
                sum(1 for mending in mine if mending.came_back),
            ]
        )
    return Table("Time to mend, by code", columns, rows)


def _extra(mendings: Sequence[Mending], curve: Survival | None) -> dict[str, float]:
    extra = {"actions": float(len(mendings)), "open": float(sum(1 for mending in mendings if mending.state == ActionState.OPEN))}
    if curve is not None and curve.median is not None and curve.n >= ENOUGH:
        extra["mend_median"] = curve.median
    return extra
