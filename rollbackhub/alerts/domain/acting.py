"""What is done about one alert: its rule is looked up, an incident is opened or joined, a rollback is proposed. And that it is over, is noted."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from incidents.domain.acts import open_again_for, raise_severity
from incidents.domain.opening import find_incident_to_join, name_detection, open_incident
from incidents.enums import Severity, Source
from incidents.models import Incident
from rollbackhub.accounts.domain.notices import list_people_with, tell
from rollbackhub.accounts.enums import Role
from rollbackhub.alerts.domain.proposals import ALERTS, propose
from rollbackhub.alerts.domain.ruling import Ruling, list_rules, rule_on
from rollbackhub.alerts.enums import AlertState, Became, SuggestedAction
from rollbackhub.alerts.models import Alert, AlertRule
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.registry.models import Environment
from rollbackhub.routing.models import RoutingPolicy

ANNOTATIONS = ("summary", "description", "message")
"""Where senders say in a sentence what is wrong."""


def act_on(alert_id: UUID) -> int:
    """Do what there is to do about an alert. 0 when somebody else did it in between."""
    with transaction.atomic():
        # A busy row is another process's: it acts on it.
        alert = Alert.objects.select_for_update(of=("self",), skip_locked=True).select_related("hook__environment").filter(pk=alert_id, to_do=True).first()
        if alert is None:
            return 0
        if alert.acted_on != alert.starts_at:
            _fire(alert)
            alert.acted_on = alert.starts_at
        if alert.state == AlertState.RESOLVED and alert.noted_resolved_at is None:
            _note_resolved(alert)
        alert.to_do = False
        alert.save()
    return 1


def title_of(alert: Alert, policy: RoutingPolicy) -> str:
    """What the incident is called."""
    title = f"{policy.alias} in {policy.environment.slug}: {alert.name}"
    return title if len(title) <= 200 else f"{title[:199]}…"


def sentence_of(alert: Alert) -> str:
    """What the sender says is wrong; empty when it says nothing."""
    return next((alert.annotations[name].strip() for name in ANNOTATIONS if alert.annotations.get(name, "").strip()), "")


def _fire(alert: Alert) -> None:
    ruling = rule_on(hook=alert.hook, labels=alert.labels, rules=list(list_rules(active=True)))
    rule = ruling.rule
    alert.rule, alert.policy, alert.proposal = rule, ruling.policy, None
    alert.incident = incident = None
    if rule is None:
        _became(alert, Became.NO_RULE, "No rule fits its labels, so nothing was done.")
    elif rule.action == SuggestedAction.NONE:
        _became(alert, Became.NOTED, f"The rule “{rule.name}” says: only note it.")
    elif ruling.policy is None:
        _name_nothing(alert, rule, ruling)
    else:
        incident = _meet(alert, rule, ruling.policy)
    _record_fired(alert, ruling)
    if incident is not None and rule is not None and ruling.policy is not None:
        if rule.action == SuggestedAction.ROLL_BACK:
            _propose(alert, rule, ruling.policy)
        else:
            _tell(alert, f"Alert: {title_of(alert, ruling.policy)}")


def _record_fired(alert: Alert, ruling: Ruling) -> None:
    """Before what comes of it: on the timeline the alert stands before its proposal."""
    data = {
        "name": alert.name,
        "fingerprint": alert.fingerprint,
        "hook": alert.hook.name,
        "rule": ruling.rule.name if ruling.rule else None,
        "alias": ruling.alias,
        "starts_at": alert.starts_at.isoformat(),
        "became": alert.became,
        **({"incident": str(alert.incident_id)} if alert.incident_id else {}),
    }
    record(event="alert.fired", actor=ALERTS, subject_type="alert", subject_id=alert.pk, data=data)


def _meet(alert: Alert, rule: AlertRule, policy: RoutingPolicy) -> Incident:
    """Join the alias's open incident, or open one. In the open transaction."""
    # One at a time in an environment, as rollbacks open theirs: one harm does not become two incidents.
    Environment.objects.select_for_update(no_key=True).get(pk=policy.environment_id)
    now = clock.now()
    incident = find_incident_to_join(environment=policy.environment, policies=[policy], at=now)
    if incident is not None:
        name_detection(incident_id=incident.pk, detected_at=min(alert.starts_at, now), detected_by=alert.name, actor=ALERTS)
        why = f"Alert {alert.name}, rule “{rule.name}”"
        worse = raise_severity(incident_id=incident.pk, to=Severity(rule.severity), actor=ALERTS, reason=why)
        again = open_again_for(incident_id=incident.pk, since=alert.starts_at, actor=ALERTS, reason=why)
        now_it_is = " and ".join(filter(None, ("open again" if again else "", worse.short if worse else "")))
        _became(alert, Became.JOINED, f"Joined the incident “{incident.title}”{f', which is {now_it_is} now' if now_it_is else ''}.")
    else:
        incident = open_incident(
            title=title_of(alert, policy),
            environment=policy.environment,
            policies=[policy],
            severity=Severity(rule.severity),
            source=Source.ALERT,
            actor=ALERTS,
            summary=sentence_of(alert),
            detected_at=min(alert.starts_at, now),
            detected_by=alert.name,
        )
        _became(alert, Became.OPENED, "Opened an incident.")
    alert.incident = incident
    return incident


def _propose(alert: Alert, rule: AlertRule, policy: RoutingPolicy) -> None:
    assert alert.incident is not None  # _meet was before
    try:
        with transaction.atomic():
            proposal, made = propose(policy=policy, incident=alert.incident, alert=alert, severity=Severity(rule.severity))
    except RollbackHubError as error:
        # Nothing to go back to, a rollback that runs, staging: said as it is, and people look themselves.
        alert.outcome += f" No rollback is proposed: {error.message}"
        _tell(alert, f"Alert, and no rollback can be proposed: {title_of(alert, policy)}", text=error.message)
        return
    alert.proposal = proposal
    alert.outcome += " A rollback is proposed." if made else " It joined the rollback that is proposed already."


def _name_nothing(alert: Alert, rule: AlertRule, ruling: Ruling) -> None:
    where = alert.hook.environment.slug
    if ruling.alias:
        sentence = f"The rule “{rule.name}” takes it to be about the alias {ruling.alias}, and there is none of that name in {where}."
    else:
        sentence = f"The rule “{rule.name}” takes the alias from the label {rule.alias_label}, and the alert has no such label."
    _became(alert, Became.NO_ALIAS, sentence)
    _tell(alert, f"Alert that names no alias of {where}: {alert.name}"[:200], text=sentence)


def _note_resolved(alert: Alert) -> None:
    """It closes nothing: whether the harm is over, people and verifications say."""
    alert.noted_resolved_at = clock.now()
    data = {
        "name": alert.name,
        "fingerprint": alert.fingerprint,
        "resolved_at": alert.resolved_at.isoformat() if alert.resolved_at else None,
        **({"incident": str(alert.incident_id)} if alert.incident_id else {}),
        **({"proposal": str(alert.proposal_id)} if alert.proposal_id else {}),
    }
    record(event="alert.resolved", actor=ALERTS, subject_type="alert", subject_id=alert.pk, data=data)


def _became(alert: Alert, became: Became, sentence: str) -> None:
    alert.became, alert.outcome = became, sentence


def _tell(alert: Alert, subject: str, *, text: str = "") -> None:
    tell(
        people=list_people_with(Role.ON_CALL),
        key=f"alert:{alert.pk}:{alert.times_fired}",
        subject=subject,
        text=text or sentence_of(alert)[:1000],
        url=f"/alerts/{alert.pk}/",
    )
