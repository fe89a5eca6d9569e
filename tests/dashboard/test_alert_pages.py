"""Pages of alerts, proposals, rules, hooks, and of what runs by itself."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

import pytest
from django.urls import reverse

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.enums import Role
from rollbackhub.alerts.domain.automation import turn_on
from rollbackhub.alerts.domain.processing import process
from rollbackhub.alerts.models import Alert, AlertHook, AlertPost, AlertRule, Automation, AutoRollback, Proposal
from rollbackhub.audit.models import AuditEvent
from rollbackhub.rollbacks.models import Rollback
from tests.alerts.conftest import SECRET
from tests.alerts.conftest import hook as hook
from tests.alerts.conftest import proven as proven
from tests.alerts.posts import BEGAN, am_alert, am_body, post
from tests.dashboard.people import client_of, page
from tests.executions.proofs import Proven, spec
from tests.factories.accounts import TeamFactory
from tests.factories.alerts import AlertFactory, AlertHookFactory, AlertRuleFactory, AutoRollbackFactory, ProposalFactory
from tests.factories.fixtures import Cast
from tests.factories.rollbacks import StabilityHoldFactory
from tests.factories.routing import BAD, GOOD
from tests.rollbacks.conftest import service_of

PLACES = ("list", "proposals", "rules", "hooks", "automation", "rule-try")


@pytest.fixture
def proposal(hook: AlertHook) -> Proposal:
    """What an alert about smart-reasoner has proposed."""
    AlertRuleFactory(name="by label")
    post(hook, am_body(), key=SECRET)
    process()
    return Proposal.objects.get()


@pytest.mark.parametrize("place", PLACES)
def test_page_without_anything_says_what_would_fill_it(cast: Cast, place: str) -> None:
    for person in (cast.on_call, cast.lead, cast.auditor):
        text = page(client_of(person), reverse(f"alerts:{place}"))
        assert 'class="empty"' in text


def test_list_before_anything_came_in_does_not_say_that_all_is_well(cast: Cast) -> None:
    text = page(client_of(cast.on_call), reverse("alerts:list"))
    assert "Nothing has come in by any hook yet, so nothing is known." in text
    assert "No alert fires" not in text
    AlertFactory(name="Over", resolved=True)
    assert "No alert fires." in page(client_of(cast.on_call), reverse("alerts:list"))


def test_list_shows_states_in_words_and_filters_by_its_address(cast: Cast, proven: Proven) -> None:
    AlertFactory(name="Burning", policy=proven.production)
    AlertFactory(name="Over", resolved=True)
    client = client_of(cast.auditor)
    text = page(client, reverse("alerts:list"))
    assert "1 alert fires." in text
    assert "Firing" in text
    assert "Resolved" in text
    for query, seen in (("state=firing", "Burning"), ("state=resolved", "Over"), ("query=burn", "Burning"), ("alias=smart-reasoner", "Burning")):
        text = page(client, f"{reverse('alerts:list')}?{query}")
        assert (f"<strong>{seen}</strong>" in text, text.count("<strong>")) == (True, 1), query
    assert "No alert fits this filter" in page(client, f"{reverse('alerts:list')}?query=nothing")
    assert "left out" in page(client, f"{reverse('alerts:list')}?state=burning&hook=x")


def test_lists_take_the_same_number_of_queries_for_many(cast: Cast, django_assert_max_num_queries: Any) -> None:
    client = client_of(cast.auditor)
    for _ in range(12):
        proposal = ProposalFactory()
        AlertFactory(policy=proposal.policy, proposal=proposal, incident=proposal.incident)
        AlertRuleFactory(hook=AlertHookFactory())
        AutoRollbackFactory()
    for place, most in (("list", 14), ("proposals", 12), ("rules", 8), ("hooks", 12), ("automation", 11)):
        with django_assert_max_num_queries(most):
            page(client, reverse(f"alerts:{place}"))


def test_alert_that_writes_markup_is_shown_as_text(cast: Cast) -> None:
    evil = "<script>alert(1)</script>"
    alert = AlertFactory(name=evil, labels={"alertname": evil, evil: evil}, annotations={evil: evil}, outcome=evil)
    for address in (reverse("alerts:list"), reverse("alerts:detail", args=[alert.pk])):
        text = page(client_of(cast.on_call), address)
        assert evil not in text
        assert "&lt;script&gt;" in text


def test_open_proposal_stands_in_the_bar_of_who_may_roll_back(cast: Cast, proposal: Proposal) -> None:
    address = reverse("alerts:proposal", args=[proposal.pk])
    for person, seen in ((cast.on_call, True), (cast.lead, True), (cast.auditor, False)):
        text = page(client_of(person), reverse("routing:list"))
        assert ("An alert proposes to roll back smart-reasoner in production: ReasonerFeedbackBad" in text) == seen
        assert (f'href="{address}"' in text) == seen
        assert bool(re.search(r'proposed <span data-since="[^"]+">[^<]+</span> ago', text)) == seen, "how old the proposal is, not how long the alert lasts"
    # The notice of it says no more than the line: it is not shown twice.
    assert page(client_of(cast.on_call), "/routing/").count(address) == 1


def test_proposal_shows_the_plan_and_one_confirmation_rolls_back(cast: Cast, proposal: Proposal) -> None:
    client, address = client_of(cast.on_call), reverse("alerts:proposal", args=[proposal.pk])
    text = page(client, address)
    for words in (BAD, GOOD, "You may start this alone.", "Roll back now", "Proven on", "ReasonerFeedbackBad", "What will be verified"):
        assert words in text
    answer = client.post(reverse("alerts:proposal-confirm", args=[proposal.pk]), {"seen_plan_hash": proposal.plan_hash, "reason": "Alert ReasonerFeedbackBad"})
    rollback = Rollback.objects.get()
    assert answer["Location"] == reverse("rollbacks:detail", args=[rollback.pk])
    assert (rollback.detected_at, rollback.detected_by, rollback.requested_by) == (BEGAN, "ReasonerFeedbackBad", cast.on_call)
    text = page(client, address)
    assert "Confirmed by Olga Call." in text
    assert "Roll back now" not in text
    again = client.post(reverse("alerts:proposal-confirm", args=[proposal.pk]), {"seen_plan_hash": proposal.plan_hash, "reason": "once more"})
    assert again["Location"] == reverse("rollbacks:detail", args=[rollback.pk])


def test_proposal_whose_plan_has_changed_shows_the_new_one_and_takes_that(cast: Cast, proposal: Proposal, proven: Proven) -> None:
    client, confirm = client_of(cast.on_call), reverse("alerts:proposal-confirm", args=[proposal.pk])
    proven.revise([spec(BAD, 50), spec(GOOD, 50)])
    answer = client.post(confirm, {"seen_plan_hash": proposal.plan_hash, "reason": "Alert"})
    text = answer.content.decode()
    assert answer.status_code == 409
    assert "The plan has changed: look again, then confirm." in text
    assert "The plan is not the one of the alert any more." in text
    assert Rollback.objects.count() == 0
    fresh = text.split('name="seen_plan_hash" value="')[1].split('"')[0]
    assert client.post(confirm, {"seen_plan_hash": fresh, "reason": "Alert"}).status_code == 302
    assert Rollback.objects.get().plan_hash == fresh


def test_proposal_with_nothing_to_go_back_to_says_so_and_has_no_button(cast: Cast, proposal: Proposal, proven: Proven) -> None:
    for version in proven.artefact.versions.exclude(label=BAD):
        StabilityHoldFactory(version=version)
    client = client_of(cast.on_call)
    text = page(client, reverse("alerts:proposal", args=[proposal.pk]))
    assert "There is nothing to go back to now." in text
    assert "Roll back now" not in text
    answer = client.post(reverse("alerts:proposal-confirm", args=[proposal.pk]), {"seen_plan_hash": proposal.plan_hash, "reason": "Alert"})
    assert answer.status_code == 422
    assert Rollback.objects.count() == 0


def test_proposal_for_who_may_only_look_has_no_buttons_and_posts_are_refused(cast: Cast, proposal: Proposal) -> None:
    client = client_of(cast.auditor)
    text = page(client, reverse("alerts:proposal", args=[proposal.pk]))
    assert "The on-call engineer or an authority above confirms it." in text
    assert "Dismiss" not in text.split("<main")[1]
    for name in ("proposal-confirm", "proposal-dismiss"):
        assert client.post(reverse(f"alerts:{name}", args=[proposal.pk]), {"seen_plan_hash": proposal.plan_hash, "reason": "Alert"}).status_code == 403
    assert Rollback.objects.count() == 0


def test_proposal_is_dismissed_with_its_reason_on_the_page(cast: Cast, proposal: Proposal) -> None:
    client = client_of(cast.on_call)
    assert client.post(reverse("alerts:proposal-dismiss", args=[proposal.pk]), {"reason": ""}).status_code == 422
    answer = client.post(reverse("alerts:proposal-dismiss", args=[proposal.pk]), {"reason": "The canary was meant to be slow."}, follow=True)
    text = answer.content.decode()
    assert "Dismissed by Olga Call." in text
    assert "The canary was meant to be slow." in text


def test_resolved_alerts_are_said_on_the_proposal_that_stays_open(cast: Cast, proposal: Proposal, hook: AlertHook) -> None:
    post(hook, am_body(am_alert(status="resolved", ended=BEGAN + dt.timedelta(minutes=3))), key=SECRET)
    process()
    text = page(client_of(cast.on_call), reverse("alerts:proposal", args=[proposal.pk]))
    assert "All its alerts are resolved by now" in text
    assert "Roll back now" in text


@pytest.mark.parametrize("trait", ["dismissed", "expired", "superseded", "confirmed"])
def test_proposal_that_has_ended_has_a_page(cast: Cast, trait: str) -> None:
    ended = ProposalFactory(**{trait: True})
    text = page(client_of(cast.on_call), reverse("alerts:proposal", args=[ended.pk]))
    assert "What became of the rollback" in text


def test_hook_address_of_an_alertmanager_is_shown_once_and_works(cast: Cast, proven: Proven) -> None:
    TeamFactory(slug="ops", name="Ops")
    client = client_of(cast.lead)
    values = {"kind": "alertmanager", "name": "Alertmanager of Ops", "environment": "production", "team": "ops", "signing_ref": ""}
    answer = client.post(reverse("alerts:hook-new"), values)
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    secret = answer.content.decode().split("/api/v1/hooks/alertmanager/")[1].split('"')[0]
    made = AlertHook.objects.get(name="Alertmanager of Ops")
    assert post(made, am_body(), key=secret) == 1
    text = page(client, reverse("alerts:hooks"))
    assert secret not in text
    assert str(made.token_hash) not in text
    assert not AuditEvent.objects.filter(data__icontains=secret).exists()
    assert client.post(reverse("alerts:hook-end", args=[made.pk])).status_code == 302
    made.refresh_from_db()
    assert (made.is_active, AlertPost.objects.count()) == (False, 1)


NO_HOOKS = [
    {"kind": "standard"},
    {"kind": "pagerduty", "signing_ref": "a-secret-itself"},
    {"signing_ref": "env:X"},
    {"name": ""},
    {"name": "a\u202eb"},
    {"environment": "moon"},
    {"kind": "standard", "signing_ref": "env:NO_STANDARD_SECRET"},
    {"kind": "pagerduty", "signing_ref": "file:/etc/passwd"},
]


@pytest.mark.parametrize("change", NO_HOOKS)
def test_hook_that_cannot_be_is_refused_at_its_field(cast: Cast, proven: Proven, change: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_STANDARD_SECRET", "whsec_c2hvcnQ=")
    TeamFactory(slug="ops", name="Ops")
    values = {"kind": "alertmanager", "name": "Alertmanager", "environment": "production", "team": "ops", "signing_ref": "", **change}
    answer = client_of(cast.lead).post(reverse("alerts:hook-new"), values)
    assert answer.status_code == 422
    text = answer.content.decode()
    assert 'class="field-error"' in text
    assert "c2hvcnQ=" not in text
    assert "root:" not in text
    assert not AlertHook.objects.exists()


RULE = {
    "name": "Feedback",
    "hook": "",
    "matchers": 'alertname = "ReasonerFeedbackBad"\n\nseverity =~ critical|page',
    "alias": "smart-reasoner",
    "alias_label": "",
}
RULE |= {"severity": "sev1", "action": "roll_back", "is_active": "yes"}


def test_rule_is_written_changed_ordered_and_deleted(cast: Cast, proven: Proven) -> None:
    client = client_of(cast.lead)
    assert client.post(reverse("alerts:rule-new"), RULE).status_code == 302
    assert client.post(reverse("alerts:rule-new"), RULE | {"name": "Second", "action": "none", "alias": ""}).status_code == 302
    first, second = AlertRule.objects.order_by("position")
    assert first.matchers == [{"label": "alertname", "op": "=", "value": "ReasonerFeedbackBad"}, {"label": "severity", "op": "=~", "value": "critical|page"}]
    text = page(client, reverse("alerts:rule-edit", args=[first.pk]))
    assert "severity =~ critical|page" in text
    assert client.post(reverse("alerts:rule-edit", args=[first.pk]), RULE | {"is_active": "no"}).status_code == 302
    client.post(reverse("alerts:rule-up", args=[second.pk]))
    assert [rule.name for rule in AlertRule.objects.order_by("position")] == ["Second", "Feedback"]
    assert "Not in use" in page(client, reverse("alerts:rules"))
    client.post(reverse("alerts:rule-delete", args=[second.pk]))
    assert AlertRule.objects.get() == first
    recorded = list(AuditEvent.objects.filter(subject_type="alert_rule").order_by("id").values_list("event", flat=True))
    assert recorded == ["alert_rule.made", "alert_rule.made", "alert_rule.changed", "alert_rule.moved", "alert_rule.deleted"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"matchers": "severity"}, "Line 1 is no condition"),
        ({"matchers": "severity =~ (a+)+"}, "The pattern repeats a group"),
        ({"matchers": "severity =~ ("}, "cannot be read"),
        ({"matchers": "severity == critical"}, "write one = for"),
        ({"alias": "gone"}, "There is no alias gone"),
        ({"alias": ""}, "Name the alias"),
        ({"alias_label": "alias"}, "not both"),
        ({"name": ""}, "required"),
        ({"action": "reboot"}, "valid choice"),
    ],
)
def test_rule_that_cannot_be_is_refused_with_a_sentence(cast: Cast, proven: Proven, change: dict[str, str], words: str) -> None:
    answer = client_of(cast.lead).post(reverse("alerts:rule-new"), RULE | change)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not AlertRule.objects.exists()


def test_try_shows_what_would_happen_and_does_nothing(cast: Cast, hook: AlertHook, proven: Proven) -> None:
    AlertRuleFactory(name="by label")
    bodies = am_body(am_alert("a"), am_alert("b", alias="gone"), am_alert("c", status="resolved", ended=BEGAN))
    answer = client_of(cast.auditor).post(reverse("alerts:rule-try"), {"hook": str(hook.pk), "body": bodies.decode()})
    text = answer.content.decode()
    for words in (
        "It would open an incident (SEV 2: major).",
        f"A rollback would be proposed: take out {BAD}, go back to {GOOD}.",
        "there is no such alias in production",
        "It would only be counted.",
        "Nothing was done.",
    ):
        assert words in text
    assert (Alert.objects.count(), AlertPost.objects.count(), Proposal.objects.count(), AuditEvent.objects.filter(event__startswith="alert").count()) == (
        0,
        0,
        0,
        0,
    )
    for body in ("{", json.dumps({"version": "3"}), ""):
        assert client_of(cast.auditor).post(reverse("alerts:rule-try"), {"hook": str(hook.pk), "body": body}).status_code == 422


def test_try_says_whether_it_would_run_by_itself(cast: Cast, hook: AlertHook, proven: Proven) -> None:
    AlertRuleFactory()
    bot = service_of(cast.on_call, Role.ON_CALL)
    turn_on(policy=proven.production, account=bot, per_day=1, reason="at night", user=cast.lead, actor=actor_of(cast.lead))
    client, values = client_of(cast.lead), {"hook": str(hook.pk), "body": am_body().decode()}
    assert "RollbackHub would confirm it by itself." in client.post(reverse("alerts:rule-try"), values).content.decode()
    Automation.objects.update_or_create(pk=1, defaults={"is_stopped": True, "reason": "it flaps"})
    assert "A person would have to confirm it. The kill switch" in client.post(reverse("alerts:rule-try"), values).content.decode()


def test_automation_is_turned_on_by_a_lead_and_off_and_stopped_by_on_call(cast: Cast, proven: Proven) -> None:
    bot = service_of(cast.on_call, Role.ON_CALL)
    lead, on_call = client_of(cast.lead), client_of(cast.on_call)
    values = {"alias": str(proven.production.pk), "account": bot.username, "per_day": "1", "reason": "Nobody is awake."}
    assert on_call.post(reverse("alerts:automation-on"), values).status_code == 403
    assert lead.post(reverse("alerts:automation-on"), values | {"reason": "x"}).status_code == 422
    assert lead.post(reverse("alerts:automation-on"), values).status_code == 302
    text = page(on_call, reverse("alerts:automation"))
    assert "Pull the kill switch" in text
    assert "Turn off" in text
    assert on_call.post(reverse("alerts:automation-stop"), {"reason": "x"}).status_code == 302
    assert "None: the kill switch is pulled." in page(client_of(cast.auditor), reverse("alerts:automation"))
    assert on_call.post(reverse("alerts:automation-release"), {"reason": "go on"}).status_code == 403
    assert lead.post(reverse("alerts:automation-release"), {"reason": "It was mended."}).status_code == 302
    assert on_call.post(reverse("alerts:automation-off", args=["production", "smart-reasoner"]), {"reason": "enough"}).status_code == 302
    assert lead.post(reverse("alerts:automation-limit"), {"per_day": "2", "reason": "a calm month"}).status_code == 302
    assert (AutoRollback.objects.get().is_on, Automation.objects.get().per_day) == (False, 2)
