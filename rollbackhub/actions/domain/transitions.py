"""The only writers of actions: opened, changed, closed, opened again. Each is on the audit log, and the owner is told."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction

from rollbackhub.accounts.domain.notices import put_away, tell
from rollbackhub.accounts.models import Team, User
from rollbackhub.accounts.rules import Capability, may, require
from rollbackhub.actions.domain.sources import source_of
from rollbackhub.actions.enums import ActionKind, ActionOrigin, ActionState
from rollbackhub.actions.models import Action
from rollbackhub.actions.rules import MOST_YEARS, TRANSITIONS, last_day
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.common.shown_text import require_shown, spoken

LONGEST_TITLE = 200
LONGEST_TEXT = 4000


def open_action(
    *,
    title: str,
    team: Team,
    owner: User,
    due_on: dt.date,
    origin: ActionOrigin,
    origin_label: str,
    origin_url: str,
    actor: Actor,
    detail: str = "",
    kind: ActionKind | None = None,
    is_gating: bool = False,
    is_lab: bool = False,
) -> Action:
    """Give a person something to do by a day (the last one, in the team's zone). They are told. Raises InvalidInput with sentences per field."""
    title, detail = _title(title), _detail(detail)
    _require_valid(title=title, detail=detail, owner=owner, due_on=due_on, team=team)
    with transaction.atomic():
        action = Action.objects.create(
            title=title,
            detail=detail,
            team=team,
            owner=owner,
            due_on=due_on,
            origin=origin,
            origin_label=origin_label[:200],
            origin_url=origin_url,
            kind=kind or "",
            is_gating=is_gating,
            is_lab=is_lab,
            created_by_label=actor.label,
        )
        what = {"origin": origin, "origin_url": origin_url, "kind": action.kind, "is_gating": is_gating}
        _record("action.opened", action, actor, {"owner": owner.username, "due_on": due_on.isoformat(), **what})
        _tell_owner(action, "opened", f"To do by {due_on:%d %b %Y}: {action.title}")
    return action


def change_action(
    *,
    action_id: UUID,
    actor: Actor,
    user: User | None,
    title: str | None = None,
    detail: str | None = None,
    owner: User | None = None,
    due_on: dt.date | None = None,
    is_gating: bool | None = None,
) -> Action:
    """Change what is given of an open action; a new owner is told. By its owner, or by who may drill.

    `is_gating` is changed through what it came out of, which knows whose hold waits for it and who may say so: `user` is None then.

    Raises NotFound, Forbidden, InvalidInput, Conflict `wrong_state` (it is closed).
    """
    with transaction.atomic():
        action = _locked(action_id)
        if user is not None:
            _require_may(action, user=user)
        if action.state != ActionState.OPEN:
            raise _wrong_state(action, "Open it again before you change it.")
        given = {
            "title": _title(title) if title is not None else None,
            "detail": _detail(detail) if detail is not None else None,
            "owner": owner,
            "due_on": due_on,
            "is_gating": is_gating,
        }
        changes: dict[str, list[Any]] = {}
        for field, value in given.items():
            before = getattr(action, field)
            if value is not None and value != before:
                setattr(action, field, value)
                changes[field] = [_plain(before), _plain(value)]
        if not changes:
            return action
        _require_valid(
            title=action.title,
            detail=action.detail,
            owner=action.owner if "owner" in changes else None,
            due_on=action.due_on if "due_on" in changes else None,
            team=action.team,
        )
        action.save(update_fields=list(changes))
        _record("action.changed", action, actor, {"changes": changes})
        if "owner" in changes:
            put_away([_key(action, "opened"), _key(action, "reopened")])
            _tell_owner(action, "handed_over", f"Now yours, by {action.due_on:%d %b %Y}: {action.title}")
    return action


def close_action(*, action_id: UUID, actor: Actor, user: User | None, reason: str = "", state: ActionState = ActionState.DONE) -> Action:
    """Say that it is done (`reason`: what was done, may be empty), or that it will not be (`NOT_DOING`, with the reason).

    `user` None: the system, which needs no right. That a gating action will not be done lets a version ship: a lead says so, in person.
    Raises NotFound, Forbidden, InvalidInput `reason_missing`, Conflict `wrong_state`.
    """
    text = _text(reason)
    if state == ActionState.OPEN:
        raise InvalidInput("An action is closed as done or as not doing.", fields={"state": ["Choose done or not_doing."]})
    if state == ActionState.NOT_DOING and not text:
        raise InvalidInput("Say why it will not be done.", code="reason_missing", fields={"reason": ["Say why it will not be done."]})
    return _move(
        action_id,
        state,
        "action.closed",
        actor=actor,
        user=user,
        reason=text,
        closed_at=clock.now(),
        closed_by_label=actor.label,
        closed_reason=text,
    )


def reopen_action(*, action_id: UUID, reason: str, actor: Actor, user: User | None, due_on: dt.date | None = None) -> Action:
    """Open a closed action again: it was not done after all. `due_on`: a new day; without it the day stays. What it came out of hears of it.

    `user` None: the system. Raises NotFound, Forbidden, InvalidInput `reason_missing`, Conflict `wrong_state`.
    """
    text = _text(reason)
    if not text:
        raise InvalidInput("Say why it is open again.", code="reason_missing", fields={"reason": ["Say why it is open again."]})
    day = {} if due_on is None else {"due_on": due_on}
    with transaction.atomic():
        # An action keeps its origin: it is read without the lock, which comes after those of what it came out of.
        origin = Action.objects.filter(pk=action_id).values_list("origin", flat=True).first()
        if origin is None:
            raise no_action()
        source_of(origin).reopening(action_id, reason=text, actor=actor)
        action = _move(
            action_id, ActionState.OPEN, "action.reopened", actor=actor, user=user, reason=text, closed_at=None, closed_by_label="", closed_reason="", **day
        )
        # Once for each time: the instant tells them apart.
        _tell_owner(action, f"reopened:{clock.now():%Y%m%d%H%M%S}", f"Open again: {action.title}", text)
    return action


def may_act_on(action: Action, *, user: User) -> bool:
    """Whether this person may change or close it: its owner, or who may drill."""
    return (user.is_active and action.owner_id == user.pk) or may(user=user, capability=Capability.DRILL)


def due_in(days: int, *, team: Team) -> dt.date:
    """The day so many days from today, in the team's zone."""
    return clock.now().astimezone(ZoneInfo(team.timezone)).date() + dt.timedelta(days=days)


def no_action() -> NotFound:
    """What is said of an action that does not exist."""
    return NotFound("There is no such action.", code="action_not_found")


def _move(action_id: UUID, to: ActionState, event: str, *, actor: Actor, user: User | None, reason: str, **fields: Any) -> Action:
    with transaction.atomic():
        action = _locked(action_id)
        if user is not None:
            _require_may(action, user=user)
            if to == ActionState.NOT_DOING and action.is_gating:
                _require_lead(user, actor)
        before = ActionState(action.state)
        if to not in TRANSITIONS[before]:
            raise _wrong_state(action, f"It cannot become {to.label.lower()}.")
        if "due_on" in fields:
            _require_valid(title=action.title, detail=action.detail, owner=None, due_on=fields["due_on"], team=action.team)
        for name, value in (fields | {"state": to}).items():
            setattr(action, name, value)
        action.save(update_fields=["state", *fields])
        _record(event, action, actor, {"from": before, "to": to, "reason": reason})
        if to != ActionState.OPEN:
            put_away([_key(action, "opened"), _key(action, "handed_over")])
        return action


def _locked(action_id: UUID) -> Action:
    action = Action.objects.select_for_update(of=("self",)).select_related("team", "owner").filter(pk=action_id).first()
    if action is None:
        raise no_action()
    return action


def _require_may(action: Action, *, user: User) -> None:
    if not may_act_on(action, user=user):
        try:
            require(user=user, capability=Capability.DRILL)
        except Forbidden as error:
            raise Forbidden(f"This action is {action.owner}'s. {error.message}") from error


def _require_lead(user: User, actor: Actor) -> None:
    try:
        require(user=user, capability=Capability.LEAD)
    except Forbidden as error:
        raise Forbidden(
            f"A version may not ship until this is done: that it will not be is a lead's decision. {error.message}", code="gate_is_a_leads"
        ) from error
    if actor.kind == "token" or user.is_service:
        raise Forbidden("A version may not ship until this is done: a lead who is signed in decides otherwise, no token.", code="token_not_allowed")


def _require_valid(*, title: str, detail: str, owner: User | None, due_on: dt.date | None, team: Team) -> None:
    """`owner` and `due_on`: None where they stay as they are."""
    fields: dict[str, list[str]] = {}
    if not title or len(title) > LONGEST_TITLE:
        fields["title"] = [f"Say in 1 to {LONGEST_TITLE} characters what is to be done."]
    if len(detail) > LONGEST_TEXT:
        fields["detail"] = [f"At most {LONGEST_TEXT} characters."]
    if owner is not None and (owner.is_service or not owner.is_active):
        fields["owner"] = [f"{owner.username} is {'a service account' if owner.is_service else 'not active'}. A person who can sign in owns an action."]
    if due_on is not None and due_on > last_day(due_in(0, team=team)):
        fields["due_on"] = [f"An action is due at most {MOST_YEARS} years ahead. Look at the year."]
    if fields:
        raise InvalidInput("The action cannot be kept: " + " ".join(said for found in fields.values() for said in found), fields=fields)


def _title(text: str) -> str:
    """One line that can be shown."""
    return require_shown(spoken(text, field="title"), field="title")


def _detail(text: str) -> str:
    return spoken(text, field="detail")


def _text(reason: str) -> str:
    text = spoken(reason)
    if len(text) > LONGEST_TEXT:
        raise InvalidInput(f"The reason may have at most {LONGEST_TEXT} characters.", fields={"reason": [f"At most {LONGEST_TEXT} characters."]})
    return text


def _wrong_state(action: Action, what: str) -> Conflict:
    return Conflict(f"The action is {action.get_state_display().lower()}. {what}", code="wrong_state", state=action.state)


def _record(event: str, action: Action, actor: Actor, data: dict[str, Any]) -> None:
    record(event=event, actor=actor, subject_type="action", subject_id=action.pk, data={"title": action.title, **data})


def _tell_owner(action: Action, what: str, subject: str, text: str = "") -> None:
    tell(people=[action.owner], key=_key(action, what), subject=subject, text=text or action.origin_label, url=action.origin_url)


def _key(action: Action, what: str) -> str:
    return f"action:{action.pk}:{what}"


def _plain(value: object) -> object:
    if isinstance(value, User):
        return value.username
    return value.isoformat() if isinstance(value, dt.date) else value
