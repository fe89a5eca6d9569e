"""A review from its opening to its last signature: who may do what, in which state, and what two at once do."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import Notice, RoleAssignment, User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound, RollbackHubError
from rollbackhub.reviews.domain.actions import give_action
from rollbackhub.reviews.domain.meeting import (
    add_attendance,
    add_decision,
    ask_for_decision,
    hold_review,
    remove_attendance,
    remove_decision,
    save_minutes,
    withdraw_wish,
)
from rollbackhub.reviews.domain.opening import amend_review, change_review, open_review
from rollbackhub.reviews.domain.preparing import prepare_review, request_preparation
from rollbackhub.reviews.domain.selectors import get_record
from rollbackhub.reviews.domain.signing import sign_off
from rollbackhub.reviews.enums import ReviewState
from rollbackhub.reviews.models import Review
from rollbackhub.reviews.rules import TRANSITIONS, quarter_after, quarter_before, quarter_from, quarter_name, quarter_of
from tests.factories.accounts import TeamFactory, UserFactory
from tests.factories.fixtures import Cast
from tests.factories.reviews import AttendanceFactory, ReviewDecisionFactory, ReviewFactory, SignOffFactory, WantedDecisionFactory, make_review

pytestmark = pytest.mark.django_db

QUARTER = dt.date(2026, 7, 1)


def by(user: User) -> dict[str, Any]:
    """Who does it."""
    return {"account": user, "actor": actor_of(user)}


def fresh(review: Review) -> Review:
    return Review.objects.get(pk=review.pk)


def seen(review: Review) -> int:
    """The number of the record as it stands."""
    return get_record(review.pk).written


def code_of(call: Any) -> str:
    with pytest.raises(RollbackHubError) as caught:
        call()
    return caught.value.code


def test_quarters_follow_each_other_over_the_years() -> None:
    day = dt.date(2024, 2, 29)
    assert quarter_of(day) == dt.date(2024, 1, 1)
    assert quarter_before(quarter_of(day)) == dt.date(2023, 10, 1)
    assert [quarter_name(found) for found in (dt.date(2024, 1, 1), dt.date(2024, 10, 1))] == ["2024 Q1", "2024 Q4"]
    quarter = dt.date(2020, 1, 1)
    for _ in range(60):
        assert quarter_before(quarter_after(quarter)) == quarter
        assert quarter_from(quarter_name(quarter)) == quarter
        quarter = quarter_after(quarter)
    assert [quarter_from(wrong) for wrong in ("2026 Q5", "26 Q1", "Q1", "", "2026", "1999-Q1")] == [None] * 6


def test_states_follow_the_table_alone() -> None:
    assert {state: sorted(to) for state, to in TRANSITIONS.items()} == {
        "preparing": ["prepared"],
        "prepared": ["held", "preparing"],
        "held": ["signed"],
        "signed": [],
    }


def test_review_goes_from_opening_to_its_last_signature(cast: Cast) -> None:
    team = TeamFactory()
    review = open_review(team=team, quarter=QUARTER, presenter=cast.on_call, **by(cast.lead))
    assert (review.state, review.sign_off_roles) == ("preparing", ["platform_lead", "leadership"])
    assert Notice.objects.filter(user=cast.on_call, url=f"/reviews/{review.pk}/").exists()
    assert prepare_review(review_id=review.pk)
    wish = ask_for_decision(review_id=review.pk, text="Two regions?", **by(cast.on_call))
    save_minutes(review_id=review.pk, agenda="misses", text="We talked.", based_on=0, **by(cast.on_call))
    assert add_attendance(review_id=review.pk, people=[cast.lead, cast.on_call], guests=["Gina  Guest", "Gina Guest"], **by(cast.on_call)) == 3
    add_decision(review_id=review.pk, text="Yes.", owner=cast.lead, agenda="decisions", wanted_id=wish.pk, **by(cast.lead))
    link = give_action(review_id=review.pk, title="Rent it", owner=cast.on_call, due_on=now().date() + dt.timedelta(days=9), agenda="misses", **by(cast.lead))
    assert (link.action.origin, link.action.origin_url, link.action.team) == ("review", f"/reviews/{review.pk}/", team)
    hold_review(review_id=review.pk, **by(cast.lead))
    assert set(Notice.objects.filter(key=f"review:{review.pk}:sign").values_list("user__username", flat=True)) == {"lead", "leadership"}
    sign_off(review_id=review.pk, based_on=seen(review), role="platform_lead", note="Fine.", **by(cast.lead))
    assert fresh(review).state == "held"
    sign_off(review_id=review.pk, based_on=seen(review), role="leadership", **by(cast.leadership))
    assert (fresh(review).state, fresh(review).signed_at is not None) == ("signed", True)
    assert not Notice.objects.filter(key=f"review:{review.pk}:sign", read_at=None).exists()
    events = list(AuditEvent.objects.filter(subject_id=review.pk).order_by("id").values_list("event", flat=True))
    assert events == [
        "review.opened",
        "review.prepared",
        "review.decision_wanted",
        "review.minutes_saved",
        "review.attendance_added",
        "review.decision_added",
        "review.action_given",
        "review.held",
        "review.signed",
        "review.signed",
    ]
    assert fresh(review).number == len(events)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"quarter": dt.date(2026, 7, 2)}, "quarter"),
        ({"quarter": dt.date(2099, 1, 1)}, "quarter"),
        ({"meets_at": dt.datetime(2026, 6, 30, tzinfo=dt.UTC)}, "meets_at"),
        ({"meets_at": dt.datetime(9999, 12, 31, tzinfo=dt.UTC)}, "meets_at"),
        ({"sign_off_roles": []}, "sign_off_roles"),
        ({"sign_off_roles": ["king"]}, "sign_off_roles"),
        ({"presenter": "stranger"}, "presenter"),
    ],
)
def test_opening_what_cannot_be_is_refused_at_its_field(values: dict[str, Any], field: str, cast: Cast) -> None:
    if "presenter" in values:
        values = {"presenter": cast.stranger}
    with pytest.raises(InvalidInput) as caught:
        open_review(**{"team": TeamFactory(), "quarter": QUARTER, **values}, **by(cast.lead))
    assert list(caught.value.fields) == [field]
    assert not Review.objects.exists()


def test_meeting_is_a_year_ahead_at_most_when_it_is_moved_too(cast: Cast) -> None:
    review = open_review(team=TeamFactory(), quarter=QUARTER, meets_at=now() + dt.timedelta(days=365), **by(cast.lead))
    with pytest.raises(InvalidInput, match="at most 366 days ahead"):
        change_review(review_id=review.pk, meets_at=now() + dt.timedelta(days=367), presenter=None, sign_off_roles=["leadership"], **by(cast.lead))


def test_second_review_of_a_quarter_is_refused_and_names_the_first(cast: Cast) -> None:
    first = open_review(team=TeamFactory(slug="a"), quarter=QUARTER, **by(cast.leadership))
    with pytest.raises(Conflict) as caught:
        open_review(team=first.team, quarter=QUARTER, **by(cast.lead))
    assert (caught.value.code, caught.value.extra["url"]) == ("review_exists", f"/reviews/{first.pk}/")


def test_meeting_far_away_is_prepared_a_day_before_and_again_when_it_moves(cast: Cast) -> None:
    far = now() + dt.timedelta(days=9)
    review = open_review(team=TeamFactory(), quarter=QUARTER, meets_at=far, **by(cast.lead))
    assert review.prepare_at == far - dt.timedelta(days=1)
    change_review(review_id=review.pk, meets_at=now(), presenter=None, sign_off_roles=["leadership"], **by(cast.lead))
    assert (fresh(review).prepare_at or far) <= now()
    assert fresh(review).sign_off_roles == ["leadership"]


ACTS: dict[str, Any] = {
    "open": lambda review, who: open_review(team=TeamFactory(), quarter=QUARTER, **by(who)),
    "change": lambda review, who: change_review(review_id=review.pk, meets_at=None, presenter=None, sign_off_roles=["leadership"], **by(who)),
    "prepare": lambda review, who: request_preparation(review_id=review.pk, **by(who)),
    "hold": lambda review, who: hold_review(review_id=review.pk, **by(who)),
    "decide": lambda review, who: add_decision(review_id=review.pk, text="So.", owner=UserFactory(roles=[Role.ON_CALL]), **by(who)),
    "undecide": lambda review, who: remove_decision(review_id=review.pk, decision_id=review.decisions.get().pk, **by(who)),
    "give": lambda review, who: give_action(
        review_id=review.pk, title="Do it", owner=UserFactory(roles=[Role.ON_CALL]), due_on=now().date() + dt.timedelta(days=2), **by(who)
    ),
    "attend": lambda review, who: add_attendance(review_id=review.pk, people=[], guests=["Guest"], **by(who)),
    "leave": lambda review, who: remove_attendance(review_id=review.pk, attendance_id=review.attendance.first().pk, **by(who)),
    "minute": lambda review, who: save_minutes(review_id=review.pk, agenda="misses", text="x", based_on=0, **by(who)),
    "ask": lambda review, who: ask_for_decision(review_id=review.pk, text="Really?", **by(who)),
    "unask": lambda review, who: withdraw_wish(review_id=review.pk, wanted_id=review.wanted_decisions.get().pk, **by(who)),
}
WRITERS = {"attend", "leave", "minute", "ask", "unask"}
"""By whoever drills or leads; the others are a lead's."""
WHEN = {
    "change": {"preparing", "prepared"},
    "prepare": {"preparing", "prepared"},
    "hold": {"prepared"},
    "decide": {"prepared", "held"},
    "undecide": {"prepared", "held"},
    "give": {"prepared", "held"},
    "attend": {"prepared", "held"},
    "leave": {"prepared", "held"},
    "minute": {"prepared", "held"},
    "ask": {"preparing", "prepared"},
    "unask": {"preparing", "prepared"},
}


def written(state: str) -> Review:
    """A review in this state with one of everything."""
    review = make_review(ReviewState.PREPARED if state != "preparing" else ReviewState.PREPARING, quarter=dt.date(2026, 4, 1))
    AttendanceFactory(review=review)
    ReviewDecisionFactory(review=review)
    WantedDecisionFactory(review=review)
    if state in ("held", "signed", "half signed"):
        review.state, review.held_at = ReviewState.HELD, now()
        review.save()
    roles = {"half signed": review.sign_off_roles[:1], "signed": review.sign_off_roles}.get(state, [])
    for role in roles:
        SignOffFactory(review=review, role=role)
    if state == "signed":
        review.state, review.signed_at = ReviewState.SIGNED, now()
        review.save()
    return review


@pytest.mark.parametrize("act", list(ACTS))
def test_act_is_for_those_whom_the_rules_name(act: str, cast: Cast) -> None:
    allowed = {"lead", "leadership"} | ({"on_call", "admin"} if act in WRITERS else set())
    for person in cast.everybody_but(*allowed).values():
        with pytest.raises(Forbidden):
            ACTS[act](written("prepared"), person)
    for name in sorted(allowed):
        ACTS[act](written("prepared"), getattr(cast, name))


@pytest.mark.parametrize("state", ["preparing", "prepared", "held", "half signed", "signed"])
@pytest.mark.parametrize("act", list(WHEN))
def test_act_is_possible_in_its_states_alone(act: str, state: str, cast: Cast) -> None:
    review = written(state)
    if state in WHEN[act]:
        ACTS[act](review, cast.lead)
        return
    before = list(AuditEvent.objects.values_list("pk", flat=True))
    expected = {"signed": "review_signed", "half signed": "review_being_signed"}.get(state, "review_in_other_state")
    assert code_of(lambda: ACTS[act](review, cast.lead)) == expected
    assert list(AuditEvent.objects.values_list("pk", flat=True)) == before
    assert fresh(review).number == review.number


def test_holding_needs_that_the_meeting_has_been_and_somebody_was_there(cast: Cast) -> None:
    review = make_review()
    assert code_of(lambda: hold_review(review_id=review.pk, **by(cast.lead))) == "review_without_attendance"
    AttendanceFactory(review=review)
    Review.objects.filter(pk=review.pk).update(meets_at=now() + dt.timedelta(hours=1))
    assert code_of(lambda: hold_review(review_id=review.pk, **by(cast.lead))) == "review_not_met"
    met = now() - dt.timedelta(hours=1)
    Review.objects.filter(pk=review.pk).update(meets_at=met)
    assert hold_review(review_id=review.pk, **by(cast.lead)).held_at == met


def test_minutes_of_two_at_once_tell_the_second_and_lose_nothing(cast: Cast) -> None:
    review = make_review()
    save_minutes(review_id=review.pk, agenda="misses", text="Mine\r\nand more", based_on=0, **by(cast.on_call))
    with pytest.raises(Conflict) as caught:
        save_minutes(review_id=review.pk, agenda="misses", text="Theirs", based_on=0, **by(cast.lead))
    assert (caught.value.code, caught.value.extra) == ("minutes_moved", {"minutes": "Mine\nand more", "minutes_number": 1, "by": "Olga Call"})
    item = review.items.get(agenda="misses")
    assert (item.minutes, item.minutes_number, item.minutes_by_label) == ("Mine\nand more", 1, "Olga Call")
    saved = save_minutes(review_id=review.pk, agenda="misses", text="Both", based_on=1, **by(cast.lead))
    assert (saved.minutes, saved.minutes_number) == ("Both", 2)
    # The same again changes nothing, whatever it was based on.
    assert save_minutes(review_id=review.pk, agenda="misses", text="Both", based_on=0, **by(cast.on_call)).minutes_number == 2


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda review, who: save_minutes(review_id=review.pk, agenda="misses", text="x" * 20_001, based_on=0, **by(who)), "minutes_too_long"),
        (lambda review, who: save_minutes(review_id=review.pk, agenda="nothing", text="x", based_on=0, **by(who)), "item_not_found"),
        (lambda review, who: add_attendance(review_id=review.pk, people=[], guests=[" ", ""], **by(who)), "nobody_named"),
        (lambda review, who: add_attendance(review_id=review.pk, people=[], guests=["x" * 201], **by(who)), "invalid_guests"),
        (lambda review, who: add_decision(review_id=review.pk, text=" \x00 ", owner=who, **by(who)), "invalid_input"),
        (lambda review, who: add_decision(review_id=review.pk, text="x", owner=UserFactory(), **by(who)), "invalid_owner"),
        (lambda review, who: add_decision(review_id=review.pk, text="x", owner=who, wanted_id=WantedDecisionFactory().pk, **by(who)), "wanted_not_found"),
        (lambda review, who: give_action(review_id=review.pk, title="x", owner=who, due_on=dt.date(2020, 1, 1), **by(who)), "day_is_over"),
        (lambda review, who: give_action(review_id=review.pk, title="", owner=who, due_on=now().date(), **by(who)), "invalid_input"),
        (lambda review, who: give_action(review_id=review.pk, title="x", owner=who, due_on=dt.date(9999, 12, 31), **by(who)), "invalid_input"),
        (lambda review, who: give_action(review_id=review.pk, title="a\u200bb", owner=who, due_on=now().date(), **by(who)), "unshowable_text"),
        (lambda review, who: give_action(review_id=review.pk, title="a\nb", owner=who, due_on=now().date(), **by(who)), "unshowable_text"),
        (lambda review, who: give_action(review_id=review.pk, title="x", detail="\x1b", owner=who, due_on=now().date(), **by(who)), "unshowable_text"),
        (lambda review, who: add_decision(review_id=review.pk, text="a\u200bb", owner=who, **by(who)), "unshowable_text"),
        (lambda review, who: save_minutes(review_id=review.pk, agenda="misses", text="\x1b[2J", based_on=0, **by(who)), "unshowable_text"),
        (lambda review, who: add_attendance(review_id=review.pk, people=[], guests=["a\u200bb"], **by(who)), "unshowable_text"),
        (lambda review, who: ask_for_decision(review_id=review.pk, text="", **by(who)), "invalid_input"),
    ],
)
def test_record_that_cannot_be_meant_is_refused(call: Any, code: str, cast: Cast) -> None:
    review = make_review()
    assert code_of(lambda: call(review, cast.lead)) == code
    assert fresh(review).number == review.number


def test_two_people_of_one_name_both_stand_on_the_list(cast: Cast) -> None:
    review = make_review()
    twins = [UserFactory(username=name, first_name="Ann", last_name="Lee", roles=[Role.ON_CALL]) for name in ("ann1", "ann2")]
    add_attendance(review_id=review.pk, people=twins, **by(cast.lead))
    assert sorted(review.attendance.values_list("name", flat=True)) == ["Ann Lee", "Ann Lee (ann2)"]


def held(**values: Any) -> Review:
    return make_review(ReviewState.HELD, **values)


@pytest.mark.parametrize(("who", "role"), [("on_call", "platform_lead"), ("auditor", "leadership"), ("stranger", "platform_lead"), ("lead", "leadership")])
def test_signature_by_somebody_without_the_role_is_refused(who: str, role: str, cast: Cast) -> None:
    review = held()
    assert code_of(lambda: sign_off(review_id=review.pk, based_on=seen(review), role=role, **by(getattr(cast, who)))) == "role_missing"
    assert not review.sign_offs.exists()


def test_signature_for_a_role_that_was_taken_away_is_refused(cast: Cast) -> None:
    review = held()
    assert "platform_lead" in cast.lead.roles
    RoleAssignment.objects.filter(user=cast.lead).delete()
    assert code_of(lambda: sign_off(review_id=review.pk, based_on=seen(review), role="platform_lead", **by(cast.lead))) == "role_missing"


def test_signature_is_refused_for_a_role_that_is_not_named_or_was_signed(cast: Cast) -> None:
    review = held()
    assert code_of(lambda: sign_off(review_id=review.pk, based_on=seen(review), role="auditor", **by(cast.auditor))) == "role_does_not_sign"
    assert code_of(lambda: sign_off(review_id=review.pk, based_on=seen(review), role="", **by(cast.auditor))) == "role_does_not_sign"
    sign_off(review_id=review.pk, based_on=seen(review), role="platform_lead", **by(cast.lead))
    assert (
        code_of(lambda: sign_off(review_id=review.pk, based_on=seen(review), role="platform_lead", **by(UserFactory(roles=[Role.PLATFORM_LEAD]))))
        == "role_signed"
    )
    assert code_of(lambda: sign_off(review_id=review.pk, based_on=seen(review), role="leadership", note="x" * 301, **by(cast.leadership))) == "note_too_long"


def test_signature_is_for_the_record_that_was_read_and_others_signatures_do_not_move_it(cast: Cast) -> None:
    review = held()
    read = seen(review)
    save_minutes(review_id=review.pk, agenda="misses", text="Two more drills.", based_on=0, **by(cast.on_call))
    with pytest.raises(Conflict) as caught:
        sign_off(review_id=review.pk, based_on=read, role="platform_lead", **by(cast.lead))
    told = f"The record has changed since you opened it: minutes by {actor_of(cast.on_call).label}. Read it again, then sign."
    assert (caught.value.code, caught.value.message, review.sign_offs.count()) == ("record_moved", told, 0)
    for wrong in (-1, read + 9):
        assert code_of(lambda wrong=wrong: sign_off(review_id=review.pk, based_on=wrong, role="platform_lead", **by(cast.lead))) == "record_moved"
    both_read = seen(review)
    sign_off(review_id=review.pk, based_on=both_read, role="platform_lead", **by(cast.lead))
    assert code_of(lambda: sign_off(review_id=review.pk, based_on=read, role="leadership", **by(cast.leadership))) == "record_moved"
    sign_off(review_id=review.pk, based_on=both_read, role="leadership", **by(cast.leadership))
    assert fresh(review).state == "signed"


def test_marks_that_turn_text_around_are_left_out_of_the_record(cast: Cast) -> None:
    review = written("held")
    turned = "a\u202eb\u2066c"
    save_minutes(review_id=review.pk, agenda="misses", text=f"# {turned}\n\n\tcode", based_on=0, **by(cast.lead))
    decision = add_decision(review_id=review.pk, text=turned, owner=cast.lead, **by(cast.lead))
    link = give_action(review_id=review.pk, title=turned, detail=f"{turned}\n{turned}", owner=cast.lead, due_on=now().date() + dt.timedelta(2), **by(cast.lead))
    add_attendance(review_id=review.pk, people=[], guests=[turned], **by(cast.lead))
    record = get_record(review.pk)
    assert [item.minutes for item in record.items if item.agenda == "misses"] == ["# abc\n\n\tcode"]
    assert (decision.text, link.title, link.detail, link.action.title, link.action.detail) == ("abc", "abc", "abc\nabc", "abc", "abc\nabc")
    assert "abc" in [row.name for row in record.attendance]
    signed = sign_off(review_id=review.pk, based_on=seen(review), role="platform_lead", note=turned, **by(cast.lead))
    assert signed.sign_offs.get().note == "abc"


def test_one_person_signs_for_one_role_whatever_roles_they_have() -> None:
    both = UserFactory(roles=[Role.PLATFORM_LEAD, Role.LEADERSHIP])
    review = held(presenter=both)
    sign_off(review_id=review.pk, based_on=seen(review), role="platform_lead", **by(both))
    assert code_of(lambda: sign_off(review_id=review.pk, based_on=seen(review), role="leadership", **by(both))) == "person_signed"
    assert fresh(review).state == "held"


@pytest.mark.parametrize(("state", "code"), [("preparing", "review_not_held"), ("prepared", "review_not_held"), ("signed", "review_signed")])
def test_signature_before_the_meeting_or_after_the_last_is_refused(state: str, code: str, cast: Cast) -> None:
    review = written(state)
    assert code_of(lambda: sign_off(review_id=review.pk, based_on=seen(review), role="platform_lead", **by(cast.lead))) == code


def test_service_account_signs_nothing(cast: Cast) -> None:
    machine = UserFactory(responsible=cast.lead, roles=[Role.PLATFORM_LEAD])
    assert code_of(lambda: sign_off(review_id=held().pk, based_on=1, role="platform_lead", **by(machine))) == "not_a_person"


def test_amendment_begins_with_what_was_signed_and_leaves_it_alone(cast: Cast) -> None:
    old = written("held")
    wish = old.wanted_decisions.get()
    add_decision(review_id=old.pk, text="Yes.", owner=cast.lead, agenda="decisions", wanted_id=wish.pk, **by(cast.lead))
    save_minutes(review_id=old.pk, agenda="misses", text="Wrong", based_on=0, **by(cast.lead))
    assert code_of(lambda: amend_review(review_id=old.pk, reason="It says wrong things.", **by(cast.lead))) == "review_not_signed"
    for role in old.sign_off_roles:
        sign_off(review_id=old.pk, based_on=seen(old), role=role, **by(UserFactory(roles=[Role(role)])))
    before = get_record(old.pk)
    assert code_of(lambda: amend_review(review_id=old.pk, reason="short", **by(cast.lead))) == "invalid_input"
    with pytest.raises(Forbidden):
        amend_review(review_id=old.pk, reason="It says wrong things.", **by(cast.on_call))
    new = amend_review(review_id=old.pk, reason="It says wrong things.", **by(cast.lead))
    record = get_record(new.pk)
    assert (record.review.state, record.review.amends_id, record.review.quarter, record.review.prepared_at) == (
        "prepared", old.pk, old.quarter, before.review.prepared_at,
    )  # fmt: skip
    for name in ("headline", "content", "minutes", "query_seconds"):
        assert [getattr(item, name) for item in record.items] == [getattr(item, name) for item in before.items]
    assert [row.name for row in record.attendance] == [row.name for row in before.attendance]
    assert sorted(decision.text for decision in record.decisions) == sorted(decision.text for decision in before.decisions)
    assert [decision.text for decision in record.wishes[0].decisions.all()] == ["Yes."]
    assert (record.sign_offs, len(record.missing_roles)) == ([], 2)
    save_minutes(review_id=new.pk, agenda="misses", text="Right", based_on=1, **by(cast.lead))
    assert get_record(old.pk).items == before.items
    assert [item.minutes for item in get_record(old.pk).items if item.agenda == "misses"] == ["Wrong"]
    assert code_of(lambda: amend_review(review_id=old.pk, reason="Once more please.", **by(cast.lead))) == "review_amended"


def test_unknown_review_is_not_found(cast: Cast) -> None:
    gone = ReviewFactory.build()
    for act in set(ACTS) - {"open", "undecide", "leave", "unask"}:
        with pytest.raises(NotFound):
            ACTS[act](gone, cast.lead)
    with pytest.raises(NotFound):
        sign_off(review_id=gone.pk, based_on=1, role="platform_lead", **by(cast.lead))
