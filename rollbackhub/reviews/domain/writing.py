"""What every writer of reviews does: lock the review, look whether it may still change, count the change, record it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, may
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.common.shown_text import require_shown, spoken
from rollbackhub.reviews.enums import ReviewState
from rollbackhub.reviews.models import Review, SignOff
from rollbackhub.reviews.rules import TRANSITIONS


def lock_review(review_id: UUID) -> Review:
    """The review with its team, locked until the transaction ends. Raises NotFound."""
    review = Review.objects.select_for_update(of=("self",)).select_related("team").filter(pk=review_id).first()
    if review is None:
        raise NotFound("There is no such review.", code="review_not_found")
    return review


def require_state(review: Review, *states: ReviewState, to: str) -> None:
    """Raise Conflict unless the review is in one of these states and nobody has signed it. `to`: what somebody wants, e.g. `to write minutes`."""
    if review.state == ReviewState.SIGNED:
        raise Conflict(f"The review is signed off and cannot change: make an amendment {to}.", code="review_signed", url=address_of(review))
    if SignOff.objects.filter(review=review).exists():
        raise Conflict(
            f"Somebody has signed the review as it stands, so it is too late {to}. Once everybody has signed, an amendment can.",
            code="review_being_signed",
            url=address_of(review),
        )
    if review.state not in states:
        state = ReviewState(review.state).label.lower()
        raise Conflict(f"The review is {state}: it is not the time {to}.", code="review_in_other_state", url=address_of(review))


def require_writer(account: User) -> None:
    """Raise Forbidden unless the person may write to a meeting's record: whoever drills, or leads."""
    if not (may(user=account, capability=Capability.DRILL) or may(user=account, capability=Capability.LEAD)):
        raise Forbidden("To write to the record of a meeting you need a role that drills or leads. An administrator can grant it.")


def move(review: Review, to: ReviewState) -> None:
    """The one place where the state changes; nothing is saved yet. Raises Conflict for what the table does not have."""
    if to not in TRANSITIONS[ReviewState(review.state)]:
        raise Conflict(
            f"The review is {ReviewState(review.state).label.lower()}: it cannot become “{to.label.lower()}” now.",
            code="review_in_other_state",
            url=address_of(review),
        )
    review.state = to


def keep(review: Review, fields: Collection[str], *, event: str, actor: Actor, data: dict[str, Any] | None = None) -> None:
    """Save these fields of the locked review, count the change and record it."""
    review.number += 1
    review.save(update_fields=[*fields, "number"])
    record(
        event=event,
        actor=actor,
        subject_type="review",
        subject_id=review.pk,
        data={"team": review.team.slug, "quarter": review.quarter_name, **(data or {})},
    )


def required_text(value: str, *, field: str, what: str, most: int, least: int = 1, lines: bool = True) -> str:
    """The text as `written_text`. Raises InvalidInput, at its field, when it is too short or too long, or has several lines and must not (`lines`)."""
    text = written_text(value, field=field)
    if not least <= len(text) <= most:
        sentence = f"Say {what}, in {least} to {most:,} characters." if text or least > 1 else f"Say {what}."
        raise InvalidInput(sentence, fields={field: [sentence]})
    if not lines:
        require_shown(text, field=field)
    return text


def written_text(value: str, *, field: str) -> str:
    """What a person wrote, without surrounding space and marks of direction. Raises InvalidInput `unshowable_text` for what cannot be seen."""
    return spoken(value.replace("\x00", ""), field=field)


def address_of(review: Review) -> str:
    """The path of its page."""
    return f"/reviews/{review.pk}/"
