"""What people send about alerts: filters, hooks, rules, posts to try, decisions."""

from __future__ import annotations

import re
from typing import Any

from django import forms

from incidents.enums import Severity
from rollbackhub.accounts.models import Team
from rollbackhub.alerts.domain.automation import MOST_PER_DAY, list_service_accounts
from rollbackhub.alerts.domain.hooks import list_hooks
from rollbackhub.alerts.domain.ruling import RuleDraft
from rollbackhub.alerts.enums import AlertState, Became, HookKind, ProposalState, SuggestedAction
from rollbackhub.alerts.models import AlertHook, AlertRule
from rollbackhub.alerts.rules import Matcher, matchers_of
from rollbackhub.common.errors import InvalidInput
from rollbackhub.registry.enums import EnvironmentKind
from rollbackhub.registry.models import Environment
from rollbackhub.rollbacks.rules import MAX_REASON, MIN_REASON
from rollbackhub.routing.models import RoutingPolicy

_TEXT = {"class": "form-control", "autocomplete": "off", "spellcheck": "false"}
_CODE = {**_TEXT, "class": "form-control mono"}
_REASON = {**_TEXT, "placeholder": "For the record"}
_SELECT = {"class": "form-select"}
_NUMBER = {"class": "form-control"}
_LINE = re.compile(r"\s*([^\s=!~]+)\s*(=~|!~|!=|=)\s*(.*?)\s*")
SUGGESTIONS = 300


class AlertFilterForm(forms.Form):
    """Which alerts a list shows; all of it stands in the address."""

    query = forms.CharField(required=False, max_length=80, label="Name contains", widget=forms.TextInput(attrs=_TEXT))
    state = forms.ChoiceField(required=False, label="State", choices=[("", "Any"), *AlertState.choices], widget=forms.Select(attrs=_SELECT))
    became = forms.ChoiceField(required=False, label="What came of it", choices=[("", "Anything"), *Became.choices], widget=forms.Select(attrs=_SELECT))
    environment = forms.ChoiceField(required=False, label="Environment", widget=forms.Select(attrs=_SELECT))
    hook = forms.ChoiceField(required=False, label="Came by", widget=forms.Select(attrs=_SELECT))
    alias = forms.CharField(required=False, max_length=80, label="Alias", widget=forms.TextInput(attrs=_TEXT))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _choose(self, "environment", [("", "Any"), *Environment.objects.values_list("slug", "name")])
        _choose(self, "hook", [("", "Any hook"), *((str(hook.pk), hook.name) for hook in list_hooks())])

    def wanted(self) -> dict[str, str]:
        """What can be read in the address; the rest is left out."""
        self.is_valid()
        return {name: self.cleaned_data.get(name, "") for name in self.fields}


class ProposalFilterForm(forms.Form):
    """Which proposals a list shows."""

    state = forms.ChoiceField(required=False, label="State", choices=[("", "Any"), *ProposalState.choices], widget=forms.Select(attrs=_SELECT))
    environment = forms.ChoiceField(required=False, label="Environment", widget=forms.Select(attrs=_SELECT))
    alias = forms.CharField(required=False, max_length=80, label="Alias", widget=forms.TextInput(attrs=_TEXT))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _choose(self, "environment", [("", "Any"), *Environment.objects.values_list("slug", "name")])

    def wanted(self) -> dict[str, str]:
        """What can be read in the address."""
        self.is_valid()
        return {name: self.cleaned_data.get(name, "") for name in self.fields}


class HookForm(forms.Form):
    """A hook to make."""

    kind = forms.ChoiceField(label="What posts to it", choices=HookKind.choices, widget=forms.Select(attrs=_SELECT))
    name = forms.CharField(label="Name", max_length=100, widget=forms.TextInput(attrs={**_TEXT, "placeholder": "e.g. Alertmanager of the platform"}))
    environment = forms.ChoiceField(label="Environment that its alerts are about", widget=forms.Select(attrs=_SELECT))
    team = forms.ChoiceField(label="Team that looks after it", widget=forms.Select(attrs=_SELECT))
    signing_ref = forms.CharField(
        required=False,
        max_length=420,
        label="Where the signing secret is found (not for Alertmanager)",
        widget=forms.TextInput(attrs={**_TEXT, "placeholder": "env:PAGERDUTY_SECRET or file:/run/secrets/hook"}),
        help_text="A place that the web processes can read, never the secret itself.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._environments = {environment.slug: environment for environment in Environment.objects.all()}
        self._teams = {team.slug: team for team in Team.objects.all()}
        _choose(self, "environment", [(slug, environment.name) for slug, environment in self._environments.items()])
        _choose(self, "team", [(slug, team.name) for slug, team in self._teams.items()])

    def chosen(self) -> dict[str, Any]:
        """The arguments of `make_hook` that the form gives."""
        values = self.cleaned_data
        return {**values, "environment": self._environments[values["environment"]], "team": self._teams[values["team"]]}


class RuleForm(forms.Form):
    """A rule. What does not fit, the domain says."""

    name = forms.CharField(label="Name", max_length=100, widget=forms.TextInput(attrs=_TEXT))
    hook = forms.ChoiceField(required=False, label="Of which hook", widget=forms.Select(attrs=_SELECT))
    matchers = forms.CharField(
        required=False,
        max_length=8000,
        label="Labels that must fit, one a line",
        widget=forms.Textarea(attrs={**_CODE, "rows": 4, "placeholder": "alertname = ReasonerFeedbackBad\nseverity =~ critical|page"}),
        help_text="label = value, label != value, label =~ pattern, label !~ pattern. A pattern has to fit the whole value. Empty: every alert.",
    )
    alias = forms.CharField(required=False, max_length=80, label="Alias that it is about", widget=forms.TextInput(attrs={**_TEXT, "list": "aliases"}))
    alias_label = forms.CharField(required=False, max_length=100, label="Or the label that names the alias", widget=forms.TextInput(attrs=_TEXT))
    severity = forms.ChoiceField(label="Severity of the incident", choices=Severity.choices, initial=Severity.SEV2, widget=forms.Select(attrs=_SELECT))
    action = forms.ChoiceField(label="What is done", choices=SuggestedAction.choices, widget=forms.Select(attrs=_SELECT))
    is_active = forms.ChoiceField(label="In use", choices=[("yes", "In use"), ("no", "Not in use")], initial="yes", widget=forms.Select(attrs=_SELECT))

    def __init__(self, *args: Any, rule: AlertRule | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hooks = {str(hook.pk): hook for hook in list_hooks(active=True)}
        if rule is not None:
            if rule.hook is not None:
                self._hooks.setdefault(str(rule.hook_id), rule.hook)
            self.initial = {**_initial_of(rule), **self.initial}
        _choose(self, "hook", [("", "Every hook"), *((key, hook.name) for key, hook in self._hooks.items())])

    def clean_matchers(self) -> list[Matcher]:
        """Each line as a condition."""
        found, wrong = [], []
        for number, line in enumerate(self.cleaned_data["matchers"].splitlines(), start=1):
            if not line.strip():
                continue
            parts = _LINE.fullmatch(line)
            if parts is None:
                wrong.append(f"Line {number} is no condition: label = value.")
            else:
                found.append(Matcher(parts[1], parts[2], _unquoted(parts[3])))
        if wrong:
            raise forms.ValidationError(wrong)
        return found

    def draft(self) -> RuleDraft:
        """As the domain takes it."""
        values = self.cleaned_data
        return RuleDraft(
            name=values["name"],
            matchers=values["matchers"],
            action=values["action"],
            severity=values["severity"],
            alias=values["alias"],
            alias_label=values["alias_label"],
            hook=self._hooks.get(values["hook"]),
            is_active=values["is_active"] == "yes",
        )

    def suggested_aliases(self) -> list[str]:
        """Aliases that there are."""
        return list(RoutingPolicy.objects.order_by("alias").values_list("alias", flat=True).distinct()[:SUGGESTIONS])


class TryForm(forms.Form):
    """A post to try: what would it do?"""

    hook = forms.ChoiceField(label="As if it came by", widget=forms.Select(attrs=_SELECT))
    body = forms.CharField(label="Post (JSON)", max_length=2_000_000, strip=False, widget=forms.Textarea(attrs={**_CODE, "rows": 12}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hooks = {str(hook.pk): hook for hook in list_hooks(active=True)}
        _choose(self, "hook", [(key, f"{hook.name} ({hook.get_kind_display()})") for key, hook in self._hooks.items()])

    @property
    def has_hooks(self) -> bool:
        """Whether there is a hook that could take it."""
        return bool(self._hooks)

    def chosen_hook(self) -> AlertHook:
        """The hook."""
        return self._hooks[self.cleaned_data["hook"]]


class ConfirmForm(forms.Form):
    """The one confirmation: the plan that was seen, and why."""

    reason = forms.CharField(min_length=MIN_REASON, max_length=MAX_REASON, label="Reason", widget=forms.TextInput(attrs=_TEXT))
    seen_plan_hash = forms.CharField(max_length=64)


class TurnOnForm(forms.Form):
    """An alias whose proposals RollbackHub may confirm by itself."""

    alias = forms.ChoiceField(label="Alias", widget=forms.Select(attrs=_SELECT))
    account = forms.ChoiceField(
        label="In the name of",
        widget=forms.Select(attrs=_SELECT),
        help_text="A service account that may roll back; its person answers for it.",
    )
    per_day = forms.IntegerField(label="Times within 24 hours at most", initial=1, min_value=1, max_value=MOST_PER_DAY, widget=forms.NumberInput(attrs=_NUMBER))
    reason = forms.CharField(
        min_length=MIN_REASON, max_length=MAX_REASON, label="Reason", widget=forms.TextInput(attrs={**_TEXT, "placeholder": "For the record"})
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        policies = RoutingPolicy.objects.filter(environment__kind=EnvironmentKind.PRODUCTION).select_related("environment", "artefact").order_by("alias")
        self._policies = {str(policy.pk): policy for policy in policies}
        self._accounts = {account.username: account for account in list_service_accounts()}
        _choose(self, "alias", [(key, f"{policy.alias} in {policy.environment.slug}") for key, policy in self._policies.items()])
        _choose(self, "account", [(name, f"{name} ({account.responsible} answers)") for name, account in self._accounts.items()])

    @property
    def is_possible(self) -> bool:
        """Whether there is an alias and an account to choose."""
        return bool(self._policies and self._accounts)

    def chosen(self) -> dict[str, Any]:
        """The arguments of `turn_on` that the form gives."""
        values = self.cleaned_data
        return {
            "policy": self._policies[values["alias"]],
            "account": self._accounts[values["account"]],
            "per_day": values["per_day"],
            "reason": values["reason"],
        }


class LimitForm(forms.Form):
    """How many automatic rollbacks there may be."""

    per_day = forms.IntegerField(label="Within 24 hours at most, of all aliases", min_value=0, max_value=MOST_PER_DAY, widget=forms.NumberInput(attrs=_NUMBER))
    reason = forms.CharField(
        min_length=MIN_REASON, max_length=MAX_REASON, label="Reason", widget=forms.TextInput(attrs={**_TEXT, "placeholder": "For the record"})
    )


def blame(form: forms.Form, error: InvalidInput) -> None:
    """What the domain refuses, at its field."""
    for name, sentences in error.fields.items() or [("", [error.message])]:
        for sentence in sentences:
            form.add_error(name if name in form.fields else None, sentence)


def written(matchers: list[Matcher]) -> str:
    """Conditions as they are written, one a line."""
    return "\n".join(f"{matcher.label} {matcher.op} {matcher.value}".rstrip() for matcher in matchers)


def _initial_of(rule: AlertRule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "hook": str(rule.hook_id or ""),
        "matchers": written(matchers_of(rule.matchers)),
        "alias": rule.alias,
        "alias_label": rule.alias_label,
        "severity": rule.severity,
        "action": rule.action,
        "is_active": "yes" if rule.is_active else "no",
    }


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _choose(form: forms.Form, name: str, choices: list[tuple[str, str]]) -> None:
    form.fields[name].choices = choices  # type: ignore[attr-defined]
