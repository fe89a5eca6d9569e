"""What people send when they ask for a rollback or ship a fix instead."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from rollbackhub.common import clock
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.registry.models import Version
from rollbackhub.rollbacks.domain.roll_forward import FAST_TRACK, GATES, MAX_STAGES, SkippedGate
from rollbackhub.rollbacks.rules import MAX_REASON, MIN_REASON

DETECTED = {"": "Not known", "0": "Now", "5": "5 min ago", "15": "15 min ago", "30": "30 min ago", "60": "1 h ago", "at": "At:"}
ALWAYS_SKIPPED = ("canary",)
"""The fast track is a shortened canary: somebody has to answer for that every time."""


class RequestForm(forms.Form):
    """Why, since when, how it was noticed. The plan itself stands in the address, and its hash beside it."""

    reason = forms.CharField(
        min_length=MIN_REASON,
        max_length=MAX_REASON,
        label="Reason",
        widget=forms.TextInput(attrs={"class": "form-control", "placeholder": "What is wrong, for the record", "autocomplete": "off"}),
    )
    detected = forms.ChoiceField(required=False, label="Detected", choices=list(DETECTED.items()), widget=forms.RadioSelect)
    detected_at = forms.DateTimeField(
        required=False, label="Detected at, by your clock", widget=forms.DateTimeInput(attrs={"class": "form-control", "type": "datetime-local", "step": "1"})
    )
    detected_by = forms.CharField(
        required=False,
        max_length=200,
        label="How it was noticed (optional)",
        widget=forms.TextInput(attrs={"class": "form-control", "placeholder": "An alert, a customer, a dashboard"}),
    )
    break_glass_reason = forms.CharField(
        required=False, max_length=MAX_REASON, label="Why it cannot wait for an approval", widget=forms.Textarea(attrs={"class": "form-control", "rows": 2})
    )
    idempotency_key = forms.CharField(required=False, max_length=120)
    seen_plan_hash = forms.CharField(max_length=64)

    def clean(self) -> dict[str, Any]:
        """`when` is the instant of the detection, None when it is not known. Minutes ago count from now: when the form is sent."""
        values: dict[str, Any] = super().clean() or {}
        chosen, exact = values.get("detected", ""), values.get("detected_at")
        values["when"] = exact
        if chosen and chosen != "at":
            values["when"] = clock.now() - dt.timedelta(minutes=int(chosen))
        elif chosen == "at" and exact is None and "detected_at" not in self.errors:
            self.add_error("detected_at", "Say when, or choose another answer.")
        return values


class RollForwardForm(forms.Form):
    """The fix, its stages, and for each gate that it skips a name and a reason."""

    fix_version = forms.ModelChoiceField(
        queryset=Version.objects.none(),
        to_field_name="label",
        label="Version with the fix",
        empty_label="Choose a version",
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    percents = forms.CharField(
        max_length=60,
        label="Stages, in percent of the traffic",
        initial=", ".join(str(percent) for percent in FAST_TRACK),
        help_text=f"1 to {MAX_STAGES} rising numbers that end with 100.",
        widget=forms.TextInput(attrs={"class": "form-control", "inputmode": "numeric"}),
    )
    reason = forms.CharField(
        min_length=MIN_REASON,
        max_length=MAX_REASON,
        label="Reason",
        widget=forms.TextInput(attrs={"class": "form-control", "placeholder": "Why a fix instead of a rollback", "autocomplete": "off"}),
    )

    def __init__(self, *args: Any, versions: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["fix_version"].queryset = versions  # type: ignore[attr-defined]
        for gate in GATES:
            if gate not in ALWAYS_SKIPPED:
                choices = [("passed", "Passed"), ("skipped", "Skipped")]
                self.fields[f"gate_{gate}"] = forms.ChoiceField(label="Outcome", choices=choices, widget=forms.RadioSelect)
            control = {"class": "form-control"}
            self.fields[f"name_{gate}"] = forms.CharField(required=False, max_length=120, label="Who answers for it", widget=forms.TextInput(attrs=control))
            self.fields[f"why_{gate}"] = forms.CharField(required=False, max_length=500, label="Why it is skipped", widget=forms.TextInput(attrs=control))

    def clean_percents(self) -> list[int]:
        """Numbers; what they may be the domain says."""
        pieces = [piece.strip().removesuffix("%").strip() for piece in str(self.cleaned_data["percents"]).replace(";", ",").split(",") if piece.strip()]
        if not pieces or not all(piece.isascii() and piece.isdigit() and len(piece) <= 3 for piece in pieces):
            raise forms.ValidationError("Write whole numbers with commas between them, e.g. 25, 100.")
        return [int(piece) for piece in pieces]

    def skipped(self) -> list[SkippedGate]:
        """The gates that this fix skips, as the domain takes them."""
        values = self.cleaned_data
        chosen = [gate for gate in GATES if gate in ALWAYS_SKIPPED or values.get(f"gate_{gate}") == "skipped"]
        return [SkippedGate(gate=gate, name=values.get(f"name_{gate}", ""), reason=values.get(f"why_{gate}", "")) for gate in chosen]

    def gates(self) -> list[dict[str, Any]]:
        """Each gate with its fields, for the page."""
        found = []
        for gate, words in GATES.items():
            outcome = self[f"gate_{gate}"] if gate not in ALWAYS_SKIPPED else None
            found.append({"gate": gate, "words": words, "outcome": outcome, "name": self[f"name_{gate}"], "why": self[f"why_{gate}"]})
        return found


def show_refusal(form: forms.Form, error: RollbackHubError, *, names: Mapping[str, str] | None = None) -> None:
    """Put a refusal of the domain at the fields that it is about; what is about none stands above the form."""
    placed = False
    for name, sentences in error.fields.items():
        field = (names or {}).get(name, name)
        if field in form.fields:
            placed = True
            _add(form, field, sentences)
    if not placed:
        _add(form, None, [error.message])


def _add(form: forms.Form, field: str | None, sentences: Sequence[str]) -> None:
    for sentence in sentences:
        form.add_error(field, sentence)
