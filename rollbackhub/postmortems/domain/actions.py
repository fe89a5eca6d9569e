"""Actions that come out of a postmortem, and which of them the stability hold waits for."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from django.db import transaction

from incidents.models import Incident
from rollbackhub.accounts.models import Team, User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.actions.domain.selectors import today_of
from rollbackhub.actions.domain.transitions import change_action, open_action
from rollbackhub.actions.enums import ActionKind, ActionOrigin, ActionState
from rollbackhub.actions.models import Action
from rollbackhub.audit.actors import Actor
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.common.turns import each_of
from rollbackhub.postmortems.domain.drafting import DRAFTER
from rollbackhub.postmortems.domain.texts import require_person
from rollbackhub.postmortems.domain.writing import address_of, begin, keep, optional_text, required_text
from rollbackhub.postmortems.models import Postmortem, PostmortemAction
from rollbackhub.postmortems.rules import MAX_REASON, MAX_TITLE, MAX_WORDS, MIN_REASON, Act
from rollbackhub.registry.domain.holds import gate_holds, list_ungated
from rollbackhub.registry.models import StabilityHold
from rollbackhub.rollbacks.models import RollbackPart


def give_action(
    *,
    postmortem_id: UUID,
    title: str,
    owner: User,
    due_on: dt.date,
    kind: ActionKind,
    account: User,
    actor: Actor,
    detail: str = "",
    is_gating: bool = False,
) -> PostmortemAction:
    """Give somebody an action by a day (the last one, in the team's zone). A gating one is waited for by the holds of the incident's versions.

    Raises NotFound, Forbidden, InvalidInput (no title, a day that is over, somebody who cannot own it), Conflict.
    """
    with transaction.atomic():
        postmortem = begin(postmortem_id, Act.GIVE_ACTION, account=account)
        what = required_text(title, field="title", what="what is to be done", most=MAX_TITLE)
        more = optional_text(detail, field="detail", most=MAX_WORDS)
        require_person(owner, field="owner")
        team = _team_of(postmortem)
        if due_on < today_of(team.timezone, at=clock.now()):
            raise InvalidInput("The day is over.", code="day_is_over", fields={"due_on": ["The day is over: name one to come."]})
        action = open_action(
            title=" ".join(what.split()),
            detail=more,
            team=team,
            owner=owner,
            due_on=due_on,
            origin=ActionOrigin.POSTMORTEM,
            origin_label=f"Postmortem: {postmortem.incident.title}",
            origin_url=address_of(postmortem),
            kind=kind,
            is_gating=is_gating,
            is_lab=postmortem.is_lab,
            actor=actor,
        )
        link = PostmortemAction.objects.create(postmortem=postmortem, action=action)
        held = _gate(postmortem.incident, action, actor=actor) if is_gating else []
        data = {
            "action": str(action.pk),
            "action_title": action.title,
            "owner": owner.username,
            "due_on": due_on.isoformat(),
            "kind": kind,
            "is_gating": is_gating,
        }
        keep(postmortem, [], event="postmortem.action_given", actor=actor, data={**data, "holds": [hold.version.label for hold in held]})
        return link


def set_gating(*, postmortem_id: UUID, action_id: UUID, is_gating: bool, reason: str, account: User, actor: Actor) -> Action:
    """Let the holds wait for an open action of this postmortem, or no longer: that has the effect of lifting a hold, so a lead says it, with a reason.

    Raises NotFound, Forbidden (`gate_is_a_leads`), InvalidInput `reason_missing`, Conflict.
    """
    with transaction.atomic():
        postmortem = begin(postmortem_id, Act.GATE, account=account)
        link = PostmortemAction.objects.select_related("action").filter(postmortem=postmortem, action=action_id).first()
        if link is None:
            raise NotFound("The postmortem has no such action.", code="action_not_found")
        if link.action.state != ActionState.OPEN:
            raise Conflict("The action is closed: nothing waits for it.", code="wrong_state", state=link.action.state)
        why = optional_text(reason, field="reason", most=MAX_REASON)
        if not is_gating:
            _require_lead(account, actor)
            why = required_text(reason, field="reason", what="why the hold needs not wait for it", least=MIN_REASON, most=MAX_REASON)
        if link.action.is_gating == is_gating:
            return link.action
        # Who may gate need not be who may change the action: the rights were asked for above.
        action = change_action(action_id=action_id, actor=actor, user=None, is_gating=is_gating)
        held = _gate(postmortem.incident, action, actor=actor) if is_gating else []
        event = "postmortem.action_gates" if is_gating else "postmortem.action_gates_no_longer"
        data = {"action": str(action.pk), "action_title": action.title, "reason": why, "holds": [hold.version.label for hold in held]}
        keep(postmortem, [], event=event, actor=actor, data=data)
        return action


def gate_late_holds() -> int:
    """Let holds wait that began after their gating action was given (another rollback of the incident). Safe twice at once. Returns how many."""
    links = PostmortemAction.objects.filter(action__is_gating=True, action__state=ActionState.OPEN).order_by("pk").values_list("pk", flat=True)
    return each_of(list(links), _gate_late, doing="while gating holds by the action of link")


def _gate_late(link_id: int) -> int:
    link = PostmortemAction.objects.select_related("postmortem__incident", "action").get(pk=link_id)
    rollback_ids, version_ids = _of_incident(link.postmortem.incident)
    if not list_ungated(action=link.action, rollback_ids=rollback_ids, version_ids=version_ids).exists():
        return 0
    with transaction.atomic():
        return len(_gate(link.postmortem.incident, link.action, actor=DRAFTER))


def _gate(incident: Incident, action: Action, *, actor: Actor) -> list[StabilityHold]:
    rollback_ids, version_ids = _of_incident(incident)
    return gate_holds(action=action, rollback_ids=rollback_ids, version_ids=version_ids, actor=actor)


def _of_incident(incident: Incident) -> tuple[set[UUID], set[int]]:
    """Its rollbacks, and the versions that they took out. One query."""
    rows = RollbackPart.objects.filter(rollback__incident_link__incident=incident).values_list("rollback", "bad_version")
    return {row[0] for row in rows}, {row[1] for row in rows}


def _team_of(postmortem: Postmortem) -> Team:
    if postmortem.team is not None:
        return postmortem.team
    sentence = "The incident names no alias, so no team would have the action: name the alias that was hurt on the incident first."
    raise Conflict(sentence, code="no_team", url=address_of(postmortem))


def _require_lead(account: User, actor: Actor) -> None:
    try:
        require(user=account, capability=Capability.LEAD)
    except Forbidden as error:
        raise Forbidden(
            f"That the hold no longer waits for it is a lead's decision, as lifting the hold is. {error.message}", code="gate_is_a_leads"
        ) from error
    if actor.kind != "person" or account.is_service:
        raise Forbidden("A person decides it, signed in: no token and no service account.", code="token_not_allowed")
