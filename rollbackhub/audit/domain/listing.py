"""Reading the audit log for pages."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from rollbackhub.audit.models import AuditEvent, AuditPending, AuditTreeHead
from rollbackhub.common.errors import NotFound


@dataclass(frozen=True, slots=True)
class LogState:
    """How far the Merkle log has come: its newest tree head (None: nothing is sequenced yet), and how many events wait."""

    head: AuditTreeHead | None
    pending: int

    @property
    def root(self) -> str:
        """The root hash in hex."""
        return bytes(self.head.root_hash).hex() if self.head else ""


def get_log_state() -> LogState:
    """The newest tree head and the number of events without a place. Two queries, however long the log is."""
    return LogState(head=AuditTreeHead.objects.order_by("-size").first(), pending=AuditPending.objects.count())


def list_events(
    *, event: str = "", subject_type: str = "", subject_id: str = "", actor: str = "", before: int | None = None, size: int = 50
) -> tuple[list[AuditEvent], bool]:
    """The newest events that match (or those before an id), with their places in the log, and whether there are older ones. One query.

    `event` is a whole name or its beginning with a dot at the end (`execution.`).
    """
    found = AuditEvent.objects.select_related("leaf").order_by("-id")
    if event:
        found = found.filter(event__startswith=event) if event.endswith(".") else found.filter(event=event)
    if subject_type:
        found = found.filter(subject_type=subject_type)
    if subject_id:
        found = found.filter(subject_id=subject_id)
    if actor:
        found = found.filter(actor_label__icontains=actor)
    if before is not None:
        found = found.filter(id__lt=before)
    rows = list(found[: size + 1])
    return rows[:size], len(rows) > size


def list_events_about(*, subject_types: list[str], subject_id: str, limit: int = 100) -> list[AuditEvent]:
    """What was recorded about one thing, oldest first. One query."""
    return list(AuditEvent.objects.filter(subject_type__in=subject_types, subject_id=subject_id).order_by("id")[:limit])


def list_events_of(*, subject_types: Collection[str], subject_ids: Collection[str], limit: int = 300) -> list[AuditEvent]:
    """What was recorded about several things, e.g. a rollback and its executions: the newest of it, oldest first. One query."""
    found = AuditEvent.objects.filter(subject_type__in=subject_types, subject_id__in=subject_ids).order_by("-id")[:limit]
    return list(reversed(found))


def get_event(event_id: int) -> AuditEvent:
    """One event with its place in the log. Raises NotFound. One query."""
    event = AuditEvent.objects.select_related("leaf").filter(pk=event_id).first()
    if event is None:
        raise NotFound("There is no such audit event.", code="audit_event_not_found")
    return event
