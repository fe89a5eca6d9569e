"""Whether an alias could be rolled back now, and every reason that speaks against it."""

from __future__ import annotations

from django.db import models


class ReadinessState(models.TextChoices):
    """Could we roll this alias back now, in time? In the order of urgency."""

    NOT_READY = "not_ready", "Not ready"
    AT_RISK = "at_risk", "At risk"
    READY = "ready", "Ready"


class ReasonCode(models.TextChoices):
    """Why an alias is not ready, or at risk. What a drill or a preflight caught keeps its own code (DESIGN.md §2, finding)."""

    ROLLBACK_NEEDS_PERSON = "rollback_needs_person", "A rollback needs a person"
    NO_PROCEDURE = "no_procedure", "No procedure"
    NO_TARGET = "no_target", "No version to go back to"
    TARGET_RETIRED = "target_retired", "The target version cannot serve"
    TARGET_HELD = "target_held", "The target version is under a stability hold"
    PROVIDER_RETIRED = "provider_retired", "The provider has shut the target down"
    CONFIG_MISMATCH = "config_mismatch", "Configuration mismatch"
    FLAG_MOVED = "flag_moved", "The flag has moved"
    PERMISSION_MISSING = "permission_missing", "A permission is missing"
    UNREACHABLE = "unreachable", "A system cannot be reached"
    NOT_RESTORED = "not_restored", "Not restored in the last drill"
    TOO_SLOW = "too_slow", "Slower than its target"
    DRILL_FAILED = "drill_failed", "The last drill failed"
    NEVER_DRILLED = "never_drilled", "Never drilled"
    NOBODY_MAY_DECIDE = "nobody_may_decide", "Nobody may decide"
    PROOF_STALE = "proof_stale", "Changed since it was proven"
    PROOF_EXPIRED = "proof_expired", "Proven too long ago"
    NOT_CHECKED = "not_checked", "Not checked lately"
    PROVIDER_RETIRES = "provider_retires", "The provider retires the target soon"
    ON_CALL_LACKS_AUTHORITY = "on_call_lacks_authority", "On-call may not decide"
    NO_VERIFICATION = "no_verification", "No verification afterwards"
    DRILL_UNCLEAR = "drill_unclear", "The last drill showed nothing"
    DOCS_STALE = "docs_stale", "The documentation is stale"


class RunState(models.TextChoices):
    """How the last preflight of an environment ended."""

    NEVER = "never", "Never ran"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    INCOMPLETE = "incomplete", "Some checks could not run"
