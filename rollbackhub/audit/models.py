"""The append-only audit log: events as they were recorded, and their places in a Merkle log (RFC 6962)."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class DataIsCanonical(models.Func):
    """A jsonb value that is an object in which every number is exact in JSON: within ±(2^53 - 1)."""

    template = (
        "(jsonb_typeof(%(expressions)s) = 'object' AND NOT jsonb_path_exists(%(expressions)s, "
        "'$.** ? (@.type() == \"number\") ? (@ > 9007199254740991 || @ < -9007199254740991)'))"
    )
    output_field = models.BooleanField()


class AuditEvent(models.Model):
    """One thing that was done. Inserted in the transaction that did it; never changed (triggers and grants refuse)."""

    append_only = True

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
        constraints = [
            # What RFC 8785 cannot write would stop the sequencer, so not even a hand-written INSERT may bring it in.
            models.CheckConstraint(condition=DataIsCanonical(models.F("data")), name="audit_event_data_canonical"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.subject_type} {self.subject_id}"


class AuditPending(models.Model):
    """An event that has no place in the Merkle log yet. A trigger on AuditEvent fills this table, the sequencer empties it.

    It exists so that the sequencer finds what is new without searching 10,000,000 events, and without trusting the order of ids: they
    commit out of order. The application's role may only read and delete here.
    """

    app_privileges = ("SELECT", "DELETE")

    event = models.OneToOneField(AuditEvent, primary_key=True, db_constraint=False, on_delete=models.DO_NOTHING, related_name="pending")

    class Meta:
        ordering = ["event"]
        verbose_name_plural = "audit pending"

    def __str__(self) -> str:
        return f"event {self.event_id} waits"


class AuditLeaf(models.Model):
    """A committed event's place in the Merkle log. `position` starts at 0 and has no gaps."""

    append_only = True

    position = models.BigIntegerField(primary_key=True)
    event = models.OneToOneField(AuditEvent, on_delete=models.PROTECT, related_name="leaf")
    leaf_hash = models.BinaryField(max_length=32)
    sequenced_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["position"]
        verbose_name_plural = "audit leaves"

    def __str__(self) -> str:
        return f"leaf {self.position}"


class AuditTreeHead(models.Model):
    """The Merkle tree's root over the first `size` leaves, with the frontier from which the next root is computed."""

    append_only = True

    size = models.BigIntegerField(primary_key=True)
    root_hash = models.BinaryField(max_length=32)
    frontier = models.JSONField(help_text="Hex hashes of the perfect subtrees, largest first")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["size"]

    def __str__(self) -> str:
        return f"tree head of {self.size}"
