"""Deciding about requests from the pages: who sees what, who may what, and the password that is asked for again."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from typing import Any

import pytest
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import Notice, User
from rollbackhub.common.clock import now
from rollbackhub.executions.models import Execution
from rollbackhub.rollbacks.domain.proposal import Target
from rollbackhub.rollbacks.domain.transitions import request_rollback
from rollbackhub.rollbacks.enums import AuthorisedBy, RollbackState, Via
from rollbackhub.rollbacks.models import Approval, Rollback
from tests.dashboard.people import client_of, page
from tests.dashboard.world import World
from tests.factories.accounts import PASSWORD
from tests.factories.fixtures import Cast
from tests.factories.rollbacks import NoticeFactory, RollbackFactory
from tests.factories.routing import BAD, GOOD, PolicyRevisionFactory, RoutingPolicyFactory

APPROVALS = "/rollbacks/approvals/"


def ask(world: World, person: User, *aliases: str, strategic: bool = False) -> Rollback:
    """A request of two aliases (or these) that waits."""
    policies = [world.production.policies.get(alias=alias) for alias in aliases or ("support-reply", "smart-reasoner")]
    return request_rollback(
        targets=[Target(policy=policy) for policy in policies],
        account=person,
        actor=actor_of(person),
        reason="degraded feedback",
        via=Via.PAGE,
        strategic=strategic,
    )


def decider(user: User, *, minutes_ago: float = 1) -> Client:
    """A browser in which this person entered the password so long ago."""
    client = Client()
    assert client.post("/accounts/login/", {"login": user.username, "password": PASSWORD}).status_code == 302
    session = client.session
    (entered,) = session[AUTHENTICATION_METHODS_SESSION_KEY]
    session[AUTHENTICATION_METHODS_SESSION_KEY] = [entered | {"at": entered["at"] - minutes_ago * 60}]
    session.save()
    return client


def act(client: Client, rollback: Rollback, name: str, **values: str) -> Any:
    """Send one of the forms."""
    return client.post(reverse(f"rollbacks:{name}", args=[rollback.pk]), {"plan_hash": rollback.plan_hash, **values})


def section(text: str, name: str) -> str:
    """One section of the approvals page."""
    return text.split(f'aria-labelledby="{name}-title"')[1].split("</section>")[0]


def offered(client: Client, rollback: Rollback) -> set[str]:
    """Which forms the approvals page offers for a request."""
    return set(re.findall(rf'action="/rollbacks/{rollback.pk}/([a-z-]+)/"', page(client, APPROVALS)))


@pytest.mark.django_db
def test_each_person_is_offered_what_they_may(cast: Cast, world: World) -> None:
    rollback = ask(world, cast.on_call)
    assert offered(client_of(cast.on_call), rollback) == {"withdraw", "break-glass"}
    assert offered(client_of(cast.lead), rollback) == {"approve", "reject", "withdraw"}
    assert offered(client_of(cast.leadership), rollback) == {"approve", "reject", "withdraw"}
    assert offered(client_of(cast.admin), rollback) == {"approve", "reject"}
    assert offered(client_of(cast.auditor), rollback) == set()
    assert client_of(cast.stranger).get(APPROVALS).status_code == 403


@pytest.mark.django_db
def test_request_stands_where_it_belongs_with_all_that_a_decision_needs(cast: Cast, world: World) -> None:
    rollback = ask(world, cast.on_call)
    text = unescape(page(client_of(cast.lead), APPROVALS))
    mine = section(text, "for-me")
    for words in (
        "support-reply, smart-reasoner",
        "degraded feedback",
        "Olga Call",
        "Platform lead or above, by the rule for coordinated (several aliases); never who asked",
        "The next level is told in",
        "the request expires in",
        "1. support-reply",
        "<del>        weight: 25</del>",
        "nothing has changed since.",
        "Never drilled: this path has no proof.",
        f"smart-reasoner loses {BAD} and goes to {GOOD}",
        "Your password is asked for when you entered it more than 5 minutes ago.",
        rollback.plan_hash,
    ):
        assert words in mine, words
    assert str(rollback.pk) in section(page(client_of(cast.on_call), APPROVALS), "mine")
    assert str(rollback.pk) in section(page(client_of(cast.auditor), APPROVALS), "others")
    assert "Nothing waits for you." in page(client_of(cast.auditor), APPROVALS)


def proof_lines(text: str) -> list[str]:
    """What a page says is proven, alias by alias, without markup."""
    lines = re.findall(r"<dt>Proof</dt><dd[^>]*>(.*?)</dd>", unescape(text), re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", line).split()) for line in lines]


@pytest.mark.django_db
def test_who_decides_reads_the_same_about_the_proof_on_both_pages(cast: Cast, world: World) -> None:
    rollback = ask(world, cast.on_call)
    client, address = client_of(cast.lead), f"/rollbacks/{rollback.pk}/"
    both = proof_lines(page(client, address))
    assert both == proof_lines(page(client, APPROVALS))
    assert both[0] == "Never drilled: this path has no proof."
    assert re.fullmatch(r"Proven on .* UTC, .* s from decision to restored; nothing has changed since\. See the run", both[1])
    assert f'href="/drills/{world.passed.pk}/">See the run' in page(client, address)
    # A request is frozen; what is proven about it is not.
    world.reasoner.artefact.versions.filter(label=GOOD).update(digest="sha256:other")
    both = proof_lines(page(client, address))
    assert both == proof_lines(page(client, APPROVALS))
    assert f"but changed since: target (digest of {GOOD})" in both[1]
    assert "sha256:other" in both[1]
    # Once it is decided, what ran says how the path was.
    act(decider(cast.lead), rollback, "reject", reason="not now")
    assert proof_lines(page(client, address)) == []


@pytest.mark.django_db
@pytest.mark.parametrize(("days", "verdict", "words"), [(40, "passed", "which is too long ago"), (1, "failed", "The last drill failed on")])
def test_who_decides_reads_that_a_proof_is_none(days: int, verdict: str, words: str, cast: Cast, world: World) -> None:
    Execution.objects.filter(pk=world.passed.pk).update(verdict=verdict, finished_at=now() - dt.timedelta(days=days))
    Execution.objects.filter(policy__alias="smart-reasoner", state="finished").exclude(pk=world.passed.pk).update(verdict="error")
    (asking,) = proof_lines(page(client_of(cast.on_call), "/rollbacks/start/production/?alias=smart-reasoner"))
    rollback = ask(world, cast.on_call, "smart-reasoner", strategic=True)
    (deciding,) = proof_lines(page(client_of(cast.lead), f"/rollbacks/{rollback.pk}/"))
    assert words in deciding
    assert proof_lines(page(client_of(cast.lead), APPROVALS)) == [deciding]
    assert asking.startswith(deciding.removesuffix(" See the run"))


@pytest.mark.django_db
def test_queries_of_a_waiting_request_do_not_grow_with_its_aliases(cast: Cast, world: World) -> None:
    client = client_of(cast.lead)
    counts = []
    for aliases in (["smart-reasoner"], ["support-reply", "legacy-classifier"]):
        address = f"/rollbacks/{ask(world, cast.on_call, *aliases, strategic=True).pk}/"
        page(client, address)
        with CaptureQueriesContext(connection) as queries:
            page(client, address)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 32, "the page's own, and seven for what is proven"


@pytest.mark.django_db
def test_approve_with_a_fresh_password_starts_it(cast: Cast, world: World) -> None:
    rollback = ask(world, cast.on_call)
    response = act(decider(cast.lead), rollback, "approve", reason="go")
    assert response["Location"] == f"/rollbacks/{rollback.pk}/"
    rollback.refresh_from_db()
    assert (rollback.state, rollback.authorised_how, rollback.authorised_by) == (RollbackState.RUNNING, AuthorisedBy.APPROVAL, cast.lead)
    approval = Approval.objects.get()
    assert (approval.user, approval.via, approval.reason, approval.plan_hash) == (cast.lead, "page", "go", rollback.plan_hash)
    assert dt.timedelta(seconds=50) < now() - approval.reauthenticated_at < dt.timedelta(seconds=120)
    assert not Notice.objects.filter(user=cast.lead, read_at=None, url__contains=str(rollback.pk)).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("minutes", [5.1, 60 * 24, None])
def test_approve_with_an_old_password_asks_for_it_and_then_does_it(minutes: float | None, cast: Cast, world: World) -> None:
    rollback = ask(world, cast.on_call)
    client = decider(cast.lead, minutes_ago=minutes) if minutes else client_of(cast.lead)
    response = act(client, rollback, "approve", reason="go")
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/reauthenticate/?next=")
    assert Rollback.objects.get().state == RollbackState.AWAITING_APPROVAL

    form = page(client, response["Location"])
    assert "Your password again" in form
    values = {"next": reverse("rollbacks:approve", args=[rollback.pk])}
    wrong = client.post("/accounts/reauthenticate/", {**values, "password": "not-mine"})
    assert wrong.status_code == 200
    assert Rollback.objects.get().state == RollbackState.AWAITING_APPROVAL

    client.get(response["Location"])
    right = client.post("/accounts/reauthenticate/", {**values, "password": PASSWORD})
    assert right["Location"] == f"/rollbacks/{rollback.pk}/"
    assert Rollback.objects.get().state == RollbackState.RUNNING
    approval = Approval.objects.get()
    assert approval.reason == "go"
    assert now() - approval.reauthenticated_at < dt.timedelta(seconds=60)


@pytest.mark.django_db
def test_approve_after_the_password_what_was_not_seen_is_refused(cast: Cast, world: World) -> None:
    rollback = ask(world, cast.on_call)
    client = client_of(cast.lead)
    response = act(client, rollback, "approve")
    PolicyRevisionFactory(policy=world.production.policies.get(alias="smart-reasoner"), weights={BAD: 60, GOOD: 40})
    after = client.post("/accounts/reauthenticate/", {"next": reverse("rollbacks:approve", args=[rollback.pk]), "password": PASSWORD})
    assert response.status_code == 302
    assert after.status_code == 409
    assert "The plan has changed since you looked at it, and nothing was decided." in after.content.decode()
    assert Rollback.objects.get().state == RollbackState.AWAITING_APPROVAL
    assert not Approval.objects.exists()
    assert "Number 2: it has changed since the request was made" in page(client, APPROVALS)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["approve", "reject"])
def test_decide_about_ones_own_request_is_refused_without_asking_for_the_password(name: str, cast: Cast, world: World) -> None:
    rollback = ask(world, cast.lead, "smart-reasoner", strategic=True)
    Rollback.objects.update(required_role="platform_lead")
    response = act(client_of(cast.lead), rollback, name, reason="mine")
    assert response.status_code == 403
    assert "Nobody decides about their own request." in response.content.decode()
    assert Rollback.objects.get().state == RollbackState.AWAITING_APPROVAL


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["approve", "reject"])
@pytest.mark.parametrize("who", ["lead", "auditor", "stranger", "on_call"])
def test_decide_without_the_role_is_refused(name: str, who: str, cast: Cast, world: World) -> None:
    rollback = ask(world, cast.on_call, "smart-reasoner", strategic=True)
    response = act(decider(getattr(cast, who)), rollback, name, reason="please")
    assert response.status_code == 403
    assert Rollback.objects.get().state == RollbackState.AWAITING_APPROVAL
    assert not Approval.objects.exists()


@pytest.mark.django_db
def test_decide_second_learns_who_was_faster(cast: Cast, world: World) -> None:
    rollback = ask(world, cast.on_call)
    act(decider(cast.lead), rollback, "approve")
    response = act(client_of(cast.leadership), rollback, "reject", reason="too late")
    assert response.status_code == 409, "nobody is asked for a password in vain"
    assert "waits for no decision any more" in response.content.decode()
    response = act(decider(cast.leadership), rollback, "reject", reason="too late")
    text = response.content.decode()
    assert response.status_code == 409
    assert "Lee Lead was faster: the request was approved" in text
    assert f'href="/rollbacks/{rollback.pk}/"' in text


@pytest.mark.django_db
def test_decide_after_the_expiry_is_refused(cast: Cast, world: World) -> None:
    rollback = ask(world, cast.on_call)
    Rollback.objects.update(expires_at=now() - dt.timedelta(seconds=1))
    response = act(decider(cast.lead), rollback, "approve")
    assert response.status_code == 409
    assert "The request has expired" in response.content.decode()
    assert Rollback.objects.get().state == RollbackState.EXPIRED


@pytest.mark.django_db
def test_reject_with_a_reason_ends_it_and_tells_who_asked(cast: Cast, world: World) -> None:
    rollback = ask(world, cast.on_call)
    response = act(decider(cast.lead), rollback, "reject", reason="The fix is minutes away.")
    assert response["Location"] == APPROVALS
    rollback.refresh_from_db()
    assert rollback.state == RollbackState.REJECTED
    assert "Rejected: your request" in page(client_of(cast.on_call), "/")
    assert "The fix is minutes away." in section(page(client_of(cast.on_call), APPROVALS), "mine")


@pytest.mark.django_db
@pytest.mark.parametrize("reason", ["", " ", "x", "\x00\x00\x00\x00", "r" * 1001])
@pytest.mark.parametrize(("name", "who"), [("reject", "lead"), ("withdraw", "on_call"), ("break-glass", "on_call")])
def test_without_a_reason_nothing_happens(name: str, who: str, reason: str, cast: Cast, world: World) -> None:
    rollback = ask(world, cast.on_call)
    response = act(decider(getattr(cast, who)), rollback, name, reason=reason)
    assert response.status_code == 422
    assert Rollback.objects.get().state == RollbackState.AWAITING_APPROVAL


@pytest.mark.django_db
@pytest.mark.parametrize(("who", "status"), [("on_call", 302), ("lead", 302), ("leadership", 302), ("admin", 403), ("auditor", 403), ("stranger", 403)])
def test_withdraw_is_for_who_asked_and_leads(who: str, status: int, cast: Cast, world: World) -> None:
    rollback = ask(world, cast.on_call)
    assert act(client_of(getattr(cast, who)), rollback, "withdraw", reason="not needed").status_code == status
    assert (Rollback.objects.get().state == RollbackState.WITHDRAWN) == (status == 302)


@pytest.mark.django_db
def test_break_glass_starts_it_and_opens_a_review_that_another_lead_signs(cast: Cast, world: World) -> None:
    rollback = ask(world, cast.on_call)
    response = act(client_of(cast.on_call), rollback, "break-glass", reason="Nobody picks up the phone.")
    assert response["Location"] == f"/rollbacks/{rollback.pk}/"
    rollback.refresh_from_db()
    assert (rollback.state, rollback.authorised_how) == (RollbackState.RUNNING, AuthorisedBy.BREAK_GLASS)

    text = page(client_of(cast.lead), "/")
    assert "Break-glass to review: Olga Call rolled back support-reply, smart-reasoner in production without approval" in text
    assert "Break-glass to review" not in page(client_of(cast.auditor), "/")
    reviews = section(unescape(page(client_of(cast.lead), APPROVALS)), "reviews")
    assert "Nobody picks up the phone." in reviews
    assert f'action="/rollbacks/{rollback.pk}/sign-review/"' in reviews
    assert "sign-review" not in page(client_of(cast.on_call), APPROVALS)
    assert "A lead who did not break it signs." in page(client_of(cast.on_call), APPROVALS)

    assert act(client_of(cast.on_call), rollback, "sign-review", note="me").status_code == 403
    assert act(client_of(cast.lead), rollback, "sign-review", note=" ").status_code == 422
    assert act(client_of(cast.lead), rollback, "sign-review", note="Right call.")["Location"] == APPROVALS
    rollback.refresh_from_db()
    assert (rollback.reviewed_by, rollback.review_note) == (cast.lead, "Right call.")
    assert "Break-glass to review" not in page(client_of(cast.lead), "/")
    assert act(client_of(cast.leadership), rollback, "sign-review", note="Again.").status_code == 409


@pytest.mark.django_db
def test_break_glass_lead_does_not_sign_their_own(cast: Cast, world: World) -> None:
    rollback = ask(world, cast.lead, "smart-reasoner", strategic=True)
    act(client_of(cast.lead), rollback, "break-glass", reason="Leadership is asleep.")
    assert "sign-review" not in page(client_of(cast.lead), APPROVALS)
    assert act(client_of(cast.lead), rollback, "sign-review", note="Fine, I think.").status_code == 403
    assert "sign-review" in page(client_of(cast.leadership), APPROVALS)


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["admin", "auditor", "stranger"])
def test_break_glass_is_not_for_people_without_a_duty(who: str, cast: Cast, world: World) -> None:
    rollback = ask(world, cast.on_call)
    assert act(client_of(getattr(cast, who)), rollback, "break-glass", reason="I want it now, please.").status_code == 403
    assert Rollback.objects.get().state == RollbackState.AWAITING_APPROVAL


@pytest.mark.django_db
def test_acts_answer_to_post_only(cast: Cast, world: World) -> None:
    rollback = ask(world, cast.on_call)
    for name in ("approve", "reject", "withdraw", "break-glass", "sign-review"):
        assert client_of(cast.lead).get(reverse(f"rollbacks:{name}", args=[rollback.pk])).status_code == 405
    assert Client(enforce_csrf_checks=True).post(reverse("rollbacks:approve", args=[rollback.pk])).status_code == 403


# --- On every page ---


@pytest.mark.django_db
def test_bar_says_on_every_page_what_waits_for_whom(cast: Cast, world: World) -> None:
    rollback = ask(world, cast.on_call)
    for address in ("/", reverse("drills:list"), reverse("audit:list"), reverse("dashboard:account")):
        text = page(client_of(cast.lead), address)
        assert "Waits for your decision: Olga Call asks to roll back support-reply, smart-reasoner in production" in text, address
        assert f"{APPROVALS}#request-{rollback.pk}" in text
        assert "waiting for you</span></span></a>" in text
    assert "Your request to roll back support-reply, smart-reasoner in production awaits approval" in page(client_of(cast.on_call), "/")
    assert "asks to roll back" not in page(client_of(cast.auditor), "/")


@pytest.mark.django_db
def test_bar_shows_production_rollbacks_not_their_executions(cast: Cast, world: World) -> None:
    rollback = RollbackFactory(running=True, parts__policy=world.production.policies.get(alias="smart-reasoner"))
    text = page(client_of(cast.auditor), "/")
    bar = text.split('id="running"')[1].split("<main")[0]
    assert "Production rollback of smart-reasoner in production: rolling back" in bar
    assert bar.count("smart-reasoner") == 1
    assert f'href="/rollbacks/{rollback.pk}/"' in bar
    execution = rollback.parts.get().execution
    assert f"/drills/{execution.pk}/" not in text, "an execution of a rollback has no drill's page"


@pytest.mark.django_db
def test_bar_counts_what_it_has_no_place_for(cast: Cast, world: World) -> None:
    for number in range(5):
        RollbackFactory(running=True, parts__policy=RoutingPolicyFactory(environment=world.production, alias=f"one-{number}"))
    RollbackFactory(needs_human=True, parts__policy=RoutingPolicyFactory(environment=world.production, alias="stuck"))
    bar = page(client_of(cast.auditor), "/").split('id="running"')[1].split("<main")[0]
    assert bar.count("Production rollback of") == 3
    assert bar.index("stuck") < bar.index("one-0")
    assert "3 more production rollbacks that run or need a person" in bar


@pytest.mark.django_db
def test_bar_polled_changes_with_a_request_and_is_204_before(cast: Cast, world: World) -> None:
    client = client_of(cast.lead)
    seen = client.get(reverse("dashboard:running")).content.decode().split("?seen=")[1].split('"')[0]
    assert client.get(reverse("dashboard:running") + f"?seen={seen}").status_code == 204
    ask(world, cast.on_call)
    assert "Waits for your decision" in client.get(reverse("dashboard:running") + f"?seen={seen}").content.decode()


@pytest.mark.django_db
def test_notice_shows_until_it_is_put_away_by_its_owner(cast: Cast, world: World) -> None:
    notice = NoticeFactory(user=cast.on_call, subject="Expired: nobody decided", text="Ask again.", url="/rollbacks/")
    client, put_away = client_of(cast.on_call), reverse("dashboard:put-away")
    assert "Expired: nobody decided" in page(client, reverse("drills:list"))
    assert "Expired: nobody decided" not in page(client_of(cast.lead), "/")
    client_of(cast.lead).post(put_away, {"notice": notice.pk})
    notice.refresh_from_db()
    assert notice.read_at is None, "nobody puts away what somebody else was told"
    assert client.get(put_away).status_code == 405
    response = client.post(put_away, {"notice": notice.pk}, headers={"Referer": "http://testserver/drills/?alias=x"})
    assert response["Location"] == "http://testserver/drills/?alias=x"
    assert "Expired: nobody decided" not in page(client, "/")


@pytest.mark.django_db
@pytest.mark.parametrize("chosen", ["", "nonsense", "9" * 30, "-1"])
def test_notices_put_away_all_at_once_or_not_by_nonsense(chosen: str, cast: Cast, world: World) -> None:
    for _ in range(7):
        NoticeFactory(user=cast.on_call)
    client = client_of(cast.on_call)
    assert "2 more notices" in page(client, "/")
    response = client.post(reverse("dashboard:put-away"), {"notice": chosen}, headers={"Referer": "https://elsewhere.example/"})
    assert response["Location"] == "/"
    assert Notice.objects.filter(user=cast.on_call, read_at=None).count() == (7 if chosen else 0)


@pytest.mark.django_db
def test_queries_of_the_bar_and_of_the_approvals_do_not_grow(cast: Cast, world: World) -> None:
    client = client_of(cast.leadership)

    def count(address: str) -> int:
        page(client, address)
        with CaptureQueriesContext(connection) as queries:
            page(client, address)
        return len(queries)

    before = count(APPROVALS), count(reverse("dashboard:account"))
    for number in range(6):
        policies = [RoutingPolicyFactory(environment=world.production, alias=f"more-{number}-{name}") for name in "ab"]
        RollbackFactory(parts__policy=policies[0])
        RollbackFactory(running=True, break_glass=True, parts__policy=policies[1])
        NoticeFactory(user=cast.leadership)
    assert (count(APPROVALS), count(reverse("dashboard:account"))) == (before[0] + 10, before[1])
    assert before[0] <= 12, "session, person, roles, the bar's five, the page's own; the parts of each list and their proof once there are some"
    assert before[1] <= 8, "session, person, roles and the bar's five"
