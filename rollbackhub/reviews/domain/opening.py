"""Opening a review, changing when and by whom it is, and amending one that was signed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from django.db import IntegrityError, transaction

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.domain.notices import tell
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import Team, User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.registry.models import Artefact
from rollbackhub.reviews.domain.writing import address_of, keep, lock_review, move, require_state, required_text
from rollbackhub.reviews.enums import ReviewState
from rollbackhub.reviews.models import Attendance, Review, ReviewDecision, ReviewItem, WantedDecision
from rollbackhub.reviews.rules import DEFAULT_ROLES, MAX_REASON, MEETS_WITHIN, MIN_REASON, WRITABLE, instant_of, prepare_at, quarter_name, quarter_of


def open_review(
    *,
    team: Team,
    quarter: dt.date,
    account: User,
    actor: Actor,
    meets_at: dt.datetime | None = None,
    presenter: User | None = None,
    sign_off_roles: Sequence[str] = DEFAULT_ROLES,
) -> Review:
    """Open the review of a team's quarter (its first day). It is prepared a day before the meeting, or at once.

    Raises Forbidden, InvalidInput (no quarter, one to come, a presenter without a role, roles that are none) and Conflict `review_exists`.
    """
    require(user=account, capability=Capability.LEAD)
    now = clock.now()
    fields = _problems(quarter=quarter, meets_at=meets_at, presenter=presenter, roles=sign_off_roles, now=now)
    if fields:
        raise InvalidInput(" ".join(sentence for found in fields.values() for sentence in found), code="invalid_review", fields=fields)
    review = Review(
        team=team,
        quarter=quarter,
        meets_at=meets_at,
        presenter=presenter,
        sign_off_roles=_in_order(sign_off_roles),
        prepare_at=prepare_at(meets_at=meets_at, now=now),
        is_lab=_is_of_the_lab(team),
        created_by_label=actor.label,
        number=0,
    )
    try:
        with transaction.atomic():
            review.save(force_insert=True)
            keep(review, [], event="review.opened", actor=actor, data={"meets_at": meets_at.isoformat() if meets_at else None, "roles": review.sign_off_roles})
            if presenter is not None and presenter != account:
                tell(people=[presenter], key=f"review:{review.pk}:presenter", subject=f"You present the review {review}", url=address_of(review))
    except IntegrityError as error:
        other = Review.objects.filter(team=team, quarter=quarter, amends=None).first()
        if other is None:
            raise
        raise Conflict(f"There is a review of {team.name} for {quarter_name(quarter)} already.", code="review_exists", url=address_of(other)) from error
    return review


def change_review(
    *, review_id: UUID, meets_at: dt.datetime | None, presenter: User | None, sign_off_roles: Sequence[str], account: User, actor: Actor
) -> Review:
    """Change when the meeting is, who presents and who signs, until it is held. Raises NotFound, Forbidden, InvalidInput, Conflict."""
    require(user=account, capability=Capability.LEAD)
    with transaction.atomic():
        review = lock_review(review_id)
        require_state(review, *WRITABLE, to="to change when it is or who signs")
        now = clock.now()
        fields = _problems(quarter=review.quarter, meets_at=meets_at, presenter=presenter, roles=sign_off_roles, now=now)
        if fields:
            raise InvalidInput(" ".join(sentence for found in fields.values() for sentence in found), code="invalid_review", fields=fields)
        before = {"meets_at": review.meets_at.isoformat() if review.meets_at else None, "presenter": review.presenter_id, "roles": review.sign_off_roles}
        review.meets_at, review.presenter, review.sign_off_roles = meets_at, presenter, _in_order(sign_off_roles)
        if review.state == ReviewState.PREPARING and review.prepared_at is None:
            review.prepare_at = prepare_at(meets_at=meets_at, now=now)
        after = {"meets_at": meets_at.isoformat() if meets_at else None, "presenter": review.presenter_id, "roles": review.sign_off_roles}
        changed = ["meets_at", "presenter", "sign_off_roles", "prepare_at"]
        keep(review, changed, event="review.changed", actor=actor, data={"before": before, "after": after})
        return review


def amend_review(*, review_id: UUID, reason: str, account: User, actor: Actor) -> Review:
    """Make the amendment of a signed review: a new review that names it and why, with its agenda, minutes, attendance and decisions to begin with.

    The figures are those that were signed until somebody prepares it again. Actions stay with the review that gave them.
    Raises NotFound, Forbidden, InvalidInput (no reason) and Conflict (not signed, amended already).
    """
    require(user=account, capability=Capability.LEAD)
    why = required_text(reason, field="reason", what="why it is amended", most=MAX_REASON, least=MIN_REASON)
    with transaction.atomic():
        old = lock_review(review_id)
        if old.state != ReviewState.SIGNED:
            raise Conflict("Only what is signed off is amended: this review can still be changed.", code="review_not_signed", url=address_of(old))
        other = Review.objects.filter(amends=old).first()
        if other is not None:
            raise Conflict("This review has an amendment already.", code="review_amended", url=address_of(other))
        new = Review.objects.create(
            team=old.team,
            quarter=old.quarter,
            amends=old,
            amendment_reason=why,
            meets_at=None,
            presenter=old.presenter,
            sign_off_roles=old.sign_off_roles,
            is_lab=old.is_lab,
            created_by_label=actor.label,
            number=0,
        )
        _copy(old, new)
        move(new, ReviewState.PREPARED)
        new.prepared_at, new.prepare_seconds = old.prepared_at, old.prepare_seconds
        data = {"amends": str(old.pk), "reason": why}
        keep(new, ["state", "prepared_at", "prepare_seconds"], event="review.amended", actor=actor, data=data)
        return new


def _copy(old: Review, new: Review) -> None:
    """What the amendment begins with."""
    items = list(ReviewItem.objects.filter(review=old))
    wishes = list(WantedDecision.objects.filter(review=old))
    decisions = list(ReviewDecision.objects.filter(review=old))
    attendance = list(Attendance.objects.filter(review=old))
    # By the agenda, and by the place among the wishes: the copies have ids of their own.
    agenda_of = {item.pk: item.agenda for item in items}
    place_of = {wish.pk: place for place, wish in enumerate(wishes)}
    rows: list[ReviewItem | WantedDecision | ReviewDecision | Attendance] = [*items, *wishes, *decisions, *attendance]
    for row in rows:
        row.review = new
        row.pk = None
        row._state.adding = True
    new_items = {item.agenda: item for item in ReviewItem.objects.bulk_create(items)}
    new_wishes = WantedDecision.objects.bulk_create(wishes)
    for decision in decisions:
        decision.item = new_items[agenda_of[decision.item_id]] if decision.item_id else None
        decision.wanted = new_wishes[place_of[decision.wanted_id]] if decision.wanted_id else None
    ReviewDecision.objects.bulk_create(decisions)
    Attendance.objects.bulk_create(attendance)


def _problems(*, quarter: dt.date, meets_at: dt.datetime | None, presenter: User | None, roles: Sequence[str], now: dt.datetime) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    if quarter != quarter_of(quarter):
        fields["quarter"] = ["Name a quarter by its first day: 1 January, April, July or October."]
    elif quarter > now.date():
        fields["quarter"] = [f"{quarter_name(quarter)} has not begun: there is nothing to review."]
    if meets_at is not None and meets_at < instant_of(quarter):
        fields["meets_at"] = ["The meeting cannot be before the quarter that it reviews."]
    elif meets_at is not None and meets_at > now + MEETS_WITHIN:
        fields["meets_at"] = [f"The meeting is at most {MEETS_WITHIN.days} days ahead. Look at the year."]
    if presenter is not None and (presenter.is_service or not presenter.is_active or not presenter.roles):
        fields["presenter"] = [f"{actor_of(presenter).label} cannot present: choose a person who has a role."]
    unknown = sorted(set(roles) - set(Role.values))
    if not roles or unknown:
        fields["sign_off_roles"] = [f"There is no role {', '.join(unknown)}." if unknown else "Name at least one role that signs."]
    return fields


def _in_order(roles: Sequence[str]) -> list[str]:
    return [role.value for role in Role if role in roles]


def _is_of_the_lab(team: Team) -> bool:
    """Whether all that the team has was made by the lab: then lab data are what it reviews."""
    made = set(Artefact.objects.filter(team=team).values_list("is_lab", flat=True).distinct())
    return made == {True}
