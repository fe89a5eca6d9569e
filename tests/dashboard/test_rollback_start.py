"""Asking for a production rollback from the pages: the plan before anything happens, and the one confirmation."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import Notice, User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.registry.models import Version
from rollbackhub.rollbacks.enums import AuthorisedBy, RollbackState
from rollbackhub.rollbacks.models import Rollback
from tests.dashboard.people import client_of, page
from tests.dashboard.world import World
from tests.factories.accounts import UserFactory
from tests.factories.fixtures import Cast
from tests.factories.rollbacks import ApprovalFactory, AuthorityRuleFactory, RollbackFactory, StabilityHoldFactory
from tests.factories.routing import BAD, GOOD, PolicyRevisionFactory, RoutingPolicyFactory

START = "/rollbacks/start/production/"
ONE = f"{START}?alias=smart-reasoner"
BOTH = f"{START}?alias=support-reply&alias=smart-reasoner"


def form_of(client: Client, address: str = ONE, **values: str) -> dict[str, str]:
    """What the page would send as it is, with a reason."""
    text = page(client, address)
    found = dict(re.findall(r'<input type="hidden" name="(idempotency_key|seen_plan_hash)" value="([^"]+)"', text))
    assert set(found) == {"idempotency_key", "seen_plan_hash"}
    return {**found, "reason": "degraded feedback", **values}


def send(client: Client, address: str = ONE, **values: str) -> Any:
    """Open the page and confirm it."""
    return client.post(address, form_of(client, address, **values))


def the_one() -> Rollback:
    """The only rollback there is."""
    return Rollback.objects.get()


@pytest.mark.django_db
def test_plan_says_everything_before_anything_happens(cast: Cast, world: World) -> None:
    text = unescape(page(client_of(cast.on_call), ONE))
    for words in (
        "You may start this alone.",
        "On-call engineer, by the rule for model",
        f"{GOOD} is live and serves 75 % now: it is kept as long as it serves",
        "<del>        weight: 25</del>",
        "<ins>        weight: 100</ins>",
        "Target 10 min",
        "median 1.9 s (1.9 to 1.9 s), 1 of 2 runs passed",
        "1.9 s from the decision to restored",
        reverse("drills:detail", args=[world.passed.pk]),
        "Gateways acknowledge: within 30 s.",
        "The bad version's traffic drains: 3 looks in a row must pass, within 1 min.",
        "Verify traffic, feedback and latency: 3 looks in a row must pass, over at least 5.0 s, within 15 min.",
        "Prometheus",
        "2 live: production-gateway-1, production-gateway-2",
        "Roll back now",
        "Two ways out",
    ):
        assert words in text, words
    assert "Put the weights back" not in text.split("What will be verified")[1].split("</section>")[0]
    assert Rollback.objects.count() == 0


@pytest.mark.django_db
def test_confirmed_within_ones_authority_it_runs_at_once(cast: Cast, world: World) -> None:
    response = send(client_of(cast.on_call))
    rollback = the_one()
    assert (response.status_code, response["Location"]) == (302, f"/rollbacks/{rollback.pk}/")
    assert (rollback.state, rollback.authorised_how, rollback.principal) == (RollbackState.RUNNING, AuthorisedBy.OWN, cast.on_call)
    assert (rollback.reason, rollback.requested_via, rollback.detected_at) == ("degraded feedback", "page", None)
    assert rollback.parts.get().bad_version.label == BAD
    assert AuditEvent.objects.filter(event="rollback.requested", subject_id=str(rollback.pk), actor_user_id=cast.on_call.pk).exists()


@pytest.mark.django_db
def test_two_clicks_from_the_overview(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)
    overview = unescape(page(client, "/"))
    assert f'href="{ONE}"' in overview
    assert send(client, ONE).status_code == 302
    assert the_one().state == RollbackState.RUNNING


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["auditor", "stranger"])
def test_who_may_not_roll_back_is_offered_nothing_and_refused(who: str, cast: Cast, world: World) -> None:
    client = client_of(getattr(cast, who))
    values = form_of(client_of(cast.on_call))
    assert client.get(ONE).status_code == 403
    assert client.post(ONE, values).status_code == 403
    if who == "auditor":
        assert "/rollbacks/start/" not in page(client, "/")
        assert "/rollbacks/start/" not in page(client, reverse("routing:detail", args=["production", "smart-reasoner"]))
    assert Rollback.objects.count() == 0


@pytest.mark.django_db
def test_alias_page_offers_it_in_production_only_and_not_while_one_is_there(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)
    production = reverse("routing:detail", args=["production", "smart-reasoner"])
    assert f'href="{ONE}"' in unescape(page(client, production))
    assert "/rollbacks/start/" not in page(client, reverse("routing:detail", args=["staging", "smart-reasoner"]))
    send(client)
    text = page(client, production)
    assert "/rollbacks/start/" not in text
    assert f'href="/rollbacks/{the_one().pk}/"' in text


@pytest.mark.django_db
@pytest.mark.parametrize(("reason", "sentence"), [("", "This field is required."), (" x ", "at least 3 characters"), ("r" * 1001, "at most 1000 characters")])
def test_reason_that_says_nothing_starts_nothing_and_the_page_says_so(reason: str, sentence: str, cast: Cast, world: World) -> None:
    response = send(client_of(cast.on_call), reason=reason)
    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert Rollback.objects.count() == 0


@pytest.mark.django_db
def test_sent_twice_it_is_one_rollback(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)
    values = form_of(client)
    assert client.post(ONE, values)["Location"] == client.post(ONE, values)["Location"]
    assert Rollback.objects.count() == 1


@pytest.mark.django_db
def test_somebody_else_was_faster_leads_to_theirs_and_says_so(cast: Cast, world: World) -> None:
    first, second = client_of(cast.on_call), client_of(cast.lead)
    values = form_of(second)
    send(first)
    response = second.post(ONE, values, follow=True)
    assert response.redirect_chain[0] == (f"/rollbacks/{the_one().pk}/", 302)
    assert "A rollback of smart-reasoner is there already" in unescape(response.content.decode())
    assert Rollback.objects.count() == 1
    text = page(second, ONE)
    assert "A rollback of smart-reasoner is there already" in text
    assert "Roll back now" not in text


@pytest.mark.django_db
def test_plan_that_changed_meanwhile_starts_nothing_and_shows_the_new_one(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)
    values = form_of(client, reason="kept while I look again")
    policy = world.production.policies.get(alias="smart-reasoner")
    PolicyRevisionFactory(policy=policy, weights={BAD: 50, GOOD: 50})
    response = client.post(ONE, values)
    text = unescape(response.content.decode())
    assert response.status_code == 409
    assert "The plan has changed: look again, then confirm." in text
    assert "kept while I look again" in text
    assert "<del>        weight: 50</del>" in text
    assert Rollback.objects.count() == 0
    assert values["seen_plan_hash"] not in text
    assert client.post(ONE, {**values, **form_of(client)}).status_code == 302
    assert Rollback.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(("chosen", "minutes"), [("0", 0), ("5", 5), ("15", 15), ("30", 30), ("60", 60)])
def test_detected_by_a_quick_choice_counts_back_from_now(chosen: str, minutes: int, cast: Cast, world: World) -> None:
    send(client_of(cast.on_call), detected=chosen, detected_by="an alert")
    rollback = the_one()
    assert rollback.detected_at is not None
    assert abs((now() - rollback.detected_at) - dt.timedelta(minutes=minutes)) < dt.timedelta(seconds=30)
    assert rollback.detected_by == "an alert"


@pytest.mark.django_db
def test_detected_at_a_time_is_by_the_viewers_clock(cast: Cast, world: World) -> None:
    User.objects.filter(pk=cast.on_call.pk).update(timezone="Asia/Kolkata")
    at = (now() - dt.timedelta(hours=2)).replace(microsecond=0)
    send(client_of(cast.on_call), detected="at", detected_at=(at + dt.timedelta(hours=5, minutes=30)).strftime("%Y-%m-%dT%H:%M:%S"))
    assert the_one().detected_at == at


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("detected", "at", "sentence"),
    [
        ("at", "", "Say when, or choose another answer."),
        ("at", "yesterday", "Enter a valid date/time."),
        ("at", "2200-01-01T00:00", "The detection lies between 90 days ago and now."),
        ("7", "", "Select a valid choice."),
    ],
)
def test_detected_at_nonsense_starts_nothing(detected: str, at: str, sentence: str, cast: Cast, world: World) -> None:
    response = send(client_of(cast.on_call), detected=detected, detected_at=at)
    assert response.status_code == 422
    assert sentence in unescape(response.content.decode())
    assert Rollback.objects.count() == 0


@pytest.mark.django_db
def test_other_bad_version_is_taken_out(cast: Cast, world: World) -> None:
    client, address = client_of(cast.on_call), f"{ONE}&bad_version.smart-reasoner={GOOD}"
    assert "<ins>        weight: 0</ins>" in page(client, address)
    assert f'value="{GOOD}" selected' in page(client, address)
    send(client, address)
    assert the_one().parts.get().bad_version.label == GOOD


@pytest.mark.django_db
def test_alias_that_serves_one_version_alone_has_it_proposed_at_once(cast: Cast, world: World) -> None:
    RoutingPolicyFactory(environment=world.production, alias="settled", revision={BAD: 0, GOOD: 100})
    client, address = client_of(cast.on_call), f"{START}?alias=settled"
    text = unescape(page(client, address))
    assert f'<option value="{GOOD}" selected>' in text
    assert "Roll back now" in text
    send(client, address)
    assert the_one().parts.get().bad_version.label == GOOD


@pytest.mark.django_db
def test_version_that_serves_alone_since_another_was_rolled_back_is_not_proposed(cast: Cast, world: World) -> None:
    policy = RoutingPolicyFactory(environment=world.production, alias="settled", revision={BAD: 0, GOOD: 100})
    StabilityHoldFactory(version=Version.objects.get(artefact=policy.artefact, label=BAD))
    text = unescape(page(client_of(cast.on_call), f"{START}?alias=settled"))
    assert f"settled in production serves {GOOD} alone, and there is nothing to go back to ({BAD} is under a stability hold" in text
    assert f'<option value="{GOOD}">' in text
    assert "Roll back now" not in text


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address",
    [f"{START}?alias=nothing", "/rollbacks/start/nowhere/?alias=smart-reasoner", f"{ONE}&bad_version.smart-reasoner=gpt-nothing"],
)
def test_address_that_names_nothing_is_a_404(address: str, cast: Cast, world: World) -> None:
    page(client_of(cast.on_call), address, status=404)


@pytest.mark.django_db
def test_staging_is_refused_with_the_way_to_drill(cast: Cast, world: World) -> None:
    text = page(client_of(cast.on_call), "/rollbacks/start/staging/?alias=smart-reasoner")
    assert "Rollbacks are for production" in text
    assert "Roll back now" not in text


@pytest.mark.django_db
def test_no_alias_named_asks_which(cast: Cast, world: World) -> None:
    assert client_of(cast.on_call).get(START)["Location"] == reverse("rollbacks:choose")


@pytest.mark.django_db
def test_choose_lists_production_and_keeps_what_is_ticked(cast: Cast, world: World) -> None:
    text = page(client_of(cast.on_call), reverse("rollbacks:choose") + "?alias=smart-reasoner")
    assert f'href="{ONE}"' in text
    assert 'value="batch-summariser"' not in text, "it is in staging only"
    assert 'value="smart-reasoner" checked' in text
    assert "No alias in production" in page(client_of(cast.on_call), reverse("rollbacks:choose") + "?q=zzz")


@pytest.mark.django_db
def test_coordinated_above_ones_authority_asks_for_approval_and_starts_nothing(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)
    text = unescape(page(client, BOTH))
    for words in (
        "It needs an approval: Platform lead, by the rule for coordinated (several aliases).",
        "Lee Lead",
        "After 5 min the next level is told too; after 1 h the request expires.",
        "1. support-reply",
        "2. smart-reasoner",
        "Ask for approval",
        "It cannot wait: break the glass",
        "A fix is shipped one alias at a time",
    ):
        assert words in text, words
    assert "Roll back now" not in text.replace("Break glass and roll back now", "")
    response = client.post(BOTH, form_of(client, BOTH), follow=True)
    rollback = the_one()
    assert rollback.state == RollbackState.AWAITING_APPROVAL
    assert [part.policy.alias for part in rollback.parts.order_by("position")] == ["support-reply", "smart-reasoner"]
    assert not rollback.parts.exclude(execution=None).exists()
    assert "Asked: those who may approve were told." in response.content.decode()
    assert Notice.objects.filter(user=cast.lead, url=f"/rollbacks/{rollback.pk}/").exists()


@pytest.mark.django_db
def test_coordinated_order_can_be_changed_and_one_left_out(cast: Cast, world: World) -> None:
    text = unescape(page(client_of(cast.on_call), BOTH))
    assert f'href="{START}?alias=smart-reasoner&alias=support-reply"' in text
    assert f'href="{START}?alias=support-reply"' in text
    assert f'href="{ONE}"' in text


@pytest.mark.django_db
def test_coordinated_by_a_lead_starts_alone(cast: Cast, world: World) -> None:
    client = client_of(cast.lead)
    assert "You may start this alone." in page(client, BOTH)
    assert "break the glass" not in page(client, BOTH)
    send(client, BOTH)
    assert the_one().state == RollbackState.RUNNING


@pytest.mark.django_db
def test_strategic_declared_needs_leadership(cast: Cast, world: World) -> None:
    client, address = client_of(cast.lead), f"{ONE}&strategic=1"
    assert "It needs an approval: Senior leadership, by the rule for strategic." in unescape(page(client, address))
    send(client, address)
    assert (the_one().state, the_one().is_strategic) == (RollbackState.AWAITING_APPROVAL, True)


@pytest.mark.django_db
def test_strategic_release_needs_leadership_although_nobody_ticked_it(cast: Cast, world: World) -> None:
    Version.objects.filter(label=BAD, artefact__slug="reasoner-model").update(is_strategic=True)
    send(client_of(cast.on_call))
    assert (the_one().state, the_one().required_role) == (RollbackState.AWAITING_APPROVAL, Role.LEADERSHIP)


@pytest.mark.django_db
def test_break_glass_with_a_typed_reason_starts_it_and_tells_every_lead(cast: Cast, world: World) -> None:
    send(client_of(cast.on_call), BOTH, break_glass="1", break_glass_reason="No lead picks up, answers are wrong.")
    rollback = the_one()
    assert (rollback.state, rollback.authorised_how) == (RollbackState.RUNNING, AuthorisedBy.BREAK_GLASS)
    assert rollback.break_glass_reason == "No lead picks up, answers are wrong."
    assert set(Notice.objects.filter(key=f"break-glass:{rollback.pk}").values_list("user__username", flat=True)) == {"lead", "leadership"}


@pytest.mark.django_db
@pytest.mark.parametrize("reason", ["", "   ", "hurry"])
def test_break_glass_without_a_real_reason_starts_nothing(reason: str, cast: Cast, world: World) -> None:
    response = send(client_of(cast.on_call), BOTH, break_glass="1", break_glass_reason=reason)
    assert response.status_code == 422
    assert "in at least 10 characters" in response.content.decode()
    assert Rollback.objects.count() == 0


@pytest.mark.django_db
def test_break_glass_reason_typed_but_approval_asked_only_asks(cast: Cast, world: World) -> None:
    send(client_of(cast.on_call), BOTH, break_glass_reason="I thought about it for a while.")
    assert the_one().state == RollbackState.AWAITING_APPROVAL


@pytest.mark.django_db
def test_break_glass_is_not_for_an_administrator_without_a_duty(cast: Cast, world: World) -> None:
    client = client_of(cast.admin)
    assert "break the glass" not in page(client, ONE)
    assert client.post(ONE, form_of(client, break_glass="1", break_glass_reason="I am the administrator.")).status_code == 403
    assert Rollback.objects.count() == 0


@pytest.mark.django_db
def test_rejected_plan_is_not_asked_for_again_and_says_why(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)
    send(client, BOTH)
    rollback = the_one()
    ApprovalFactory(rollback=rollback, plan_hash=rollback.plan_hash, decision="rejected", user=cast.lead, reason="The fix is minutes away.")
    Rollback.objects.filter(pk=rollback.pk).update(state=RollbackState.REJECTED)
    rollback.parts.update(holds_alias=False)
    response = send(client, BOTH)
    text = unescape(response.content.decode())
    assert response.status_code == 409
    assert "“The fix is minutes away.”" in text
    assert f'href="/rollbacks/{rollback.pk}/"' in text
    assert Rollback.objects.count() == 1


@pytest.mark.django_db
def test_nobody_who_could_approve_is_said(cast: Cast, world: World) -> None:
    User.objects.exclude(pk=cast.on_call.pk).update(is_active=False)
    assert "Nobody has a role that may approve it now." in page(client_of(cast.on_call), BOTH)


@pytest.mark.django_db
def test_authority_table_is_asked_each_time(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)
    values = form_of(client)
    rule = AuthorityRuleFactory(subject="model")
    rule.role = Role.PLATFORM_LEAD
    rule.save()
    assert "It needs an approval" in page(client, ONE)
    client.post(ONE, values)
    assert the_one().state == RollbackState.AWAITING_APPROVAL


@pytest.mark.django_db
def test_queries_do_not_grow_with_gateways_history_and_people(cast: Cast, world: World) -> None:
    client = client_of(cast.on_call)

    def count(address: str) -> int:
        page(client, address)
        with CaptureQueriesContext(connection) as queries:
            page(client, address)
        return len(queries)

    one, both = count(ONE), count(BOTH)
    for number in range(6):
        RollbackFactory(closed=True, parts__policy=RoutingPolicyFactory(environment=world.production, alias=f"old-{number}"))
        UserFactory(roles=[Role.PLATFORM_LEAD])
    assert (count(ONE), count(BOTH)) == (one, both)
    assert one <= 34, "session, person, roles, the bar's three, the choice's four, what holds it, the plan's, the proof's and the proposal's own"
    assert both - one <= 9, "a plan and an expectation for the second alias"
