"""What a rollback's page says first: where it stands, in words."""

from __future__ import annotations

from collections.abc import Sequence

from rollbackhub.accounts.enums import Role
from rollbackhub.common.durations import in_words
from rollbackhub.dashboard.drill_page import Answer, StepRow
from rollbackhub.dashboard.looks import ROLLBACKS
from rollbackhub.executions.domain.looks import UNSEEN
from rollbackhub.executions.domain.selectors import SegmentTime
from rollbackhub.executions.enums import Segment, StepState
from rollbackhub.rollbacks.enums import RollbackState as S
from rollbackhub.rollbacks.models import Rollback


def headline_of(rollback: Rollback, *, steps: Sequence[StepRow] = (), part: str = "", fix: str = "", lagging: Sequence[str] = ()) -> Answer:
    """The state in one sentence. `steps` are those of what runs now, `part` says which of several aliases that is, `fix` is what is shipped."""
    state = S(rollback.state)
    took = in_words(rollback.rollback_seconds) if rollback.rollback_seconds is not None else ""
    role = approver_in_words(rollback.required_role)
    now = next((step for step in steps if step.state == StepState.STARTED), None)
    at = f": {part}step {now.number} of {len(steps)}, {now.title[:1].lower() + now.title[1:]}" if now else (f": {part.rstrip(', ')}" if part else "")
    behind = f": {', '.join(lagging)} {'does' if len(lagging) == 1 else 'do'} not follow" if lagging else _missing_in_words(steps)
    words = {
        S.AWAITING_APPROVAL: f"Nothing has begun: it waits for the approval of {role}.",
        S.REJECTED: "No: it was rejected. Nothing was changed.",
        S.EXPIRED: "No: nobody decided in time. Nothing was changed.",
        S.WITHDRAWN: "No: the request was withdrawn. Nothing was changed.",
        S.CANCELLED: "No: it was stopped before it changed anything.",
        S.RUNNING: f"Not yet: it runs{at}.",
        S.NEEDS_HUMAN: f"No: {fix} does not hold. Decide how it goes on." if fix else "Not yet: it stands still. A person has to decide.",
        S.PARTIALLY_RESTORED: f"Only in part{behind}.",
        S.RESTORED: f"Restored after {took}; now it is verified{at if now else ''}.",
        S.VERIFICATION_FAILED: "The bad version gets traffic again, although it is under hold."
        if rollback.verified_at
        else f"Restored after {took}, but it is not shown that the harm is over.",
        S.VERIFIED: f"Yes: rolled back in {took} and verified.",
        S.UNDOING: f"It is being put back as it was before{at}.",
        S.UNDONE: "No: it was put back. The bad version serves again.",
        S.ROLLING_FORWARD: f"Not rolled back: {fix or 'a fix'} is being shipped instead{at}.",
        S.ROLLED_FORWARD: f"Not rolled back, and not needed: {fix or 'the fix'} holds.",
        S.CLOSED: f"Yes: rolled back in {took}, verified and closed." if rollback.verified_at else _closed_unfinished(rollback, took),
    }[state]
    return Answer(words, ROLLBACKS[state])


def _missing_in_words(steps: Sequence[StepRow]) -> str:
    """What keeps it from being restored when gateways follow, by the step that stopped."""
    stopped = next((step for step in steps if step.attempts and step.state == StepState.FAILED), None)
    if stopped is None or stopped.attempts[-1].segment not in (Segment.DRAIN, Segment.VERIFY):
        return ": not everything follows"
    if stopped.attempts[-1].result.get(UNSEEN):
        return ": gateways send the bad version nothing, but the callers' metrics do not show whom it serves"
    return ": the bad version still serves"


def approver_in_words(role: str) -> str:
    """`a platform lead`; leadership is no single person: `senior leadership`."""
    return Role(role).label.lower() if role == Role.LEADERSHIP else f"a {Role(role).label.lower()}"


def _closed_unfinished(rollback: Rollback, took: str) -> str:
    if rollback.restored_at is not None:
        return f"It was restored after {took}, and closed without a verification that passed."
    return "It was closed before it had ended. See below what stands."


def missed_in_words(rollback: Rollback, costliest: SegmentTime | None) -> str:
    """By how much the target was missed, and which segment cost most; empty when it was not missed."""
    seconds, target = rollback.rollback_seconds, rollback.target_seconds
    if seconds is None or target is None or seconds <= target:
        return ""
    said = f"It missed its target of {in_words(target)} by {in_words(seconds - target)}."
    if costliest is None or costliest.seconds is None:
        return said
    return f"{said} “{costliest.segment.label}” cost most: {in_words(costliest.seconds)}."


def target_passed(rollback: Rollback, *, seconds: float | None) -> bool:
    """Whether it runs past its target already."""
    return rollback.restored_at is None and seconds is not None and rollback.target_seconds is not None and seconds > rollback.target_seconds
