"""The one function that writes the audit log."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from rollbackhub.audit.actors import Actor
from rollbackhub.audit.models import AuditEvent


def record(*, event: str, actor: Actor, subject_type: str, subject_id: object, data: dict[str, Any] | None = None) -> AuditEvent:
    """Insert one audit event in the transaction that is open.

    `event` is past tense (`execution.started`). `data` holds JSON values and never a secret.
    Raises TransactionManagementError outside a transaction: an act and its record commit together or not at all.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("audit.record() belongs inside the transaction of the act that it records")
    return AuditEvent.objects.create(
        event=event,
        actor_kind=actor.kind,
        actor_label=actor.label,
        actor_user_id=actor.user_id,
        actor_token_id=actor.token_id,
        subject_type=subject_type,
        subject_id=str(subject_id),
        data=data or {},
    )
