"""Reading readiness: the board, one alias, and the share of aliases that could be rolled back, with its history."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection
from django.db.models import Count, Q, QuerySet

from rollbackhub.common import clock
from rollbackhub.readiness.enums import ReadinessState
from rollbackhub.readiness.models import Readiness, ReadinessChange
from rollbackhub.registry.enums import EnvironmentKind


@dataclass(frozen=True, slots=True)
class Share:
    """How many live aliases (those in production) could be rolled back at an instant."""

    at: dt.datetime
    rollbackable: int
    total: int

    @property
    def percent(self) -> float | None:
        """Percent; None when there is no alias."""
        return None if not self.total else 100 * self.rollbackable / self.total


def list_readiness(*, kind: str = EnvironmentKind.PRODUCTION, environment: str = "", state: str = "", query: str = "", code: str = "") -> QuerySet[Readiness]:
    """Readiness of aliases, the most urgent first, with policy, environment, artefact and team. `kind` "" for all environments."""
    found = Readiness.objects.select_related("policy__environment", "policy__artefact__team").order_by("rank", "policy__alias", "policy__environment__slug")
    if kind:
        found = found.filter(policy__environment__kind=kind)
    if environment:
        found = found.filter(policy__environment__slug=environment)
    if state:
        found = found.filter(state=state)
    if query:
        found = found.filter(policy__alias__icontains=query)
    return found.filter(reasons__contains=[{"code": code}]) if code else found


def count_states(*, kind: str = EnvironmentKind.PRODUCTION) -> dict[ReadinessState, int]:
    """How many aliases are in each state. One query."""
    rows = Readiness.objects.filter(policy__environment__kind=kind).values_list("state").annotate(Count("pk")).order_by()
    return {ReadinessState(state): count for state, count in rows}


def rollbackable_now() -> Share:
    """The share of live aliases that could be rolled back, as last judged. One query."""
    row = Readiness.objects.filter(policy__environment__kind=EnvironmentKind.PRODUCTION).aggregate(
        total=Count("pk"), able=Count("pk", filter=Q(rollbackable=True))
    )
    return Share(at=clock.now(), rollbackable=row["able"], total=row["total"])


# Each change of an alias moves the sums by what it was before and what it is now; the running sum is the share at each instant. What stood
# when the time began is one look into the index for each alias, so that years of history cost nothing.
_HISTORY_SQL = """
    WITH live AS (
        SELECT p.id FROM routing_routingpolicy p JOIN registry_environment e ON e.id = p.environment_id AND e.kind = 'production'
        WHERE %(policies)s::bigint[] IS NULL OR p.id = ANY(%(policies)s)
    ), begun AS (
        SELECT live.id AS policy_id, stood.* FROM live CROSS JOIN LATERAL (
            SELECT c.at, c.id, c.rollbackable FROM readiness_readinesschange c
            WHERE c.policy_id = live.id AND c.at < %(since)s ORDER BY c.at DESC, c.id DESC LIMIT 1
        ) stood
    ), changes AS (
        SELECT policy_id, (SELECT max(at) FROM begun) AS at, id, rollbackable FROM begun
        UNION ALL
        SELECT c.policy_id, c.at, c.id, c.rollbackable FROM readiness_readinesschange c JOIN live ON live.id = c.policy_id WHERE c.at >= %(since)s
    ), moves AS (
        SELECT at, rollbackable::int - coalesce(lag(rollbackable::int) OVER w, 0) AS able, CASE WHEN lag(id) OVER w IS NULL THEN 1 ELSE 0 END AS one
        FROM changes WINDOW w AS (PARTITION BY policy_id ORDER BY at, id)
    )
    SELECT at, sum(sum(able)) OVER (ORDER BY at), sum(sum(one)) OVER (ORDER BY at) FROM moves GROUP BY at ORDER BY at
"""


def list_share_history(*, since: dt.datetime, policies: Sequence[int] | None = None) -> list[Share]:
    """The share of live aliases that could be rolled back, at every instant at which it changed since then, oldest first.

    The first entry may be older: what stood when the time began. `policies`: of these aliases (their policies' ids) alone. One query.
    """
    with connection.cursor() as cursor:
        cursor.execute(_HISTORY_SQL, {"since": since, "policies": None if policies is None else list(policies)})
        return [Share(at=at, rollbackable=int(able), total=int(total)) for at, able, total in cursor.fetchall()]


def list_changes(*, policy_id: int, limit: int = 50) -> Sequence[ReadinessChange]:
    """The newest changes of an alias's readiness. One query."""
    return list(ReadinessChange.objects.filter(policy_id=policy_id)[:limit])
