"""The form with which a file of past drills and rollbacks comes in."""

from __future__ import annotations

from typing import Any

from django import forms

from rollbackhub.analytics.models import HistoryImport


class HistoryFileForm(forms.Form):
    """A CSV file, and what is said of it."""

    file = forms.FileField(
        label="CSV file",
        widget=forms.FileInput(attrs={"class": "form-control", "accept": ".csv,text/csv"}),
        error_messages={"required": "Choose a file first."},
    )
    zone = forms.CharField(
        required=False,
        max_length=64,
        label="Time zone of times that name none",
        help_text="As in Asia/Kolkata. Empty: every time in the file names its own offset.",
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", "spellcheck": "false"}),
    )
    note = forms.CharField(
        required=False,
        max_length=HistoryImport._meta.get_field("note").max_length,
        label="Note",
        help_text="Where the file comes from, for those who read the figures later.",
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )

    def clean(self) -> dict[str, Any]:
        """Without NUL characters, which the database cannot keep."""
        cleaned = super().clean() or {}
        return {name: value.replace("\x00", "").strip() if isinstance(value, str) else value for name, value in cleaned.items()}
