"""Actions that a meeting gives somebody."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from uuid import UUID

from django.db import transaction

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.actions.domain.transitions import open_action
from rollbackhub.actions.enums import ActionOrigin
from rollbackhub.audit.actors import Actor
from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput
from rollbackhub.reviews.domain.meeting import item_of, require_owner
from rollbackhub.reviews.domain.writing import address_of, keep, lock_review, require_state, required_text, written_text
from rollbackhub.reviews.models import ReviewAction
from rollbackhub.reviews.rules import IN_MEETING, MAX_TEXT, MAX_TITLE


def give_action(*, review_id: UUID, title: str, owner: User, due_on: dt.date, account: User, actor: Actor, detail: str = "", agenda: str = "") -> ReviewAction:
    """Give somebody an action with the day by which it is due. It stands on the agenda of the quarters after until it is closed.

    Raises NotFound, Forbidden, InvalidInput (no title, a day that is over), Conflict.
    """
    require(user=account, capability=Capability.LEAD)
    with transaction.atomic():
        review = lock_review(review_id)
        what = required_text(title, field="title", what="what is to be done", most=MAX_TITLE, lines=False)
        more = written_text(detail, field="detail")
        if len(more) > MAX_TEXT:
            raise InvalidInput("The detail is too long.", fields={"detail": [f"At most {MAX_TEXT:,} characters."]})
        if due_on < clock.now().astimezone(zoneinfo.ZoneInfo(review.team.timezone)).date():
            raise InvalidInput("The day is over.", code="day_is_over", fields={"due_on": ["The day is over: name one to come."]})
        require_owner(owner)
        require_state(review, *IN_MEETING, to="to give actions")
        action = open_action(
            title=what,
            detail=more,
            team=review.team,
            owner=owner,
            due_on=due_on,
            origin=ActionOrigin.REVIEW,
            origin_label=f"Review {review}",
            origin_url=address_of(review),
            is_lab=review.is_lab,
            actor=actor,
        )
        link = ReviewAction.objects.create(
            review=review, item=item_of(review, agenda), action=action, title=what, detail=more, owner_label=actor_of(owner).label, due_on=due_on
        )
        keep(
            review,
            [],
            event="review.action_given",
            actor=actor,
            data={"action": str(action.pk), "title": what, "owner": link.owner_label, "due_on": due_on.isoformat()},
        )
        return link
