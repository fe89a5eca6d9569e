"""What the housekeeper does for postmortems, and what they hear of their actions. Nothing that a rollback needs to run depends on it."""

from __future__ import annotations

from rollbackhub.actions.domain.sources import register_source
from rollbackhub.actions.enums import ActionOrigin
from rollbackhub.common.housekeeping import register_job
from rollbackhub.postmortems.domain.actions import gate_late_holds
from rollbackhub.postmortems.domain.drafting import draft_due
from rollbackhub.postmortems.domain.due import note_overdue, remind_due
from rollbackhub.postmortems.domain.reviewing import PostmortemSource


def register() -> None:
    """Once, when the app is ready."""
    register_source(ActionOrigin.POSTMORTEM, PostmortemSource())
    register_job("postmortems.draft", every_seconds=2, function=draft_due)
    register_job("postmortems.gate", every_seconds=5, function=gate_late_holds)
    register_job("postmortems.remind", every_seconds=60, function=remind_due)
    register_job("postmortems.note_overdue", every_seconds=60, function=note_overdue)
