"""Opening an incident by hand or by an alert. (Rollbacks open theirs, or join one, as they are followed.)"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.db import transaction

from incidents.enums import IncidentState, Severity, Source
from incidents.models import Incident
from rollbackhub.accounts.models import User
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput
from rollbackhub.common.shown_text import spoken
from rollbackhub.registry.models import Environment
from rollbackhub.routing.models import RoutingPolicy

JOIN_WITHIN = dt.timedelta(days=7)
"""What happens at an alias joins an incident of it that was opened within this time and is not closed: the length of a stability hold."""

LONGEST_TITLE = 200
LONGEST_SUMMARY = 4000


def open_incident(
    *,
    title: str,
    environment: Environment,
    policies: Sequence[RoutingPolicy],
    severity: Severity,
    source: Source,
    actor: Actor,
    summary: str = "",
    detected_at: dt.datetime | None = None,
    detected_by: str = "",
    commander: User | None = None,
) -> Incident:
    """Open an incident at some aliases of an environment. The caller has asked whether the person may.

    Raises InvalidInput, per field: no title, an alias of another environment, detected in the future, a commander who is no active person.
    """
    title, summary, now = spoken(title), summary.strip(), clock.now()
    _require_valid(title=title, summary=summary, environment=environment, policies=policies, detected_at=detected_at, commander=commander, now=now)
    with transaction.atomic():
        # One at a time in an environment, as rollbacks open theirs (domain/transitions.py).
        Environment.objects.select_for_update(no_key=True).get(pk=environment.pk)
        incident = Incident.objects.create(
            title=title,
            severity=severity,
            source=source,
            summary=summary,
            opened_by_label=actor.label,
            commander=commander,
            environment=environment,
            is_lab=environment.is_lab,
            opened_at=now,
            detected_at=detected_at,
            detected_by=detected_by[:200],
        )
        incident.aliases.set(policies)
        data = {"title": title, "severity": severity, "source": source, "aliases": [policy.alias for policy in policies]}
        record(event="incident.opened", actor=actor, subject_type="incident", subject_id=incident.pk, data=data)
    return incident


def find_incident_to_join(*, environment: Environment, policies: Sequence[RoutingPolicy], at: dt.datetime) -> Incident | None:
    """The newest incident of one of these aliases that is not closed and was opened at most JOIN_WITHIN before `at`. One query."""
    return (
        Incident.objects.filter(
            pk__in=Incident.aliases.through.objects.filter(routingpolicy__in=policies).values("incident"),
            environment=environment,
            opened_at__gte=at - JOIN_WITHIN,
        )
        .exclude(state=IncidentState.CLOSED)
        .order_by("-opened_at")
        .first()
    )


def _require_valid(
    *,
    title: str,
    summary: str,
    environment: Environment,
    policies: Sequence[RoutingPolicy],
    detected_at: dt.datetime | None,
    commander: User | None,
    now: dt.datetime,
) -> None:
    fields: dict[str, list[str]] = {}
    if not 3 <= len(title) <= LONGEST_TITLE:
        fields["title"] = [f"Say in 3 to {LONGEST_TITLE} characters what is wrong."]
    if len(summary) > LONGEST_SUMMARY:
        fields["summary"] = [f"At most {LONGEST_SUMMARY} characters."]
    elsewhere = sorted(policy.alias for policy in policies if policy.environment_id != environment.pk)
    if elsewhere:
        fields["aliases"] = [f"{', '.join(elsewhere)} is not in {environment.slug}. An incident is of one environment."]
    elif not policies:
        fields["aliases"] = ["Choose at least one alias that is affected."]
    if detected_at is not None and detected_at > now:
        fields["detected_at"] = ["It cannot have been noticed in the future."]
    if commander is not None and (commander.is_service or not commander.is_active):
        fields["commander"] = [f"{commander.username} cannot lead it: a person who can sign in does."]
    if fields:
        raise InvalidInput("The incident cannot be opened: " + " ".join(said for found in fields.values() for said in found), fields=fields)
