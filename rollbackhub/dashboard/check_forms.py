"""What people send to say what verifies a rollback of an artefact."""

from __future__ import annotations

from typing import Any

from django import forms

from rollbackhub.common.errors import InvalidInput
from rollbackhub.dashboard.yaml_fields import YamlList
from rollbackhub.registry.domain.checks import MAX_REASON

LONGEST = 20_000
_CONTROLS = {"class": "form-control", "autocomplete": "off", "spellcheck": "false"}


class ChecksForm(forms.Form):
    """Checks as YAML, and why. What does not fit, the domain says."""

    checks = YamlList(
        label="Checks",
        max_length=LONGEST,
        strip=False,
        widget=forms.Textarea(attrs={**_CONTROLS, "class": "form-control yaml", "rows": 22}),
        help_text="As YAML, a list. Every kind with its settings stands below.",
    )
    reason = forms.CharField(required=False, label="Why", max_length=MAX_REASON, widget=forms.TextInput(attrs=_CONTROLS), help_text="Kept in the audit log.")
    based_on = forms.CharField(max_length=16, widget=forms.HiddenInput)

    def blame(self, error: InvalidInput) -> None:
        """What the domain refuses, at the field that it belongs to; a place in the checks is told as `check 2, margin_ratio`."""
        for place, sentences in error.fields.items() or [("checks", [error.message])]:
            field = place.split(".")[0]
            for sentence in sentences:
                self.add_error(field if field in self.fields else "checks", f"{_where(place)}{sentence}")


def _where(place: str) -> str:
    parts: list[Any] = place.split(".")
    if len(parts) < 2 or not parts[1].isdigit():
        return ""
    inside = f", {'.'.join(parts[2:])}" if len(parts) > 2 else ""
    return f"Check {int(parts[1]) + 1}{inside}: "
