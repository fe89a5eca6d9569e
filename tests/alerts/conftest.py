"""A path that a drill has proven, a hook of production, and a rule that proposes rollbacks by the label `alias`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rollbackhub.alerts.domain.processing import act_on_alerts, take_posts
from rollbackhub.alerts.models import Alert, AlertHook, AlertRule
from tests.alerts.posts import PAGER_SECRET, STANDARD_SECRET, am_alert, am_body, post
from tests.executions.proofs import Proven, make_proven
from tests.factories.alerts import AlertHookFactory, AlertRuleFactory
from tests.factories.fixtures import Cast

SECRET = "the-secret-of-the-alertmanager"


@pytest.fixture
def proven(cast: Cast) -> Proven:
    """`smart-reasoner`, proven in staging, its bad version in canary in production."""
    return make_proven()


@pytest.fixture
def hook(proven: Proven) -> AlertHook:
    """An Alertmanager's hook of production."""
    made: AlertHook = AlertHookFactory(environment=proven.production.environment, secret=SECRET, name="alertmanager")
    return made


@pytest.fixture
def standard(proven: Proven, monkeypatch: pytest.MonkeyPatch) -> AlertHook:
    """A hook that takes what is signed by Standard Webhooks."""
    monkeypatch.setenv("HOOK_SECRET", STANDARD_SECRET)
    made: AlertHook = AlertHookFactory(environment=proven.production.environment, signed=True)
    return made


@pytest.fixture
def pagerduty(proven: Proven, monkeypatch: pytest.MonkeyPatch) -> AlertHook:
    """PagerDuty's."""
    monkeypatch.setenv("PAGER_SECRET", PAGER_SECRET)
    made: AlertHook = AlertHookFactory(environment=proven.production.environment, pagerduty=True)
    return made


@pytest.fixture
def rule(db: None) -> AlertRule:
    """Proposes rollbacks."""
    made: AlertRule = AlertRuleFactory(name="by label")
    return made


@pytest.fixture
def fire(hook: AlertHook) -> Callable[..., Alert]:
    """Post an alert, and let the housekeeper do what it does; the alert as it stands then."""

    def act(fingerprint: str = "f1", **values: Any) -> Alert:
        post(hook, am_body(am_alert(fingerprint, **values)), key=SECRET)
        take_posts()
        act_on_alerts()
        return Alert.objects.select_related("incident", "proposal").get(hook=hook, fingerprint=fingerprint)

    return act
