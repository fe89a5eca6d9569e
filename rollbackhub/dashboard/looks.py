"""How states look: a word, an icon and a tone, never the colour alone."""

from __future__ import annotations

from dataclasses import dataclass

from drills.enums import PlannedState
from incidents.enums import IncidentState, Severity
from rollbackhub.actions.enums import ActionState
from rollbackhub.alerts.enums import AlertState, ProposalState
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import ExecutionState, StepState
from rollbackhub.executions.models import Execution
from rollbackhub.postmortems.enums import PostmortemState
from rollbackhub.readiness.enums import ReadinessState
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.releases.enums import ReleaseState
from rollbackhub.reviews.enums import ReviewState
from rollbackhub.rollbacks.enums import RollbackState


@dataclass(frozen=True, slots=True)
class Look:
    """A word, an icon's name and a tone (a CSS class)."""

    word: str
    icon: str
    tone: str
    spin: bool = False


VERDICTS = {
    Verdict.PASSED: Look("Passed", "circle-check", "ok"),
    Verdict.FAILED: Look("Failed", "circle-x", "bad"),
    Verdict.INCONCLUSIVE: Look("Inconclusive", "help", "warn"),
    Verdict.ERROR: Look("Error", "alert-triangle", "warn"),
}
EXECUTIONS = {
    ExecutionState.QUEUED: Look("Queued", "hourglass", "busy"),
    ExecutionState.RUNNING: Look("Running", "loader-2", "busy", spin=True),
    ExecutionState.CLEANING_UP: Look("Putting things back", "arrow-back-up", "busy"),
    ExecutionState.NEEDS_HUMAN: Look("Needs a person", "user-exclamation", "warn"),
    ExecutionState.FINISHED: Look("Finished", "check", "idle"),
    ExecutionState.CANCELLED: Look("Stopped", "ban", "idle"),
}
STEPS = {
    "waiting": Look("Waiting", "circle-dashed", "idle"),
    "skipped": Look("Not run", "circle-dashed", "idle"),
    StepState.STARTED: Look("Running", "loader-2", "busy", spin=True),
    StepState.DONE: Look("Done", "circle-check", "ok"),
    StepState.FAILED: Look("Did not pass", "circle-x", "bad"),
    StepState.INTERRUPTED: Look("Interrupted", "refresh", "warn"),
    StepState.UNKNOWN: Look("Unknown", "help", "warn"),
}
LIFECYCLES = {
    Lifecycle.REGISTERED: Look("Registered", "tag", "idle"),
    Lifecycle.CANARY: Look("Canary", "progress", "busy"),
    Lifecycle.LIVE: Look("Live", "activity", "ok"),
    Lifecycle.SUPERSEDED: Look("Superseded", "history", "idle"),
    Lifecycle.ARCHIVED: Look("Archived", "archive", "idle"),
    Lifecycle.RETIRED: Look("Retired", "ban", "warn"),
    Lifecycle.ROLLED_BACK: Look("Rolled back", "arrow-back-up", "warn"),
}
READINESS = {
    ReadinessState.NOT_READY: Look("Not ready", "circle-x", "bad"),
    ReadinessState.AT_RISK: Look("At risk", "alert-triangle", "warn"),
    ReadinessState.READY: Look("Ready", "circle-check", "ok"),
}
NOT_JUDGED_LOOK = Look("Not judged yet", "hourglass", "idle")
ROLLBACKS = {
    RollbackState.AWAITING_APPROVAL: Look("Awaiting approval", "hourglass", "warn"),
    RollbackState.REJECTED: Look("Rejected", "circle-x", "idle"),
    RollbackState.EXPIRED: Look("Expired unapproved", "clock", "idle"),
    RollbackState.WITHDRAWN: Look("Withdrawn", "ban", "idle"),
    RollbackState.RUNNING: Look("Rolling back", "loader-2", "busy", spin=True),
    RollbackState.NEEDS_HUMAN: Look("Needs a person", "user-exclamation", "warn"),
    RollbackState.PARTIALLY_RESTORED: Look("Partially restored", "alert-triangle", "bad"),
    RollbackState.RESTORED: Look("Restored, being verified", "loader-2", "busy", spin=True),
    RollbackState.VERIFICATION_FAILED: Look("Verification failed", "alert-triangle", "bad"),
    RollbackState.VERIFIED: Look("Restored and verified", "circle-check", "ok"),
    RollbackState.UNDOING: Look("Putting back", "arrow-back-up", "busy"),
    RollbackState.UNDONE: Look("Put back as before", "history", "warn"),
    RollbackState.CANCELLED: Look("Cancelled", "ban", "idle"),
    RollbackState.ROLLING_FORWARD: Look("Rolling forward", "loader-2", "busy", spin=True),
    RollbackState.ROLLED_FORWARD: Look("Rolled forward", "circle-check", "ok"),
    RollbackState.CLOSED: Look("Closed", "check", "idle"),
}

RELEASES = {
    ReleaseState.PLANNED: Look("Planned", "clipboard-check", "idle"),
    ReleaseState.ROLLING_OUT: Look("Rolling out", "progress", "busy"),
    ReleaseState.LIVE: Look("Live", "circle-check", "ok"),
    ReleaseState.SUPERSEDED: Look("Superseded", "history", "idle"),
    ReleaseState.ROLLED_BACK: Look("Rolled back", "arrow-back-up", "warn"),
    ReleaseState.ABANDONED: Look("Abandoned", "ban", "idle"),
}
REVIEWS = {
    ReviewState.PREPARING: Look("Not prepared yet", "hourglass", "idle"),
    ReviewState.PREPARED: Look("Prepared", "clipboard-check", "busy"),
    ReviewState.HELD: Look("Held, awaiting sign-off", "hourglass", "warn"),
    ReviewState.SIGNED: Look("Signed off", "circle-check", "ok"),
}
PLANNED = {
    PlannedState.DUE: Look("Due", "calendar-due", "idle"),
    PlannedState.OVERDUE: Look("Overdue", "alert-triangle", "warn"),
    PlannedState.RUNNING: Look("Running", "loader-2", "busy", spin=True),
    PlannedState.PASSED: Look("Passed", "circle-check", "ok"),
    PlannedState.FAILED: Look("Failed", "circle-x", "bad"),
    PlannedState.MISSED: Look("Missed", "calendar-x", "bad"),
    PlannedState.EXCUSED: Look("Excused", "hand-stop", "idle"),
}
ACTIONS = {
    ActionState.OPEN: Look("Open", "circle-dashed", "busy"),
    ActionState.DONE: Look("Done", "circle-check", "ok"),
    ActionState.NOT_DOING: Look("Not doing", "ban", "idle"),
}
ALERTS = {
    AlertState.FIRING: Look("Firing", "alert-triangle", "bad"),
    AlertState.RESOLVED: Look("Resolved", "check", "idle"),
}
PROPOSALS = {
    ProposalState.OPEN: Look("Waits for a decision", "hourglass", "warn"),
    ProposalState.CONFIRMED: Look("Confirmed", "circle-check", "ok"),
    ProposalState.DISMISSED: Look("Dismissed", "ban", "idle"),
    ProposalState.SUPERSEDED: Look("Superseded", "history", "idle"),
    ProposalState.EXPIRED: Look("Expired", "clock", "idle"),
}
POSTMORTEMS = {
    PostmortemState.DRAFT: Look("Draft", "edit", "busy"),
    PostmortemState.IN_REVIEW: Look("In review", "hourglass", "busy"),
    PostmortemState.PUBLISHED: Look("Published", "circle-check", "ok"),
    PostmortemState.CLOSED: Look("Closed", "check", "idle"),
}
POSTMORTEM_OVERDUE_LOOK = Look("Overdue", "alert-triangle", "warn")
ACTION_OVERDUE_LOOK = Look("Overdue", "alert-triangle", "warn")
INCIDENTS = {
    IncidentState.OPEN: Look("Open", "alert-triangle", "bad"),
    IncidentState.STABLE: Look("Stable", "circle-check", "ok"),
    IncidentState.CLOSED: Look("Closed", "check", "idle"),
}
SEVERITIES = {
    Severity.SEV1: Look(str(Severity.SEV1.label), "alert-triangle", "bad"),
    Severity.SEV2: Look(str(Severity.SEV2.label), "alert-triangle", "warn"),
    Severity.SEV3: Look(str(Severity.SEV3.label), "info-circle", "idle"),
    Severity.SEV4: Look(str(Severity.SEV4.label), "info-circle", "idle"),
}


def look_of_execution(execution: Execution) -> Look:
    """Its verdict once it has ended, its state before."""
    if execution.state == ExecutionState.FINISHED and execution.verdict:
        return VERDICTS[Verdict(execution.verdict)]
    return EXECUTIONS[ExecutionState(execution.state)]
