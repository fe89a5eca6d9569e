"""What gateways say of themselves when they ask for routes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection

from rollbackhub.common import clock
from rollbackhub.routing.models import Gateway

MAX_REFUSAL = 2000


@dataclass(frozen=True, slots=True)
class GatewayReport:
    """One request of a gateway: what it has applied, and what it refused (if it did)."""

    environment: str
    node_id: str
    applied_number: int
    address: str | None
    user_agent: str
    refused_number: int | None = None
    refusal: str = ""


_REPORT_SQL = """
    INSERT INTO routing_gateway AS g (environment_id, node_id, applied_number, applied_at, last_seen_at, address, user_agent,
                                      refused_number, refused_at, refusal)
    SELECT e.id, %(node_id)s, %(applied)s, CASE WHEN %(applied)s > 0 THEN %(now)s::timestamptz END, %(now)s, %(address)s::inet, %(user_agent)s,
           %(refused)s, CASE WHEN %(refused)s::bigint IS NOT NULL THEN %(now)s::timestamptz END, %(refusal)s
    FROM registry_environment e WHERE e.slug = %(environment)s
    ON CONFLICT (environment_id, node_id) DO UPDATE SET
        last_seen_at = excluded.last_seen_at,
        address = excluded.address,
        user_agent = excluded.user_agent,
        applied_at = CASE WHEN g.applied_number = excluded.applied_number THEN g.applied_at ELSE excluded.applied_at END,
        applied_number = excluded.applied_number,
        refused_at = CASE WHEN g.refused_number IS NOT DISTINCT FROM excluded.refused_number THEN g.refused_at ELSE excluded.refused_at END,
        refused_number = excluded.refused_number,
        refusal = excluded.refusal
"""


def record_report(report: GatewayReport) -> bool:
    """Write down what a gateway said, in one statement. False when there is no such environment."""
    values: dict[str, Any] = {
        "environment": report.environment,
        "node_id": report.node_id,
        "applied": report.applied_number,
        "now": clock.now(),
        "address": report.address,
        "user_agent": report.user_agent[:200],
        "refused": report.refused_number,
        "refusal": report.refusal[:MAX_REFUSAL],
    }
    with connection.cursor() as cursor:
        cursor.execute(_REPORT_SQL, values)
        return bool(cursor.rowcount == 1)


def live_since(now: dt.datetime | None = None) -> dt.datetime:
    """A gateway seen since this instant is live."""
    return (now or clock.now()) - dt.timedelta(seconds=settings.CONFIG.gateway_live_seconds)


def list_live_gateways(*, environment_id: int, at: dt.datetime | None = None) -> list[Gateway]:
    """The environment's gateways that were live at this instant (now, by default) or have asked since, by name."""
    return list(Gateway.objects.filter(environment_id=environment_id, last_seen_at__gte=live_since(at)).order_by("node_id"))


def not_acknowledged(gateways: Iterable[Gateway], *, routing_number: int) -> list[Gateway]:
    """Those that have not applied this routing state (or a later one)."""
    return [gateway for gateway in gateways if gateway.applied_number < routing_number]
