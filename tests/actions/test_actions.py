"""Actions: opened, changed, closed and opened again, by their owner or by who may drill."""

from __future__ import annotations

import datetime as dt
import uuid
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import Notice
from rollbackhub.actions.domain.selectors import get_action, is_overdue, list_actions
from rollbackhub.actions.domain.transitions import change_action, close_action, due_in, may_act_on, open_action, reopen_action
from rollbackhub.actions.enums import ActionOrigin, ActionState
from rollbackhub.actions.models import Action
from rollbackhub.actions.rules import last_day
from rollbackhub.audit.actors import system_actor
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from tests.factories.accounts import TeamFactory, UserFactory
from tests.factories.actions import ActionFactory
from tests.factories.fixtures import Cast, cast

__all__ = ["cast"]

DAY = dt.date(2026, 12, 24)
SYSTEM = system_actor("test")


def by(person: Any) -> dict[str, Any]:
    return {"user": person, "actor": actor_of(person)}


def opened(cast: Cast, **values: Any) -> Action:
    given = {"title": "Mend the gateway", "team": TeamFactory(slug="platform"), "owner": cast.auditor, "due_on": DAY, "origin": ActionOrigin.REVIEW}
    return open_action(**{**given, "origin_label": "Review of Q4", "origin_url": "/reviews/1/", "actor": SYSTEM, **values})


def test_open_action_tells_its_owner_and_is_recorded(cast: Cast) -> None:
    action = opened(cast, title=" Mend the gateway ")
    assert (action.title, action.state, action.created_by_label) == ("Mend the gateway", ActionState.OPEN, "test")
    notice = Notice.objects.get()
    assert (notice.user, notice.subject, notice.url) == (cast.auditor, "To do by 24 Dec 2026: Mend the gateway", "/reviews/1/")
    assert AuditEvent.objects.get().data["owner"] == "auditor"


@pytest.mark.parametrize(
    ("values", "field"),
    [({"title": " "}, "title"), ({"title": "x" * 201}, "title"), ({"detail": "x" * 4001}, "detail"), ({"due_on": dt.date(9999, 12, 31)}, "due_on")],
)
def test_open_action_that_cannot_be_names_the_field(cast: Cast, values: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        opened(cast, **values)
    assert list(caught.value.fields) == [field]


@pytest.mark.parametrize("field", ["title", "detail"])
def test_what_is_written_of_an_action_is_kept_by_one_rule(cast: Cast, field: str) -> None:
    action = opened(cast, **{field: " Mend\u202e it "})
    written: dict[str, Any] = {field: " Mend\u202e that "}
    assert getattr(action, field) == "Mend it", "marks of direction are left out"
    assert getattr(change_action(action_id=action.pk, **by(cast.lead), **written), field) == "Mend that"
    unshowable = {"title": "Mend\nit", "detail": "Mend\x1b it"}[field]
    for act in (partial(opened, cast), partial(change_action, action_id=action.pk, **by(cast.lead))):
        with pytest.raises(InvalidInput) as caught:
            act(**{field: unshowable})
        assert (caught.value.code, list(caught.value.fields)) == ("unshowable_text", [field])


def test_opening_again_locks_the_action_once(cast: Cast) -> None:
    action = opened(cast)
    close_action(action_id=action.pk, **by(cast.lead))
    with CaptureQueriesContext(connection) as queries:
        reopen_action(action_id=action.pk, reason="It is back.", due_on=DAY + dt.timedelta(days=9), **by(cast.lead))
    assert len([query for query in queries if "FOR UPDATE" in query["sql"] and '"actions_action"' in query["sql"]]) == 1


def test_day_is_three_years_ahead_at_most_whoever_sets_it(cast: Cast) -> None:
    assert last_day(dt.date(2028, 2, 29)) == dt.date(2031, 2, 28)
    last = last_day(clock.now().date())
    action = opened(cast, due_on=last - dt.timedelta(days=1))
    beyond = last + dt.timedelta(days=2)
    with pytest.raises(InvalidInput, match="at most 3 years ahead"):
        change_action(action_id=action.pk, due_on=beyond, **by(cast.lead))
    close_action(action_id=action.pk, **by(cast.lead))
    with pytest.raises(InvalidInput, match="at most 3 years ahead"):
        reopen_action(action_id=action.pk, reason="It is back.", due_on=beyond, **by(cast.lead))
    assert Action.objects.get().state == ActionState.DONE


def test_owner_is_a_person_who_can_sign_in(cast: Cast) -> None:
    for owner in (UserFactory(responsible=cast.lead), UserFactory(is_active=False)):
        with pytest.raises(InvalidInput) as caught:
            opened(cast, owner=owner)
        assert list(caught.value.fields) == ["owner"]


def test_owner_and_who_may_drill_act_and_nobody_else(cast: Cast) -> None:
    action = opened(cast)
    assert {name for name, person in cast.everybody_but().items() if may_act_on(action, user=person)} == {"auditor", "on_call", "lead", "admin"}
    for who in (cast.leadership, cast.stranger):
        for act in (
            partial(close_action, action_id=action.pk),
            partial(change_action, action_id=action.pk, title="x"),
            partial(reopen_action, action_id=action.pk, reason="x"),
        ):
            with pytest.raises(Forbidden, match="This action is auditor's"):
                act(**by(who))
    assert close_action(action_id=action.pk, **by(cast.auditor)).state == ActionState.DONE


def test_change_hands_over_and_records_each_field(cast: Cast) -> None:
    action = opened(cast)
    changed = change_action(action_id=action.pk, title="Mend both", owner=cast.on_call, due_on=DAY + dt.timedelta(days=1), **by(cast.lead))
    assert (changed.title, changed.owner) == ("Mend both", cast.on_call)
    assert AuditEvent.objects.get(event="action.changed").data["changes"] == {
        "title": ["Mend the gateway", "Mend both"],
        "owner": ["auditor", "oncall"],
        "due_on": ["2026-12-24", "2026-12-25"],
    }
    assert list(Notice.objects.filter(read_at=None).values_list("user__username", flat=True)) == ["oncall"]
    change_action(action_id=action.pk, title="Mend both", **by(cast.lead))
    assert AuditEvent.objects.filter(event="action.changed").count() == 1


def test_closed_action_is_not_changed(cast: Cast) -> None:
    action = opened(cast)
    close_action(action_id=action.pk, **by(cast.lead))
    with pytest.raises(Conflict, match="is done"):
        change_action(action_id=action.pk, title="x", **by(cast.lead))
    with pytest.raises(Conflict):
        close_action(action_id=action.pk, **by(cast.lead))


def test_not_doing_needs_a_reason(cast: Cast) -> None:
    action = opened(cast)
    with pytest.raises(InvalidInput) as caught:
        close_action(action_id=action.pk, state=ActionState.NOT_DOING, reason=" ", **by(cast.lead))
    assert caught.value.code == "reason_missing"
    with pytest.raises(InvalidInput):
        close_action(action_id=action.pk, state=ActionState.OPEN, **by(cast.lead))
    closed = close_action(action_id=action.pk, state=ActionState.NOT_DOING, reason="It goes away.", **by(cast.lead))
    assert (closed.state, closed.closed_reason, closed.closed_by_label) == (ActionState.NOT_DOING, "It goes away.", "Lee Lead")
    assert not Notice.objects.filter(read_at=None).exists()


def test_reopened_action_has_a_reason_maybe_a_day_and_tells_its_owner(cast: Cast) -> None:
    action = opened(cast)
    with pytest.raises(Conflict):
        reopen_action(action_id=action.pk, reason="x", **by(cast.lead))
    close_action(action_id=action.pk, **by(cast.lead))
    with pytest.raises(InvalidInput):
        reopen_action(action_id=action.pk, reason=" ", **by(cast.lead))
    again = reopen_action(action_id=action.pk, reason="It is back.", due_on=DAY + dt.timedelta(days=9), **by(cast.lead))
    assert (again.state, again.closed_at, again.closed_reason, again.due_on) == (ActionState.OPEN, None, "", DAY + dt.timedelta(days=9))
    assert Notice.objects.filter(user=cast.auditor, read_at=None).get().subject == "Open again: Mend the gateway"


def test_action_that_does_not_exist_is_not_found(cast: Cast) -> None:
    with pytest.raises(NotFound):
        get_action(uuid.uuid4())
    with pytest.raises(NotFound):
        close_action(action_id=uuid.uuid4(), **by(cast.lead))


def test_actions_are_filtered_and_overdue_by_the_teams_day(cast: Cast, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any) -> None:
    # At 20:00 UTC it is the next day in Kolkata.
    monkeypatch.setattr(clock, "now", lambda: dt.datetime(2026, 12, 24, 20, tzinfo=dt.UTC))
    kolkata, london = TeamFactory(slug="kolkata", timezone="Asia/Kolkata"), TeamFactory(slug="london", timezone="Europe/London")
    late = ActionFactory(team=kolkata, due_on=DAY, owner=cast.lead)
    today = ActionFactory(team=london, due_on=DAY, origin=ActionOrigin.REVIEW)
    done = ActionFactory(team=kolkata, due_on=DAY, done=True)
    with django_assert_num_queries(2):
        assert [f"{action.owner} {action.team}" for action in list_actions(overdue=True)] == [f"{late.owner} {late.team}"]
    assert set(list_actions(overdue=False)) == {today, done}
    assert [is_overdue(action) for action in (late, today, done)] == [True, False, False]
    assert set(list_actions(team="kolkata")) == {late, done}
    assert set(list_actions(state="done")) == {done}
    assert set(list_actions(origin="review")) == {today}
    with django_assert_num_queries(1):
        assert list(list_actions(owner=cast.lead)) == [late]
    assert due_in(1, team=kolkata) == dt.date(2026, 12, 26)
    with pytest.raises(InvalidInput, match="no state"):
        list_actions(state="x")
    with pytest.raises(InvalidInput, match="no origin"):
        list_actions(origin="x")
