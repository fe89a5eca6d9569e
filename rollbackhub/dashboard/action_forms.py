"""What people send about actions, and which of them a list shows."""

from __future__ import annotations

from typing import Any

from django import forms

from rollbackhub.accounts.models import Team, User
from rollbackhub.accounts.rules import Capability
from rollbackhub.actions.enums import ActionOrigin, ActionState
from rollbackhub.actions.models import Action
from rollbackhub.dashboard.plan_forms import named_choices, people_who

ALL = "all"
MINE = "mine"


class ActionFilterForm(forms.Form):
    """Which actions a list shows; all of it stands in the address."""

    state = forms.ChoiceField(
        required=False,
        label="State",
        choices=[("", "Open"), ("overdue", "Overdue"), (ActionState.DONE.value, "Done"), (ActionState.NOT_DOING.value, "Not doing"), (ALL, "All")],
    )
    team = forms.ChoiceField(required=False, label="Team")
    owner = forms.ChoiceField(required=False, label="Owner", choices=[("", "Anybody"), (MINE, "Me")])
    origin = forms.ChoiceField(required=False, label="Came out of", choices=[("", "Anything"), *ActionOrigin.choices])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["team"].choices = [("", "All teams"), *Team.objects.values_list("slug", "name")]  # type: ignore[attr-defined]
        for field in self.fields.values():
            field.widget.attrs["class"] = "form-select"

    def wanted(self) -> dict[str, str]:
        """What can be read in the address; the rest is left out."""
        self.is_valid()
        return {name: self.cleaned_data.get(name, "") for name in self.fields}


class ActionForm(forms.Form):
    """Who does it, and by when."""

    owner = forms.ChoiceField(label="Owner", widget=forms.Select(attrs={"class": "form-select"}))
    due_on = forms.DateField(label="Due on", widget=forms.DateInput(attrs={"class": "form-control", "type": "date"}, format="%Y-%m-%d"))

    def __init__(self, *args: Any, action: Action, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = {"owner": action.owner.username, "due_on": action.due_on}
        self._people = people_who(Capability.VIEW) | {action.owner.username: action.owner}
        self.fields["owner"].choices = named_choices(self._people)  # type: ignore[attr-defined]

    def chosen_owner(self) -> User:
        """The person."""
        return self._people[self.cleaned_data["owner"]]
