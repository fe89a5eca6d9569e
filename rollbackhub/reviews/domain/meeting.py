"""The record of a meeting: who was there, minutes, decisions and actions; and that it was held."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.domain.notices import list_people_with, tell
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.reviews.domain.writing import address_of, keep, lock_review, move, require_state, require_writer, required_text, written_text
from rollbackhub.reviews.enums import ReviewState
from rollbackhub.reviews.models import Attendance, Review, ReviewDecision, ReviewItem, WantedDecision
from rollbackhub.reviews.rules import IN_MEETING, MAX_MINUTES, MAX_TEXT, WRITABLE

LONGEST_NAME = Attendance._meta.get_field("name").max_length or 0
MOST_GUESTS = 50


def hold_review(*, review_id: UUID, account: User, actor: Actor) -> Review:
    """Say that the meeting was held: from then on the figures stand, and the named roles sign. Raises NotFound, Forbidden, Conflict."""
    require(user=account, capability=Capability.LEAD)
    with transaction.atomic():
        review = lock_review(review_id)
        require_state(review, ReviewState.PREPARED, to="to say that it was held")
        now = clock.now()
        if review.meets_at is not None and review.meets_at > now:
            raise Conflict("The meeting is still to come. If it was earlier, change its time first.", code="review_not_met", url=address_of(review))
        if not Attendance.objects.filter(review=review).exists():
            raise Conflict("Say first who was there.", code="review_without_attendance", url=address_of(review))
        move(review, ReviewState.HELD)
        review.held_at = review.meets_at or now
        keep(review, ["state", "held_at"], event="review.held", actor=actor)
        roles = [Role(role) for role in review.sign_off_roles]
        tell(people=list_people_with(*roles), key=sign_key(review), subject=f"The review {review} waits for your signature", url=address_of(review))
        return review


def sign_key(review: Review) -> str:
    """The key of the notices that ask for signatures."""
    return f"review:{review.pk}:sign"


def add_attendance(*, review_id: UUID, people: Iterable[User], guests: Iterable[str] = (), account: User, actor: Actor) -> int:
    """Write down who was there: people of the hub, and guests by name. Who stands there already stays. Returns how many are new.

    Raises NotFound, Forbidden, InvalidInput (nobody named, a name that is too long), Conflict.
    """
    require_writer(account)
    named: dict[str, User] = {}
    for person in people:
        label = actor_of(person).label
        # Two people may have one name.
        named[label if label not in named else f"{label[: LONGEST_NAME - 155]} ({person.username})"] = person
    names = [cleaned for guest in guests if (cleaned := " ".join(written_text(guest, field="guests").split()))]
    if not named and not names:
        raise InvalidInput("Say who was there.", code="nobody_named", fields={"people": ["Choose somebody, or name a guest."]})
    if any(len(name) > LONGEST_NAME for name in names) or len(names) > MOST_GUESTS:
        sentence = f"Give each guest a name of at most {LONGEST_NAME} characters, {MOST_GUESTS} guests at most."
        raise InvalidInput(sentence, code="invalid_guests", fields={"guests": [sentence]})
    with transaction.atomic():
        review = lock_review(review_id)
        require_state(review, *IN_MEETING, to="to change who was there")
        rows = [Attendance(review=review, user=person, name=name) for name, person in named.items()]
        rows += [Attendance(review=review, name=name) for name in dict.fromkeys(names) if name not in named]
        before = set(Attendance.objects.filter(review=review).values_list("name", flat=True))
        new = [row for row in rows if row.name not in before]
        Attendance.objects.bulk_create(new)
        if new:
            keep(review, [], event="review.attendance_added", actor=actor, data={"names": [row.name for row in new]})
        return len(new)


def remove_attendance(*, review_id: UUID, attendance_id: int, account: User, actor: Actor) -> None:
    """Take somebody off the list. Raises NotFound, Forbidden, Conflict."""
    with transaction.atomic():
        review = lock_review(review_id)
        require_writer(account)
        require_state(review, *IN_MEETING, to="to change who was there")
        row = Attendance.objects.filter(review=review, pk=attendance_id).first()
        if row is None:
            raise NotFound("That person is not on the list.", code="attendance_not_found")
        row.delete()
        keep(review, [], event="review.attendance_removed", actor=actor, data={"name": row.name})


def save_minutes(*, review_id: UUID, agenda: str, text: str, based_on: int, account: User, actor: Actor) -> ReviewItem:
    """Write an item's minutes (Markdown), whole. `based_on`: the number of the minutes that the person began from.

    Raises NotFound, Forbidden, InvalidInput (too long, a character that cannot be seen) and Conflict `minutes_moved`, with the present
    text and its number, when somebody else has written meanwhile: nothing is overwritten.
    """
    with transaction.atomic():
        review = lock_review(review_id)
        require_writer(account)
        require_state(review, *IN_MEETING, to="to write minutes")
        item = ReviewItem.objects.filter(review=review, agenda=agenda).first()
        if item is None:
            raise NotFound("The agenda has no such item.", code="item_not_found")
        cleaned = written_text(text, field="text")
        if len(cleaned) > MAX_MINUTES:
            sentence = f"Minutes have at most {MAX_MINUTES:,} characters, and these have {len(cleaned):,}."
            raise InvalidInput(sentence, code="minutes_too_long", fields={"text": [sentence]})
        if item.minutes_number != based_on and item.minutes != cleaned:
            raise Conflict(
                f"{item.minutes_by_label} has changed these minutes since you began. Nothing of yours was saved yet: take over what you need, and save again.",
                code="minutes_moved",
                minutes=item.minutes,
                minutes_number=item.minutes_number,
                by=item.minutes_by_label,
            )
        if item.minutes == cleaned:
            return item
        item.minutes, item.minutes_number = cleaned, item.minutes_number + 1
        item.minutes_by_label, item.minutes_at = actor.label, clock.now()
        item.save(update_fields=["minutes", "minutes_number", "minutes_by_label", "minutes_at"])
        keep(review, [], event="review.minutes_saved", actor=actor, data={"item": item.agenda, "number": item.minutes_number, "characters": len(cleaned)})
        return item


def ask_for_decision(*, review_id: UUID, text: str, account: User, actor: Actor) -> WantedDecision:
    """Put a question to the meeting, before it is held. Raises NotFound, Forbidden, InvalidInput, Conflict."""
    with transaction.atomic():
        review = lock_review(review_id)
        require_writer(account)
        wanted = required_text(text, field="text", what="what the meeting is to decide", most=MAX_TEXT)
        require_state(review, *WRITABLE, to="to ask it for a decision")
        wish = WantedDecision.objects.create(review=review, text=wanted, asked_by_label=actor.label)
        keep(review, [], event="review.decision_wanted", actor=actor, data={"wanted": wish.pk, "text": wanted[:300]})
        return wish


def withdraw_wish(*, review_id: UUID, wanted_id: int, account: User, actor: Actor) -> None:
    """Take a question back that was put to the meeting, before it is held. Raises NotFound, Forbidden, Conflict."""
    with transaction.atomic():
        review = lock_review(review_id)
        require_writer(account)
        require_state(review, *WRITABLE, to="to take a question back")
        wish = WantedDecision.objects.filter(review=review, pk=wanted_id).first()
        if wish is None:
            raise NotFound("There is no such question.", code="wanted_not_found")
        wish.delete()
        keep(review, [], event="review.wish_withdrawn", actor=actor, data={"wanted": wanted_id, "text": wish.text[:300]})


def add_decision(*, review_id: UUID, text: str, owner: User, account: User, actor: Actor, agenda: str = "", wanted_id: int | None = None) -> ReviewDecision:
    """Write down what the meeting decided, and who answers for it. Raises NotFound, Forbidden, InvalidInput, Conflict."""
    require(user=account, capability=Capability.LEAD)
    with transaction.atomic():
        review = lock_review(review_id)
        decided = required_text(text, field="text", what="what was decided", most=MAX_TEXT)
        require_owner(owner)
        require_state(review, *IN_MEETING, to="to add decisions")
        decision = ReviewDecision.objects.create(
            review=review,
            item=item_of(review, agenda),
            wanted=_wish_of(review, wanted_id),
            text=decided,
            owner=owner,
            owner_label=actor_of(owner).label,
            decided_at=clock.now(),
        )
        keep(review, [], event="review.decision_added", actor=actor, data={"decision": decision.pk, "text": decided[:300], "owner": decision.owner_label})
        return decision


def remove_decision(*, review_id: UUID, decision_id: int, account: User, actor: Actor) -> None:
    """Take back a decision that was written down wrongly. Raises NotFound, Forbidden, Conflict."""
    require(user=account, capability=Capability.LEAD)
    with transaction.atomic():
        review = lock_review(review_id)
        require_state(review, *IN_MEETING, to="to take decisions back")
        decision = ReviewDecision.objects.filter(review=review, pk=decision_id).first()
        if decision is None:
            raise NotFound("There is no such decision.", code="decision_not_found")
        decision.delete()
        keep(review, [], event="review.decision_removed", actor=actor, data={"decision": decision_id, "text": decision.text[:300]})


def item_of(review: Review, agenda: str) -> ReviewItem | None:
    """The item of that name; None for none. Raises NotFound."""
    if not agenda:
        return None
    item = ReviewItem.objects.filter(review=review, agenda=agenda).first()
    if item is None:
        raise NotFound("The agenda has no such item.", code="item_not_found")
    return item


def require_owner(owner: User) -> None:
    """Raise InvalidInput unless the person can answer for something."""
    if owner.is_service or not owner.is_active or not owner.roles:
        sentence = f"{actor_of(owner).label} cannot answer for it: choose a person who has a role."
        raise InvalidInput(sentence, code="invalid_owner", fields={"owner": [sentence]})


def _wish_of(review: Review, wanted_id: int | None) -> WantedDecision | None:
    if wanted_id is None:
        return None
    wish = WantedDecision.objects.filter(review=review, pk=wanted_id).first()
    if wish is None:
        raise NotFound("There is no such question.", code="wanted_not_found")
    return wish
