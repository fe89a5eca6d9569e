"""Opening an incident by hand or by an alert. (Rollbacks open theirs, or join one, as they are followed.)"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from incidents.domain.changes import corrected_columns, keep, locked, plain
from incidents.enums import IncidentState, Severity, Source
from incidents.models import Incident
from incidents.rules import LONGEST_TEXT, LONGEST_TITLE
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

LONGEST_DETECTED_BY = 200
IN_THE_FUTURE = "It cannot have been noticed in the future."


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
    incident_id: UUID | None = None,
) -> Incident:
    """Open an incident at some aliases of an environment. The caller has asked whether the person may.

    `incident_id`: what it is to be called; the same sent twice opens one incident, and both get it.

    Raises InvalidInput, per field: no title, an alias of another environment, detected in the future, a commander who is no active person.
    """
    title, detected_by = _line(title, field="title"), _line(detected_by, field="detected_by")[:LONGEST_DETECTED_BY]
    summary, now = spoken(summary, field="summary"), clock.now()
    _require_valid(title=title, summary=summary, environment=environment, policies=policies, detected_at=detected_at, commander=commander, now=now)
    with transaction.atomic():
        # One at a time in an environment, as rollbacks open theirs (domain/transitions.py).
        Environment.objects.select_for_update(no_key=True).get(pk=environment.pk)
        before = Incident.objects.filter(pk=incident_id).first() if incident_id is not None else None
        if before is not None and (before.title, before.summary) == (title, summary):
            return before
        incident = Incident.objects.create(
            # A form that a browser kept, filled in anew, opens another one.
            **({"pk": incident_id} if incident_id is not None and before is None else {}),
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
            detected_by=detected_by,
            named_detected_at=detected_at,
            named_detected_by=detected_by,
        )
        incident.aliases.set(policies)
        data = {"title": title, "severity": severity, "source": source, "aliases": [policy.alias for policy in policies]}
        record(event="incident.opened", actor=actor, subject_type="incident", subject_id=incident.pk, data=data)
    return incident


def name_detection(*, incident_id: UUID, detected_at: dt.datetime, detected_by: str, actor: Actor) -> Incident:
    """Tell an incident when an alert (or a person) that joins it has noticed the harm: the earliest counts, unless a person corrected it.

    What is not earlier than what was named before changes nothing. Raises NotFound, InvalidInput `detected_at_invalid` (in the future).
    """
    if detected_at > clock.now():
        raise InvalidInput(IN_THE_FUTURE, code="detected_at_invalid", fields={"detected_at": [IN_THE_FUTURE]})
    detected_by = _line(detected_by, field="detected_by")[:LONGEST_DETECTED_BY]
    with transaction.atomic():
        incident = locked(incident_id)
        if incident.named_detected_at is not None and incident.named_detected_at <= detected_at:
            return incident
        fields: dict[str, Any] = {"named_detected_at": detected_at, "named_detected_by": detected_by}
        if (incident.detected_at is None or detected_at < incident.detected_at) and "detected_at" not in corrected_columns(incident):
            fields |= {"detected_at": detected_at, "detected_by": detected_by}
        data = {"before": plain(incident.detected_at), "after": detected_at.isoformat(), "detected_by": detected_by, "counts": "detected_at" in fields}
        keep(incident, actor=actor, event="incident.detection_named", data=data, **fields)
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


def _line(text: str, *, field: str) -> str:
    """One line of what a person or another system wrote."""
    return " ".join(spoken(text, field=field).split())


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
    if len(summary) > LONGEST_TEXT:
        fields["summary"] = [f"At most {LONGEST_TEXT} characters."]
    elsewhere = sorted(policy.alias for policy in policies if policy.environment_id != environment.pk)
    if elsewhere:
        fields["aliases"] = [f"{', '.join(elsewhere)} is not in {environment.slug}. An incident is of one environment."]
    elif not policies:
        fields["aliases"] = ["Choose at least one alias that is affected."]
    if detected_at is not None and detected_at > now:
        fields["detected_at"] = [IN_THE_FUTURE]
    if commander is not None and (commander.is_service or not commander.is_active):
        fields["commander"] = [f"{commander.username} cannot lead it: a person who can sign in does."]
    if fields:
        raise InvalidInput("The incident cannot be opened: " + " ".join(said for found in fields.values() for said in found), fields=fields)
