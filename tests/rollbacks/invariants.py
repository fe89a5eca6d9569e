"""What must hold of all rollbacks at any moment, reckoned from the record alone and not by the product's own rules."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import rfc8785
from django.db.models import Count

from rollbackhub.accounts.models import User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.executions.models import Execution, StepAttempt
from rollbackhub.executions.rules import TRANSITIONS as EXECUTION_TRANSITIONS
from rollbackhub.registry.models import StabilityHold
from rollbackhub.rollbacks.models import Approval, Rollback, RollbackPart, RollForward
from rollbackhub.rollbacks.rules import TRANSITIONS
from rollbackhub.routing.domain.current import get_candidates

RANK = {"on_call": 1, "platform_lead": 2, "leadership": 3}
ACTIVE = ("queued", "running", "cleaning_up", "needs_human")
ENDED = ("rejected", "expired", "withdrawn", "undone", "cancelled", "rolled_forward", "closed", "verified")
NOTES = {
    "rollback.started",
    "rollback.exposure_reckoned",
    "rollback.next_level_told",
    "rollback.plan_changed",
    "rollback.review_signed",
    "rollback.detection_corrected",
}
"""What is written on a rollback without a change of its state."""


def rank_of(user: User) -> int:
    """The person's highest operational rank as the database has it; 0 for an account that is not active."""
    if not User.objects.filter(pk=user.pk, is_active=True).exists():
        return 0
    return max((RANK.get(role, 0) for role in user.role_assignments.values_list("role", flat=True)), default=0)


def is_admin(user: User) -> bool:
    """Whether an active administrator."""
    return User.objects.filter(pk=user.pk, is_active=True, role_assignments__role="admin").exists()


def hash_of(plans: list[Any], *, strategic: bool) -> str:
    """The hash to which approvals are bound."""
    return hashlib.sha256(rfc8785.dumps({"plans": plans, "strategic": strategic})).hexdigest()


def one_at_a_time() -> None:
    """Never two rollbacks that hold an alias, nor two active executions on one."""
    holders = Counter(RollbackPart.objects.exclude(rollback__state__in=ENDED).filter(rollback__verified_at=None).values_list("policy", flat=True))
    assert all(count == 1 for count in holders.values()), holders
    marked = set(RollbackPart.objects.filter(holds_alias=True).values_list("policy", flat=True))
    assert marked == set(holders), "who holds an alias is not whom the database keeps others away for"
    active = Execution.objects.filter(state__in=ACTIVE).values("policy").annotate(count=Count("id")).filter(count__gt=1)
    assert not active, list(active)


def execution_fits_its_rollback(rollback: Rollback, active: list[Execution]) -> None:
    """What runs belongs to a rollback that says so, and the other way round."""
    states = [execution.state for execution in active]
    if rollback.state in ("running", "restored", "undoing", "rolling_forward"):
        assert len(states) == 1, (rollback.state, states)
        assert states[0] != "needs_human", (rollback.state, active[0].kind, active[0].outcome)
        assert (rollback.state == "undoing") == (states[0] == "cleaning_up")
    elif rollback.state in ("needs_human", "partially_restored", "verification_failed"):
        # A verified one that was reopened has nothing that runs; nor has one whose roll-forward ended without holding.
        assert states == ["needs_human"] or (states == [] and (rollback.verified_at or rollback.roll_forwards.exists())), (rollback.state, states)
    else:
        assert states == [], (rollback.state, states)


def restored_was_observed(rollback: Rollback, executions: list[Execution]) -> None:
    """`restored` and `verified` stand on steps that were done, not skipped, in every alias."""
    if rollback.state == "partially_restored":
        assert rollback.restored_at is None
    assert (rollback.restored_at is None) == (rollback.rollback_seconds is None)
    if rollback.restored_at is None:
        assert rollback.state not in ("restored", "verified", "verification_failed")
        return
    assert rollback.propagated_at is not None
    assert rollback.drained_at is not None
    assert len(executions) == rollback.parts.count()
    for execution in executions:
        done = set(StepAttempt.objects.filter(execution=execution, state="done").values_list("segment", flat=True))
        assert {"execute", "propagate", "drain"} <= done, (rollback, done)
        assert execution.restored_at is not None
        assert execution.restored_at <= rollback.restored_at
    if rollback.state == "verified":
        assert [execution.verdict for execution in executions] == ["passed"] * len(executions)
        assert rollback.verified_at is not None
        assert rollback.verified_at >= rollback.restored_at


def nothing_is_missing_in_the_audit_log(rollback: Rollback, events: list[AuditEvent]) -> None:
    """The recorded changes are a gapless way by the table from the request to the present state; each change of the row is among them."""
    assert [event.event for event in events].count("rollback.requested") == 1
    steps = [("", "awaiting_approval")] + [(event.data["from"], event.data["to"]) for event in events if "from" in event.data and "to" in event.data]
    for (_, before), (source, to) in pairwise(steps):
        assert source == before, steps
        assert to in TRANSITIONS[source], (source, to)
    assert steps[-1][1] == rollback.state, (steps, rollback.state)
    assert rollback.number == len(steps) - 1 + sum(event.event in NOTES for event in events), [event.event for event in events]


def execution_is_audited(execution: Execution, events: list[AuditEvent]) -> None:
    """The same of an execution. Its claims are events of their own."""
    state = "queued"
    for event in events:
        if event.event == "execution.started":
            assert state == "queued"
            state = "running"
        elif "from" in event.data and "to" in event.data:
            assert event.data["from"] == state, (event.event, event.data, state)
            assert event.data["to"] in EXECUTION_TRANSITIONS[state]  # type: ignore[index]
            state = event.data["to"]
    assert state == execution.state
    assert [event.event for event in events].count("execution.requested") == 1
    assert execution.claims == sum(event.event in ("execution.started", "execution.resumed") for event in events)


def began_with_due_authority(execution: Execution, *, table: dict[str, str]) -> None:
    """Asked just after its first step began: by the roles that people have now and the plan that really runs."""
    forward = RollForward.objects.select_related("rollback", "started_by").filter(execution=execution).first()
    if forward is not None:
        subjects = [execution.change_type] + (["strategic"] if forward.rollback.is_strategic else [])
        assert rank_of(forward.started_by) >= max(RANK[table[subject]] for subject in subjects)
        return
    part = RollbackPart.objects.select_related("rollback__principal", "rollback__authorised_by").get(execution=execution)
    rollback = part.rollback
    person = rollback.authorised_by
    assert person is not None
    assert rollback.started_at is not None
    assert person.responsible_id is None, "a machine has authorised it"
    plans = [execution.plan if other.pk == part.pk else other.plan for other in rollback.parts.order_by("position")]
    assert hash_of(plans, strategic=rollback.is_strategic) == rollback.plan_hash, "not the plan that was authorised runs"
    needed = RANK[rollback.required_role]
    if rollback.authorised_how == "own":
        assert rank_of(person) >= needed
    elif rollback.authorised_how == "approval":
        assert person != rollback.principal
        assert rank_of(person) >= needed or is_admin(person)
        assert Approval.objects.filter(rollback=rollback, user=person, decision="approved", plan_hash=rollback.plan_hash).count() == 1
    else:
        assert rollback.authorised_how == "break_glass"
        assert rank_of(person) >= 1
        assert len(rollback.break_glass_reason) >= 10


def required_role_is_the_tables(rollback: Rollback, *, table: dict[str, str]) -> None:
    """Asked just after a plan was made: the highest role of those that the table wants."""
    subjects = [plan["change_type"] for plan in rollback.parts.values_list("plan", flat=True)]
    subjects += ["coordinated"] if len(subjects) > 1 else []
    subjects += ["strategic"] if rollback.is_strategic else []
    assert RANK[rollback.required_role] == max(RANK[table[subject]] for subject in subjects)


def held_versions_have_no_weight() -> None:
    """No version under a standing hold has weight in production."""
    for hold in StabilityHold.objects.filter(lifted_at=None).select_related("version"):
        for part in RollbackPart.objects.filter(policy__artefact=hold.version.artefact_id).order_by("policy_id").select_related("policy").distinct("policy_id"):
            weights = {candidate.version_pin: candidate.weight for candidate in get_candidates(policy=part.policy)}
            assert not weights.get(hold.version.label), (hold, weights)


def all_hold(*, known: dict[Any, tuple[Any, ...]] | None = None) -> None:
    """Everything that needs no memory. Of what stands as it stood when it was `known`, the record is not read again."""
    known = {} if known is None else known
    one_at_a_time()
    held_versions_have_no_weight()
    of_rollback: dict[Any, list[Execution]] = defaultdict(list)
    changed: list[Rollback | Execution] = []
    for execution in Execution.objects.select_related("rollback_part", "roll_forward"):
        part = getattr(execution, "rollback_part", None)
        of_rollback[part.rollback_id if part else execution.roll_forward.rollback_id].append(execution)
        if known.get(execution.pk) != (stands := (execution.state, execution.claims)):
            known[execution.pk] = stands
            changed.append(execution)
    for rollback in Rollback.objects.all():
        execution_fits_its_rollback(rollback, [execution for execution in of_rollback[rollback.pk] if execution.state in ACTIVE])
        if known.get(rollback.pk) != (stands := (rollback.state, rollback.number)):
            known[rollback.pk] = stands
            changed.append(rollback)
    of_subject: dict[str, list[AuditEvent]] = defaultdict(list)
    for event in AuditEvent.objects.filter(subject_type__in=("rollback", "execution"), subject_id__in=[str(row.pk) for row in changed]).order_by("id"):
        of_subject[event.subject_id].append(event)
    for row in changed:
        if isinstance(row, Execution):
            execution_is_audited(row, of_subject[str(row.pk)])
        else:
            nothing_is_missing_in_the_audit_log(row, of_subject[str(row.pk)])
            restored_was_observed(row, [execution for execution in of_rollback[row.pk] if execution.kind == "rollback"])
