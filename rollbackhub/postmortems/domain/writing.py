"""What every writer of postmortems does: lock it, look whether the act is possible, count the change, record it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.common.shown_text import spoken
from rollbackhub.postmortems.enums import FactorAnswerValue, PostmortemState, ReviewVerdict
from rollbackhub.postmortems.models import Postmortem, Reviewer, TextRevision
from rollbackhub.postmortems.rules import ALLOWED_IN, TRANSITIONS, WORDS, Act


def begin(postmortem_id: UUID, act: Act, *, account: User) -> Postmortem:
    """The postmortem with its incident, team and owner, locked until the transaction ends, for an act that this person may do now.

    Raises NotFound, Forbidden, Conflict `postmortem_in_other_state`.
    """
    postmortem = lock_postmortem(postmortem_id)
    require(user=account, capability=Capability.RESPOND)
    require_possible(postmortem, act)
    return postmortem


def lock_postmortem(postmortem_id: UUID) -> Postmortem:
    """The postmortem with its incident, team and owner, locked until the transaction ends. Raises NotFound."""
    found = Postmortem.objects.select_for_update(of=("self",)).select_related("incident__environment", "team", "owner", "sent_by")
    postmortem = found.filter(pk=postmortem_id).first()
    if postmortem is None:
        raise no_postmortem()
    return postmortem


def require_possible(postmortem: Postmortem, act: Act) -> None:
    """Raise Conflict unless the act belongs to its state."""
    if postmortem.state not in ALLOWED_IN[act]:
        state = PostmortemState(postmortem.state)
        instead = " Amend it instead: a new text, with the reason." if state in ALLOWED_IN[Act.AMEND] and act == Act.WRITE else ""
        raise Conflict(
            f"The postmortem is {state.label.lower()}: it is not the time {WORDS[act]}.{instead}",
            code="postmortem_in_other_state",
            state=str(state),
            url=address_of(postmortem),
        )


def move(postmortem: Postmortem, to: PostmortemState) -> None:
    """The one place where the state changes; nothing is saved yet. Raises Conflict for what the table does not have."""
    if to not in TRANSITIONS[PostmortemState(postmortem.state)]:
        raise Conflict(
            f"The postmortem is {postmortem.get_state_display().lower()} and cannot become {to.label.lower()}.",
            code="postmortem_in_other_state",
            state=postmortem.state,
            url=address_of(postmortem),
        )
    postmortem.state = to


def keep(postmortem: Postmortem, fields: Collection[str], *, event: str, actor: Actor, data: dict[str, Any] | None = None) -> None:
    """Save these fields of the locked postmortem, count the change and record it, with its incident."""
    postmortem.number += 1
    postmortem.save(update_fields=[*fields, "number"])
    record_about(postmortem, event=event, actor=actor, data=data)


def record_about(postmortem: Postmortem, *, event: str, actor: Actor, data: dict[str, Any] | None = None) -> None:
    """The audit event of an act."""
    content = {"incident": str(postmortem.incident_id), "title": postmortem.incident.title, **(data or {})}
    record(event=event, actor=actor, subject_type="postmortem", subject_id=postmortem.pk, data=content)


def keep_text(postmortem: Postmortem, *, key: str, number: int, text: str, actor: Actor, reason: str = "") -> None:
    """One more revision of a text; what reviewers said of the former one ends."""
    TextRevision.objects.create(postmortem=postmortem, key=key, number=number, text=text, reason=reason, by_label=actor.label, saved_at=clock.now())
    postmortem.text_number += 1
    said = Reviewer.objects.filter(postmortem=postmortem).exclude(verdict=ReviewVerdict.ASKED)
    ended = list(said.order_by("pk").values_list("user__username", "verdict"))
    if ended and not postmortem.is_published:
        said.update(verdict=ReviewVerdict.ASKED, text_number=None, decided_at=None)
        named = [f"{username}: {verdict}" for username, verdict in ended]
        record_about(postmortem, event="postmortem.verdicts_ended", actor=actor, data={"because": key, "ended": named})


def answer_in_words(answer: str, words: str) -> str:
    """An answer about a factor as one text: `Yes, it contributed. The set held no such case.`"""
    label = FactorAnswerValue(answer).label if answer else "Not answered"
    return f"{label}. {words}".strip()


def required_text(value: str, *, field: str, what: str, most: int, least: int = 1) -> str:
    """The text without surrounding space. Raises InvalidInput, at its field, when it is too short, too long, or cannot be shown."""
    text = spoken(value, field=field)
    if not least <= len(text) <= most:
        sentence = f"Say {what}, in {least} to {most:,} characters." if text or least > 1 else f"Say {what}."
        raise InvalidInput(sentence, code="text_missing" if len(text) < least else "text_too_long", fields={field: [sentence]})
    return text


def optional_text(value: str, *, field: str, most: int) -> str:
    """As `required_text`, of a text that may be empty."""
    text = spoken(value, field=field)
    if len(text) > most:
        sentence = f"At most {most:,} characters, and these are {len(text):,}."
        raise InvalidInput(sentence, code="text_too_long", fields={field: [sentence]})
    return text


def address_of(postmortem: Postmortem) -> str:
    """The path of its page."""
    return f"/postmortems/{postmortem.pk}/"


def no_postmortem() -> NotFound:
    """What is said of a postmortem that does not exist."""
    return NotFound("There is no such postmortem.", code="postmortem_not_found")
