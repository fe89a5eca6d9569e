"""From an alert's row to its course and back."""

from __future__ import annotations

from rollbackhub.alerts.enums import AlertState
from rollbackhub.alerts.models import Alert
from rollbackhub.alerts.rules import Course

KEPT = ("state", "starts_at", "sender_starts_at", "resolved_at", "times_seen", "times_fired", "to_do")
"""The columns that are the course."""


def course_of(alert: Alert) -> Course:
    """How far it has come."""
    return Course(
        state=AlertState(alert.state),
        starts_at=alert.starts_at,
        sender_starts_at=alert.sender_starts_at,
        resolved_at=alert.resolved_at,
        times_seen=alert.times_seen,
        times_fired=alert.times_fired,
        to_do=alert.to_do,
    )


def write_course(alert: Alert, course: Course) -> None:
    """Set the columns; saving is the caller's."""
    for name in KEPT:
        setattr(alert, name, getattr(course, name))
