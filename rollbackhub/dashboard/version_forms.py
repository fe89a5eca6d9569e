"""What people may send about versions: a new one, a file of them, and the time for which they ask what was live."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from django import forms
from django.utils import timezone

from rollbackhub.common import clock
from rollbackhub.registry.domain.versions import LONGEST

EARLIEST_YEAR = 2000
"""Nothing was live before; and years near the ends of the calendar have no time in every zone."""

_PLUS_AS_SPACE = re.compile(r"(?<=T)(\d\d:\d\d\S*) (\d\d:?\d\d)$")


class VersionForm(forms.Form):
    """A version to register. What is wrong with it, `register_version` says."""

    label = forms.CharField(label="Label", max_length=LONGEST["label"], help_text="Without spaces, e.g. v12. A label is given once.")
    digest = forms.CharField(required=False, label="Digest", max_length=LONGEST["digest"], help_text="What exactly it is, e.g. sha256:…")
    uri = forms.CharField(required=False, label="URI", max_length=LONGEST["uri"], help_text="Where it is; without passwords or keys.")
    parent = forms.CharField(required=False, label="Parent", max_length=LONGEST["label"], help_text="The label of the version that it was made from.")
    author = forms.CharField(required=False, label="Author", max_length=LONGEST["author"])
    eval_reference = forms.CharField(
        required=False, label="Eval reference", max_length=LONGEST["eval_reference"], help_text="The evaluation that it passed: an address or a number."
    )
    changelog = forms.CharField(required=False, label="Changelog", max_length=LONGEST["changelog"], strip=False, widget=forms.Textarea(attrs={"rows": 5}))
    is_strategic = forms.BooleanField(required=False, label="Strategic: only senior leadership may roll it back")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs["class"] = "form-check-input m-0" if isinstance(field, forms.BooleanField) else "form-control"
            field.widget.attrs.setdefault("autocomplete", "off")
        self.fields["parent"].widget.attrs["list"] = "known-versions"


class VersionFileForm(forms.Form):
    """A CSV file."""

    file = forms.FileField(
        label="CSV file",
        widget=forms.FileInput(attrs={"class": "form-control", "accept": ".csv,text/csv"}),
        error_messages={"required": "Choose a file first."},
    )


class LiveForm(forms.Form):
    """When, and which aliases; all of it stands in the address."""

    at = forms.DateTimeField(
        label="At",
        widget=forms.DateTimeInput(attrs={"class": "form-control", "type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S"),
        error_messages={"invalid": "This is no time. Write it as 2026-11-23 14:05."},
    )
    environment = forms.ChoiceField(label="Environment", widget=forms.Select(attrs={"class": "form-select"}))
    alias = forms.CharField(required=False, max_length=80, label="Alias contains", widget=forms.TextInput(attrs={"class": "form-control", "type": "search"}))

    def __init__(self, data: Any, *, environments: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.fields["environment"].choices = environments  # type: ignore[attr-defined]

    def clean_at(self) -> dt.datetime:
        """An instant that is past. Raises ValidationError."""
        at: dt.datetime = self.cleaned_data["at"]
        if at.year < EARLIEST_YEAR:
            raise forms.ValidationError(f"Nothing was live before {EARLIEST_YEAR}. Ask for a later time.")
        if at > clock.now():
            raise forms.ValidationError("That time has not come yet. Ask for one that is past.")
        return at


def with_plus(text: str) -> str:
    """An instant of an address whose plus was written as it is, and so arrives as a space."""
    return _PLUS_AS_SPACE.sub(r"\1+\2", text.strip())


def has_zone(text: str) -> bool:
    """Whether a time says its zone, and so means the same to everybody who opens the address."""
    return bool(re.search(r"(Z|[+-]\d\d:?\d\d)$", text)) and "T" in text


def in_address(at: dt.datetime) -> str:
    """An instant as addresses have it: in UTC, to the second where that is exact."""
    utc = at.astimezone(dt.UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="microseconds" if utc.microsecond else "seconds") + "Z"


def by_viewers_clock(at: dt.datetime) -> str:
    """An instant as the field for it takes it."""
    return f"{timezone.localtime(at):%Y-%m-%dT%H:%M:%S}"
