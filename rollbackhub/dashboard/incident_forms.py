"""What people send about incidents, and which of them a list shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from django import forms
from django.contrib.postgres.aggregates import StringAgg
from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from incidents.domain.corrections import MOST_REQUESTS
from incidents.enums import IncidentState, Matter, Severity
from incidents.models import Incident
from incidents.rules import LONGEST_NOTE, LONGEST_TEXT, LONGEST_TITLE
from rollbackhub.accounts.models import Team, User
from rollbackhub.accounts.rules import Capability
from rollbackhub.dashboard.plan_forms import SUGGESTIONS, named_choices, people_who
from rollbackhub.registry.models import Environment, Version
from rollbackhub.routing.models import RoutingPolicy

MOST_VERSIONS = 200
"""A field offers so many versions at most, the newest; the API takes any."""
LINES = 3
"""For so many aliases a form has a line at least, and always a free one."""
UNREAD = (
    "Your page came without the mark that says which text you had before you, so nobody can tell whether somebody has written since."
    " Nothing of yours was saved yet: compare it with what stands there, and save again."
)
"""Said where a hidden field that names what was read is missing or mangled: nobody sees an error of a field that is not shown."""
_NO_TIME = {"invalid": "This is no time. Write it as 2026-10-12 14:00."}


class _Styled(forms.Form):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            widget = field.widget
            if isinstance(widget, forms.CheckboxInput):
                widget.attrs["class"] = "form-check-input m-0"
            elif not widget.is_hidden:
                widget.attrs["class"] = "form-select" if isinstance(widget, forms.Select) else "form-control"


def _instant(label: str, help_text: str) -> forms.DateTimeField:
    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S")
    return forms.DateTimeField(required=False, label=label, help_text=help_text, widget=widget, error_messages=_NO_TIME)


def _text(label: str, *, rows: int = 3, required: bool = True, most: int = LONGEST_TEXT, help_text: str = "") -> forms.CharField:
    return forms.CharField(
        label=label, required=required, max_length=most, strip=False, help_text=help_text, widget=forms.Textarea(attrs={"rows": rows, "spellcheck": "true"})
    )


class _NameLines(forms.TextInput):
    """A line for each name: a browser suggests one name a line only. Several in one line, with spaces or commas between them, do as well."""

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> str:
        """All lines in one."""
        lines: list[str] = data.getlist(name) if isinstance(data, QueryDict) else [str(data.get(name, ""))]
        return " ".join(lines)

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        """The label and the hint are the first line's; the others say their number."""
        names = split_names(value or "")
        further = {key: kept for key, kept in (attrs or {}).items() if key not in ("id", "required")}
        first, *others = [*names, *[""] * max(1, LINES - len(names))]
        lines = [super().render(name, first, attrs, renderer)]
        for number, text in enumerate(others, start=2):
            # A line that is free is not what a refusal is about.
            about = {key: kept for key, kept in further.items() if text or key != "aria-invalid"}
            lines.append(super().render(name, text, {**about, "aria-label": f"Alias {number}"}, renderer))
        return format_html('<div class="stack-sm">{}</div>', format_html_join("", "{}", ((line,) for line in lines)))


def split_names(text: str) -> list[str]:
    """Names with spaces or commas between them, each once."""
    return list(dict.fromkeys(text.replace(",", " ").split()))


class IncidentFilterForm(_Styled):
    """Which incidents a list shows; all of it stands in the address."""

    alias = forms.CharField(required=False, max_length=80, label="Alias")
    state = forms.ChoiceField(required=False, label="State", choices=[("", "Any"), *IncidentState.choices])
    severity = forms.ChoiceField(required=False, label="Severity", choices=[("", "Any"), *Severity.choices])
    environment = forms.ChoiceField(required=False, label="Environment")
    team = forms.ChoiceField(required=False, label="Team")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["environment"].choices = [("", "Any"), *Environment.objects.values_list("slug", "name")]  # type: ignore[attr-defined]
        self.fields["team"].choices = [("", "All teams"), *Team.objects.values_list("slug", "name")]  # type: ignore[attr-defined]

    def wanted(self) -> dict[str, str]:
        """What can be read in the address; the rest is left out."""
        self.is_valid()
        return {name: self.cleaned_data.get(name, "") for name in self.fields}


class OpenIncidentForm(_Styled):
    """An incident that a person opens."""

    title = forms.CharField(label="What is wrong?", max_length=LONGEST_TITLE, help_text="In a line, e.g. The reasoner answers in the wrong language")
    environment = forms.ModelChoiceField(queryset=Environment.objects.all(), to_field_name="slug", label="Environment", empty_label=None)
    aliases = forms.CharField(
        label="Which aliases?",
        max_length=2000,
        help_text="One a line, or several with spaces between them.",
        widget=_NameLines(attrs={"list": "aliases", "autocomplete": "off", "spellcheck": "false"}),
    )
    severity = forms.ChoiceField(label="How bad is it?", choices=Severity.choices, initial=Severity.SEV2)
    detected_at = _instant("Noticed at (optional)", "By your own clock. It can be corrected later.")
    detected_by = forms.CharField(label="Noticed by (optional)", required=False, max_length=200, help_text="e.g. complaints in the support queue")
    summary = _text("More about it (optional)", required=False, help_text="Markdown. HTML and pictures are shown as text.")
    take_command = forms.BooleanField(label="I lead the response", required=False, initial=True)
    incident_id = forms.UUIDField(required=False, initial=uuid4, widget=forms.HiddenInput)
    """What the incident is to be called: this form, sent twice, opens one."""

    def chosen_aliases(self) -> list[RoutingPolicy]:
        """The aliases of the chosen environment. What there is not is said at the field."""
        names, environment = split_names(self.cleaned_data["aliases"]), self.cleaned_data["environment"]
        found = {policy.alias: policy for policy in RoutingPolicy.objects.filter(environment=environment, alias__in=names)}
        unknown = [name for name in names if name not in found]
        if unknown:
            elsewhere = [f"{alias} is in {where}." for alias, where in _with_environments(RoutingPolicy.objects.filter(alias__in=unknown))]
            self.add_error("aliases", " ".join([f"There is no alias {', '.join(unknown)} in {environment.slug}.", *elsewhere]))
        return [found[name] for name in names if name in found]


class DetailsForm(_Styled):
    """What it is called."""

    title = forms.CharField(label="What is wrong?", max_length=LONGEST_TITLE)
    summary = _text("More about it", rows=8, required=False, help_text="Markdown. HTML and pictures are shown as text.")
    seen_hash = forms.RegexField(r"\A[0-9a-f]{64}\Z", widget=forms.HiddenInput)


class SeverityForm(_Styled):
    """How bad it is."""

    severity = forms.ChoiceField(label="How bad is it?", choices=Severity.choices)
    reason = forms.CharField(label="Why (optional)", required=False, max_length=LONGEST_TEXT)


class HandOverForm(_Styled):
    """Who leads from now on."""

    to = forms.ChoiceField(label="To whom?")

    def __init__(self, *args: Any, person: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._people = {name: user for name, user in people_who(Capability.RESPOND).items() if user.pk != person.pk}
        self.fields["to"].choices = named_choices(self._people)  # type: ignore[attr-defined]

    def chosen(self) -> User:
        """The person."""
        return self._people[self.cleaned_data["to"]]


class StableForm(_Styled):
    """That the harm is over."""

    evidence = _text("What have you seen that shows it?", help_text="For the record: numbers, and where you read them.")
    at = _instant("Since when (optional)", "By your own clock; empty: now.")


class CloseForm(_Styled):
    """That all of it was looked at."""

    reason = _text("What was looked at?", required=False, help_text="Needed unless the incident is stable.")


class ReopenForm(_Styled):
    """That it is not over."""

    reason = _text("What is not over?")


class NoteForm(_Styled):
    """A note."""

    text = _text("Note", rows=4, most=LONGEST_NOTE, help_text="Markdown: **bold**, lists, [links](https://example.org). HTML and pictures are shown as text.")
    about_at = _instant("About what happened at (optional)", "By your own clock; empty: now.")


class NoteEditForm(NoteForm):
    """A note anew."""

    based_on = forms.IntegerField(min_value=1, max_value=2**31 - 1, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["text"].widget.attrs["rows"] = 12
        self.fields["about_at"].help_text = "By your own clock."


class ReasonForm(_Styled):
    """Why."""

    reason = _text("Why?")


class DetectionForm(_Styled):
    """When it was noticed."""

    detected_at = forms.DateTimeField(
        label="Noticed at",
        help_text="By your own clock.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S"),
        error_messages=_NO_TIME,
    )
    detected_by = forms.CharField(label="Noticed by (optional)", required=False, max_length=200)
    reason = _text("What does the right time come from?")


class ExposureForm(_Styled):
    """How many requests bad versions served."""

    observed = forms.IntegerField(label="Requests counted", required=False, min_value=0, max_value=MOST_REQUESTS)
    estimated = forms.IntegerField(label="Requests estimated besides", required=False, min_value=0, max_value=MOST_REQUESTS)
    reason = _text("What do the right numbers come from?")


class ImpactForm(_Styled):
    """What users saw."""

    impact = _text("What did users see?", rows=4)
    reason = _text("Where is that known from?")


CORRECTION_FORMS: dict[Matter, type[_Styled]] = {Matter.DETECTION: DetectionForm, Matter.EXPOSURE: ExposureForm, Matter.IMPACT: ImpactForm}


def correction_form(matter: Matter, incident: Incident, data: Any = None) -> forms.Form:
    """The form of a matter, filled with what stands."""
    initial = {
        Matter.DETECTION: {"detected_at": incident.detected_at, "detected_by": incident.detected_by},
        Matter.EXPOSURE: {"observed": incident.exposure_observed, "estimated": incident.exposure_estimated},
        Matter.IMPACT: {"impact": incident.impact},
    }
    return CORRECTION_FORMS[matter](data, initial=initial[matter])


class _VersionField(forms.ModelChoiceField):  # type: ignore[type-arg] # not generic when it runs
    def label_from_instance(self, obj: Any) -> str:
        """With its artefact: labels repeat."""
        return f"{obj.artefact.name}: {obj.label}"


def suggested_aliases(environment: Environment | None = None) -> list[tuple[str, str]]:
    """Names that a field suggests, of this environment or of all, each with the environments that have it. One query."""
    policies = RoutingPolicy.objects.all()
    return _with_environments(policies if environment is None else policies.filter(environment=environment))


def _with_environments(policies: QuerySet[RoutingPolicy]) -> list[tuple[str, str]]:
    where = StringAgg("environment__slug", ", ", order_by="environment__slug")
    return list(policies.order_by("alias").values("alias").annotate(where=where).values_list("alias", "where")[:SUGGESTIONS])


class AffectedForm(_Styled):
    """An alias or a version to add."""

    alias = forms.CharField(label="Another alias", required=False, max_length=80, widget=forms.TextInput(attrs={"list": "aliases", "autocomplete": "off"}))
    version = _VersionField(queryset=Version.objects.none(), label="Another version", required=False, empty_label="None")

    def __init__(self, *args: Any, incident: Incident, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.incident = incident
        versions = Version.objects.filter(artefact__policies__in=incident.aliases.all()).select_related("artefact").distinct().order_by("-created_at", "-pk")
        newest = list(versions.values_list("pk", flat=True)[:MOST_VERSIONS])
        self.fields["version"].queryset = Version.objects.filter(pk__in=newest).select_related("artefact").order_by("artefact__slug", "-pk")  # type: ignore[attr-defined]

    def chosen_alias(self) -> list[RoutingPolicy]:
        """The alias that was typed, or none. What there is not is said at the field."""
        name = self.cleaned_data["alias"].strip()
        found = RoutingPolicy.objects.filter(environment=self.incident.environment_id, alias=name).first() if name else None
        if name and found is None:
            self.add_error("alias", f"There is no alias {name} in {self.incident.environment.slug}.")
        return [found] if found is not None else []
