"""What drills catch becomes actions: opened by the first drill that finds it, closed by a passed one that no longer does, opened again when it is back.

It is done beside the drill, after its end, once for each drill and in their order (docs/decisions/0021-drill-programme.md). Findings of production
rollbacks are their incident's matter.
"""

from __future__ import annotations

import datetime as dt

from django.db import transaction
from django.db.models import QuerySet

from drills.models import DrillFollowUp, FindingAction, PlannedDrill
from rollbackhub.accounts.domain.notices import list_people_with
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.actions.domain.transitions import close_action, due_in, open_action, reopen_action
from rollbackhub.actions.enums import ActionOrigin, ActionState
from rollbackhub.audit.actors import system_actor
from rollbackhub.common import clock
from rollbackhub.common.housekeeping import register_job
from rollbackhub.common.shown_text import as_shown
from rollbackhub.common.turns import each_of
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import REHEARSES, ExecutionState, FindingCode
from rollbackhub.executions.models import Execution, Finding
from rollbackhub.registry.enums import Stakes
from rollbackhub.routing.models import RoutingPolicy

FOLLOWER = system_actor("drill findings")

DUE_DAYS = {Stakes.HIGH: 14, Stakes.STANDARD: 28}
"""By the artefact's stakes: half of the time until its next drill at the latest, or so."""

LOOKED_BACK = dt.timedelta(days=1)
"""How far the quick job looks for drills that have ended; the thorough one looks at all."""

AT_ONCE = 100


def register() -> None:
    """Once, when the app is ready."""
    register_job("drills.follow_findings", every_seconds=5, function=follow_findings)
    register_job("drills.follow_missed_findings", every_seconds=600, function=follow_missed_findings)


def follow_findings() -> int:
    """Make actions of what recent drills and rehearsals have found. Safe to run twice at once. Returns how many drills were followed."""
    return _follow(_ended().filter(created_at__gte=clock.now() - LOOKED_BACK))


def follow_missed_findings() -> int:
    """The same for all of them: long drills, and whatever ended while nobody kept house."""
    return _follow(_ended())


def _ended() -> QuerySet[Execution]:
    return Execution.objects.filter(kind__in=REHEARSES, state=ExecutionState.FINISHED, follow_up=None)


def _follow(found: QuerySet[Execution]) -> int:
    aliases = list(found.order_by().values_list("policy", flat=True).distinct()[:AT_ONCE])
    return each_of(aliases, _follow_alias)


def _follow_alias(policy_id: int) -> int:
    with transaction.atomic():
        # One at a time for an alias, so that its drills are followed in their order. Without the key: who refers to the alias does not wait for this.
        policy = RoutingPolicy.objects.select_for_update(no_key=True, of=("self",)).select_related("artefact__team", "environment").get(pk=policy_id)
        done = 0
        for execution in _ended().filter(policy=policy).order_by("finished_at", "created_at", "pk")[:AT_ONCE]:
            findings = list(execution.findings.order_by("pk"))
            owner = owner_for(execution) if findings else None
            if findings and owner is None:
                # Nobody can own an action yet: the drills of this alias wait until there is somebody.
                break
            for finding in findings:
                assert owner is not None
                _found(finding, execution, policy, owner=owner)
            if execution.verdict == Verdict.PASSED:
                _close_what_is_mended(execution, policy, still={(finding.code, finding.subject) for finding in findings})
            DrillFollowUp.objects.create(execution=execution)
            done += 1
        return done


def owner_for(execution: Execution) -> User | None:
    """Who looks after what a drill found: the owner of its plan, else the person who asked for it, else a lead. None: there is nobody."""
    planned = PlannedDrill.objects.select_related("plan__owner").filter(execution=execution).first()
    asked = [planned.plan.owner] if planned is not None else []
    asked += [execution.requested_by] if execution.requested_by is not None else []
    person = next((user for user in asked if user.is_active and not user.is_service), None)
    return person or list_people_with(Role.PLATFORM_LEAD).first() or list_people_with(Role.ADMIN).first()


def _found(finding: Finding, execution: Execution, policy: RoutingPolicy, *, owner: User) -> None:
    """A new action; or one more sighting of what has an action already."""
    known = FindingAction.objects.select_related("action").filter(policy=policy, code=finding.code, subject=finding.subject)
    link = known.order_by("-action__created_at").first()
    if link is None:
        _open(finding, execution, policy, owner=owner)
        return
    link.times_seen += 1
    link.last_seen_execution = execution
    if link.action.state == ActionState.DONE:
        link.recurrences += 1
        link.closing_execution = None
        reason = as_shown(f"{_name(execution)} found it again: {finding.found}", lines=True)[:4000]
        reopen_action(action_id=link.action_id, reason=reason, actor=FOLLOWER, user=None, due_on=_due_on(policy))
    link.save(update_fields=["times_seen", "last_seen_execution", "recurrences", "closing_execution"])


def _open(finding: Finding, execution: Execution, policy: RoutingPolicy, *, owner: User) -> None:
    where = f"{policy.alias} in {policy.environment.slug}"
    said = [f"Expected: {finding.expected}", f"Found: {finding.found}", f"What to do: {finding.remedy}" if finding.remedy else ""]
    action = open_action(
        title=_cut(as_shown(f"{FindingCode(finding.code).label}: {finding.subject} ({where})")),
        detail=as_shown("\n".join(line for line in said if line), lines=True)[:4000],
        team=policy.artefact.team,
        owner=owner,
        due_on=_due_on(policy),
        origin=ActionOrigin.DRILL,
        origin_label=f"{_name(execution)} of {where}",
        origin_url=_address(execution),
        is_lab=execution.is_lab,
        actor=FOLLOWER,
    )
    FindingAction.objects.create(
        action=action, finding=finding, policy=policy, code=finding.code, subject=finding.subject, last_seen_execution=execution, times_seen=1
    )


def _close_what_is_mended(execution: Execution, policy: RoutingPolicy, *, still: set[tuple[str, str]]) -> None:
    """A passed drill of the alias went the whole way: what it does not find is not there any more."""
    for link in FindingAction.objects.select_related("action").filter(policy=policy, action__state=ActionState.OPEN).order_by("pk"):
        if (link.code, link.subject) not in still:
            reason = f"{_name(execution)} passed and no longer found it: {_address(execution)}"
            close_action(action_id=link.action_id, actor=FOLLOWER, user=None, reason=reason)
            link.closing_execution = execution
            link.save(update_fields=["closing_execution"])


def _due_on(policy: RoutingPolicy) -> dt.date:
    return due_in(DUE_DAYS[Stakes(policy.artefact.stakes)], team=policy.artefact.team)


def _name(execution: Execution) -> str:
    return f"{execution.get_kind_display()} {str(execution.pk)[:8]}"


def _address(execution: Execution) -> str:
    return f"/drills/{execution.pk}/"


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:199]}…"
