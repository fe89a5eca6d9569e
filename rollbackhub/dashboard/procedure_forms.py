"""What people send to begin a procedure, besides its steps."""

from __future__ import annotations

from typing import Any

from django import forms

from rollbackhub.executions.domain.procedure_list import current_versions
from rollbackhub.executions.domain.procedures import list_movers
from rollbackhub.executions.models import Procedure
from rollbackhub.executions.procedures import BUILT_IN
from rollbackhub.registry.enums import ChangeType
from rollbackhub.registry.models import Artefact

GATEWAYS = "The gateways"


class NewProcedureForm(forms.Form):
    """For what it is, and with which steps it begins."""

    name = forms.CharField(label="Name", max_length=120, help_text="For people, e.g. Support prompt: route weight to 0")
    slug = forms.SlugField(label="Short name", max_length=50, help_text="For addresses, e.g. support-prompt-flip")
    change_type = forms.ChoiceField(label="Change type", choices=ChangeType.choices)
    connector = forms.ChoiceField(label="What moves the aliases", required=False)
    artefact = forms.ChoiceField(label="Only for the artefact", required=False, help_text="Its own procedure goes before that of its change type.")
    start = forms.ChoiceField(label="Begin with the steps of", help_text="They become version 1; edit them next.")
    runbook_url = forms.URLField(
        label="Runbook", required=False, max_length=200, assume_scheme="https", help_text="An address that people read. It is read hourly."
    )
    reason = forms.CharField(label="Why", max_length=300, help_text="Kept with the version.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._artefacts = {artefact.slug: artefact for artefact in Artefact.objects.order_by("slug")}
        self._procedures = {procedure.slug: procedure for procedure in Procedure.objects.order_by("slug")}
        templates = [(f"template:{entry['slug']}", f"{entry['name']} ({entry.get('connector') or 'gateways'})") for entry in BUILT_IN]
        copies = [(f"copy:{slug}", f"{procedure.name} ({procedure.connector or 'gateways'})") for slug, procedure in self._procedures.items()]
        self._choose("connector", [("", GATEWAYS), *((name, name) for name in list_movers())])
        self._choose("artefact", [("", "All of the change type"), *((slug, artefact.name) for slug, artefact in self._artefacts.items())])
        self._choose("start", [("A built-in template", templates), ("A copy of the present version of", copies)])
        for field in self.fields.values():
            field.widget.attrs["class"] = "form-select" if isinstance(field, forms.ChoiceField) else "form-control"
            field.widget.attrs.setdefault("autocomplete", "off")

    def _choose(self, name: str, choices: list[Any]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    def chosen_artefact(self) -> Artefact | None:
        """The artefact; None for all of the change type."""
        return self._artefacts.get(self.cleaned_data["artefact"])

    def chosen_steps(self) -> list[dict[str, Any]]:
        """The steps to begin with. A copy of a procedure without a version has none."""
        kind, _, slug = self.cleaned_data["start"].partition(":")
        if kind == "template":
            return next(list(entry["steps"]) for entry in BUILT_IN if entry["slug"] == slug)
        procedure = self._procedures[slug]
        found = current_versions([procedure.pk]).get(procedure.pk)
        return list(found.steps) if found else []
