"""What people send to plan drills, and to keep drills from being planned."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django import forms

from drills.enums import Cadence
from drills.models import DrillPlan
from rollbackhub.accounts.models import Team, User
from rollbackhub.accounts.rules import ROLES, Capability
from rollbackhub.common.errors import InvalidInput
from rollbackhub.registry.enums import EnvironmentKind
from rollbackhub.registry.models import Artefact, Environment
from rollbackhub.routing.models import RoutingPolicy

SUGGESTIONS = 300
"""A field suggests at most this many names."""
_TEXT = {"class": "form-control", "autocomplete": "off", "spellcheck": "false"}
_SELECT = {"class": "form-select"}
_INSTANT = {"class": "form-control", "type": "datetime-local"}


def people_who(capability: Capability) -> dict[str, User]:
    """Who may do this and can answer for it, by account: people, no services. One query."""
    roles = [role.value for role in ROLES[capability]]
    found = User.objects.filter(is_active=True, responsible=None, role_assignments__role__in=roles).distinct().order_by("first_name", "last_name", "username")
    return {user.username: user for user in found}


def named_choices(people: dict[str, User]) -> list[tuple[str, str]]:
    """People to choose from, with both names where there are two."""
    return [(username, f"{user.get_full_name()} ({username})" if user.get_full_name() else username) for username, user in people.items()]


class PlanForm(forms.Form):
    """A drill plan. What does not fit, the domain says."""

    name = forms.CharField(label="Name", max_length=120, widget=forms.TextInput(attrs=_TEXT), help_text="What people call it, e.g. Reasoner every month")
    owner = forms.ChoiceField(label="Who answers for it", widget=forms.Select(attrs=_SELECT))
    environment = forms.ChoiceField(label="Environment", widget=forms.Select(attrs=_SELECT), help_text="Drills run in staging.")
    team = forms.ChoiceField(
        required=False, label="Team", widget=forms.Select(attrs=_SELECT), help_text="Times are those of its clock and working hours, whatever your own zone is."
    )
    alias = forms.CharField(
        required=False, label="Alias", max_length=120, widget=forms.TextInput(attrs={**_TEXT, "list": "aliases"}), help_text="Each time this one."
    )
    artefact = forms.CharField(
        required=False,
        label="Or artefact",
        max_length=120,
        widget=forms.TextInput(attrs={**_TEXT, "list": "artefacts"}),
        help_text="Each time one of its aliases, by chance.",
    )
    cadence = forms.ChoiceField(label="How often", choices=Cadence.choices, widget=forms.Select(attrs=_SELECT))
    cron = forms.CharField(
        required=False,
        label="Cron expression",
        max_length=120,
        widget=forms.TextInput(attrs=_TEXT),
        help_text=(
            "Only when it says how often: minute, hour, day of month, month, day of week, by the team's clock, e.g. 0 10 * * 2 for every Tuesday at 10:00."
        ),
    )
    announced = forms.ChoiceField(
        label="Announced",
        choices=[("yes", "Announced: everybody sees the time"), ("no", "Unannounced: a random time within working hours, told to nobody")],
        widget=forms.Select(attrs=_SELECT),
    )
    late_hours = forms.IntegerField(
        label="Caught up for, in hours",
        initial=24,
        min_value=1,
        max_value=168,
        widget=forms.NumberInput(attrs={"class": "form-control"}),
        help_text="A drill that could not start at its time is started so much later at most (by cron never beyond the next time); then it is missed.",
    )

    def __init__(self, *args: Any, person: User, plan: DrillPlan | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = {**(_initial_of(plan) if plan else _initial_for(person)), **self.initial}
        self._people = people_who(Capability.DRILL)
        if plan is not None:
            # Who may no longer answer for it is refused by the domain with a sentence, not by a list that has no such name.
            self._people.setdefault(plan.owner.username, plan.owner)
        self._environments = {environment.slug: environment for environment in Environment.objects.filter(kind=EnvironmentKind.STAGING)}
        self._teams = {team.slug: team for team in Team.objects.all()}
        choices = {
            "owner": named_choices(self._people),
            "environment": [(slug, environment.name) for slug, environment in self._environments.items()],
            "team": [("", "The artefact's"), *((slug, f"{team.name} ({team.timezone})") for slug, team in self._teams.items())],
        }
        for name, found in choices.items():
            self.fields[name].choices = found  # type: ignore[attr-defined]

    def suggested_aliases(self) -> list[str]:
        """Aliases that could be drilled."""
        found = RoutingPolicy.objects.filter(environment__kind=EnvironmentKind.STAGING).order_by("alias").values_list("alias", flat=True)
        return list(found.distinct()[:SUGGESTIONS])

    def suggested_artefacts(self) -> list[str]:
        """Artefacts with an alias that could be drilled."""
        found = Artefact.objects.filter(policies__environment__kind=EnvironmentKind.STAGING).order_by("slug").values_list("slug", flat=True)
        return list(found.distinct()[:SUGGESTIONS])

    def clean(self) -> dict[str, Any]:
        """One target that there is."""
        values = super().clean() or self.cleaned_data
        alias, artefact = values.get("alias", ""), values.get("artefact", "")
        values["policy"] = values["drawn_from"] = None
        if bool(alias) == bool(artefact):
            self.add_error("alias", "Name one target: an alias, or an artefact of which one alias is drilled each time.")
        elif alias and "environment" in values:
            policies = RoutingPolicy.objects.select_related("environment", "artefact__team")
            values["policy"] = policies.filter(alias=alias, environment__slug=values["environment"]).first()
            if values["policy"] is None:
                self.add_error("alias", f"There is no alias {alias} in {values['environment']}.")
        elif artefact:
            values["drawn_from"] = Artefact.objects.select_related("team").filter(slug=artefact).first()
            if values["drawn_from"] is None:
                self.add_error("artefact", f"There is no artefact {artefact}.")
        return values

    def chosen(self) -> dict[str, Any]:
        """What the domain takes: the arguments of `make_plan` and `change_plan` that the form gives."""
        values = self.cleaned_data
        target = values["policy"].artefact if values["policy"] is not None else values["drawn_from"]
        return {
            "name": values["name"],
            "owner": self._people[values["owner"]],
            "environment": self._environments[values["environment"]],
            "team": self._teams.get(values["team"]) or target.team,
            "policy": values["policy"],
            "artefact": values["drawn_from"],
            "cadence": values["cadence"],
            "cron": values["cron"],
            "announced": values["announced"] == "yes",
            "late_hours": values["late_hours"],
        }

    @property
    def digest(self) -> str:
        """Short, and another one when anything else is sent: what was looked at is what is kept."""
        sent = {name: self.data.get(name, "") for name in self.fields}
        return hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest()[:16]

    def blame(self, error: InvalidInput) -> None:
        """What the domain refuses, at its field; a target is the alias or the artefact that was named."""
        target = "artefact" if self.cleaned_data.get("artefact") else "alias"
        for place, sentences in error.fields.items() or [("name", [error.message])]:
            field = target if place == "target" else place
            for sentence in sentences:
                self.add_error(field if field in self.fields else None, sentence)


def _initial_for(person: User) -> dict[str, Any]:
    return {"owner": person.username, "cadence": Cadence.BY_STAKES, "announced": "yes"}


def _initial_of(plan: DrillPlan) -> dict[str, Any]:
    return {
        "name": plan.name,
        "owner": plan.owner.username,
        "environment": plan.environment.slug,
        "team": plan.team.slug,
        "alias": plan.policy.alias if plan.policy is not None else "",
        "artefact": plan.artefact.slug if plan.artefact is not None else "",
        "cadence": plan.cadence,
        "cron": plan.cron,
        "announced": "yes" if plan.announced else "no",
        "late_hours": plan.late_hours,
    }


class QuietForm(forms.Form):
    """A time in which no planned drill starts, by the viewer's clock."""

    team = forms.ChoiceField(required=False, label="Team", widget=forms.Select(attrs=_SELECT))
    reason = forms.CharField(label="Why", max_length=200, widget=forms.TextInput(attrs={**_TEXT, "placeholder": "e.g. Release freeze"}))
    starts_at = forms.DateTimeField(
        label="From", widget=forms.DateTimeInput(attrs={"class": "form-control", "type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    )
    ends_at = forms.DateTimeField(label="Until", widget=forms.DateTimeInput(attrs={"class": "form-control", "type": "datetime-local"}, format="%Y-%m-%dT%H:%M"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._teams = {team.slug: team for team in Team.objects.all()}
        self.fields["team"].choices = [("", "All teams"), *((slug, team.name) for slug, team in self._teams.items())]  # type: ignore[attr-defined]

    def chosen_team(self) -> Team | None:
        """The team; None for all."""
        return self._teams.get(self.cleaned_data["team"])


class FeedForm(forms.Form):
    """A secret address of a team's drills."""

    team = forms.ChoiceField(label="Team", widget=forms.Select(attrs=_SELECT))
    name = forms.CharField(
        label="Used by",
        max_length=100,
        widget=forms.TextInput(attrs={**_TEXT, "placeholder": "Whose calendar, or where"}),
        help_text="To know which to revoke.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._teams = {team.slug: team for team in Team.objects.all()}
        self.fields["team"].choices = [(slug, team.name) for slug, team in self._teams.items()]  # type: ignore[attr-defined]

    def chosen_team(self) -> Team:
        """The team."""
        return self._teams[self.cleaned_data["team"]]
