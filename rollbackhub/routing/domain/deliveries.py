"""How far a policy's revisions have reached the system that serves by it, where a mechanism brings them there."""

from __future__ import annotations

from rollbackhub.common import clock
from rollbackhub.routing.models import Delivery


def mark_delivered(*, policy_id: int, number: int) -> None:
    """The system stands as this revision wants it."""
    values = {"number": number, "delivered_at": clock.now(), "trying": None, "problem": "", "due_at": None, "claimed_until": None}
    Delivery.objects.update_or_create(policy_id=policy_id, defaults=values)
