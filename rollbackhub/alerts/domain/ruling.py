"""Rules: written, ordered, deleted, and asked. Their only writer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Max, QuerySet

from incidents.enums import Severity
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.alerts.enums import SuggestedAction
from rollbackhub.alerts.models import AlertHook, AlertRule
from rollbackhub.alerts.rules import MAX_MATCHERS, OPERATORS, Matcher, matchers_of, matches, problem_of_pattern
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common.errors import InvalidInput, NotFound
from rollbackhub.common.shown_text import problem_of
from rollbackhub.routing.models import RoutingPolicy

LONGEST_LABEL = 100
LONGEST_VALUE = 300


@dataclass(frozen=True, slots=True)
class RuleDraft:
    """What a rule is to say."""

    name: str
    matchers: Sequence[Matcher]
    action: SuggestedAction | str
    severity: Severity | str = Severity.SEV2
    alias: str = ""
    alias_label: str = ""
    hook: AlertHook | None = None
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the rules say about an alert: the first rule that fits, the alias that it names, and that alias of ours."""

    rule: AlertRule | None = None
    alias: str = ""
    policy: RoutingPolicy | None = None


def make_rule(*, draft: RuleDraft, actor: Actor, user: User) -> AlertRule:
    """Write a rule behind the others. Raises Forbidden, InvalidInput with sentences per field."""
    require(user=user, capability=Capability.CONFIGURE)
    values = _checked(draft)
    with transaction.atomic():
        last = AlertRule.objects.aggregate(last=Max("position"))["last"] or 0
        rule = AlertRule.objects.create(**values, position=last + 10, changed_by_label=actor.label)
        _record("alert_rule.made", rule, actor)
    return rule


def change_rule(*, rule_id: int, draft: RuleDraft, actor: Actor, user: User) -> AlertRule:
    """Write it anew. Raises Forbidden, NotFound, InvalidInput."""
    require(user=user, capability=Capability.CONFIGURE)
    values = _checked(draft)
    with transaction.atomic():
        rule = _locked(rule_id)
        for name, value in {**values, "changed_by_label": actor.label}.items():
            setattr(rule, name, value)
        rule.save()
        _record("alert_rule.changed", rule, actor)
    return rule


def delete_rule(*, rule_id: int, actor: Actor, user: User) -> None:
    """Take it away; alerts keep what came of them. Raises Forbidden, NotFound."""
    require(user=user, capability=Capability.CONFIGURE)
    with transaction.atomic():
        rule = _locked(rule_id)
        _record("alert_rule.deleted", rule, actor)
        rule.delete()


def move_rule_up(*, rule_id: int, actor: Actor, user: User) -> AlertRule:
    """Put it before the one before it. Raises Forbidden, NotFound."""
    require(user=user, capability=Capability.CONFIGURE)
    with transaction.atomic():
        rules = list(AlertRule.objects.select_for_update(of=("self",)).order_by("position", "id"))
        index = next((index for index, rule in enumerate(rules) if rule.pk == rule_id), None)
        if index is None:
            raise no_rule()
        rule = rules[index]
        if index > 0:
            rules[index - 1], rules[index] = rules[index], rules[index - 1]
            for position, moved in enumerate(rules, start=1):
                moved.position = 10 * position
            AlertRule.objects.bulk_update(rules, ["position"])
            _record("alert_rule.moved", rule, actor)
    return rule


def get_rule(rule_id: int) -> AlertRule:
    """A rule. Raises NotFound. One query."""
    rule = AlertRule.objects.select_related("hook").filter(pk=rule_id).first()
    if rule is None:
        raise no_rule()
    return rule


def list_rules(*, active: bool | None = None) -> QuerySet[AlertRule]:
    """Rules in the order in which they are tried."""
    found = AlertRule.objects.select_related("hook").order_by("position", "id")
    return found if active is None else found.filter(is_active=active)


def rule_on(*, hook: AlertHook, labels: Mapping[str, str], rules: Sequence[AlertRule]) -> Ruling:
    """What these rules say about an alert with these labels. One query when a rule fits and names an alias."""
    for rule in rules:
        if rule.hook_id in (None, hook.pk) and matches(matchers_of(rule.matchers), labels):
            alias = rule.alias or labels.get(rule.alias_label, "") if rule.alias or rule.alias_label else ""
            policy = None
            if alias and not problem_of(alias):
                policies = RoutingPolicy.objects.select_related("environment", "artefact__team")
                policy = policies.filter(environment=hook.environment_id, alias=alias[:80]).first()
            return Ruling(rule, alias[:200], policy)
    return Ruling()


def no_rule() -> NotFound:
    """What is said of a rule that there is not."""
    return NotFound("There is no such rule.", code="alert_rule_not_found")


def _locked(rule_id: int) -> AlertRule:
    rule = AlertRule.objects.select_for_update(of=("self",)).select_related("hook").filter(pk=rule_id).first()
    if rule is None:
        raise no_rule()
    return rule


def _checked(draft: RuleDraft) -> dict[str, Any]:
    name, alias, alias_label = draft.name.strip(), draft.alias.strip(), draft.alias_label.strip()
    fields: dict[str, list[str]] = {}
    if not name or len(name) > 100 or problem_of(name):
        fields["name"] = ["Name it in 1 to 100 characters, on one line."]
    if draft.action not in SuggestedAction.values:
        fields["action"] = [f"Choose one of {', '.join(SuggestedAction.values)}."]
    if draft.severity not in Severity.values:
        fields["severity"] = [f"Choose one of {', '.join(Severity.values)}."]
    if alias and alias_label:
        fields["alias"] = ["Name the alias, or the label that names it, not both."]
    elif not alias and not alias_label and draft.action != SuggestedAction.NONE:
        fields["alias"] = ["Name the alias that it is about, or the label that names it."]
    elif alias and not _is_known(alias, draft.hook):
        where = f"in {draft.hook.environment.slug}" if draft.hook else "in any environment"
        fields["alias"] = [f"There is no alias {alias} {where}."]
    if problem_of(alias_label) or len(alias_label) > LONGEST_LABEL:
        fields["alias_label"] = ["That is no name of a label."]
    problems = _problems_of(draft.matchers)
    if problems:
        fields["matchers"] = problems
    if fields:
        raise InvalidInput("The rule cannot be kept: " + " ".join(said for found in fields.values() for said in found), fields=fields)
    return {
        "name": name,
        "matchers": [matcher.as_json() for matcher in draft.matchers],
        "action": draft.action,
        "severity": draft.severity,
        "alias": alias,
        "alias_label": alias_label,
        "hook": draft.hook,
        "is_active": draft.is_active,
    }


def _problems_of(matchers: Sequence[Matcher]) -> list[str]:
    if len(matchers) > MAX_MATCHERS:
        return [f"A rule has at most {MAX_MATCHERS} conditions."]
    said = []
    for matcher in matchers:
        if matcher.op not in OPERATORS:
            said.append(f"There is no comparison {matcher.op}; there are {' '.join(OPERATORS)}.")
        elif matcher.op == "=" and matcher.value.startswith("="):
            said.append(f"{matcher.label} == {matcher.value[1:].strip()}: write one = for “is”. (A value that begins with = is matched by =~.)")
        elif not matcher.label or len(matcher.label) > LONGEST_LABEL or problem_of(matcher.label):
            said.append("Each condition names a label.")
        elif len(matcher.value) > LONGEST_VALUE or problem_of(matcher.value):
            said.append(f"The value of {matcher.label} has at most {LONGEST_VALUE} characters, on one line.")
        elif matcher.op in ("=~", "!~") and (problem := problem_of_pattern(matcher.value)):
            said.append(f"{matcher.label}: {problem}")
    return said


def _is_known(alias: str, hook: AlertHook | None) -> bool:
    if problem_of(alias):
        return False
    found = RoutingPolicy.objects.filter(alias=alias)
    return (found.filter(environment=hook.environment_id) if hook else found).exists()


def _record(event: str, rule: AlertRule, actor: Actor) -> None:
    data = {
        "name": rule.name,
        "hook": rule.hook.name if rule.hook else None,
        "matchers": " and ".join(matcher.in_words for matcher in matchers_of(rule.matchers)) or "every alert",
        "alias": rule.alias,
        "alias_label": rule.alias_label,
        "severity": rule.severity,
        "action": rule.action,
        "is_active": rule.is_active,
    }
    record(event=event, actor=actor, subject_type="alert_rule", subject_id=rule.pk, data=data)
