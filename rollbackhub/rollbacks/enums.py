"""States of a rollback, subjects of the authority table, ways to come by authority."""

from __future__ import annotations

from django.db import models


class RollbackState(models.TextChoices):
    """Where a production rollback stands."""

    AWAITING_APPROVAL = "awaiting_approval", "Awaiting approval"
    REJECTED = "rejected", "Rejected"
    EXPIRED = "expired", "Expired unapproved"
    WITHDRAWN = "withdrawn", "Withdrawn"
    RUNNING = "running", "Rolling back"
    NEEDS_HUMAN = "needs_human", "Needs a person"
    PARTIALLY_RESTORED = "partially_restored", "Partially restored"
    RESTORED = "restored", "Restored, being verified"
    VERIFICATION_FAILED = "verification_failed", "Verification failed"
    VERIFIED = "verified", "Restored and verified"
    UNDOING = "undoing", "Putting back"
    UNDONE = "undone", "Put back as before"
    CANCELLED = "cancelled", "Cancelled"
    ROLLING_FORWARD = "rolling_forward", "Rolling forward"
    ROLLED_FORWARD = "rolled_forward", "Rolled forward"
    CLOSED = "closed", "Closed"


HOLDING_STATES = (
    RollbackState.AWAITING_APPROVAL,
    RollbackState.RUNNING,
    RollbackState.NEEDS_HUMAN,
    RollbackState.PARTIALLY_RESTORED,
    RollbackState.RESTORED,
    RollbackState.VERIFICATION_FAILED,
    RollbackState.UNDOING,
    RollbackState.ROLLING_FORWARD,
)
"""It holds its aliases: no second rollback may be requested there (once it was verified it holds nothing any more)."""

OPEN_STATES = (*HOLDING_STATES, RollbackState.VERIFIED)
"""Somebody still has to do or to look at something."""


STOPPED_STATES = (RollbackState.NEEDS_HUMAN, RollbackState.PARTIALLY_RESTORED, RollbackState.VERIFICATION_FAILED)
"""Nothing runs; somebody has to say how it goes on."""


class AuthoritySubject(models.TextChoices):
    """What a row of the authority table is about."""

    PROMPT = "prompt", "Prompt"
    MODEL = "model", "Model"
    AGENT_CODE = "agent_code", "Agent code"
    EVAL_SET = "eval_set", "Eval set"
    DATASET = "dataset", "Data set"
    COORDINATED = "coordinated", "Coordinated (several aliases)"
    STRATEGIC = "strategic", "Strategic"


class AuthorisedBy(models.TextChoices):
    """How a rollback came by its authority."""

    OWN = "own", "The requester's own authority"
    APPROVAL = "approval", "An approval"
    BREAK_GLASS = "break_glass", "Break-glass"


class Decision(models.TextChoices):
    """What an approver said."""

    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"


class Via(models.TextChoices):
    """Where somebody acted."""

    PAGE = "page", "Page"
    API = "api", "API"
    COMMAND = "command", "Command line"
    ADMIN = "admin", "Admin"
    SYSTEM = "system", "RollbackHub itself"


class RollForwardState(models.TextChoices):
    """Where a roll-forward stands."""

    RUNNING = "running", "Shipping the fix"
    HELD = "held", "The fix holds"
    FAILED = "failed", "The fix does not hold"
