"""What people may send about reviews."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.utils import timezone

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.domain.notices import list_people_with
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import Team, User
from rollbackhub.common import clock
from rollbackhub.reviews.enums import ReviewState
from rollbackhub.reviews.models import Review, ReviewItem, WantedDecision
from rollbackhub.reviews.rules import DEFAULT_ROLES, MAX_MINUTES, MAX_NOTE, MAX_REASON, MAX_TEXT, MAX_TITLE, quarter_before, quarter_name, quarter_of

QUARTERS_SHOWN = 6
"""The present one and those before, which a review can be opened for."""
ACTION_DAYS = 30
"""An action is due so many days from now, unless somebody says otherwise."""


class PersonField(forms.ModelChoiceField):  # type: ignore[type-arg] # not generic when it runs
    """A person by their name."""

    def label_from_instance(self, obj: Any) -> str:
        """As the record has them."""
        return actor_of(obj).label


class PeopleField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg] # not generic when it runs
    """People by their names."""

    def label_from_instance(self, obj: Any) -> str:
        """As the record has them."""
        return actor_of(obj).label


class _Styled(forms.Form):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            widget = field.widget
            if isinstance(widget, forms.CheckboxSelectMultiple):
                widget.attrs["class"] = "form-check-input m-0"
            elif not widget.is_hidden:
                widget.attrs["class"] = "form-select" if isinstance(widget, forms.Select) else "form-control"


class ReviewFilterForm(_Styled):
    """Which reviews a list shows; all of it stands in the address."""

    team = forms.ChoiceField(required=False, label="Team")
    quarter = forms.ChoiceField(required=False, label="Quarter")
    state = forms.ChoiceField(required=False, label="State", choices=[("", "Any"), *ReviewState.choices])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["team"].choices = [("", "Any"), *Team.objects.values_list("slug", "name")]  # type: ignore[attr-defined]
        quarters = Review.objects.order_by("-quarter").values_list("quarter", flat=True).distinct()
        self.fields["quarter"].choices = [("", "Any"), *((quarter_name(day), quarter_name(day)) for day in quarters)]  # type: ignore[attr-defined]

    def wanted(self) -> dict[str, str]:
        """What can be read in the address; the rest is left out."""
        self.is_valid()
        return {name: self.cleaned_data.get(name, "") for name in self.fields}


def _people() -> Any:
    return list_people_with(*Role)


class ReviewSettingsForm(_Styled):
    """When the meeting is, who presents and who signs."""

    meets_at = forms.DateTimeField(
        required=False,
        label="Meeting",
        help_text="In your time zone. Its figures are frozen a day before.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        error_messages={"invalid": "This is no time. Write it as 2026-10-12 14:00."},
    )
    presenter = PersonField(queryset=User.objects.none(), required=False, label="Presented by", empty_label="Nobody named yet")
    sign_off_roles = forms.MultipleChoiceField(
        label="Signed by one person of each of", choices=Role.choices, widget=forms.CheckboxSelectMultiple, initial=[role.value for role in DEFAULT_ROLES],
        error_messages={"required": "Name at least one role that signs."},
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["presenter"].queryset = _people()  # type: ignore[attr-defined]
        zone = timezone.get_current_timezone_name()
        self.fields["meets_at"].help_text = f"In your time zone ({zone}). Its figures are frozen a day before."


class OpenReviewForm(ReviewSettingsForm):
    """A new review."""

    team = forms.ModelChoiceField(queryset=Team.objects.all(), to_field_name="slug", label="Team", empty_label=None)
    quarter = forms.TypedChoiceField(label="Quarter", coerce=dt.date.fromisoformat)
    field_order = ("team", "quarter", "meets_at", "presenter", "sign_off_roles")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        day = quarter_of(clock.now().date())
        days = [day]
        while len(days) < QUARTERS_SHOWN:
            days.append(quarter_before(days[-1]))
        self.fields["quarter"].choices = [(found.isoformat(), quarter_name(found)) for found in days]  # type: ignore[attr-defined]
        # Most often the quarter that has just ended.
        self.fields["quarter"].initial = days[1].isoformat()


class AttendanceForm(_Styled):
    """Who was there."""

    people = PeopleField(queryset=User.objects.none(), required=False, label="People of the hub", widget=forms.CheckboxSelectMultiple)
    guests = forms.CharField(required=False, label="Guests, a name a line", max_length=12_000, widget=forms.Textarea(attrs={"rows": 3}))

    def __init__(self, *args: Any, present: set[int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["people"].queryset = _people().exclude(pk__in=present)  # type: ignore[attr-defined]


class MinutesForm(_Styled):
    """The minutes of an item."""

    text = forms.CharField(
        required=False, strip=False, label="Minutes", max_length=2 * MAX_MINUTES, widget=forms.Textarea(attrs={"rows": 16, "spellcheck": "true"})
    )
    based_on = forms.IntegerField(min_value=0, max_value=2**31 - 1, widget=forms.HiddenInput)


class WishForm(_Styled):
    """A question to the meeting."""

    text = forms.CharField(label="What is the meeting to decide?", max_length=MAX_TEXT, widget=forms.Textarea(attrs={"rows": 3}))


class _ItemForm(_Styled):
    """Something that belongs to an item of the agenda."""

    owner = PersonField(queryset=User.objects.none(), label="Who answers for it", empty_label="Choose somebody")
    agenda = forms.ChoiceField(required=False, label="Under")

    def __init__(self, *args: Any, items: list[ReviewItem], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["owner"].queryset = _people()  # type: ignore[attr-defined]
        self.fields["agenda"].choices = [("", "No item"), *((item.agenda, str(item)) for item in items)]  # type: ignore[attr-defined]


class DecisionForm(_ItemForm):
    """A decision."""

    text = forms.CharField(label="What was decided?", max_length=MAX_TEXT, widget=forms.Textarea(attrs={"rows": 3}))
    wanted = forms.ModelChoiceField(queryset=WantedDecision.objects.none(), required=False, label="It answers", empty_label="No question that was asked")
    field_order = ("text", "owner", "agenda", "wanted")

    def __init__(self, *args: Any, wishes: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["wanted"].queryset = wishes  # type: ignore[attr-defined]


class ActionForm(_ItemForm):
    """An action."""

    title = forms.CharField(label="What is to be done?", max_length=MAX_TITLE)
    due_on = forms.DateField(label="By", widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    detail = forms.CharField(required=False, label="Detail (optional)", max_length=MAX_TEXT, widget=forms.Textarea(attrs={"rows": 3}))
    field_order = ("title", "owner", "due_on", "agenda", "detail")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["due_on"].initial = clock.now().date() + dt.timedelta(days=ACTION_DAYS)


class SignForm(_Styled):
    """A signature."""

    role = forms.ChoiceField(label="As")
    note = forms.CharField(required=False, label="Note (optional)", max_length=MAX_NOTE)
    based_on = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, roles: list[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = [(role.value, role.label) for role in roles]  # type: ignore[attr-defined]


class AmendForm(_Styled):
    """Why a signed review is amended."""

    reason = forms.CharField(label="Why", max_length=MAX_REASON, widget=forms.Textarea(attrs={"rows": 3}))
