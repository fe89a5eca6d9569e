"""What people may send about rollbacks: filters of the list, and the time of a detection."""

from __future__ import annotations

from typing import Any

from django import forms

from rollbackhub.registry.enums import ChangeType
from rollbackhub.rollbacks.enums import RollbackState


class RollbackFilterForm(forms.Form):
    """Which rollbacks a list shows; all of it stands in the address."""

    alias = forms.CharField(required=False, max_length=80, label="Alias contains", widget=forms.TextInput(attrs={"class": "form-control"}))
    state = forms.ChoiceField(required=False, label="State", choices=[("", "Any"), *RollbackState.choices], widget=forms.Select(attrs={"class": "form-select"}))
    environment = forms.ChoiceField(required=False, label="Environment", widget=forms.Select(attrs={"class": "form-select"}))
    change_type = forms.ChoiceField(
        required=False, label="Change type", choices=[("", "Any"), *ChangeType.choices], widget=forms.Select(attrs={"class": "form-select"})
    )
    open = forms.ChoiceField(
        required=False, label="Open or ended", choices=[("", "All"), ("1", "Open only")], widget=forms.Select(attrs={"class": "form-select"})
    )

    def __init__(self, *args: Any, environments: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["environment"].choices = [("", "Any"), *environments]  # type: ignore[attr-defined]


class DetectionForm(forms.Form):
    """When the harm was detected, by the viewer's clock."""

    detected_at = forms.DateTimeField(label="Detected at")
