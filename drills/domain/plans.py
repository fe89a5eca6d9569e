"""The only writers of drill plans: made, changed, ended. Each change is on the audit log and plans what is still to come anew."""

from __future__ import annotations

import secrets
from typing import Any

from django.db import IntegrityError, transaction

from drills.domain.plan_rules import problems_of
from drills.domain.planning import forget_coming, plan_one, plans_with_targets
from drills.domain.programme import miss_open
from drills.domain.schedule import commitment
from drills.enums import Cadence
from drills.models import DrillPlan
from rollbackhub.accounts.models import Team, User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.common.shown_text import require_shown, spoken
from rollbackhub.registry.models import Artefact, Environment
from rollbackhub.routing.models import RoutingPolicy

LONGEST_REASON = 300


def make_plan(
    *,
    name: str,
    owner: User,
    actor: Actor,
    user: User,
    policy: RoutingPolicy | None = None,
    artefact: Artefact | None = None,
    environment: Environment | None = None,
    team: Team | None = None,
    cadence: str = Cadence.BY_STAKES,
    cron: str = "",
    announced: bool = True,
    late_hours: int = 24,
) -> DrillPlan:
    """Plan that an alias (`policy`), or each time one alias of an artefact in an environment, is drilled again and again; its first drills are written
    down at once. The team is the artefact's unless named. The seed of all that is left to chance is drawn here; a hash of it is on the audit log.

    Raises Forbidden, InvalidInput `invalid_plan` with sentences per field.
    """
    require(user=user, capability=Capability.CONFIGURE)
    target = policy.artefact if policy is not None else artefact
    plan = DrillPlan(
        name=require_shown(name, field="name"),
        owner=owner,
        policy=policy,
        artefact=artefact,
        cadence=cadence,
        cron=" ".join(cron.split()),
        announced=announced,
        late_hours=late_hours,
        seed=_new_seed(),
    )
    where = environment or (policy.environment if policy is not None else None)
    if target is None or where is None:
        sentence = "Name the alias to drill, or an artefact and the environment in which one of its aliases is drilled each time."
        raise InvalidInput(sentence, code="invalid_plan", fields={"environment" if target is not None else "target": [sentence]})
    plan.environment, plan.team = where, team or target.team
    _require_valid(plan)
    try:
        with transaction.atomic():
            plan.save(force_insert=True)
            data = {**_facts(plan), "seed_sha256": commitment(str(plan.seed))}
            record(event="drill_plan.made", actor=actor, subject_type="drill_plan", subject_id=plan.pk, data=data)
            plan_one(_locked(plan.pk), actor=actor)
    except IntegrityError as error:
        raise _name_taken(plan) from error
    return _read(plan.pk)


def change_plan(
    *,
    plan_id: int,
    actor: Actor,
    user: User,
    name: str | None = None,
    owner: User | None = None,
    policy: RoutingPolicy | None = None,
    artefact: Artefact | None = None,
    environment: Environment | None = None,
    team: Team | None = None,
    cadence: str | None = None,
    cron: str | None = None,
    announced: bool | None = None,
    late_hours: int | None = None,
    is_active: bool | None = None,
) -> DrillPlan:
    """Change what is given, leave what is None. A policy takes the place of an artefact and the other way about; another cadence than cron drops the
    expression. Drills still to come are planned anew, those that ran stay. `is_active=False` is `end_plan`; True takes up an ended plan from now on.

    Raises Forbidden, NotFound, InvalidInput `invalid_plan`.
    """
    require(user=user, capability=Capability.CONFIGURE)
    if is_active is False:
        return end_plan(plan_id=plan_id, actor=actor, user=user)
    try:
        with transaction.atomic():
            plan = _locked(plan_id)
            before = _facts(plan)
            given: dict[str, object] = {"owner": owner, "team": team, "cadence": cadence, "environment": environment, "is_active": is_active}
            given |= {"announced": announced, "late_hours": late_hours, "name": None if name is None else require_shown(name, field="name")}
            given["cron"] = None if cron is None else " ".join(cron.split())
            for field, value in given.items():
                if value is not None:
                    setattr(plan, field, value)
            if policy is not None or artefact is not None:
                plan.policy, plan.artefact = policy, artefact
            if policy is not None and environment is None:
                plan.environment = policy.environment
            if cadence is not None and cadence != Cadence.CRON and cron is None:
                plan.cron = ""
            if before["announced"] is False and plan.announced:
                # What was hidden is told from now on. Whoever hides it again is not to know what comes.
                plan.seed = _new_seed()
            _require_valid(plan)
            after = _facts(plan)
            changes = {field: [before[field], after[field]] for field in after if before[field] != after[field]}
            if not changes:
                return _read(plan_id)
            if "is_active" in changes:
                # What lay in between was not promised.
                plan.planned_until = None
            plan.save()
            data = {"name": plan.name, "changes": changes, "seed_sha256": commitment(str(plan.seed))}
            record(event="drill_plan.changed", actor=actor, subject_type="drill_plan", subject_id=plan.pk, data=data)
            if plan.is_active:
                plan_one(_locked(plan_id), actor=actor)
    except IntegrityError as error:
        raise _name_taken(plan) from error
    return _read(plan_id)


def end_plan(*, plan_id: int, actor: Actor, user: User, reason: str = "") -> DrillPlan:
    """Drill by this plan no more. What was still to come is taken off the calendar; what was due already and has not started is missed, with that reason.

    Raises Forbidden, NotFound, InvalidInput, Conflict `plan_ended`.
    """
    require(user=user, capability=Capability.CONFIGURE)
    text = spoken(reason)
    if len(text) > LONGEST_REASON:
        raise InvalidInput(f"The reason may have at most {LONGEST_REASON} characters.", fields={"reason": [f"At most {LONGEST_REASON} characters."]})
    with transaction.atomic():
        plan = _locked(plan_id)
        if not plan.is_active:
            raise Conflict("This plan has ended already.", code="plan_ended")
        now = clock.now()
        plan.is_active = False
        plan.planned_until, plan.planned_by = None, ""
        plan.save(update_fields=["is_active", "planned_until", "planned_by"])
        taken_off = forget_coming(plan, now=now)
        why = f"{actor.label} ended the plan before it could start{f': {text}' if text else '.'}"
        missed = miss_open(plan_id=plan.pk, why=why, actor=actor, now=now)
        data = {"name": plan.name, "reason": text, "taken_off": taken_off, "missed": missed}
        record(event="drill_plan.ended", actor=actor, subject_type="drill_plan", subject_id=plan.pk, data=data)
    return _read(plan_id)


def get_plan(plan_id: int) -> DrillPlan:
    """A plan with its team, owner, environment and target. Raises NotFound. One query."""
    return _read(plan_id)


def _read(plan_id: int) -> DrillPlan:
    plan = plans_with_targets().select_related("owner", "environment", "policy__environment").filter(pk=plan_id).first()
    if plan is None:
        raise NotFound("There is no such drill plan.", code="drill_plan_not_found")
    return plan


def _locked(plan_id: int) -> DrillPlan:
    related = plans_with_targets().select_related("owner", "environment", "policy__environment")
    plan = related.select_for_update(of=("self",)).filter(pk=plan_id).first()
    if plan is None:
        raise NotFound("There is no such drill plan.", code="drill_plan_not_found")
    return plan


def _require_valid(plan: DrillPlan) -> None:
    fields = problems_of(plan)
    if not fields and DrillPlan.objects.filter(team=plan.team_id, name=plan.name).exclude(pk=plan.pk).exists():
        raise _name_taken(plan)
    if fields:
        raise InvalidInput("The plan cannot be kept: " + " ".join(said for found in fields.values() for said in found), code="invalid_plan", fields=fields)


def _name_taken(plan: DrillPlan) -> InvalidInput:
    sentence = f"{plan.team.name} has a plan named “{plan.name}” already. Give it another name."
    return InvalidInput(sentence, code="invalid_plan", fields={"name": [sentence]})


def _new_seed() -> int:
    """63 bits, as the column holds."""
    return secrets.randbits(63)


def _facts(plan: DrillPlan) -> dict[str, Any]:
    """What a plan says, for the record; never its seed."""
    return {
        "name": plan.name,
        "team": plan.team.slug,
        "owner": plan.owner.username,
        "environment": plan.environment.slug,
        "alias": plan.policy.alias if plan.policy is not None else None,
        "artefact": plan.artefact.slug if plan.artefact is not None else None,
        "cadence": str(plan.cadence),
        "cron": plan.cron,
        "announced": plan.announced,
        "late_hours": plan.late_hours,
        "is_active": plan.is_active,
    }
