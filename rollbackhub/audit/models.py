"""The append-only audit log: events as they were recorded, and their places in a Merkle log (RFC 6962)."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class AuditEvent(models.Model):
    """One thing that was done. Inserted in the transaction that did it; never changed (triggers and grants refuse)."""

    at = models.DateTimeField(db_default=Now(), editable=False)
    event = models.CharField(max_length=80, help_text="Past tense, e.g. rollback.approved")
    actor_kind = models.CharField(max_length=10)
    actor_label = models.CharField(max_length=200)
    actor_user_id = models.BigIntegerField(null=True)
    actor_token_id = models.CharField(max_length=64, blank=True)
    subject_type = models.CharField(max_length=60)
    subject_id = models.CharField(max_length=64)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["subject_type", "subject_id", "id"], name="audit_event_subject"),
            models.Index(fields=["event", "id"], name="audit_event_event"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.subject_type} {self.subject_id}"


class AuditLeaf(models.Model):
    """A committed event's place in the Merkle log. `position` starts at 0 and has no gaps."""

    position = models.BigIntegerField(primary_key=True)
    event = models.OneToOneField(AuditEvent, on_delete=models.PROTECT, related_name="leaf")
    leaf_hash = models.BinaryField(max_length=32)
    sequenced_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["position"]

    def __str__(self) -> str:
        return f"leaf {self.position}"


class AuditTreeHead(models.Model):
    """The Merkle tree's root over the first `size` leaves, with the frontier from which the next root is computed."""

    size = models.BigIntegerField(primary_key=True)
    root_hash = models.BinaryField(max_length=32)
    frontier = models.JSONField(help_text="Hex hashes of the perfect subtrees, largest first")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["size"]

    def __str__(self) -> str:
        return f"tree head of {self.size}"
