"""What people may send."""

from __future__ import annotations

import zoneinfo
from typing import Any

from django import forms

from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import REHEARSES
from rollbackhub.registry.enums import ChangeType
from rollbackhub.registry.models import Version

PERIODS = {"1": "Last 24 hours", "7": "Last 7 days", "30": "Last 30 days", "90": "Last 90 days", "365": "Last 12 months"}
OUTCOMES = {**dict(Verdict.choices), "active": "Running now", "cancelled": "Stopped"}


class DrillFilterForm(forms.Form):
    """Which drills a list shows; all of it stands in the address."""

    alias = forms.CharField(required=False, max_length=80, label="Alias contains")
    environment = forms.ChoiceField(required=False, label="Environment")
    outcome = forms.ChoiceField(required=False, label="Outcome", choices=[("", "Any"), *OUTCOMES.items()])
    change_type = forms.ChoiceField(required=False, label="Change type", choices=[("", "Any"), *ChangeType.choices])
    kind = forms.ChoiceField(required=False, label="Kind", choices=[("", "Any"), *((kind.value, f"{kind.label}s") for kind in REHEARSES)])
    period = forms.ChoiceField(required=False, label="Period", choices=[("", "Any time"), *PERIODS.items()])

    def __init__(self, *args: Any, environments: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["environment"].choices = [("", "Any"), *environments]  # type: ignore[attr-defined]
        _style(self)


class StartDrillForm(forms.Form):
    """What a drill needs besides the alias."""

    bad_version = forms.ModelChoiceField(queryset=Version.objects.none(), required=False, label="Version to take out", to_field_name="label", empty_label=None)
    note = forms.CharField(
        required=False, max_length=300, label="Note (optional)", widget=forms.TextInput(attrs={"placeholder": "Why this drill, for the record"})
    )
    idempotency_key = forms.CharField(required=False, max_length=120, widget=forms.HiddenInput)

    def __init__(self, *args: Any, versions: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["bad_version"].queryset = versions  # type: ignore[attr-defined]
        _style(self)


class ReasonForm(forms.Form):
    """Why a person stops or closes something."""

    reason = forms.CharField(max_length=300, label="Reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _style(self)


class ImportForm(forms.Form):
    """A policy file, and why."""

    text = forms.CharField(label="Policy file (YAML)", strip=False, max_length=5_000_000, widget=forms.Textarea(attrs={"spellcheck": "false", "rows": 18}))
    reason = forms.CharField(max_length=300, label="Reason", widget=forms.TextInput(attrs={"placeholder": "For the record, e.g. the ticket"}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _style(self)
        self.fields["text"].widget.attrs["class"] += " yaml"


class AccountForm(forms.Form):
    """A person's own settings."""

    timezone = forms.ChoiceField(label="Time zone", help_text="UTC means: the zone of your browser.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = sorted(zoneinfo.available_timezones())
        self.fields["timezone"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]
        _style(self)


def _style(form: forms.Form) -> None:
    """Tabler's classes on every widget."""
    for field in form.fields.values():
        widget = field.widget
        if not widget.is_hidden:
            widget.attrs["class"] = "form-select" if isinstance(widget, forms.Select) else "form-control"
