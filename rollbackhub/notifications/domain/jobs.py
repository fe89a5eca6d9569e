"""What is due by the clock."""

from __future__ import annotations

from rollbackhub.common.housekeeping import register_job
from rollbackhub.notifications.domain.follow import follow_log
from rollbackhub.notifications.domain.overdue import note_overdue_actions
from rollbackhub.notifications.domain.send import send_due


def register() -> None:
    """Each in a thread of its own: they wait for other systems, or for much to read, and nothing shall wait for them."""
    register_job("notifications.follow", every_seconds=1, function=follow_log, own_thread=True)
    register_job("notifications.send", every_seconds=1, function=send_due, own_thread=True)
    register_job("notifications.note_overdue", every_seconds=300, function=note_overdue_actions, own_thread=True)
