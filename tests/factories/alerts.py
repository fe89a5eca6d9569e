"""Hooks, rules, alerts, and the rollbacks that they propose."""

from __future__ import annotations

import datetime as dt

import factory
from factory.django import DjangoModelFactory

from rollbackhub.accounts.enums import Role
from rollbackhub.alerts.domain.hooks import hash_of
from rollbackhub.alerts.enums import AlertState, Counted, HookKind, ProposalState, SuggestedAction
from rollbackhub.alerts.models import Alert, AlertHook, AlertPost, AlertRule, Automation, AutoRollback, PostCount, Proposal
from rollbackhub.common.clock import now
from tests.factories.accounts import TeamFactory, UserFactory
from tests.factories.incidents import IncidentFactory
from tests.factories.registry import EnvironmentFactory
from tests.factories.rollbacks import RollbackFactory
from tests.factories.routing import RoutingPolicyFactory


class AlertHookFactory(DjangoModelFactory):
    """An Alertmanager's hook of production with the secret `a-secret-of-an-alertmanager-<number>`; `signed=True`: Standard Webhooks, by env:HOOK_SECRET."""

    class Meta:
        model = AlertHook

    class Params:
        secret = factory.Sequence("a-secret-of-an-alertmanager-{}".format)
        signed = factory.Trait(kind=HookKind.STANDARD, token_hash=None, signing_ref="env:HOOK_SECRET")
        pagerduty = factory.Trait(kind=HookKind.PAGERDUTY, token_hash=None, signing_ref="env:PAGER_SECRET")
        ended = factory.Trait(is_active=False, ended_at=factory.LazyFunction(now))

    kind = HookKind.ALERTMANAGER
    name = factory.Sequence("alertmanager {}".format)
    environment = factory.SubFactory(EnvironmentFactory, slug="production")
    team = factory.SubFactory(TeamFactory)
    token_hash = factory.LazyAttribute(lambda hook: hash_of(hook.secret))
    created_by = factory.SubFactory(UserFactory, roles=[Role.PLATFORM_LEAD])


class AlertPostFactory(DjangoModelFactory):
    """A post that was looked at."""

    class Meta:
        model = AlertPost

    hook = factory.SubFactory(AlertHookFactory)
    entries = factory.LazyFunction(list)
    processed_at = factory.LazyFunction(now)


class PostCountFactory(DjangoModelFactory):
    """Three posts that were taken."""

    class Meta:
        model = PostCount

    hook = factory.SubFactory(AlertHookFactory)
    counted = Counted.TAKEN
    day = factory.LazyFunction(lambda: now().date())
    count = 3


class AlertRuleFactory(DjangoModelFactory):
    """Proposes a rollback of the alias that the label `alias` names, whatever else the labels are."""

    class Meta:
        model = AlertRule

    name = factory.Sequence("rule {}".format)
    position = factory.Sequence(lambda number: 10 * number + 10)
    alias_label = "alias"
    action = SuggestedAction.ROLL_BACK
    changed_by_label = "Lee Lead"


class ProposalFactory(DjangoModelFactory):
    """Waits for a decision about an alias in production. Traits for the other states."""

    class Meta:
        model = Proposal

    class Params:
        ended = factory.Trait(ended_at=factory.LazyFunction(now), ended_by_label="Olga Call")
        dismissed = factory.Trait(ended=True, state=ProposalState.DISMISSED, ended_because="A false alarm.")
        expired = factory.Trait(ended=True, state=ProposalState.EXPIRED)
        superseded = factory.Trait(ended=True, state=ProposalState.SUPERSEDED)
        confirmed = factory.Trait(ended=True, state=ProposalState.CONFIRMED, rollback=factory.SubFactory(RollbackFactory))

    policy = factory.SubFactory(RoutingPolicyFactory, environment=factory.SubFactory(EnvironmentFactory, slug="production"))
    incident = factory.LazyAttribute(lambda proposal: IncidentFactory(environment=proposal.policy.environment, aliases=[proposal.policy]))
    plan = factory.LazyFunction(
        lambda: {"parts": [{"bad_version": "claude-sonnet-4-6", "good_versions": ["claude-sonnet-4-5"], "proof": {"in_words": "Never drilled."}}]}
    )
    plan_hash = "a" * 64
    detected_at = factory.LazyFunction(lambda: now() - dt.timedelta(minutes=2))
    detected_by = "ReasonerFeedbackBad"
    severity = "sev2"
    made_at = factory.LazyFunction(now)
    expires_at = factory.LazyAttribute(lambda proposal: proposal.made_at + dt.timedelta(hours=24))
    judged_at = factory.LazyFunction(now)


class AlertFactory(DjangoModelFactory):
    """Fires since two minutes, and was looked at: no rule fits. `resolved=True`: it is over."""

    class Meta:
        model = Alert

    class Params:
        resolved = factory.Trait(state=AlertState.RESOLVED, resolved_at=factory.LazyFunction(now))

    hook = factory.SubFactory(AlertHookFactory)
    fingerprint = factory.Sequence("fingerprint-{}".format)
    name = "ReasonerFeedbackBad"
    labels = factory.LazyAttribute(lambda alert: {"alertname": alert.name, "severity": "critical"})
    annotations = factory.LazyFunction(lambda: {"summary": "Negative feedback is above 20 %"})
    state = AlertState.FIRING
    starts_at = factory.LazyFunction(lambda: now() - dt.timedelta(minutes=2))
    sender_starts_at = factory.SelfAttribute("starts_at")
    first_seen_at = factory.SelfAttribute("starts_at")
    last_seen_at = factory.LazyFunction(now)
    to_do = False
    acted_on = factory.SelfAttribute("starts_at")
    became = "no_rule"
    outcome = "No rule fits its labels, so nothing was done."


class AutomationFactory(DjangoModelFactory):
    """The one row: not stopped."""

    class Meta:
        model = Automation
        django_get_or_create = ["id"]

    id = 1


class AutoRollbackFactory(DjangoModelFactory):
    """Turned on, in the name of a service account of an on-call engineer."""

    class Meta:
        model = AutoRollback

    policy = factory.SubFactory(RoutingPolicyFactory, environment=factory.SubFactory(EnvironmentFactory, slug="production"))
    account = factory.SubFactory(UserFactory, roles=[Role.ON_CALL], responsible=factory.SubFactory(UserFactory, roles=[Role.ON_CALL]))
    reason = "Nights without anybody awake."
    changed_by = factory.SubFactory(UserFactory, roles=[Role.PLATFORM_LEAD])
    changed_at = factory.LazyFunction(now)
