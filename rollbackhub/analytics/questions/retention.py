"""Question 8: which share of live aliases could be rolled back, over time, and what will soon be gone to go back to?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from django.db.models import QuerySet

from rollbackhub.analytics.answer import AnalyticsFilter, Answer, Cell, Column, NamedFigure, Table
from rollbackhub.analytics.domain.facts import start_of
from rollbackhub.analytics.questions.saying import per_cent
from rollbackhub.charts.retention_timeline import RetentionBar, retention_timeline
from rollbackhub.charts.rollbackable_share import SharePoint, rollbackable_share
from rollbackhub.common import clock
from rollbackhub.common.sentences import counted
from rollbackhub.readiness.domain.selectors import Share, list_share_history
from rollbackhub.registry.domain.retention import Retention, describe_retention, list_retention
from rollbackhub.registry.enums import EnvironmentKind
from rollbackhub.registry.models import Version
from rollbackhub.registry.rules import SERVING
from rollbackhub.routing.domain.served import first_served
from rollbackhub.routing.models import RoutingPolicy

BACK = dt.timedelta(days=365)
"""How far back the share goes when the filter names no first day."""
AHEAD = dt.timedelta(days=90)
SHOWN = 50
"""Versions that lose their way back next: no more of them are listed."""
POINTS = 400

BARE_SQL = """
    WITH live AS (
        SELECT p.id FROM routing_routingpolicy p JOIN registry_environment e ON e.id = p.environment_id AND e.kind = 'production'
    ), begun AS (
        SELECT live.id AS policy_id, stood.* FROM live CROSS JOIN LATERAL (
            SELECT c.at, c.id, c.rollbackable FROM readiness_readinesschange c
            WHERE c.policy_id = live.id AND c.at < now() - interval '365 days' ORDER BY c.at DESC, c.id DESC LIMIT 1
        ) stood
    ), changes AS (
        SELECT policy_id, (SELECT max(at) FROM begun) AS at, id, rollbackable FROM begun
        UNION ALL
        SELECT c.policy_id, c.at, c.id, c.rollbackable FROM readiness_readinesschange c JOIN live ON live.id = c.policy_id
            WHERE c.at >= now() - interval '365 days'
    ), moves AS (
        SELECT at, rollbackable::int - coalesce(lag(rollbackable::int) OVER w, 0) AS able, CASE WHEN lag(id) OVER w IS NULL THEN 1 ELSE 0 END AS one
        FROM changes WINDOW w AS (PARTITION BY policy_id ORDER BY at, id)
    )
    SELECT at, sum(sum(able)) OVER (ORDER BY at), sum(sum(one)) OVER (ORDER BY at) FROM moves GROUP BY at ORDER BY at;
    SELECT v.id, v.label, a.name, v.superseded_at + make_interval(days => coalesce(a.retention_days, rule.days, 90)), v.provider_retires_at
        FROM registry_version v JOIN registry_artefact a ON a.id = v.artefact_id LEFT JOIN registry_retentionrule rule ON rule.change_type = a.change_type
        WHERE v.lifecycle <> 'retired' AND (v.superseded_at + make_interval(days => coalesce(a.retention_days, rule.days, 90))
            BETWEEN now() AND now() + interval '90 days' OR v.provider_retires_at BETWEEN now() AND now() + interval '90 days')
        ORDER BY least(v.superseded_at + make_interval(days => coalesce(a.retention_days, rule.days, 90)), v.provider_retires_at) LIMIT 50
"""


def answer(wanted: AnalyticsFilter) -> Answer:
    """The share's history as readiness has judged it, and the versions whose window or provider ends within 90 days. At most six queries."""
    now = clock.now()
    until = now if wanted.until is None else min(start_of(wanted.until), now)
    since = start_of(wanted.since) if wanted.since is not None else until - BACK
    history = [] if since >= until else [share for share in list_share_history(since=since, policies=_policies(wanted)) if share.at <= until and share.total]
    risks = _risks(wanted, now=now)
    if not history and not risks:
        return Answer(
            headline="No live alias was judged in this period, and nothing expires soon.",
            empty="Aliases in production fill this: readiness judges each of them again and again, and every change of it is kept. "
            "Versions whose retention window or provider ends soon are listed beside it.",
        )
    figures, tables = [], []
    if history:
        points = [SharePoint(_naive(max(share.at, since)), share.rollbackable, share.total) for share in _thinned(history)]
        figures.append(
            NamedFigure(
                key="rollbackable-share",
                title="Share of live aliases that could be rolled back, over time",
                label=f"{_share_in_words(history, since=since)} The table below has the numbers at each month's end.",
                figure=rollbackable_share(points=points, since=_naive(max(since, history[0].at)), now=_naive(until)),
            )
        )
        tables.append(_by_month(history, since=since, until=until))
    if risks:
        figures.append(
            NamedFigure(
                key="retention-risks",
                title="Versions whose retention window or provider ends within 90 days",
                label=f"{counted(len(risks), 'version')}, what ends first on top. The table below has the same dates.",
                figure=retention_timeline(bars=[_bar(risk) for risk in risks[:20]], now=_naive(now)),
            )
        )
        tables.append(_risk_table(risks))
    needed = sum(1 for risk in risks if risk.is_needed)
    extra = {"risks": float(len(risks)), "risks_needed": float(needed)}
    if history and history[-1].total:
        extra |= {
            "rollbackable": history[-1].rollbackable / history[-1].total,
            "rollbackable_aliases": float(history[-1].rollbackable),
            "aliases": float(history[-1].total),
        }
    notes = [
        "Rollbackable: the way back is proven by a passed drill, and nothing has changed since. It is read from readiness, which keeps every change;"
        " imported runs count for nothing here.",
        f"What ends soon is looked at from today, {AHEAD.days} days ahead, whatever the period. Needed: it serves, or a rollback goes back to it.",
    ]
    if wanted.since is None:
        notes.append(f"Without a first day the share goes {BACK.days} days back.")
    if len(risks) == SHOWN:
        notes.append(f"The first {SHOWN} versions are listed; the retention page has all.")
    lose = "loses its" if len(risks) == 1 else "lose their"
    ends = f" Within {AHEAD.days} days {counted(len(risks), 'version')} {lose} window or provider, {needed:,} of them needed."
    quiet = f" Nothing that is kept ends within {AHEAD.days} days."
    return Answer(
        headline=f"{_share_in_words(history, since=since)}{ends if risks else quiet}".strip(), figures=figures, tables=tables, notes=notes, extra=extra
    )


def _policies(wanted: AnalyticsFilter) -> list[int] | None:
    """Ids of production's aliases that the filter wants; None: all. At most one query."""
    named = {
        "artefact__team__slug": wanted.team,
        "environment__slug": wanted.environment,
        "artefact__change_type": wanted.change_type,
        "alias": wanted.alias,
    }
    named = {column: value for column, value in named.items() if value}
    if not named and wanted.with_lab:
        return None
    found = RoutingPolicy.objects.filter(environment__kind=EnvironmentKind.PRODUCTION, **named)
    if not wanted.with_lab:
        found = found.filter(environment__is_lab=False, artefact__is_lab=False)
    return list(found.values_list("pk", flat=True))


def _risks(wanted: AnalyticsFilter, *, now: dt.datetime) -> list[Retention]:
    """What ends within AHEAD, the first to end on top. Three queries."""
    versions: QuerySet[Version] = list_retention(team=wanted.team, change_type=wanted.change_type, at=now).filter(  # type: ignore[misc] # an annotation, which the type does not know
        next_at__lte=now + AHEAD
    )
    if wanted.alias or wanted.environment:
        named = {"alias": wanted.alias, "environment__slug": wanted.environment}
        policies = RoutingPolicy.objects.filter(**{column: value for column, value in named.items() if value})
        versions = versions.filter(artefact__in=policies.values("artefact"))
    if not wanted.with_lab:
        versions = versions.filter(artefact__is_lab=False)
    found = list(versions[:SHOWN])
    return describe_retention(found, live_since=first_served(found), at=now) if found else []


def _share_in_words(history: Sequence[Share], *, since: dt.datetime) -> str:
    if not history:
        return ""
    first, last = history[0], history[-1]
    now_said = f"{last.rollbackable:,} of {counted(last.total, 'live alias', 'live aliases')} can be rolled back ({per_cent(last.rollbackable / last.total)})"
    if len(history) == 1 or not first.total:
        return f"{now_said}."
    return f"{now_said}; it was {first.rollbackable:,} of {first.total:,} ({per_cent(first.rollbackable / first.total)}) on {max(first.at, since):%Y-%m-%d}."


def _thinned(history: Sequence[Share]) -> list[Share]:
    """Few enough points for a figure; the newest is always there."""
    step = max(1, -(-len(history) // POINTS))
    return list(history[::-1][::step][::-1])


def _by_month(history: Sequence[Share], *, since: dt.datetime, until: dt.datetime) -> Table:
    last: dict[dt.date, Share] = {}
    for share in history:
        last[max(share.at, since).date().replace(day=1)] = share
    rows: list[list[Cell]] = []
    month, stands = min(last), None
    while month <= until.date():
        stands = last.get(month, stands)
        if stands is not None:
            rows.append([month, stands.rollbackable, stands.total, stands.rollbackable / stands.total if stands.total else None])
        month = (month + dt.timedelta(days=32)).replace(day=1)
    columns = [
        Column("month", "Month", "month"),
        Column("rollbackable", "Rollbackable", "count"),
        Column("aliases", "Live aliases", "count"),
        Column("share", "Share", "share"),
    ]
    return Table("At the end of each month (or of the period)", columns, rows[::-1])


def _risk_table(risks: Sequence[Retention]) -> Table:
    columns = [
        Column("version", "Version"),
        Column("artefact", "Artefact"),
        Column("team", "Team"),
        Column("ends", "What ends"),
        Column("at", "When", "instant"),
        Column("needed", "Needed"),
        Column("url", "Page"),
    ]
    rows: list[list[Cell]] = [
        [
            risk.version.label,
            risk.version.artefact.name,
            risk.version.artefact.team.name,
            "Its provider shuts it down" if risk.next_is_provider else "Its retention window",
            risk.next_at,
            NEEDED.get(next((reason.code for reason in risk.interlocks if reason.code in NEEDED), ""), "No"),
            f"/registry/versions/{risk.version.pk}/",
        ]
        for risk in risks
    ]
    return Table(f"What ends within {AHEAD.days} days", columns, rows, url_column=len(columns) - 1)


NEEDED: Mapping[str, str] = {"serves": "It serves in production", "rollback_target": "A rollback goes back to it"}


def _bar(risk: Retention) -> RetentionBar:
    serving = risk.version.lifecycle in SERVING
    return RetentionBar(
        version=risk.version.label,
        artefact=risk.version.artefact.name,
        live_from=_naive(risk.live_since) if risk.live_since and (serving or risk.version.superseded_at) else None,
        live_until=_naive(risk.version.superseded_at) if risk.version.superseded_at and not serving else None,
        kept_until=_naive(risk.retained_until) if risk.retained_until and not serving else None,
        provider_at=_naive(risk.version.provider_retires_at) if risk.version.provider_retires_at else None,
        retired=False,
        url=f"/registry/versions/{risk.version.pk}/",
    )


def _naive(at: dt.datetime) -> dt.datetime:
    """On the clock of the figure, which is UTC."""
    return at.astimezone(dt.UTC).replace(tzinfo=None)
