"""The hub's way in for the lab's Alertmanager: a hook of the lab's own, and the rules that belong to it."""

from __future__ import annotations

from incidents.enums import Severity
from rollbackhub.accounts.domain.notices import list_people_with
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import Team, User
from rollbackhub.alerts.domain.hooks import end_hook, hash_of, make_hook
from rollbackhub.alerts.domain.ruling import RuleDraft, make_rule
from rollbackhub.alerts.enums import HookKind, SuggestedAction
from rollbackhub.alerts.models import AlertHook
from rollbackhub.alerts.rules import Matcher
from rollbackhub.lab.domain.seed import ACTOR, TEAM
from rollbackhub.lab.parts.alertmanager import ENVIRONMENT, AlertmanagerPart
from rollbackhub.lab.world import LabWorld
from rollbackhub.registry.models import Environment

HOOK_NAME = "The lab's Alertmanager"
DEGRADED, UNMEASURED = "NegativeFeedbackAboveBaseline", "FeedbackNotMeasured"
"""Alerts of feedback_rules.yaml."""


def part_of(world: LabWorld) -> AlertmanagerPart | None:
    """The world's Alertmanager; None: it runs without, or without production, whose alerts are told."""
    return next((part for part in world.parts if isinstance(part, AlertmanagerPart) and ENVIRONMENT in world.environments), None)


def ensure_alert_hook(world: LabWorld) -> bool:
    """Make sure that the lab's Alertmanager may post to the hub. Safe to repeat. False: not yet, for nobody is there who may set it up.

    A hook that somebody has ended stays ended.
    """
    part = part_of(world)
    if part is None:
        return True
    token = part.token()
    if token and AlertHook.objects.filter(token_hash=hash_of(token)).exists():
        return True
    user = list_people_with(Role.PLATFORM_LEAD, Role.ADMIN).first()
    if user is None:
        return False
    environment = Environment.objects.get(slug=ENVIRONMENT, is_lab=True)
    for former in AlertHook.objects.filter(name=HOOK_NAME, environment=environment, is_active=True):
        # Its token is gone: the lab's folder was deleted.
        end_hook(hook_id=former.pk, actor=ACTOR, user=user)
    hook, path = make_hook(kind=HookKind.ALERTMANAGER, name=HOOK_NAME, environment=environment, team=Team.objects.get(slug=TEAM[0]), actor=ACTOR, user=user)
    _make_rules(hook, user)
    part.keep_token(path.rpartition("/")[2])
    return True


def _make_rules(hook: AlertHook, user: User) -> None:
    for draft in (
        RuleDraft(
            name="Feedback degraded (lab)",
            matchers=[Matcher("alertname", "=", DEGRADED), Matcher("severity", "=", "critical")],
            action=SuggestedAction.ROLL_BACK,
            severity=Severity.SEV2,
            alias_label="alias",
            hook=hook,
        ),
        RuleDraft(name="Feedback not measured (lab)", matchers=[Matcher("alertname", "=", UNMEASURED)], action=SuggestedAction.NONE, hook=hook),
    ):
        make_rule(draft=draft, actor=ACTOR, user=user)
