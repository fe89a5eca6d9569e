"""Kinds and states of executions, steps, findings and segments."""

from __future__ import annotations

from django.db import models


class ExecutionKind(models.TextChoices):
    """Why a procedure runs."""

    DRILL = "drill", "Drill"
    ROLLBACK = "rollback", "Rollback"
    REHEARSAL = "rehearsal", "Rehearsal"
    ROLL_FORWARD = "roll_forward", "Roll-forward"


REHEARSES = (ExecutionKind.DRILL, ExecutionKind.REHEARSAL)
"""In staging, before it is needed: a passed one is proof of the path."""

DECIDED_BY_PEOPLE = (ExecutionKind.ROLLBACK, ExecutionKind.ROLL_FORWARD)
"""A person decided it for production, before it existed; it goes before everything else."""


class ExecutionState(models.TextChoices):
    """Where an execution stands. What it showed is its verdict, not its state."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    CLEANING_UP = "cleaning_up", "Putting things back"
    NEEDS_HUMAN = "needs_human", "Needs a person"
    FINISHED = "finished", "Finished"
    CANCELLED = "cancelled", "Cancelled"


RUNNABLE_STATES = (ExecutionState.QUEUED, ExecutionState.RUNNING, ExecutionState.CLEANING_UP)
"""A worker may claim it."""

ACTIVE_STATES = (*RUNNABLE_STATES, ExecutionState.NEEDS_HUMAN)
"""It holds its target: no second execution may start there."""


class StepState(models.TextChoices):
    """Where one attempt of a step stands."""

    STARTED = "started", "Started"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    INTERRUPTED = "interrupted", "Interrupted"
    UNKNOWN = "unknown", "Unknown"
    SKIPPED = "skipped", "Skipped"


class Segment(models.TextChoices):
    """A part of the clock (DESIGN.md §2)."""

    SETUP = "setup", "Set up"
    DETECT = "detect", "Detect"
    DECIDE = "decide", "Decide"
    AUTHORISE = "authorise", "Authorise"
    EXECUTE = "execute", "Execute"
    PROPAGATE = "propagate", "Propagate"
    DRAIN = "drain", "Drain"
    VERIFY = "verify", "Verify"
    CLEAN_UP = "clean_up", "Put back"


class FindingCode(models.TextChoices):
    """What a drill or a preflight caught (DESIGN.md §2)."""

    CONFIG_MISMATCH = "config_mismatch", "Configuration mismatch"
    FLAG_MOVED = "flag_moved", "The flag has moved"
    TARGET_RETIRED = "target_retired", "The target version cannot serve"
    DOCS_STALE = "docs_stale", "The documentation is stale"
    PERMISSION_MISSING = "permission_missing", "A permission is missing"
    UNREACHABLE = "unreachable", "A system cannot be reached"
    TOO_SLOW = "too_slow", "Slower than its target"
    NOT_RESTORED = "not_restored", "Not restored"


class ProofState(models.TextChoices):
    """What the last drill or rehearsal of a path proves now (DESIGN.md §2)."""

    VALID = "valid", "Proven"
    STALE = "stale", "Changed since it was proven"
    EXPIRED = "expired", "Proven too long ago"
    FAILED = "failed", "The last drill failed"
    MISSING = "missing", "Never drilled"
