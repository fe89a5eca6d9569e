"""What the API itself has to remember."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class KeptAnswer(models.Model):
    """The answer to a POST that brought an Idempotency-Key, so that the same POST again acts once. Kept for a week."""

    owner = models.CharField(max_length=120, help_text="Whose key it is: a token, or a person's sessions")
    key = models.CharField(max_length=120)
    request_hash = models.CharField(max_length=64, help_text="SHA-256 over method, path and body")
    status = models.PositiveSmallIntegerField(null=True, help_text="Null only inside the transaction that acts")
    body = models.TextField(blank=True, help_text="JSON, member for member as it was answered")
    location = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="kept_answer_once")]
        indexes = [models.Index(fields=["created_at"], name="kept_answer_age")]

    def __str__(self) -> str:
        return f"answer to {self.key} of {self.owner}"
