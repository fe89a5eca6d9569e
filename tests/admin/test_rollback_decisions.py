"""Administrators decide about requests in the admin: by the very function of the page, under the same rules, and refusals are messages."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import quote

import pytest
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from django.test import Client
from django.urls import reverse

from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.executions.models import Execution
from rollbackhub.registry.models import Version
from rollbackhub.rollbacks.enums import AuthorisedBy, Decision, RollbackState, Via
from rollbackhub.rollbacks.models import Approval, Rollback
from rollbackhub.routing.models import RoutingPolicy
from tests.databases import FreshDatabase
from tests.factories.accounts import PASSWORD, UserFactory
from tests.factories.fixtures import Cast, make_cast
from tests.rollbacks.conftest import BAD, again, approve, ask, reroute, seed_production, weight_of
from tests.rollbacks.conftest import dataset as dataset
from tests.threads import at_once


def signed_in(person: User, *, minutes_ago: float = 1) -> Client:
    """A browser in which this person entered the password so many minutes ago, and has been signed in ever since."""
    client = Client()
    assert client.post(reverse("account_login"), {"login": person.username, "password": PASSWORD}).status_code == 302
    session = client.session
    (entered,) = session[AUTHENTICATION_METHODS_SESSION_KEY]
    session[AUTHENTICATION_METHODS_SESSION_KEY] = [entered | {"at": entered["at"] - minutes_ago * 60}]
    session.save()
    return client


def page_of(rollback: Rollback) -> str:
    """Where an administrator decides."""
    return reverse("admin:rollbacks_rollback_decide", args=[rollback.pk])


def change_page(rollback: Rollback) -> str:
    """Where it is looked at."""
    return reverse("admin:rollbacks_rollback_change", args=[rollback.pk])


def decide(client: Client, rollback: Rollback, decision: str = "approved", *, follow: bool = True, **values: str) -> Any:
    """Press the button under the plan as it was when the rollback was loaded."""
    return client.post(page_of(rollback), {"decision": decision, "plan_hash": rollback.plan_hash, "reason": ""} | values, follow=follow)


def said(answer: Any) -> list[str]:
    """The messages of the page that was reached."""
    return [str(message) for message in answer.context["messages"]]


def undecided(rollback: Rollback) -> bool:
    """Nothing was decided and nothing started."""
    started = Execution.objects.filter(rollback_part__rollback=rollback).exists()
    return again(rollback).state == RollbackState.AWAITING_APPROVAL and not Approval.objects.exists() and not started


@pytest.fixture
def waiting(dataset: RoutingPolicy, cast: Cast) -> Rollback:
    """The on-call engineer's request; it takes a platform lead, or an administrator."""
    return ask(dataset, account=cast.on_call, reason="answers are out of date")


def test_page_shows_who_asks_why_the_plan_and_its_hash(waiting: Rollback, cast: Cast, django_assert_max_num_queries: Any) -> None:
    client = signed_in(cast.admin)
    with django_assert_max_num_queries(16):
        answer = client.get(page_of(waiting))
    text = answer.content.decode()
    for shown in ("Olga Call", "answers are out of date", waiting.plan_hash, "Platform lead, by the rule for data set", "answers-corpus: take out v2", "25 %"):
        assert shown in text
    assert 'name="decision" value="approved"' in text
    assert "Check the path, Flip, Gateways acknowledge, Traffic drains, Verify" in text


def test_request_that_waits_offers_the_decision_and_no_other_does(waiting: Rollback, cast: Cast) -> None:
    client = signed_in(cast.admin)
    assert page_of(waiting) in client.get(change_page(waiting)).content.decode()
    approve(waiting, cast.lead)
    assert page_of(waiting) not in client.get(change_page(waiting)).content.decode()


def test_approval_starts_it_by_the_administrators_word(waiting: Rollback, cast: Cast) -> None:
    entered = clock.now() - dt.timedelta(minutes=1)
    answer = decide(signed_in(cast.admin), waiting, reason="seen with my own eyes")
    assert (answer.redirect_chain[-1][0], said(answer)) == (change_page(waiting), ["Approved: it runs."])
    rollback = again(waiting)
    assert (rollback.state, rollback.authorised_how, rollback.authorised_by) == (RollbackState.RUNNING, AuthorisedBy.APPROVAL, cast.admin)
    approval = Approval.objects.get()
    assert (approval.decision, approval.user, approval.role, approval.via) == (Decision.APPROVED, cast.admin, Role.ADMIN, Via.ADMIN)
    assert (approval.plan_hash, approval.reason) == (waiting.plan_hash, "seen with my own eyes")
    assert abs(approval.reauthenticated_at - entered) < dt.timedelta(seconds=10)
    assert Execution.objects.filter(rollback_part__rollback=rollback).count() == 1
    event = AuditEvent.objects.get(event="rollback.approved")
    assert (event.actor_kind, event.actor_user_id, event.data["via"]) == ("person", cast.admin.pk, "admin")


def test_rejection_takes_a_reason_and_changes_nothing(waiting: Rollback, cast: Cast, dataset: RoutingPolicy) -> None:
    client = signed_in(cast.admin)
    answer = decide(client, waiting, "rejected", reason=" ")
    assert "reason" in answer.context["form"].errors
    assert undecided(waiting)
    answer = decide(client, waiting, "rejected", reason="the corpus is right")
    assert said(answer) == ["Rejected: nothing was changed. Who asked is told."]
    rollback = again(waiting)
    assert (rollback.state, rollback.authorised_by, weight_of(dataset, BAD)) == (RollbackState.REJECTED, None, 25)
    approval = Approval.objects.get()
    assert (approval.decision, approval.via, approval.reason) == (Decision.REJECTED, Via.ADMIN, "the corpus is right")


@pytest.mark.parametrize("values", [{"decision": "perhaps"}, {"decision": ""}, {"plan_hash": ""}, {"plan_hash": "0" * 65}, {"reason": "x" * 1001}])
def test_nonsense_decides_nothing(waiting: Rollback, cast: Cast, values: dict[str, str]) -> None:
    answer = signed_in(cast.admin).post(page_of(waiting), {"decision": "approved", "plan_hash": waiting.plan_hash} | values)
    assert (answer.status_code, bool(answer.context["form"].errors)) == (200, True)
    assert undecided(waiting)


@pytest.mark.parametrize("decision", ["approved", "rejected"])
@pytest.mark.parametrize("by", ["own account", "service account"])
def test_own_request_is_refused(dataset: RoutingPolicy, cast: Cast, decision: str, by: str) -> None:
    account = cast.admin
    if by == "service account":
        account = UserFactory(roles=[Role.ON_CALL])
        User.objects.filter(pk=account.pk).update(responsible=cast.admin)
        account.refresh_from_db()
    rollback = ask(dataset, account=account)
    client = signed_in(cast.admin)
    shown = client.get(page_of(rollback)).content.decode()
    assert "Nobody decides about their own request" in shown
    assert 'name="decision"' not in shown
    answer = decide(client, rollback, decision, reason="because I say so")
    assert said(answer) == ["Nobody decides about their own request. Ask one of the approvers."]
    assert undecided(rollback)


def test_plan_that_changed_is_refused_and_the_new_one_shown(waiting: Rollback, cast: Cast, dataset: RoutingPolicy) -> None:
    client = signed_in(cast.admin)
    reroute(dataset, bad=40)
    answer = decide(client, waiting)
    assert answer.redirect_chain[-1][0] == page_of(waiting)
    assert "The plan has changed since you looked at it" in said(answer)[0]
    new = again(waiting)
    assert new.plan_hash != waiting.plan_hash
    assert new.plan_hash in answer.content.decode()
    assert "40 %" in answer.content.decode()
    assert undecided(waiting)
    assert said(decide(client, waiting)) == said(answer), "the old hash stays refused"
    assert said(decide(client, new)) == ["Approved: it runs."]


def test_request_that_expired_is_refused(waiting: Rollback, cast: Cast) -> None:
    Rollback.objects.filter(pk=waiting.pk).update(expires_at=clock.now() - dt.timedelta(seconds=1))
    client = signed_in(cast.admin)
    assert "The request has expired" in said(decide(client, waiting))[0]
    assert again(waiting).state == RollbackState.EXPIRED
    assert not Approval.objects.exists()
    answer = client.get(page_of(waiting), follow=True)
    assert (answer.redirect_chain[-1][0], said(answer)) == (
        change_page(waiting),
        ["Nobody has to decide about this request any more: expired unapproved."],
    )


@pytest.mark.parametrize("minutes_ago", [5.1, 600])
def test_password_that_is_too_old_is_asked_for_again_and_leads_back(waiting: Rollback, cast: Cast, minutes_ago: float) -> None:
    client = signed_in(cast.admin, minutes_ago=minutes_ago)
    asked = f"{reverse('account_reauthenticate')}?next={quote(page_of(waiting), safe='')}"
    for answer in (client.get(page_of(waiting)), decide(client, waiting, follow=False, reason="seen with my own eyes")):
        assert (answer.status_code, answer["Location"]) == (302, asked)
    assert undecided(waiting)
    assert client.post(asked, {"password": "not mine"}).status_code == 200
    assert client.get(page_of(waiting)).status_code == 302
    answer = client.post(asked, {"password": PASSWORD}, follow=True)
    assert answer.redirect_chain[-1][0] == page_of(waiting)
    assert undecided(waiting), "the password alone decides nothing"
    assert said(decide(client, waiting)) == ["Approved: it runs."]


def test_reason_that_was_typed_is_kept_while_the_password_is_asked_for(waiting: Rollback, cast: Cast) -> None:
    client = signed_in(cast.admin, minutes_ago=6)
    asked = decide(client, waiting, "rejected", follow=False, reason="the corpus is right")["Location"]
    assert client.post(asked, {"password": PASSWORD}, follow=True).context["form"].initial["reason"] == "the corpus is right"
    assert client.get(page_of(waiting)).context["form"].initial["reason"] == "", "kept once"


def test_session_without_a_password_is_asked_for_it(waiting: Rollback, cast: Cast) -> None:
    client = Client()
    client.force_login(cast.admin)
    assert client.get(page_of(waiting))["Location"].startswith(reverse("account_reauthenticate"))
    assert decide(client, waiting, follow=False)["Location"].startswith(reverse("account_reauthenticate"))
    assert undecided(waiting)


def test_who_comes_second_is_told_who_was_faster(waiting: Rollback, cast: Cast) -> None:
    client = signed_in(cast.admin)
    assert client.get(page_of(waiting)).status_code == 200
    approve(waiting, cast.lead)
    for decision in ("approved", "rejected"):
        answer = decide(client, waiting, decision, reason="too late")
        assert answer.redirect_chain[-1][0] == change_page(waiting)
        assert "Lee Lead was faster: the request was approved at" in said(answer)[0]
    assert Approval.objects.get().user == cast.lead


def test_two_administrators_at_once_one_decides_and_the_other_is_told(fresh_database: FreshDatabase) -> None:
    cast = make_cast()
    rollback = ask(seed_production("dataset", alias="answers-corpus"), account=cast.on_call)
    people: list[User] = [cast.admin, UserFactory(username="second", first_name="Second", last_name="Admin", roles=[Role.ADMIN])]
    clients = [signed_in(person) for person in people]
    answers = at_once(2, lambda index: decide(clients[index], rollback, follow=False)["Location"])
    assert answers == [change_page(rollback)] * 2
    texts = [said(client.get(change_page(rollback)))[0] for client in clients]
    assert texts.count("Approved: it runs.") == 1
    assert sum("was faster: the request was approved at" in text for text in texts) == 1
    assert Approval.objects.count() == 1
    assert Execution.objects.count() == 1


@pytest.mark.parametrize("name", ["on_call", "lead", "leadership", "auditor", "stranger"])
def test_everybody_else_is_kept_out(waiting: Rollback, cast: Cast, name: str) -> None:
    client = signed_in(getattr(cast, name))
    assert client.get(page_of(waiting), follow=True).status_code == 403
    assert decide(client, waiting).status_code == 403
    assert undecided(waiting)


def test_nobody_is_led_to_the_sign_in(waiting: Rollback, client: Client) -> None:
    for answer in (client.get(page_of(waiting), follow=True), decide(client, waiting)):
        assert answer.redirect_chain[-1][0].startswith(reverse("account_login"))
    assert undecided(waiting)


def test_administrator_who_lost_the_role_meanwhile_is_kept_out(waiting: Rollback, cast: Cast) -> None:
    client = signed_in(cast.admin)
    cast.admin.role_assignments.all().delete()
    assert decide(client, waiting).status_code == 403
    assert undecided(waiting)


def test_decision_without_a_token_against_forgery_is_refused(waiting: Rollback, cast: Cast) -> None:
    client = signed_in(cast.admin)
    forged = Client(enforce_csrf_checks=True)
    forged.cookies = client.cookies
    assert decide(forged, waiting, follow=False).status_code == 403
    assert undecided(waiting)


def test_looking_decides_nothing(waiting: Rollback, cast: Cast) -> None:
    client = signed_in(cast.admin)
    client.get(page_of(waiting), {"decision": "approved", "plan_hash": waiting.plan_hash})
    assert undecided(waiting)


@pytest.mark.parametrize("wrong", ["00000000-0000-4000-8000-000000000000", "1", "x_y", "a/b"])
def test_request_that_does_not_exist_is_not_found(cast: Cast, wrong: str) -> None:
    client = signed_in(cast.admin)
    address = reverse("admin:rollbacks_rollback_decide", args=[wrong])
    assert client.get(address).status_code == 404
    assert client.post(address, {"decision": "approved", "plan_hash": "x"}).status_code == 404


def test_what_people_wrote_is_shown_as_text(dataset: RoutingPolicy, cast: Cast) -> None:
    Version.objects.filter(label=BAD).update(changelog="<script>alert(1)</script>")
    rollback = ask(dataset, account=cast.on_call, reason="<script>alert(1)</script>")
    text = signed_in(cast.admin).get(page_of(rollback)).content.decode()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
