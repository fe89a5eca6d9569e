"""What a post would do, without doing it: for who writes rules."""

from __future__ import annotations

from dataclasses import dataclass, field

from incidents.domain.opening import find_incident_to_join
from rollbackhub.alerts.domain.automation import get_auto, why_not
from rollbackhub.alerts.domain.courses import course_of
from rollbackhub.alerts.domain.proposals import plan_now
from rollbackhub.alerts.domain.ruling import list_rules, rule_on
from rollbackhub.alerts.enums import AlertState, SuggestedAction
from rollbackhub.alerts.models import Alert, AlertHook, AlertRule
from rollbackhub.alerts.payloads import Entry, Unreadable, Unusable, read_delivery
from rollbackhub.alerts.rules import go_on
from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput, RollbackHubError
from rollbackhub.routing.models import RoutingPolicy

MAX_SHOWN = 20
"""Alerts of one post that are looked at: each costs a plan."""


@dataclass(slots=True)
class Tried:
    """What would become of one alert of a post, in sentences."""

    entry: Entry
    rule: AlertRule | None = None
    alias: str = ""
    policy: RoutingPolicy | None = None
    says: list[str] = field(default_factory=list)


def try_post(*, hook: AlertHook, body: str) -> list[Tried]:
    """What this post would do if the hook took it now. Changes nothing. Raises InvalidInput when the hook would not take it."""
    try:
        delivery = read_delivery(hook.kind, body.encode("utf-8", "surrogatepass"))
    except Unreadable as error:
        raise InvalidInput("The post is no JSON that can be read.", fields={"body": ["It is no JSON that can be read."]}) from error
    except Unusable as error:
        said = [f"{place}: {' '.join(sentences)}" for place, sentences in error.fields.items()]
        raise InvalidInput("The hook would refuse it: " + " ".join(said), fields={"body": said}) from error
    rules = list(list_rules(active=True))
    found = []
    for entry in delivery.entries[:MAX_SHOWN]:
        ruling = rule_on(hook=hook, labels=entry.labels, rules=rules)
        tried = Tried(entry, ruling.rule, ruling.alias, ruling.policy)
        _say(tried, hook)
        found.append(tried)
    return found


def _say(tried: Tried, hook: AlertHook) -> None:
    entry, rule, policy = tried.entry, tried.rule, tried.policy
    known = Alert.objects.filter(hook=hook, fingerprint=entry.fingerprint).first()
    course = go_on(course_of(known) if known is not None else None, status=entry.status, starts_at=entry.starts_at, ends_at=entry.ends_at, at=clock.now())
    if not course.to_do or (known is not None and (course.state, course.starts_at) == (known.state, known.starts_at)):
        tried.says.append("It would only be counted: this firing is known already." if entry.status == AlertState.FIRING else "It would only be counted.")
        return
    if entry.status == AlertState.RESOLVED:
        tried.says.append("It would be noted that the alert is over. That closes nothing.")
        return
    if rule is None:
        tried.says.append("No rule fits its labels: nothing would be done.")
    elif rule.action == SuggestedAction.NONE:
        tried.says.append("It would only be noted.")
    elif policy is None:
        named = f"it names {tried.alias}, and there is no such alias in {hook.environment.slug}" if tried.alias else f"it has no label {rule.alias_label}"
        tried.says.append(f"The on-call engineers would be told that {named}.")
    else:
        incident = find_incident_to_join(environment=policy.environment, policies=[policy], at=clock.now())
        tried.says.append(f"It would join the incident “{incident.title}”." if incident else f"It would open an incident ({rule.get_severity_display()}).")
        if rule.action == SuggestedAction.ROLL_BACK:
            _say_rollback(tried, policy)
        else:
            tried.says.append("The on-call engineers would be told.")


def _say_rollback(tried: Tried, policy: RoutingPolicy) -> None:
    auto = get_auto(policy)
    try:
        found = plan_now(policy, account=auto.account if auto is not None else None)
    except RollbackHubError as error:
        tried.says.append(f"No rollback would be proposed: {error.message}")
        return
    content = found.parts[0].plan.content
    tried.says.append(f"A rollback would be proposed: take out {content['bad_version']}, go back to {', '.join(content['good_versions'])}.")
    if auto is not None and auto.is_on:
        because = why_not(policy=policy, found=found, fires=True)
        tried.says.append(f"A person would have to confirm it. {because}" if because else "RollbackHub would confirm it by itself.")
