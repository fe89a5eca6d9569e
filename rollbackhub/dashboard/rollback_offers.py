"""What a person may do with a rollback now: each act with what it will do, and which of them is the next one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rollbackhub.dashboard.plans import words_of
from rollbackhub.executions.domain.looks import WITHOUT_BASELINE
from rollbackhub.executions.enums import ExecutionState, Segment, StepState
from rollbackhub.executions.models import Execution, StepAttempt
from rollbackhub.registry.models import StabilityHold
from rollbackhub.rollbacks.domain.coordination import Coordination
from rollbackhub.rollbacks.enums import STOPPED_STATES, RollbackState
from rollbackhub.rollbacks.models import Rollback

SETTLED = (StepState.DONE, StepState.SKIPPED)
NEVER_BEGAN = (RollbackState.REJECTED, RollbackState.EXPIRED, RollbackState.WITHDRAWN, RollbackState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Offer:
    """An act: the name of its address, its button, and the dialog that repeats what it will do."""

    name: str
    button: str
    icon: str
    title: str
    text: str
    asks_reason: bool = True
    is_next: bool = False
    is_danger: bool = False

    @property
    def is_aside(self) -> bool:
        """It mends the record and is no way on: its button stands beside what it mends."""
        return self.name == "correct-detection"

    @property
    def style(self) -> str:
        """The button's look: the next act stands out, whatever gives something up is red."""
        if self.is_next:
            return "btn-primary"
        return "btn-danger" if self.is_danger else ""

    @property
    def confirm_style(self) -> str:
        """The look of the button that does it."""
        return "btn-danger btn-solid" if self.is_danger else "btn-primary"


@dataclass(frozen=True, slots=True)
class Situation:
    """What decides about the acts: the rollback, the execution that runs or stopped, the holds that stand by it, the fix that does not hold."""

    rollback: Rollback
    execution: Execution | None
    attempts: Sequence[StepAttempt] = ()
    holds: Sequence[StabilityHold] = ()
    failed_fix: str = ""
    passed_no_return: Coordination | None = None
    """The coordinated procedure whose point of no return is behind it."""
    stands: str = ""

    @property
    def waits_for_a_person(self) -> bool:
        """A step did not pass, and nothing goes on before somebody decides."""
        return self.rollback.state in STOPPED_STATES and self.execution is not None and self.execution.state == ExecutionState.NEEDS_HUMAN

    @property
    def is_hopeless(self) -> bool:
        """It is restored, and verifying again could not show more: there is no baseline."""
        stopped = self._stopped_attempt()
        return self.rollback.state == RollbackState.VERIFICATION_FAILED and stopped is not None and bool(stopped.result.get(WITHOUT_BASELINE))

    @property
    def stopped_step(self) -> str:
        """The title of the step at which it stands."""
        return _title_of(self.execution, self._stopped_attempt()) if self.execution is not None else ""

    @property
    def may_skip(self) -> bool:
        """Some step failed, and it is not the flip."""
        stopped = self._stopped_attempt()
        return stopped is not None and stopped.segment != Segment.EXECUTE

    @property
    def may_put_back(self) -> bool:
        """The procedure has steps that put things back."""
        return self.execution is not None and any(step["always"] or step.get("undo") for step in self.execution.plan["steps"])

    def _stopped_attempt(self) -> StepAttempt | None:
        settled = {attempt.position for attempt in self.attempts if attempt.state in SETTLED}
        open_ones = [attempt for attempt in self.attempts if attempt.state not in SETTLED and attempt.position not in settled]
        return max(open_ones, key=lambda attempt: (attempt.position, attempt.number), default=None)


def offers_for(situation: Situation, *, may_roll_back: bool, is_lead: bool) -> list[Offer]:
    """The acts that work in this state for this person, the next one first."""
    rollback = situation.rollback
    found: list[Offer] = []
    if may_roll_back:
        if situation.failed_fix:
            found.append(_roll_back_instead(situation))
        if situation.waits_for_a_person:
            found.append(_retry(situation))
            if situation.may_put_back and situation.passed_no_return is None and (is_lead or not _held(situation)):
                found.append(_undo(situation))
        if may_stop(situation):
            found.append(_stop(rollback))
        if _may_close(situation):
            found.append(_close(situation))
    if is_lead:
        if situation.waits_for_a_person and situation.may_skip:
            found.append(_skip(situation))
        if rollback.state not in NEVER_BEGAN:
            found.append(_correct_detection())
    return sorted(found, key=lambda offer: (not offer.is_next, offer.is_danger))


def may_stop(situation: Situation) -> bool:
    """Something runs that a person can stop."""
    execution = situation.execution
    return (
        situation.rollback.state in (RollbackState.RUNNING, RollbackState.RESTORED, RollbackState.ROLLING_FORWARD)
        and execution is not None
        and execution.state in (ExecutionState.QUEUED, ExecutionState.RUNNING)
        and execution.cancel_requested_at is None
    )


def _may_close(situation: Situation) -> bool:
    rollback = situation.rollback
    was_verified = rollback.state == RollbackState.VERIFICATION_FAILED and rollback.verified_at is not None
    return rollback.state == RollbackState.VERIFIED or was_verified or situation.waits_for_a_person


def _held(situation: Situation) -> list[StabilityHold]:
    """The standing holds by this rollback on the version that putting back would bring back."""
    execution = situation.execution
    return [hold for hold in situation.holds if execution is not None and hold.version_id == execution.bad_version_id]


def _labels(versions: Collection[str]) -> str:
    return ", ".join(dict.fromkeys(versions))


def _roll_back_instead(situation: Situation) -> Offer:
    text = (
        f"{situation.failed_fix} does not hold. It is taken out by the rollback procedure now, at once when that is within your authority;"
        " what it was meant to replace stays out, too."
    )
    return Offer("roll-back-instead", "Roll back instead", "arrow-back-up", "Roll back after all?", text, asks_reason=False, is_next=True)


def _retry(situation: Situation) -> Offer:
    restored = situation.rollback.state == RollbackState.VERIFICATION_FAILED
    text = f"The step “{situation.stopped_step}” is tried again, then the rest follows. Look at the real system first."
    button, title = ("Verify again", "Verify it again?") if restored else ("Retry", "Let it go on?")
    return Offer("retry", button, "refresh", title, text, asks_reason=False, is_next=not situation.failed_fix and not situation.is_hopeless)


def _undo(situation: Situation) -> Offer:
    assert situation.execution is not None
    plan = situation.execution.plan
    if words_of(plan).shares_traffic:
        weights = ", ".join(f"{entry['version_pin']} {entry['weight']} %" for entry in plan["weights_before"])
        text = f"The weights of {plan['alias']} become what they were before: {weights}. The bad version serves again."
    else:
        served = _labels([entry["version_pin"] for entry in plan["weights_before"] if entry["weight"]])
        text = f"{plan['alias']} is brought to {served} again, as before. That is the bad version."
    lifts = _labels([hold.version.label for hold in _held(situation)])
    if lifts:
        text += f" This lifts the stability hold on {lifts}, with your name and reason."
    return Offer("undo", "Put back as before", "history", "Put it back as before?", text, is_danger=True)


def _stop(rollback: Rollback) -> Offer:
    texts = {
        RollbackState.RUNNING: "Before its first step it ends and has changed nothing. Later it stands still and waits for a person;"
        " what is flipped stays flipped.",
        RollbackState.RESTORED: "It is restored already and stays so. The verification ends, and it waits for a person.",
        RollbackState.ROLLING_FORWARD: "The fix keeps the weight that it has now. Then somebody lets it go on, or rolls back instead.",
    }
    return Offer("stop", "Stop", "player-stop", "Stop it?", texts[RollbackState(rollback.state)], is_danger=True)


def _close(situation: Situation) -> Offer:
    if situation.waits_for_a_person:
        text = f"It is given up as it stands: {situation.stands} RollbackHub does nothing more; the alias is free for a new rollback."
        text += " When something was changed, every lead is told."
        if situation.is_hopeless:
            # The outcome says so: what is left is to look, and to close it with what was seen.
            return Offer("close", "Close as it stands", "check", "Close this rollback unverified?", text, is_next=True)
        return Offer("close", "Give up", "x", "Give up this rollback?", text, is_danger=True)
    held = _labels([hold.version.label for hold in situation.holds])
    text = "It leaves the list of open rollbacks." + (f" The stability hold on {held} goes on standing." if held else "")
    verified = situation.rollback.state == RollbackState.VERIFIED
    if not verified:
        text += " The version under hold still gets traffic: find out why first."
    return Offer("close", "Close", "check", "Close this rollback?", text, is_next=verified, is_danger=not verified)


def _skip(situation: Situation) -> Offer:
    text = (
        f"It goes on without the step “{situation.stopped_step}”. What that step was to observe stays unobserved, the rollback does not count as verified,"
        " and your name and reason stand on the record."
    )
    return Offer("skip", "Skip the step", "arrow-right", "Go on without this step?", text, is_danger=True)


def _correct_detection() -> Offer:
    text = "The clock and the exposure are reckoned again from this time. The time before and yours stand in the audit log."
    return Offer("correct-detection", "Correct the detection", "clock", "When was it detected?", text)


def _title_of(execution: Execution | None, attempt: StepAttempt | None) -> str:
    if execution is None or attempt is None:
        return ""
    step = execution.plan["steps"][attempt.position] if attempt.position < len(execution.plan["steps"]) else {}
    return str(step.get("title") or attempt.key)
