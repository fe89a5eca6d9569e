"""What several processes and people do with postmortems at the same time, in a database of their own."""

from __future__ import annotations

import datetime as dt

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.actions.domain.transitions import close_action, reopen_action
from rollbackhub.actions.enums import ActionState
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.common.errors import Conflict
from rollbackhub.postmortems.domain.due import note_overdue
from rollbackhub.postmortems.domain.reviewing import close_postmortem
from rollbackhub.postmortems.enums import PostmortemState
from rollbackhub.postmortems.models import PostmortemAction
from tests.databases import FreshDatabase
from tests.factories.fixtures import make_cast
from tests.factories.postmortems import PostmortemActionFactory, make_action, make_postmortem
from tests.postmortems.conftest import who
from tests.threads import at_once


def test_two_who_note_at_once_note_it_once(fresh_database: FreshDatabase) -> None:
    for _ in range(5):
        make_postmortem(due_on=now().date() - dt.timedelta(days=2))
    results = at_once(4, lambda _: note_overdue())
    assert [result for result in results if not isinstance(result, int)] == []
    assert sum(result for result in results if isinstance(result, int)) == 5 == AuditEvent.objects.filter(event="postmortem.overdue").count()


def test_closing_and_opening_an_action_at_once_never_leave_a_closed_postmortem_with_an_open_action(fresh_database: FreshDatabase) -> None:
    people = make_cast()
    for _ in range(5):
        postmortem = make_postmortem(PostmortemState.PUBLISHED)
        link = PostmortemActionFactory(postmortem=postmortem, action=make_action(postmortem))
        close_action(action_id=link.action_id, actor=actor_of(people.on_call), user=people.on_call)

        def act(number: int, link: PostmortemAction = link) -> None:
            if number:
                reopen_action(action_id=link.action_id, reason="It was not done.", actor=actor_of(people.on_call), user=people.on_call)
            else:
                close_postmortem(postmortem_id=link.postmortem_id, **who(people.on_call))

        results = at_once(2, act)
        assert [error for error in results if error is not None and not isinstance(error, Conflict)] == []
        postmortem.refresh_from_db()
        link.action.refresh_from_db()
        assert (link.action.state, postmortem.state) == (ActionState.OPEN, PostmortemState.PUBLISHED)
