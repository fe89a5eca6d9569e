"""How far a policy's revisions have reached the system that serves by it, where a mechanism brings them there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollbackhub.common import clock
from rollbackhub.routing.models import Delivery, RoutingPolicy

FETCHED = ("connection", "delivery")
"""What `delivery_of` reads of a policy: for select_related."""


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """Where an alias that a mechanism moves stands: what moves what, and how far it has come."""

    connection: str
    connector: str
    target: Mapping[str, Any]
    wanted: int
    delivered: int
    delivered_at: dt.datetime | None
    problem: str
    again_at: dt.datetime | None
    """When it is tried again."""

    @property
    def is_current(self) -> bool:
        """The system was brought to the present revision."""
        return self.delivered >= self.wanted

    @property
    def in_words(self) -> str:
        """`git has revision 3`, `git has revision 2, revision 3 is on its way`, `git does not take revision 3`."""
        if self.is_current:
            return f"{self.connection} has revision {self.wanted}"
        if self.problem:
            return f"{self.connection} does not take revision {self.wanted}"
        before = f"{self.connection} has revision {self.delivered}, " if self.delivered else f"{self.connection}: "
        return f"{before}revision {self.wanted} is on its way"


def delivery_of(policy: RoutingPolicy) -> DeliveryState | None:
    """None when gateways take the alias from the hub. Without FETCHED it costs two queries."""
    if policy.connection is None:
        return None
    kept = getattr(policy, "delivery", None) or Delivery(policy=policy)
    return DeliveryState(
        connection=policy.connection.key,
        connector=policy.connection.connector,
        target=policy.target,
        wanted=policy.revision_number,
        delivered=kept.number,
        delivered_at=kept.delivered_at if kept.number else None,
        problem=kept.problem if kept.number < policy.revision_number else "",
        again_at=kept.due_at,
    )


def mark_delivered(*, policy_id: int, number: int) -> None:
    """The system stands as this revision wants it."""
    values = {"number": number, "delivered_at": clock.now(), "trying": None, "problem": "", "due_at": None, "claimed_until": None}
    Delivery.objects.update_or_create(policy_id=policy_id, defaults=values)
