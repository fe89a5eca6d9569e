"""Alerts, hooks, rules and proposals in every state, for pages that are looked at in a browser."""

from __future__ import annotations

from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.alerts.enums import Counted
from rollbackhub.alerts.models import Automation
from rollbackhub.registry.models import Environment
from tests.factories.accounts import UserFactory
from tests.factories.alerts import AlertFactory, AlertHookFactory, AlertRuleFactory, AutoRollbackFactory, PostCountFactory, ProposalFactory
from tests.factories.registry import EnvironmentFactory
from tests.factories.routing import RoutingPolicyFactory

LONG = "a-label-without-any-space-that-goes-on-and-on-" * 4
LONG_NAME = "ReasonerFeedbackIsFarWorseThanItWasInTheBaselineOfTheLastFullWeekOfTheQuarter" * 2


def make_alerts() -> dict[str, str]:
    """The rows; the address of each page by a short name. The open proposal stands in the bar."""
    production: Environment = EnvironmentFactory(slug="production")
    hook = AlertHookFactory(environment=production, name="Alertmanager of the platform")
    AlertHookFactory(environment=production, name="PagerDuty", pagerduty=True)
    AlertHookFactory(environment=production, name="An old one", ended=True)
    for counted, count in ((Counted.TAKEN, 10_000), (Counted.MALFORMED, 2), (Counted.REPLAYED, 7), (Counted.TOO_LARGE, 1)):
        PostCountFactory(hook=hook, counted=counted, count=count)
    matchers = [{"label": "severity", "op": "=~", "value": "critical|page"}, {"label": "alertname", "op": "=", "value": LONG[:100]}]
    rule = AlertRuleFactory(name="Feedback of the reasoner", matchers=matchers, hook=hook)
    AlertRuleFactory(name="Everything else", action="none", alias_label="", is_active=False)
    policy = RoutingPolicyFactory(environment=production, alias="alerting-reasoner")
    waiting = ProposalFactory(policy=policy, not_automatic="The rollback is not proven now: its proof is never drilled.", detected_by=LONG_NAME)
    values = {"hook": hook, "rule": rule, "policy": policy, "incident": waiting.incident, "became": "opened"}
    alert = AlertFactory(proposal=waiting, outcome="Opened an incident. A rollback is proposed.", **values)
    AlertFactory(proposal=waiting, resolved=True, labels={"alertname": "Long", LONG: LONG}, annotations={"summary": LONG}, hook=hook, name=LONG[:200])
    ended = {trait: ProposalFactory(**{trait: True}) for trait in ("confirmed", "dismissed", "expired", "superseded")}
    bot = UserFactory(username="rollback-bot", roles=[Role.ON_CALL], responsible=User.objects.get(username="oncall"))
    AutoRollbackFactory(policy=policy, account=bot)
    AutoRollbackFactory(is_on=False)
    Automation.objects.get_or_create(pk=1)
    return {
        "alerts": "/alerts/",
        "alert": f"/alerts/{alert.pk}/",
        "alert-proposals": "/alerts/proposals/",
        "alert-proposal": f"/alerts/proposals/{waiting.pk}/",
        **{f"alert-proposal-{name}": f"/alerts/proposals/{proposal.pk}/" for name, proposal in ended.items()},
        "alert-hooks": "/alerts/hooks/",
        "alert-rules": "/alerts/rules/",
        "alert-rule-new": "/alerts/rules/new/",
        "alert-rule": f"/alerts/rules/{rule.pk}/edit/",
        "alert-try": "/alerts/rules/try/",
        "alert-automation": "/alerts/automation/",
    }
