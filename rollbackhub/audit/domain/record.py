"""The one function that writes the audit log."""

from __future__ import annotations

from typing import Any

from django.db import models, transaction

from rollbackhub.audit.actors import Actor
from rollbackhub.audit.canonical import AuditDataError, check_data, check_text
from rollbackhub.audit.models import AuditEvent


def record(*, event: str, actor: Actor, subject_type: str, subject_id: object, data: dict[str, Any] | None = None) -> AuditEvent:
    """Insert one audit event in the transaction that is open.

    `event` is past tense (`execution.started`). `data` holds JSON values that survive storage unchanged (no integers beyond 2^53 - 1,
    no dates, keys are strings) and never a secret; keys are chosen by the programmer, not by users.
    Raises TransactionManagementError outside a transaction (an act and its record commit together or not at all) and AuditDataError, a
    programming error, for what cannot be recorded.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("audit.record() belongs inside the transaction of the act that it records")
    found = AuditEvent(
        event=event,
        actor_kind=actor.kind,
        actor_label=actor.label,
        actor_user_id=actor.user_id,
        actor_token_id=actor.token_id,
        subject_type=subject_type,
        subject_id=str(subject_id),
        data=data or {},
    )
    for field in AuditEvent._meta.concrete_fields:
        if isinstance(field, models.CharField):
            _check_column(field, getattr(found, field.attname))
    check_data(found.data)
    found.save(force_insert=True)
    return found


def _check_column(field: models.CharField[str, str], value: str) -> None:
    check_text(field.name, value)
    if not value and not field.blank:
        raise AuditDataError(f"{field.name} is empty")
    if field.max_length is not None and len(value) > field.max_length:
        raise AuditDataError(f"{field.name} has {len(value)} characters, at most {field.max_length} can be recorded")
