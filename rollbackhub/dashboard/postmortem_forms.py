"""What people may send about postmortems."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms

from incidents.enums import Severity
from rollbackhub.accounts.models import Team, User
from rollbackhub.accounts.rules import Capability
from rollbackhub.actions.enums import ActionKind
from rollbackhub.common import clock
from rollbackhub.dashboard.plan_forms import named_choices, people_who
from rollbackhub.postmortems.domain.selectors import Record
from rollbackhub.postmortems.enums import FactorAnswerValue, PostmortemState
from rollbackhub.postmortems.models import Cause, FactorAnswer, Section
from rollbackhub.postmortems.rules import MAX_CAUSE, MAX_CAUSES, MAX_REASON, MAX_TEXT, MAX_TITLE, MAX_WORDS

ACTION_DAYS = 28
"""An action is due so many days from now, unless somebody says otherwise."""
MONTHS = {"3": "3 months", "6": "6 months", "12": "12 months", "24": "24 months", "60": "5 years"}
MINE = "mine"
OVERDUE = "overdue"
LARGEST = 2**31 - 1


class _Styled(forms.Form):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            widget = field.widget
            if isinstance(widget, forms.CheckboxSelectMultiple | forms.CheckboxInput | forms.RadioSelect):
                widget.attrs["class"] = "form-check-input m-0"
            elif not widget.is_hidden:
                widget.attrs["class"] = "form-select" if isinstance(widget, forms.Select) else "form-control"


class PostmortemFilterForm(_Styled):
    """Which postmortems a list shows; all of it stands in the address."""

    state = forms.ChoiceField(required=False, label="State", choices=[("", "Any"), (OVERDUE, "Overdue"), *PostmortemState.choices])
    severity = forms.ChoiceField(required=False, label="Severity", choices=[("", "Any"), *Severity.choices])
    team = forms.ChoiceField(required=False, label="Team")
    owner = forms.ChoiceField(required=False, label="Owner", choices=[("", "Anybody"), (MINE, "Me")])
    cause = forms.ChoiceField(required=False, label="Cause")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["team"].choices = [("", "All teams"), *Team.objects.values_list("slug", "name")]  # type: ignore[attr-defined]
        self.fields["cause"].choices = [("", "Any"), *Cause.objects.values_list("slug", "name")]  # type: ignore[attr-defined]

    def wanted(self) -> dict[str, str]:
        """What can be read in the address; the rest is left out."""
        self.is_valid()
        return {name: self.cleaned_data.get(name, "") for name in self.fields}


class CauseReportForm(_Styled):
    """Of which months and whose incidents causes are counted."""

    months = forms.ChoiceField(required=False, label="Of the last", choices=list(MONTHS.items()))
    team = forms.ChoiceField(required=False, label="Team")
    lab = forms.ChoiceField(required=False, label="Lab data", choices=[("", "Counted"), ("out", "Left out")])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["team"].choices = [("", "All teams"), *Team.objects.values_list("slug", "name")]  # type: ignore[attr-defined]

    def wanted(self) -> dict[str, Any]:
        """As the domain takes it; the last 12 months when the address says nothing."""
        self.is_valid()
        today = clock.now().date()
        until = (today.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
        months = int(self.cleaned_data.get("months") or 12)
        since = dt.date(until.year + (until.month - 1 - months) // 12, (until.month - 1 - months) % 12 + 1, 1)
        return {"since": since, "until": until, "team": self.cleaned_data.get("team", ""), "with_lab": self.cleaned_data.get("lab") != "out"}


class SectionForm(_Styled):
    """One section's text, and the number of the text that the person began from."""

    text = forms.CharField(required=False, strip=False, max_length=2 * MAX_TEXT, widget=forms.Textarea(attrs={"rows": 9, "spellcheck": "true"}))
    based_on = forms.IntegerField(min_value=0, max_value=LARGEST, widget=forms.HiddenInput)

    def __init__(self, *args: Any, section: Section, **kwargs: Any) -> None:
        super().__init__(*args, prefix=section.key, initial={"text": section.text, "based_on": section.number}, **kwargs)
        self.section = section
        self.fields["text"].label = section.get_key_display()


class FactorForm(_Styled):
    """One answer, and the number of the answer that the person saw."""

    answer = forms.ChoiceField(required=False, label="Did it contribute?", choices=[("", "Not answered"), *FactorAnswerValue.choices])
    words = forms.CharField(
        required=False, strip=False, label="In words", max_length=2 * MAX_WORDS, widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "true"})
    )
    based_on = forms.IntegerField(min_value=0, max_value=LARGEST, widget=forms.HiddenInput)

    def __init__(self, *args: Any, factor: FactorAnswer, **kwargs: Any) -> None:
        initial = {"answer": factor.answer, "words": factor.words, "based_on": factor.number}
        super().__init__(*args, prefix=f"factor-{factor.question.key}", initial=initial, **kwargs)
        self.factor = factor


class AmendReasonForm(_Styled):
    """Why a published text is amended."""

    reason = forms.CharField(required=False, label="Why is it amended?", max_length=MAX_REASON, help_text="It stands in the history, beside the new text.")


class SettingsForm(_Styled):
    """Whose it is, by when, and its causes."""

    owner = forms.ChoiceField(label="Owner", help_text="Who sees to it that it is written")
    due_on = forms.DateField(label="Published by", widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    causes = forms.MultipleChoiceField(required=False, label="Causes", widget=forms.CheckboxSelectMultiple)
    own = forms.CharField(
        required=False, label="Other causes, with commas between them", max_length=(MAX_CAUSE + 2) * MAX_CAUSES, help_text="They can be chosen from then on."
    )

    def __init__(self, *args: Any, record: Record, **kwargs: Any) -> None:
        postmortem = record.postmortem
        self._people = people_who(Capability.RESPOND)
        if postmortem.owner is not None:
            self._people.setdefault(postmortem.owner.username, postmortem.owner)
        initial = {
            "owner": postmortem.owner.username if postmortem.owner else "",
            "due_on": postmortem.due_on,
            "causes": [cause.slug for cause in record.causes],
        }
        super().__init__(*args, initial=initial, **kwargs)
        self.fields["owner"].choices = named_choices(self._people) if postmortem.owner else [("", "Choose somebody"), *named_choices(self._people)]  # type: ignore[attr-defined]
        self.fields["causes"].choices = list(Cause.objects.values_list("slug", "name"))  # type: ignore[attr-defined]

    def chosen_owner(self) -> User:
        """The person."""
        return self._people[self.cleaned_data["owner"]]

    def own_names(self) -> list[str]:
        """Each cause by itself."""
        return [name for name in str(self.cleaned_data["own"]).split(",") if name.strip()]


class ReviewersForm(_Styled):
    """Who is asked to review it."""

    reviewers = forms.MultipleChoiceField(label="Who reviews it?", widget=forms.CheckboxSelectMultiple, required=False)

    def __init__(self, *args: Any, record: Record, sender: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        others = people_who(Capability.RESPOND)
        asked = {row.user.username for row in record.reviewers}
        self._people = {name: user for name, user in others.items() if user.pk not in (sender.pk, record.postmortem.owner_id) and name not in asked}
        self.fields["reviewers"].choices = named_choices(self._people)  # type: ignore[attr-defined]

    @property
    def has_choice(self) -> bool:
        """Whether there is anybody who was not asked yet."""
        return bool(self._people)

    def chosen(self) -> list[User]:
        """The people."""
        return [self._people[name] for name in self.cleaned_data["reviewers"]]


class PostmortemActionForm(_Styled):
    """An action."""

    title = forms.CharField(label="What is to be done?", max_length=MAX_TITLE)
    kind = forms.ChoiceField(label="What is it good for?", choices=ActionKind.choices)
    owner = forms.ChoiceField(label="Who does it?")
    due_on = forms.DateField(label="By", widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    detail = forms.CharField(required=False, label="Detail (optional)", max_length=MAX_WORDS, widget=forms.Textarea(attrs={"rows": 3}))
    is_gating = forms.BooleanField(
        required=False,
        label="The version that was rolled back may not ship before it is closed",
        help_text="Its stability hold waits for this action, whatever its time. A hold that begins later waits, too.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._people = people_who(Capability.RESPOND)
        self.fields["owner"].choices = [("", "Choose somebody"), *named_choices(self._people)]  # type: ignore[attr-defined]
        self.fields["due_on"].initial = clock.now().date() + dt.timedelta(days=ACTION_DAYS)

    def chosen_owner(self) -> User:
        """The person."""
        return self._people[self.cleaned_data["owner"]]
