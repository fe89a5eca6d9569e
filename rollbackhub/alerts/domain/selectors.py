"""Reading alerts."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from rollbackhub.alerts.enums import AlertState
from rollbackhub.alerts.models import Alert
from rollbackhub.common.errors import NotFound


def list_alerts(*, state: str = "", became: str = "", environment: str = "", hook: str = "", alias: str = "", query: str = "") -> QuerySet[Alert]:
    """Alerts, those that came last first. `hook` is its id, `query` a part of the alert's name."""
    found = _alerts().order_by("-last_seen_at", "pk")
    wanted = {"state": state, "became": became, "hook__environment__slug": environment, "hook": hook, "policy__alias": alias, "name__icontains": query}
    return found.filter(**{name: value for name, value in wanted.items() if value})


def count_firing() -> int:
    """How many alerts fire. One query."""
    return Alert.objects.filter(state=AlertState.FIRING).count()


def get_alert(alert_id: UUID) -> Alert:
    """An alert with what came of it. Raises NotFound. One query."""
    found = _alerts().filter(pk=alert_id).first()
    if found is None:
        raise NotFound("There is no such alert.", code="alert_not_found")
    return found


def _alerts() -> QuerySet[Alert]:
    return Alert.objects.select_related("hook__environment", "policy__environment", "incident", "proposal", "rule")
