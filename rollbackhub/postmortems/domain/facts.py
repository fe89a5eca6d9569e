"""What RollbackHub knows about an incident: exposure, duration, segments, people, and what happened when. Nobody writes these."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db.models import Prefetch

from incidents.domain.timeline import Line, Timeline
from incidents.models import Incident
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.common import clock
from rollbackhub.executions.enums import Segment
from rollbackhub.rollbacks.domain.selectors import costliest_segment_of, segments_of_rollback
from rollbackhub.rollbacks.enums import Via
from rollbackhub.rollbacks.models import Rollback, RollbackPart


def list_rollbacks_with_parts(incident: Incident) -> list[Rollback]:
    """The rollbacks of an incident with people and parts, in the order in which they were decided. Two queries."""
    parts = Prefetch("parts", RollbackPart.objects.select_related("policy__artefact", "bad_version").order_by("position"))
    found = Rollback.objects.filter(incident_link__incident=incident).select_related("principal", "authorised_by").prefetch_related(parts)
    return list(found.order_by("decided_at", "created_at"))


def facts_of(incident: Incident, rollbacks: Sequence[Rollback]) -> dict[str, Any]:
    """The facts as JSON: instants in ISO 8601 (UTC), durations in seconds. No query when the incident was fetched with its people."""
    by_itself = any(rollback.requested_via == Via.SYSTEM and rollback.decided_at == incident.decided_at for rollback in rollbacks)
    return {
        "severity": incident.get_severity_display(),
        "detected_by": incident.detected_by,
        "decided_by": "RollbackHub by itself" if by_itself else _name(incident.decided_by),
        "authority": incident.authority,
        "exposure_observed": incident.exposure_observed,
        "exposure_estimated": incident.exposure_estimated,
        "exposure_basis": incident.exposure_basis,
        "outcome": incident.outcome,
        "harm_seconds": clock.seconds_between(incident.detected_at or incident.opened_at, incident.stable_at),
        "restored_seconds": clock.seconds_between(incident.decided_at, incident.restored_at),
        **{
            f"{name}_at": _iso(getattr(incident, f"{name}_at"))
            for name in ("opened", "detected", "decided", "authorised", "restored", "verified", "stable", "closed")
        },
        "rollbacks": [_rollback(rollback) for rollback in rollbacks],
    }


def timeline_of(incident: Incident) -> list[dict[str, Any]]:
    """What happened when, as JSON, the earliest first: `at`, `words`, `by`, `url`. It is the incident's timeline, without what was written afterwards in
    the postmortem, and without notes that were withdrawn. Eleven queries at most.
    """
    timeline = Timeline(incident)
    rows = [_row(line) for line in timeline.lines if not line.event.startswith("postmortem.") and not (line.note and line.note.withdrawn_at)]
    if rows and not timeline.is_whole:
        rows.insert(0, {**rows[0], "words": "What happened before is not shown: there is more than a postmortem holds", "by": "", "url": ""})
    return rows


def slowest_of(rollback: Rollback) -> tuple[Segment, float] | None:
    """The segment between decision and restoration that took longest, with its seconds; None before any has ended. No query."""
    found = costliest_segment_of(rollback)
    return None if found is None or found.seconds is None else (found.segment, found.seconds)


def _rollback(rollback: Rollback) -> dict[str, Any]:
    slowest = slowest_of(rollback)
    parts = list(rollback.parts.all())
    return {
        "id": str(rollback.pk),
        "reason": rollback.reason,
        "state": rollback.get_state_display(),
        "aliases": [part.policy.alias for part in parts],
        "bad_versions": [part.bad_version.label for part in parts],
        "seconds": rollback.rollback_seconds,
        "target_seconds": rollback.target_seconds,
        "segments": [{"name": segment.segment.label, "seconds": segment.seconds} for segment in segments_of_rollback(rollback) if segment.seconds is not None],
        "slowest": slowest[0].label if slowest else "",
    }


def _row(line: Line) -> dict[str, Any]:
    said = f"{line.words}: {line.note.text if line.note else line.detail}" if line.note or line.detail else line.words
    return {"at": _iso(line.at), "words": " ".join(said.split()), "by": line.who, "url": line.url}


def _name(user: User | None) -> str:
    return "" if user is None else actor_of(user).label


def _iso(at: dt.datetime | None) -> str | None:
    return None if at is None else at.astimezone(dt.UTC).isoformat()
