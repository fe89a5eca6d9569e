"""Every act in every state by every role; what publishing and closing need; what ends an approval."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import Notice, User
from rollbackhub.actions.domain.transitions import close_action, reopen_action
from rollbackhub.actions.enums import ActionKind, ActionState
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.postmortems.domain.actions import give_action, set_gating
from rollbackhub.postmortems.domain.reviewing import (
    approve_postmortem,
    ask_for_changes,
    ask_reviewer,
    close_postmortem,
    publish_postmortem,
    send_to_review,
    take_back,
)
from rollbackhub.postmortems.domain.texts import answer_factor, change_postmortem, set_causes, write_section
from rollbackhub.postmortems.enums import PostmortemState, ReviewVerdict, SectionKey
from rollbackhub.postmortems.models import FactorAnswer, Postmortem, Reviewer, Section, TextRevision
from rollbackhub.postmortems.rules import ALLOWED_IN, Act
from tests.factories.accounts import UserFactory
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentFactory
from tests.factories.postmortems import PostmortemActionFactory, PostmortemFactory, ReviewerFactory, make_action, make_postmortem
from tests.postmortems.conftest import events_of, who
from tests.rollbacks.conftest import service_of, token_actor

pytestmark = pytest.mark.django_db

S = PostmortemState
DAY = now().date() + dt.timedelta(days=20)


def other() -> User:
    return UserFactory(roles=[Role.ON_CALL])


def write(postmortem: Postmortem, user: User) -> None:
    write_section(postmortem_id=postmortem.pk, key="summary", text="Another text.", based_on=1, **who(user))


def answer(postmortem: Postmortem, user: User) -> None:
    key = postmortem.factors.values_list("question__key", flat=True)[0]
    answer_factor(postmortem_id=postmortem.pk, key=key, answer="yes", words="The set held no such case.", based_on=0, **who(user))


def tag(postmortem: Postmortem, user: User) -> None:
    set_causes(postmortem_id=postmortem.pk, slugs=["eval-gap"], **who(user))


def change(postmortem: Postmortem, user: User) -> None:
    change_postmortem(postmortem_id=postmortem.pk, due_on=DAY, **who(user))


def give(postmortem: Postmortem, user: User) -> None:
    give_action(postmortem_id=postmortem.pk, title="Add the case to the set", owner=other(), due_on=DAY, kind=ActionKind.PREVENT, **who(user))


def gate(postmortem: Postmortem, user: User) -> None:
    link = PostmortemActionFactory(postmortem=postmortem)
    set_gating(postmortem_id=postmortem.pk, action_id=link.action_id, is_gating=True, reason="", **who(user))


def send(postmortem: Postmortem, user: User) -> None:
    send_to_review(postmortem_id=postmortem.pk, reviewers=[other()], **who(user))


def ask(postmortem: Postmortem, user: User) -> None:
    ask_reviewer(postmortem_id=postmortem.pk, reviewer=other(), **who(user))


def approve(postmortem: Postmortem, user: User) -> None:
    approve_postmortem(postmortem_id=postmortem.pk, **who(user))


def ask_changes(postmortem: Postmortem, user: User) -> None:
    ask_for_changes(postmortem_id=postmortem.pk, note="The root cause is only the trigger.", **who(user))


def back(postmortem: Postmortem, user: User) -> None:
    take_back(postmortem_id=postmortem.pk, **who(user))


def publish(postmortem: Postmortem, user: User) -> None:
    publish_postmortem(postmortem_id=postmortem.pk, **who(user))


def amend(postmortem: Postmortem, user: User) -> None:
    write_section(postmortem_id=postmortem.pk, key="summary", text="Another text.", based_on=1, reason="It was another version.", **who(user))


def close(postmortem: Postmortem, user: User) -> None:
    close_postmortem(postmortem_id=postmortem.pk, **who(user))


ACTS: list[tuple[Callable[[Postmortem, User], None], Act, S | None]] = [
    (write, Act.WRITE, None),
    (answer, Act.WRITE, None),
    (tag, Act.TAG, None),
    (change, Act.CHANGE, None),
    (give, Act.GIVE_ACTION, None),
    (gate, Act.GATE, None),
    (send, Act.SEND, S.IN_REVIEW),
    (ask, Act.ASK_REVIEWER, None),
    (approve, Act.REVIEW, None),
    (ask_changes, Act.REVIEW, None),
    (back, Act.TAKE_BACK, S.DRAFT),
    (publish, Act.PUBLISH, S.PUBLISHED),
    (amend, Act.AMEND, None),
    (close, Act.CLOSE, S.CLOSED),
]
RESPONDS = {"on_call", "lead", "leadership", "admin"}


def test_matrix_has_every_act() -> None:
    assert {act for _, act, _ in ACTS} == set(Act)


def kept(postmortem: Postmortem) -> dict[str, Any]:
    """All that an act could have changed."""
    return {
        "row": Postmortem.objects.filter(pk=postmortem.pk).values().get(),
        "texts": list(Section.objects.filter(postmortem=postmortem).order_by("pk").values()),
        "factors": list(FactorAnswer.objects.filter(postmortem=postmortem).order_by("pk").values()),
        "reviewers": list(Reviewer.objects.filter(postmortem=postmortem).order_by("pk").values()),
        "revisions": TextRevision.objects.filter(postmortem=postmortem).count(),
        "causes": set(postmortem.causes.values_list("slug", flat=True)),
        "events": AuditEvent.objects.filter(subject_type="postmortem").count(),
    }


@pytest.mark.parametrize("state", list(S), ids=lambda state: state.value)
@pytest.mark.parametrize(("act", "named", "to"), ACTS, ids=[act.__name__ for act, _, _ in ACTS])
@pytest.mark.parametrize("role", ["on_call", "lead", "leadership", "auditor", "admin", "stranger"])
def test_matrix_of_states_acts_and_roles(state: S, act: Callable[[Postmortem, User], None], named: Act, to: S | None, role: str, cast: Cast) -> None:
    postmortem = make_postmortem(state)
    before = kept(postmortem)
    user = getattr(cast, role)
    if role not in RESPONDS:
        with pytest.raises(Forbidden, match="you need"):
            act(postmortem, user)
        assert kept(postmortem) == before
    elif state not in ALLOWED_IN[named]:
        with pytest.raises(Conflict) as caught:
            act(postmortem, user)
        assert caught.value.code == "postmortem_in_other_state"
        assert kept(postmortem) == before
    else:
        act(postmortem, user)
        after = Postmortem.objects.get(pk=postmortem.pk)
        assert after.state == (to or state)
        assert after.number > postmortem.number
        event = AuditEvent.objects.filter(subject_type="postmortem", subject_id=str(postmortem.pk)).order_by("-id").first()
        assert event is not None
        assert event.data["incident"] == str(postmortem.incident_id)
        assert event.actor_user_id == user.pk


@pytest.mark.parametrize("act", [act for act, _, _ in ACTS if act not in (answer, gate)], ids=[act.__name__ for act, _, _ in ACTS if act not in (answer, gate)])
def test_acts_on_what_does_not_exist_say_so(act: Callable[[Postmortem, User], None], cast: Cast) -> None:
    with pytest.raises(NotFound) as caught:
        act(Postmortem(), cast.on_call)
    assert caught.value.code == "postmortem_not_found"


def test_review_needs_every_section_and_answer_and_names_what_is_missing(cast: Cast) -> None:
    postmortem = PostmortemFactory(empty=True)
    with pytest.raises(Conflict) as caught:
        send(postmortem, cast.on_call)
    assert caught.value.code == "not_complete"
    missing = caught.value.extra["missing"]
    assert isinstance(missing, list)
    for word in ("Summary", "Impact", "Root cause", "Response assessment", "Discipline improvements"):
        assert f"{word} is empty." in missing
    assert sum(sentence.startswith("Nobody has answered:") for sentence in missing) == 2


def test_review_needs_another_person(cast: Cast) -> None:
    postmortem = PostmortemFactory(owner=cast.lead)
    for reviewers, code in (([], "no_reviewer"), ([cast.lead], "own_postmortem"), ([cast.on_call], "no_reviewer"), ([cast.auditor], "invalid_person")):
        with pytest.raises(InvalidInput) as caught:
            send_to_review(postmortem_id=postmortem.pk, reviewers=reviewers, **who(cast.on_call))
        assert (caught.value.code, list(caught.value.fields)) == (code, ["reviewers"])
    assert Postmortem.objects.get().state == S.DRAFT
    service = service_of(cast.lead, Role.ON_CALL)
    with pytest.raises(InvalidInput):
        send_to_review(postmortem_id=postmortem.pk, reviewers=[service], **who(cast.on_call))


def test_reviewers_are_told_and_may_be_told_again_after_a_round(cast: Cast) -> None:
    postmortem = PostmortemFactory(owner=cast.on_call)
    send_to_review(postmortem_id=postmortem.pk, reviewers=[cast.lead], **who(cast.on_call))
    assert Notice.objects.filter(user=cast.lead, read_at=None, subject__startswith="Your review is asked for").count() == 1
    take_back(postmortem_id=postmortem.pk, **who(cast.on_call))
    assert not Notice.objects.filter(user=cast.lead, read_at=None).exists()


@pytest.mark.parametrize("name", ["owner", "sender"])
def test_owner_and_sender_do_not_review_their_own(name: str, cast: Cast) -> None:
    postmortem = make_postmortem(S.IN_REVIEW, owner=cast.on_call)
    Postmortem.objects.filter(pk=postmortem.pk).update(sent_by=cast.lead)
    user = cast.on_call if name == "owner" else cast.lead
    for act in (approve, ask_changes):
        with pytest.raises(Forbidden) as caught:
            act(postmortem, user)
        assert caught.value.code == "own_postmortem"


def test_review_is_a_persons_in_person(cast: Cast) -> None:
    postmortem = make_postmortem(S.IN_REVIEW)
    with pytest.raises(Forbidden) as caught:
        approve_postmortem(postmortem_id=postmortem.pk, account=cast.lead, actor=token_actor(cast.lead))
    assert caught.value.code == "token_not_allowed"
    service = service_of(cast.lead, Role.ON_CALL)
    with pytest.raises(Forbidden):
        approve(postmortem, service)


@pytest.mark.parametrize("how", ["text", "factor"])
@pytest.mark.parametrize("verdict", ["approved", "changes"])
def test_change_of_the_text_ends_what_reviewers_said(how: str, verdict: str, cast: Cast) -> None:
    postmortem = make_postmortem(S.IN_REVIEW)
    Reviewer.objects.all().delete()
    row = ReviewerFactory(postmortem=postmortem, **{verdict: True})
    (write if how == "text" else answer)(postmortem, cast.on_call)
    row.refresh_from_db()
    assert (row.verdict, row.text_number) == (ReviewVerdict.ASKED, None)
    assert "postmortem.verdicts_ended" in events_of(postmortem)
    with pytest.raises(Conflict) as caught:
        publish(postmortem, cast.on_call)
    assert caught.value.code == "not_approved"


def test_approval_of_a_text_that_has_changed_since_is_refused(cast: Cast) -> None:
    postmortem = make_postmortem(S.IN_REVIEW)
    write(postmortem, cast.on_call)
    with pytest.raises(Conflict) as caught:
        approve_postmortem(postmortem_id=postmortem.pk, seen=0, **who(cast.lead))
    assert (caught.value.code, caught.value.extra["text_number"]) == ("text_moved", 1)
    approve_postmortem(postmortem_id=postmortem.pk, seen=1, **who(cast.lead))


def test_what_somebody_wants_changed_keeps_it_from_being_published(cast: Cast) -> None:
    postmortem = make_postmortem(S.IN_REVIEW)
    ask_changes(postmortem, cast.lead)
    with pytest.raises(Conflict) as caught:
        publish(postmortem, cast.on_call)
    assert (caught.value.code, caught.value.extra["by"]) == ("changes_wanted", ["lead"])
    approve(postmortem, cast.lead)
    publish(postmortem, cast.on_call)


def test_owners_earlier_approval_does_not_count(cast: Cast) -> None:
    postmortem = make_postmortem(S.IN_REVIEW, approved_by=cast.lead)
    change_postmortem(postmortem_id=postmortem.pk, owner=cast.lead, **who(cast.on_call))
    with pytest.raises(Conflict) as caught:
        publish(postmortem, cast.on_call)
    assert caught.value.code == "not_approved"


def test_publishing_tells_the_team_and_freezes_what_was_known(cast: Cast) -> None:
    postmortem = make_postmortem(S.IN_REVIEW, incident=IncidentFactory(stable=True, detected_at=now(), detected_by="An alert"))
    publish(postmortem, cast.on_call)
    told = set(Notice.objects.filter(key__endswith=":published").values_list("user__username", flat=True))
    assert {"lead", "leadership", "admin"} <= told
    assert not {"oncall", "auditor", "stranger"} & told
    after = Postmortem.objects.get(pk=postmortem.pk)
    assert [row["words"] for row in after.frozen_timeline or []] == ["Noticed: An alert"]
    assert after.frozen_facts is not None
    assert after.frozen_facts["severity"] == "SEV 2: major"
    before = after.frozen_timeline
    incident = after.incident
    incident.title, incident.detected_by = "Another title", "Somebody"
    incident.save()
    assert Postmortem.objects.get(pk=postmortem.pk).frozen_timeline == before


def test_amendment_is_a_new_revision_with_its_reason(cast: Cast) -> None:
    postmortem = make_postmortem(S.PUBLISHED)
    with pytest.raises(InvalidInput) as caught:
        write_section(postmortem_id=postmortem.pk, key="summary", text="x", based_on=1, reason="short", **who(cast.on_call))
    assert list(caught.value.fields) == ["reason"]
    amend(postmortem, cast.on_call)
    row = TextRevision.objects.get(postmortem=postmortem, key="summary", number=2)
    assert (row.text, row.reason) == ("Another text.", "It was another version.")
    assert Postmortem.objects.get(pk=postmortem.pk).state == S.PUBLISHED
    assert Reviewer.objects.get(postmortem=postmortem).verdict == ReviewVerdict.APPROVED, "what was approved and published stays so"
    with pytest.raises(InvalidInput):
        write_section(postmortem_id=postmortem.pk, key="summary", text=" ", based_on=2, reason="It was another version.", **who(cast.on_call))


def test_revisions_are_never_changed() -> None:
    postmortem = PostmortemFactory()
    row = TextRevision.objects.create(postmortem=postmortem, key="summary", number=1, text="x", by_label="Olga", saved_at=now())
    for act in (lambda: TextRevision.objects.update(text="y"), row.delete):
        with pytest.raises(DatabaseError), transaction.atomic():
            act()
    assert TextRevision.objects.get().text == "x"


def test_closing_is_refused_with_the_list_of_open_actions(cast: Cast) -> None:
    postmortem = make_postmortem(S.PUBLISHED)
    links = [PostmortemActionFactory(postmortem=postmortem, action=make_action(postmortem, title=title)) for title in ("First", "Second", "Third")]
    close_action(action_id=links[0].action_id, actor=actor_of(cast.on_call), user=cast.on_call)
    with pytest.raises(Conflict) as caught:
        close(postmortem, cast.on_call)
    assert caught.value.code == "actions_open"
    listed = caught.value.extra["actions"]
    assert isinstance(listed, list)
    assert [row["title"] for row in listed] == ["Second", "Third"]
    for title in ("Second", "Third"):
        assert title in caught.value.message
    close_action(action_id=links[1].action_id, actor=actor_of(cast.on_call), user=cast.on_call, state=ActionState.NOT_DOING, reason="It goes away.")
    close_action(action_id=links[2].action_id, actor=actor_of(cast.on_call), user=cast.on_call)
    reopen_action(action_id=links[0].action_id, reason="Not yet.", actor=actor_of(cast.on_call), user=cast.on_call)
    with pytest.raises(Conflict):
        close(postmortem, cast.on_call)
    close_action(action_id=links[0].action_id, actor=actor_of(cast.on_call), user=cast.on_call)
    close(postmortem, cast.on_call)
    assert events_of(postmortem)[-1] == "postmortem.closed"


@pytest.mark.parametrize(
    "values",
    [
        {"state": S.PUBLISHED},
        {"state": S.CLOSED, "closed_at": now()},
        {"published_at": now()},
        {"state": "nonsense"},
        {"closed_at": now()},
    ],
)
def test_database_refuses_states_without_their_instants(values: dict[str, Any]) -> None:
    postmortem = PostmortemFactory()
    with pytest.raises(IntegrityError), transaction.atomic():
        Postmortem.objects.filter(pk=postmortem.pk).update(**values)


def test_sections_are_those_that_there_are(cast: Cast) -> None:
    postmortem = PostmortemFactory()
    for key in ("timeline", "nonsense"):
        with pytest.raises(NotFound):
            write_section(postmortem_id=postmortem.pk, key=key, text="x", based_on=0, **who(cast.on_call))
    with pytest.raises(NotFound):
        answer_factor(postmortem_id=postmortem.pk, key="nonsense", answer="yes", words="", based_on=0, **who(cast.on_call))
    assert {section.key for section in postmortem.sections.all()} == set(SectionKey)
