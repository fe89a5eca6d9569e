"""An action of a closed postmortem is opened again: not all of it is settled, so it is published again, in the same transaction."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import Notice, User
from rollbackhub.actions.domain.transitions import close_action, reopen_action
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput
from rollbackhub.postmortems.domain.reviewing import close_postmortem
from rollbackhub.postmortems.enums import PostmortemState
from rollbackhub.postmortems.models import Postmortem, PostmortemAction
from tests.factories.accounts import UserFactory
from tests.factories.fixtures import Cast
from tests.factories.postmortems import PostmortemActionFactory, make_action, make_postmortem
from tests.postmortems.conftest import events_of, who

pytestmark = pytest.mark.django_db

S = PostmortemState


def close(postmortem: Postmortem, user: User) -> None:
    close_postmortem(postmortem_id=postmortem.pk, **who(user))


def closed_with_action(cast: Cast, **values: Any) -> PostmortemAction:
    """The one action of a closed postmortem."""
    postmortem = make_postmortem(S.PUBLISHED, owner=cast.lead)
    link: PostmortemAction = PostmortemActionFactory(postmortem=postmortem, action=make_action(postmortem, title="Add the case", **values))
    close_action(action_id=link.action_id, actor=actor_of(cast.on_call), user=cast.on_call)
    close(postmortem, cast.on_call)
    return link


@pytest.mark.parametrize("is_gating", [True, False])
def test_closed_postmortem_is_published_again_when_its_action_is_opened_again(cast: Cast, is_gating: bool) -> None:
    link = closed_with_action(cast, is_gating=is_gating)
    before = link.postmortem
    reopen_action(action_id=link.action_id, reason="It was not done.", actor=actor_of(cast.on_call), user=cast.on_call)
    postmortem = Postmortem.objects.get()
    assert (postmortem.state, postmortem.closed_at, postmortem.closed_by_label) == (S.PUBLISHED, None, "")
    assert (postmortem.published_at, postmortem.frozen_timeline) == (before.published_at, before.frozen_timeline), "what was published stands"
    event = AuditEvent.objects.get(event="postmortem.reopened")
    assert (event.actor_label, event.data["action"], event.data["action_title"], event.data["reason"]) == (
        actor_of(cast.on_call).label,
        str(link.action_id),
        "Add the case",
        "It was not done.",
    )
    notice = Notice.objects.get(user=cast.lead, key__contains=":reopened:", url=f"/postmortems/{postmortem.pk}/")
    assert "It was not done." in notice.text
    with pytest.raises(Conflict) as caught:
        close(postmortem, cast.on_call)
    assert caught.value.code == "actions_open"
    close_action(action_id=link.action_id, actor=actor_of(cast.on_call), user=cast.on_call)
    close(postmortem, cast.on_call)
    assert events_of(postmortem)[-3:] == ["postmortem.closed", "postmortem.reopened", "postmortem.closed"]


def test_refused_opening_of_an_action_leaves_its_postmortem_closed(cast: Cast) -> None:
    link = closed_with_action(cast)
    stranger = UserFactory()
    wrong_day = dt.date(9999, 12, 31)
    with pytest.raises(Forbidden):
        reopen_action(action_id=link.action_id, reason="It was not done.", actor=actor_of(stranger), user=stranger)
    with pytest.raises(InvalidInput):
        reopen_action(action_id=link.action_id, reason=" ", actor=actor_of(cast.on_call), user=cast.on_call)
    with pytest.raises(InvalidInput):
        reopen_action(action_id=link.action_id, reason="It was not done.", actor=actor_of(cast.on_call), user=cast.on_call, due_on=wrong_day)
    assert Postmortem.objects.get().state == S.CLOSED
    assert not AuditEvent.objects.filter(event__in=["postmortem.reopened", "action.reopened"]).exists()


@pytest.mark.parametrize("state", [S.DRAFT, S.IN_REVIEW, S.PUBLISHED])
def test_postmortem_that_is_not_closed_stays_as_it_is_when_its_action_is_opened_again(cast: Cast, state: PostmortemState) -> None:
    postmortem = make_postmortem(state)
    link = PostmortemActionFactory(postmortem=postmortem, action=make_action(postmortem))
    close_action(action_id=link.action_id, actor=actor_of(cast.on_call), user=cast.on_call)
    reopen_action(action_id=link.action_id, reason="It was not done.", actor=actor_of(cast.on_call), user=cast.on_call)
    assert (Postmortem.objects.get().state, events_of(postmortem)) == (state, [])
