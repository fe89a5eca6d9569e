"""What analytics are to count; all of it stands in the address, so that a link is a view."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import urlencode

from django import forms

from rollbackhub.accounts.models import Team
from rollbackhub.analytics.answer import AnalyticsFilter
from rollbackhub.analytics.models import RunFact
from rollbackhub.registry.enums import ChangeType
from rollbackhub.registry.models import Environment
from rollbackhub.routing.models import RoutingPolicy

DEFAULT_DAYS = 365
DAYS = "days"
PERIODS = {
    "": "12 months",
    "90": "90 days",
    "30": "30 days",
    "quarter": "This quarter",
    "last_quarter": "Last quarter",
    "all": "All",
    DAYS: "From – to …",
}
"""`365` in an address means the default, too."""


class AnalyticsFilterForm(forms.Form):
    """Period, team, environment, change type, alias, and whether lab data counts. Days are UTC's."""

    period = forms.ChoiceField(required=False, label="Period")
    since = forms.DateField(required=False, label="From", widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    until = forms.DateField(required=False, label="To, with that day", widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    team = forms.ChoiceField(required=False, label="Team")
    environment = forms.ChoiceField(required=False, label="Environment")
    change_type = forms.ChoiceField(required=False, label="Change type", choices=[("", "Any"), *ChangeType.choices])
    alias = forms.CharField(required=False, max_length=120, label="Alias", widget=forms.TextInput(attrs={"placeholder": "Any", "autocomplete": "off"}))
    lab = forms.ChoiceField(required=False, label="Lab data", choices=[("", "Counted"), ("out", "Left out")])

    def __init__(self, *args: Any, today: dt.date, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._today = today
        self.is_backwards = False
        choices = {
            "period": [*PERIODS.items()],
            "team": [("", "Any"), *Team.objects.values_list("slug", "name")],
            "environment": [("", "Any"), *Environment.objects.values_list("slug", "name")],
        }
        if self.data.get("period") == str(DEFAULT_DAYS):
            choices["period"].append((str(DEFAULT_DAYS), PERIODS[""]))
        for name, found in choices.items():
            self.fields[name].choices = found  # type: ignore[attr-defined]
        for field in self.fields.values():
            field.widget.attrs["class"] = "form-select" if isinstance(field.widget, forms.Select) else "form-control"

    def clean_alias(self) -> str:
        """An alias that is routed, or was when it was counted."""
        alias = str(self.cleaned_data["alias"])
        if alias and not RoutingPolicy.objects.filter(alias=alias).exists() and not RunFact.objects.filter(alias=alias).exists():
            raise forms.ValidationError(f"There is no alias {alias}, and nothing of one by this name was ever counted.")
        return alias

    def clean(self) -> dict[str, Any]:
        """Days mean a period of days; with another period they contradict it."""
        values = super().clean() or self.cleaned_data
        since, until = values.get("since"), values.get("until")
        if (since or until) and not values.get("period") and "period" not in self.errors:
            values["period"] = DAYS
        if values.get("period") != DAYS:
            for name in ("since", "until"):
                if values.get(name):
                    self.add_error(name, "Days are given beside another period. Take one of them out of the address.")
        elif since and until and until < since:
            self.is_backwards = True
            for name in ("since", "until"):
                self.add_error(name, "The period is backwards: its last day lies before its first.")
        return values

    @property
    def unknown(self) -> list[str]:
        """What the address asks for that is no filter of these pages."""
        return [name for name, value in self.data.items() if value and name not in self.fields]

    @property
    def has_days(self) -> bool:
        """Whether the period is given by days."""
        return bool(self.cleaned_data.get("period") == DAYS)

    @property
    def is_filtered(self) -> bool:
        """Whether the address asks for less or more than it does by itself."""
        return any(self.cleaned_data.get(name) for name in self.fields)

    @property
    def carried(self) -> str:
        """The filter as a query string, for links to other questions and files: empty, or with its question mark."""
        kept = [
            (name, self.data[name]) for name in self.fields if self.data.get(name) and name not in self.errors and not (self.is_backwards and name == "period")
        ]
        return f"?{urlencode(kept)}" if kept else ""

    def wanted(self) -> AnalyticsFilter:
        """What can be read in the address; the rest is left out."""
        self.is_valid()
        values = self.cleaned_data
        since, until = self._days("" if self.is_backwards else values.get("period", ""))
        return AnalyticsFilter(
            since=since,
            until=until,
            with_lab=values.get("lab") != "out",
            **{name: values.get(name, "") for name in ("team", "environment", "change_type", "alias")},
        )

    def _days(self, period: str) -> tuple[dt.date | None, dt.date | None]:
        """The first day within and the first one after."""
        if period == "all":
            return None, None
        if period == DAYS:
            since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
            return since, until + dt.timedelta(days=1) if until else None
        quarter = dt.date(self._today.year, (self._today.month - 1) // 3 * 3 + 1, 1)
        if period == "quarter":
            return quarter, None
        if period == "last_quarter":
            before = quarter - dt.timedelta(days=1)
            return dt.date(before.year, before.month - 2, 1), quarter
        return self._today - dt.timedelta(days=int(period or DEFAULT_DAYS) - 1), None
