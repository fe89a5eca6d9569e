"""Signing a review: one person of each named role, each for one role; after the last nothing of it can change."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.domain.notices import put_away
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import RoleAssignment, User
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.listing import list_events_of
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput
from rollbackhub.reviews.domain.meeting import sign_key
from rollbackhub.reviews.domain.selectors import written_number
from rollbackhub.reviews.domain.writing import address_of, keep, lock_review, move, written_text
from rollbackhub.reviews.enums import ReviewState
from rollbackhub.reviews.models import Review, SignOff
from rollbackhub.reviews.rules import MAX_NOTE

_CHANGED = {
    "review.minutes_saved": "minutes",
    "review.attendance_added": "who was there",
    "review.attendance_removed": "who was there",
    "review.decision_added": "decisions",
    "review.decision_removed": "decisions",
    "review.action_given": "actions",
    "review.held": "that it was held",
}
"""What an event has changed, for who has read the record before it."""


def sign_off(*, review_id: UUID, role: str, based_on: int, note: str = "", account: User, actor: Actor) -> Review:
    """Sign a held review for a role that the person has now. The presenter may sign. The last signature closes the review.

    `based_on`: the number of the record that the person has read (`Record.written`): nobody signs what they have not seen.
    Raises NotFound, Forbidden (the role is not theirs, or not named), InvalidInput (a note that is too long) and Conflict (not held, signed
    already for this role or by this person; `record_moved`: it has changed since).
    """
    with transaction.atomic():
        review = lock_review(review_id)
        if account.is_service or not account.is_active:
            raise Forbidden("A service account signs nothing: a person of the role does.", code="not_a_person")
        if role not in review.sign_off_roles:
            names = ", ".join(Role(name).label for name in review.sign_off_roles)
            raise Forbidden(f"This review is signed by {names}.", code="role_does_not_sign")
        # Asked anew: a role may have been taken away since the person signed in.
        if not RoleAssignment.objects.filter(user=account, role=role).exists():
            raise Forbidden(f"To sign for it you need the role {Role(role).label}. An administrator can grant it.", code="role_missing")
        _require_unsigned(review, role, account)
        require_read(review, based_on=based_on)
        text = written_text(note, field="note")
        if len(text) > MAX_NOTE:
            sentence = f"A note has at most {MAX_NOTE} characters."
            raise InvalidInput(sentence, code="note_too_long", fields={"note": [sentence]})
        now = clock.now()
        SignOff.objects.create(review=review, role=role, user=account, signer_label=actor_of(account).label, note=text, signed_at=now)
        signed = set(SignOff.objects.filter(review=review).values_list("role", flat=True))
        missing = [name for name in review.sign_off_roles if name not in signed]
        fields: list[str] = []
        if not missing:
            move(review, ReviewState.SIGNED)
            review.signed_at = now
            fields = ["state", "signed_at"]
            put_away([sign_key(review)])
        keep(review, fields, event="review.signed", actor=actor, data={"role": role, "note": text, "missing": missing})
        return review


def require_read(review: Review, *, based_on: int) -> None:
    """Raise Conflict `record_moved`, saying what changed and by whom, unless the record is still the one of this number. Two queries at most."""
    written = written_number(review, signatures=SignOff.objects.filter(review=review).count())
    if based_on == written:
        return
    since = ""
    if 0 <= based_on < written:
        # One event for each change, signatures aside: the newest so many are what the person has not seen.
        events = [found for found in list_events_of(subject_types=["review"], subject_ids=[str(review.pk)]) if found.event != "review.signed"]
        changes = dict.fromkeys(f"{_CHANGED.get(found.event, 'the review')} by {found.actor_label}" for found in events[-(written - based_on) :])
        since = f": {', '.join(changes)}" if changes else ""
    raise Conflict(f"The record has changed since you opened it{since}. Read it again, then sign.", code="record_moved", url=address_of(review))


def _require_unsigned(review: Review, role: str, account: User) -> None:
    if review.state == ReviewState.SIGNED:
        raise Conflict("The review is signed off by everybody whom it names.", code="review_signed", url=address_of(review))
    if review.state != ReviewState.HELD:
        raise Conflict("The review is signed after the meeting: a lead says first that it was held.", code="review_not_held", url=address_of(review))
    for before in SignOff.objects.filter(review=review):
        if before.role == role:
            raise Conflict(f"{before.signer_label} has signed as {before.get_role_display()} already.", code="role_signed", url=address_of(review))
        if before.user_id == account.pk:
            sentence = f"You have signed as {before.get_role_display()}: the other signatures are other people's."
            raise Conflict(sentence, code="person_signed", url=address_of(review))
