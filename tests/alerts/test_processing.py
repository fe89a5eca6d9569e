"""Posts become alerts, alerts become incidents and proposals; once, whoever looks how often."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from incidents.domain.acts import set_severity
from incidents.domain.opening import open_incident
from incidents.domain.timeline import Timeline
from incidents.enums import Severity, Source
from incidents.models import Incident
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import Notice
from rollbackhub.alerts.domain.processing import POSTS_KEPT, act_on_alerts, forget_posts, process, take_posts
from rollbackhub.alerts.domain.ruling import rule_on
from rollbackhub.alerts.enums import AlertState, Became, Counted, SuggestedAction
from rollbackhub.alerts.models import Alert, AlertHook, AlertPost, AlertRule, PostCount, Proposal
from rollbackhub.alerts.payloads import Entry
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.clock import now
from tests.alerts.conftest import SECRET
from tests.alerts.posts import BEGAN, am_alert, am_body, pd_body, pd_headers, post
from tests.databases import FreshDatabase
from tests.executions.proofs import Proven, make_proven
from tests.factories.alerts import AlertHookFactory, AlertPostFactory, AlertRuleFactory
from tests.factories.fixtures import Cast, make_cast
from tests.factories.incidents import IncidentFactory
from tests.factories.rollbacks import StabilityHoldFactory
from tests.factories.routing import BAD, RoutingPolicyFactory
from tests.threads import at_once

Fire = Callable[..., Alert]
LATER = BEGAN + dt.timedelta(hours=1)


def events(alert: Alert | Proposal) -> list[str]:
    """What was recorded about it."""
    return list(AuditEvent.objects.filter(subject_id=str(alert.pk), subject_type__in=("alert", "proposal")).order_by("id").values_list("event", flat=True))


def test_alert_opens_an_incident_and_proposes_a_rollback(fire: Fire, rule: AlertRule, proven: Proven, cast: Cast) -> None:
    alert = fire()
    incident, proposal = alert.incident, alert.proposal
    assert incident is not None
    assert proposal is not None
    assert (incident.source, incident.severity, incident.detected_at, incident.detected_by) == ("alert", "sev2", BEGAN, "ReasonerFeedbackBad")
    assert list(incident.aliases.all()) == [proven.production]
    assert incident.summary == "Negative feedback is above 20 %"
    assert (alert.became, alert.rule, alert.policy) == (Became.OPENED, rule, proven.production)
    assert (proposal.policy, proposal.incident, proposal.detected_at, proposal.detected_by) == (proven.production, incident, BEGAN, "ReasonerFeedbackBad")
    assert proposal.plan["parts"][0]["bad_version"] == "claude-sonnet-4-6"
    recorded = AuditEvent.objects.filter(data__incident=str(incident.pk)).values_list("event", flat=True)
    assert set(recorded) == {"alert.fired", "proposal.made"}
    notice = Notice.objects.get(user=cast.on_call)
    assert notice.url == f"/alerts/proposals/{proposal.pk}/"
    assert not Notice.objects.exclude(user=cast.on_call).exists()


@pytest.mark.parametrize("clock_is_ahead", [dt.timedelta(), dt.timedelta(days=400)], ids=["sender's clock is right", "sender's clock is ahead"])
def test_alert_sent_again_joins_and_never_opens_a_second_incident(fire: Fire, rule: AlertRule, clock_is_ahead: dt.timedelta) -> None:
    first = fire(began=BEGAN + clock_is_ahead)
    for _ in range(3):
        again = fire(began=BEGAN + clock_is_ahead)
    assert (again.pk, again.times_seen, again.times_fired, again.incident, again.proposal) == (first.pk, 4, 1, first.incident, first.proposal)
    assert (Incident.objects.count(), Proposal.objects.count(), events(again)) == (1, 1, ["alert.fired"])


def test_other_fingerprint_of_the_alias_joins_incident_and_proposal(fire: Fire, rule: AlertRule) -> None:
    first, second = fire("f1"), fire("f2")
    assert (second.became, second.incident, second.proposal) == (Became.JOINED, first.incident, first.proposal)
    assert first.proposal is not None
    assert events(first.proposal) == ["proposal.made", "proposal.joined"]
    assert "joined the rollback that is proposed already" in second.outcome


def test_firing_anew_after_it_was_over_joins_the_incident(fire: Fire, rule: AlertRule) -> None:
    first = fire()
    over = fire(status="resolved", ended=LATER)
    assert (over.state, events(over)) == (AlertState.RESOLVED, ["alert.fired", "alert.resolved"])
    anew = fire(began=LATER + dt.timedelta(minutes=5))
    assert (anew.state, anew.times_fired, anew.became, anew.incident) == (AlertState.FIRING, 2, Became.JOINED, first.incident)
    assert Incident.objects.count() == 1


def test_resolved_closes_nothing_and_is_noted_once(fire: Fire, rule: AlertRule) -> None:
    fire()
    alert = fire(status="resolved", ended=LATER)
    alert = fire(status="resolved", ended=LATER)
    assert alert.incident is not None
    assert alert.proposal is not None
    assert (alert.incident.state, alert.proposal.state) == ("open", "open")
    assert events(alert) == ["alert.fired", "alert.resolved"]
    noted = AuditEvent.objects.get(event="alert.resolved")
    assert (noted.data["incident"], noted.data["proposal"]) == (str(alert.incident_id), str(alert.proposal_id))


def test_closed_incident_is_not_joined(fire: Fire, rule: AlertRule, proven: Proven) -> None:
    IncidentFactory(closed=True, environment=proven.production.environment, aliases=[proven.production])
    assert fire().became == Became.OPENED


@pytest.mark.parametrize(("minutes", "detected_by"), [(-3, "ReasonerFeedbackBad"), (3, "the support queue")])
def test_alert_that_joins_names_when_the_harm_was_noticed_and_the_earliest_counts(
    minutes: int, detected_by: str, fire: Fire, rule: AlertRule, proven: Proven, cast: Cast
) -> None:
    noticed = BEGAN - dt.timedelta(minutes=minutes)
    incident = open_incident(
        title="Slow answers",
        environment=proven.production.environment,
        policies=[proven.production],
        severity=Severity.SEV2,
        source=Source.PERSON,
        actor=actor_of(cast.on_call),
        detected_at=noticed,
        detected_by="the support queue",
    )
    assert fire().incident == incident
    incident.refresh_from_db()
    assert (incident.detected_at, incident.detected_by) == (min(noticed, BEGAN), detected_by)


@pytest.mark.parametrize(("minutes", "state"), [(-1, "stable"), (1, "open")], ids=["it began before that", "it begins afterwards"])
def test_alert_that_begins_after_its_incident_was_stable_opens_it_again(
    minutes: int, state: str, fire: Fire, rule: AlertRule, proven: Proven, cast: Cast
) -> None:
    stable_at = now() - dt.timedelta(minutes=10)
    where = {"environment": proven.production.environment, "aliases": [proven.production]}
    incident = IncidentFactory(stable=True, stable_at=stable_at, opened_at=stable_at - dt.timedelta(hours=1), commander=cast.on_call, **where)
    alert = fire(began=stable_at + dt.timedelta(minutes=minutes))
    incident.refresh_from_db()
    assert (alert.incident, incident.state, "which is open again now" in alert.outcome) == (incident, state, state == "open")
    again = AuditEvent.objects.filter(event="incident.reopened", subject_id=str(incident.pk))
    assert [event.actor_label for event in again] == (["alerts"] if state == "open" else [])
    assert (incident.stable_at is None, Notice.objects.filter(subject__startswith="Open again").exists()) == (state == "open", state == "open")


def test_proposal_of_an_incident_that_was_closed_is_not_joined_by_the_next(fire: Fire, rule: AlertRule) -> None:
    first = fire("f1")
    assert first.proposal is not None
    assert first.incident is not None
    Incident.objects.filter(pk=first.incident.pk).update(state="closed", stable_at=now(), closed_at=now())
    second = fire("f2")
    assert second.proposal is not None
    assert second.incident != first.incident
    assert (second.proposal.incident, second.proposal.state) == (second.incident, "open")
    first.proposal.refresh_from_db()
    assert (first.proposal.state, first.proposal.ended_because) == ("superseded", "Its incident is over: a later alert proposes it anew.")


def test_alert_stands_before_its_proposal_on_the_timeline(fire: Fire, rule: AlertRule) -> None:
    alert = fire()
    assert alert.incident is not None
    told = [line.event for line in Timeline(alert.incident).lines if line.event in ("alert.fired", "proposal.made")]
    assert told == ["alert.fired", "proposal.made"]


@pytest.mark.parametrize(("first", "second", "then"), [("sev3", "sev1", "sev1"), ("sev1", "sev3", "sev1"), ("sev2", "sev2", "sev2")])
def test_worse_alert_raises_the_severity_and_none_lowers_it(first: str, second: str, then: str, fire: Fire, proven: Proven) -> None:
    AlertRuleFactory(severity=first, matchers=[{"label": "pod", "op": "=", "value": "a"}])
    AlertRuleFactory(severity=second, matchers=[{"label": "pod", "op": "=", "value": "b"}])
    incident = fire("a", pod="a").incident
    alert = fire("b", pod="b")
    assert alert.incident == incident
    assert incident is not None
    incident.refresh_from_db()
    assert incident.severity == then
    set_by = AuditEvent.objects.filter(event="incident.severity_set", subject_id=str(incident.pk))
    assert [event.data["after"] for event in set_by] == (["sev1"] if second < first else [])
    assert ("which is SEV 1 now" in alert.outcome) == (second < first)


def test_severity_that_a_person_set_stands_when_a_worse_alert_joins(fire: Fire, proven: Proven, cast: Cast) -> None:
    AlertRuleFactory(severity="sev3", matchers=[{"label": "pod", "op": "=", "value": "a"}])
    AlertRuleFactory(severity="sev1", matchers=[{"label": "pod", "op": "=", "value": "b"}])
    incident = fire("a", pod="a").incident
    assert incident is not None
    set_severity(incident_id=incident.pk, severity=Severity.SEV4, account=cast.on_call, actor=actor_of(cast.on_call))
    assert fire("b", pod="b").became == Became.JOINED
    incident.refresh_from_db()
    assert incident.severity == "sev4"


def test_incident_of_a_person_is_joined_and_keeps_its_severity(fire: Fire, proven: Proven) -> None:
    AlertRuleFactory(severity="sev1")
    incident = IncidentFactory(source="person", environment=proven.production.environment, aliases=[proven.production])
    alert = fire()
    assert (alert.incident, alert.became) == (incident, Became.JOINED)
    incident.refresh_from_db()
    assert incident.severity == "sev2"


@pytest.mark.parametrize(
    ("values", "became", "incidents", "proposals", "told"),
    [
        ({"action": SuggestedAction.PAGE_ONLY}, Became.OPENED, 1, 0, 1),
        ({"action": SuggestedAction.NONE, "alias_label": ""}, Became.NOTED, 0, 0, 0),
        ({"is_active": False}, Became.NO_RULE, 0, 0, 0),
        ({"matchers": [{"label": "severity", "op": "=", "value": "page"}]}, Became.NO_RULE, 0, 0, 0),
        ({"alias_label": "missing"}, Became.NO_ALIAS, 0, 0, 1),
        ({"alias_label": "", "alias": "gone"}, Became.NO_ALIAS, 0, 0, 1),
        ({"alias_label": "", "alias": "smart-reasoner"}, Became.OPENED, 1, 1, 1),
    ],
)
def test_rule_decides_what_becomes_of_an_alert(
    fire: Fire, proven: Proven, values: dict[str, Any], became: Became, incidents: int, proposals: int, told: int
) -> None:
    AlertRuleFactory(**values)
    alert = fire()
    assert (alert.became, Incident.objects.count(), Proposal.objects.count(), Notice.objects.count()) == (became, incidents, proposals, told)
    assert alert.outcome.endswith(".")


def test_first_rule_that_fits_counts_and_one_of_another_hook_does_not(fire: Fire, proven: Proven) -> None:
    AlertRuleFactory(position=1, hook=AlertHookFactory(), action=SuggestedAction.NONE)
    AlertRuleFactory(position=2, name="second", action=SuggestedAction.PAGE_ONLY)
    AlertRuleFactory(position=3)
    alert = fire()
    assert alert.rule is not None
    assert (alert.rule.name, alert.proposal) == ("second", None)


def test_alias_of_another_environment_is_none_of_ours(fire: Fire, rule: AlertRule) -> None:
    RoutingPolicyFactory(alias="only-in-staging")
    assert fire(alias="only-in-staging").became == Became.NO_ALIAS


def test_nothing_to_go_back_to_is_said_and_the_incident_stands(fire: Fire, rule: AlertRule, proven: Proven, cast: Cast) -> None:
    for version in proven.artefact.versions.exclude(label=BAD):
        StabilityHoldFactory(version=version)
    alert = fire()
    assert (alert.became, alert.proposal) == (Became.OPENED, None)
    assert "No rollback is proposed: There is nothing to go back to" in alert.outcome
    assert "no rollback can be proposed" in Notice.objects.get(user=cast.on_call).subject


def test_one_post_with_many_alerts_and_many_posts_with_one_take_the_same_number_of_queries(hook: AlertHook) -> None:
    def posted(*bodies: bytes) -> int:
        for body in bodies:
            post(hook, body, key=SECRET)
        with CaptureQueriesContext(connection) as queries:
            take_posts()
        return len(queries)

    few = posted(am_body())
    many = posted(am_body(*(am_alert(f"a{number}") for number in range(50))), *(am_body(am_alert(f"b{number}")) for number in range(50)))
    assert few == many
    assert Alert.objects.count() == 101


def test_taken_posts_are_counted_and_emptied_but_their_ids_stay(pagerduty: AlertHook) -> None:
    for number in range(3):
        body = pd_body(event_id=f"e{number}", incident=f"i{number}")
        post(pagerduty, body, headers=pd_headers(body))
    assert take_posts() == 3
    assert list(AlertPost.objects.values_list("delivery_id", "entries").order_by("id")) == [(f"e{number}", []) for number in range(3)]
    assert PostCount.objects.filter(hook=pagerduty, counted=Counted.TAKEN).aggregate(total=Sum("count"))["total"] == 3
    pagerduty.refresh_from_db()
    assert pagerduty.last_seen_at is not None
    assert take_posts() == 0


def test_post_that_cannot_be_worked_on_keeps_no_other_waiting(hook: AlertHook) -> None:
    post(hook, am_body(am_alert("before")), key=SECRET)
    poison = AlertPostFactory(hook=hook, processed_at=None, entries=[{"fingerprint": "x"}])
    post(hook, am_body(am_alert("after")), key=SECRET)
    assert take_posts() == 3
    assert set(Alert.objects.values_list("fingerprint", flat=True)) == {"before", "after"}
    poison.refresh_from_db()
    assert poison.processed_at is not None
    assert poison.problem.startswith("KeyError")


def test_old_posts_are_forgotten_and_young_ones_kept(hook: AlertHook) -> None:
    AlertPostFactory(hook=hook, processed_at=clock.now() - POSTS_KEPT - dt.timedelta(minutes=1))
    kept = AlertPostFactory(hook=hook, processed_at=clock.now() - POSTS_KEPT + dt.timedelta(minutes=1))
    waiting = AlertPostFactory(hook=hook, processed_at=None)
    assert forget_posts() == 1
    assert set(AlertPost.objects.all()) == {kept, waiting}


def test_pagerduty_resolved_without_a_start_ends_the_firing_and_keeps_its_labels(pagerduty: AlertHook) -> None:
    for number, event in enumerate(("incident.triggered", "incident.acknowledged", "incident.resolved")):
        body = pd_body(event, event_id=f"e{number}")
        post(pagerduty, body, headers=pd_headers(body))
    process()
    alert = Alert.objects.get()
    assert (alert.state, alert.times_seen, alert.labels["service"]) == (AlertState.RESOLVED, 2, "smart-reasoner")


def test_failure_of_one_alert_keeps_no_other_from_being_acted_on(hook: AlertHook, rule: AlertRule, monkeypatch: pytest.MonkeyPatch) -> None:
    def sometimes(**values: Any) -> Any:
        if values["labels"].get("broken"):
            raise RuntimeError("broken")
        return rule_on(**values)

    monkeypatch.setattr("rollbackhub.alerts.domain.acting.rule_on", sometimes)
    post(hook, am_body(am_alert("bad", broken="yes"), am_alert("good")), key=SECRET)
    take_posts()
    with pytest.raises(ExceptionGroup):
        act_on_alerts()
    assert dict(Alert.objects.values_list("fingerprint", "to_do")) == {"bad": True, "good": False}


def test_housekeepers_at_once_open_one_incident_and_lose_no_post(fresh_database: FreshDatabase) -> None:
    make_cast()
    proven = make_proven()
    AlertRuleFactory()
    hook = AlertHookFactory(environment=proven.production.environment)
    entry = Entry("f", AlertState.FIRING, "Bad", {"alias": "smart-reasoner"}, {}, BEGAN, None)
    for number in range(60):
        kept = entry.as_json() | {"fingerprint": f"f{number % 5}"}
        AlertPostFactory(hook=hook, processed_at=None, entries=[kept])

    def keep_house(_: int) -> None:
        for _ in range(4):
            process()

    at_once(3, keep_house)
    process()
    assert not AlertPost.objects.filter(processed_at=None).exists()
    assert Alert.objects.aggregate(seen=Sum("times_seen"))["seen"] == 60
    assert (Alert.objects.count(), Incident.objects.count(), Proposal.objects.count()) == (5, 1, 1)
    assert AuditEvent.objects.filter(event="alert.fired").count() == 5
