"""Rollbacks that RollbackHub confirms by itself: where they are turned on, whether one may run now, and the kill switch.

It acts in the name of a service account, whose person answers for it: authority is that of the lower of the two, as for every service account
(docs/decisions/0026-alerts.md). What it may not do, or what goes wrong, leaves the proposal to people, with the reason.
"""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, may, principal_of, require
from rollbackhub.alerts.domain.proposals import confirm_proposal, leave_to_people, locked_proposal, plan_now, still_fires
from rollbackhub.alerts.enums import ProposalState
from rollbackhub.alerts.models import Automation, AutoRollback, Proposal
from rollbackhub.alerts.rules import Circumstances, why_not_by_itself
from rollbackhub.audit.actors import Actor, system_actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound, RollbackHubError
from rollbackhub.common.turns import each_of
from rollbackhub.registry.enums import EnvironmentKind
from rollbackhub.rollbacks.domain.changes import clean_reason, require_lead
from rollbackhub.rollbacks.domain.proposal import Proposal as RollbackProposal
from rollbackhub.rollbacks.enums import Via
from rollbackhub.routing.models import RoutingPolicy

MACHINE = system_actor("automatic rollback")
DAY = dt.timedelta(hours=24)
MOST_PER_DAY = 24
AT_ONCE = 50
NO_REASON = "No reason was given."
"""Stands on the record where the kill switch was pulled without one."""


def judge_proposals() -> int:
    """Decide about each new proposal whether RollbackHub confirms it by itself, and do so. Safe to run twice at once. Returns how many."""
    due = Proposal.objects.filter(state=ProposalState.OPEN, judged_at=None).order_by("made_at").values_list("pk", flat=True)[:AT_ONCE]
    return each_of(list(due), _judge, doing="while judging proposal")


def why_not(*, policy: RoutingPolicy, found: RollbackProposal, fires: bool) -> str:
    """Why RollbackHub would not confirm this by itself now, as a sentence; empty: it would. `found` is the plan for the alias's service account
    (`account_of`). Four queries."""
    auto, automation, since = get_auto(policy), get_automation(), clock.now() - DAY
    automatic = Proposal.objects.filter(automatic=True, ended_at__gt=since)
    account = auto.account if auto is not None else None
    return why_not_by_itself(
        Circumstances(
            is_stopped=automation.is_stopped,
            is_on=auto is not None and auto.is_on,
            account_works=account is not None and account.is_service and account.is_active and principal_of(account).is_active,
            account_may=found.alone,
            required_role=found.authority.role,
            strategic=found.strategic,
            proof=found.parts[0].proof.state,
            still_fires=fires,
            of_alias=automatic.filter(policy=policy).count(),
            of_alias_most=auto.per_day if auto is not None else 0,
            of_all=automatic.count(),
            of_all_most=automation.per_day,
        )
    )


def turn_on(*, policy: RoutingPolicy, account: User, per_day: int, reason: str, user: User, actor: Actor) -> AutoRollback:
    """Let proposals of this alias be confirmed by RollbackHub, in the name of a service account. A lead decides it, signed in.

    Raises Forbidden, InvalidInput with sentences per field.
    """
    require_lead(account=user, actor=actor, doing="Turning automatic rollback on")
    reason = clean_reason(reason)
    fields: dict[str, list[str]] = {}
    if policy.environment.kind != EnvironmentKind.PRODUCTION:
        fields["alias"] = [f"Rollbacks are for production, and {policy.environment.slug} is not."]
    if not account.is_service or not account.is_active:
        fields["account"] = [f"{account.username} is no service account in use. Choose one: a person answers for what it does."]
    elif not all(may(user=one, capability=Capability.ROLL_BACK) for one in (account, principal_of(account))):
        fields["account"] = [f"{account.username}, or {principal_of(account).username} who answers for it, may not roll back. Both need the role."]
    if not 1 <= per_day <= MOST_PER_DAY:
        fields["per_day"] = [f"From 1 to {MOST_PER_DAY} times within 24 hours."]
    if fields:
        raise InvalidInput("It cannot be turned on: " + " ".join(said for found in fields.values() for said in found), fields=fields)
    with transaction.atomic():
        values = {"is_on": True, "account": account, "per_day": per_day, "reason": reason, "changed_by": user, "changed_at": clock.now()}
        auto, _ = AutoRollback.objects.update_or_create(policy=policy, defaults=values)
        _record("automation.turned_on", auto, actor)
    return auto


def turn_off(*, policy: RoutingPolicy, reason: str, user: User, actor: Actor) -> AutoRollback:
    """Leave proposals of this alias to people again. Who may roll back may do that. Raises Forbidden, NotFound, InvalidInput, Conflict."""
    require(user=user, capability=Capability.ROLL_BACK)
    reason = clean_reason(reason)
    with transaction.atomic():
        auto = AutoRollback.objects.select_for_update(of=("self",)).select_related("policy__environment", "account").filter(policy=policy).first()
        if auto is None or not auto.is_on:
            raise Conflict("Automatic rollback is not turned on for this alias.", code="automation_off")
        auto.is_on, auto.reason, auto.changed_by, auto.changed_at = False, reason, user, clock.now()
        auto.save()
        _record("automation.turned_off", auto, actor)
    return auto


def stop_automation(*, reason: str, user: User, actor: Actor) -> Automation:
    """Pull the kill switch: nothing runs by itself from now on. Who may roll back may pull it, also by token.

    It waits for no words: without a reason it is pulled, too, and the record says that none was given. What runs already is stopped on its own page.
    Raises Forbidden, InvalidInput (a reason that is too long or cannot be shown), Conflict `automation_stopped`.
    """
    require(user=user, capability=Capability.ROLL_BACK)
    reason = clean_reason(reason, at_least=0) or NO_REASON
    return _switch(stopped=True, reason=reason, actor=actor)


def release_automation(*, reason: str, user: User, actor: Actor) -> Automation:
    """Let go of the kill switch: a lead does. Raises Forbidden, InvalidInput, Conflict `automation_not_stopped`."""
    require_lead(account=user, actor=actor, doing="Letting go of the kill switch")
    reason = clean_reason(reason)
    return _switch(stopped=False, reason=reason, actor=actor)


def limit_automation(*, per_day: int, reason: str, user: User, actor: Actor) -> Automation:
    """How many automatic rollbacks there may be within 24 hours, of all aliases together. Raises Forbidden, InvalidInput."""
    require_lead(account=user, actor=actor, doing="Changing the limit")
    reason = clean_reason(reason)
    if not 0 <= per_day <= MOST_PER_DAY:
        sentence = f"From 0 to {MOST_PER_DAY} within 24 hours."
        raise InvalidInput(sentence, fields={"per_day": [sentence]})
    with transaction.atomic():
        automation = _locked_automation()
        before, automation.per_day = automation.per_day, per_day
        automation.save(update_fields=["per_day"])
        data = {"before": before, "after": per_day, "reason": reason}
        record(event="automation.limited", actor=actor, subject_type="automation", subject_id=automation.pk, data=data)
    return automation


def get_automation() -> Automation:
    """The kill switch and the limit. One query."""
    return Automation.objects.filter(pk=1).first() or Automation()


def get_auto(policy: RoutingPolicy) -> AutoRollback | None:
    """What is set for an alias; None: nothing was ever. One query."""
    return AutoRollback.objects.select_related("account__responsible", "policy__environment", "changed_by").filter(policy=policy).first()


def list_autos() -> QuerySet[AutoRollback]:
    """What is set for aliases, those that are on first."""
    return AutoRollback.objects.select_related("account__responsible", "policy__environment", "changed_by").order_by("-is_on", "policy__alias")


def list_service_accounts() -> QuerySet[User]:
    """The accounts in whose name it may act."""
    return User.objects.filter(is_active=True, responsible__is_active=True).select_related("responsible").order_by("username")


def named_account(username: str) -> User:
    """A service account by its name. Raises NotFound."""
    found = list_service_accounts().filter(username=username).first()
    if found is None:
        raise NotFound(f"There is no service account {username[:150]}.", code="account_not_found")
    return found


def _judge(proposal_id: UUID) -> int:
    with transaction.atomic():
        # One at a time: limits are kept, and whoever pulls the kill switch waits for at most one.
        _locked_automation()
        proposal = locked_proposal(proposal_id)
        if proposal is None or proposal.judged_at is not None:
            return 0
        proposal.judged_at = clock.now()
        proposal.save(update_fields=["judged_at"])
        auto = get_auto(proposal.policy)
        if auto is None or not auto.is_on:
            return 1
        try:
            with transaction.atomic():
                because = _confirm(proposal, auto)
        except RollbackHubError as error:
            because = error.message
            # What the savepoint took back is on the object still.
            proposal = locked_proposal(proposal_id) or proposal
        if because:
            leave_to_people(proposal, because=because, actor=MACHINE)
        return 1


def _confirm(proposal: Proposal, auto: AutoRollback) -> str:
    """Confirm it; or why not."""
    found = plan_now(proposal.policy, account=auto.account)
    because = why_not(policy=proposal.policy, found=found, fires=still_fires(proposal))
    if not because:
        # In whose name stands wherever the rollback says who asked for it.
        actor = system_actor(f"{MACHINE.label} ({auto.account.get_username()})")
        confirm_proposal(proposal_id=proposal.pk, account=auto.account, actor=actor, via=Via.SYSTEM, seen_plan_hash=proposal.plan_hash, automatic=True)
    return because


def _switch(*, stopped: bool, reason: str, actor: Actor) -> Automation:
    with transaction.atomic():
        automation = _locked_automation()
        if automation.is_stopped == stopped:
            sentence = "The kill switch is pulled already." if stopped else "The kill switch is not pulled."
            raise Conflict(sentence, code="automation_stopped" if stopped else "automation_not_stopped")
        automation.is_stopped, automation.reason, automation.changed_at, automation.changed_by_label = stopped, reason, clock.now(), actor.label
        automation.save()
        event = "automation.stopped" if stopped else "automation.released"
        record(event=event, actor=actor, subject_type="automation", subject_id=automation.pk, data={"reason": reason})
    return automation


def _locked_automation() -> Automation:
    Automation.objects.get_or_create(pk=1)
    return Automation.objects.select_for_update().get(pk=1)


def _record(event: str, auto: AutoRollback, actor: Actor) -> None:
    data = {
        "alias": auto.policy.alias,
        "environment": auto.policy.environment.slug,
        "account": auto.account.username,
        "responsible": principal_of(auto.account).username,
        "per_day": auto.per_day,
        "reason": auto.reason,
    }
    record(event=event, actor=actor, subject_type="automation", subject_id=auto.policy_id, data=data)
