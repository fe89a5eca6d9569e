"""What people send to add an alias, or to say what moves it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms

from rollbackhub.common.errors import InvalidInput
from rollbackhub.connectors.base import connector_type
from rollbackhub.connectors.mechanism import Mechanism
from rollbackhub.connectors.secret_refs import shown_again
from rollbackhub.dashboard.plans import plan_yaml
from rollbackhub.dashboard.yaml_fields import YamlMapping, load_yaml
from rollbackhub.registry.models import Artefact, Connection, Environment
from rollbackhub.routing.domain.yaml_io import parse_policies
from rollbackhub.routing.rules import CandidateSpec

LONGEST = 20_000
_CONTROLS = {"class": "form-control", "autocomplete": "off", "spellcheck": "false"}


class BindForm(forms.Form):
    """What moves an alias. What does not fit, the domain says."""

    connection = forms.ChoiceField(required=False, label="What moves it", widget=forms.Select(attrs={"class": "form-select"}))
    target = YamlMapping(
        required=False,
        label="What of it is moved",
        max_length=LONGEST,
        widget=forms.Textarea(attrs={**_CONTROLS, "rows": 6}),
        help_text="As YAML, as the connector wants it; empty for gateways. See the connectors' documentation.",
    )
    reason = forms.CharField(label="Why", max_length=300, widget=forms.TextInput(attrs=_CONTROLS))

    def __init__(self, *args: Any, environment: Environment, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connections = {connection.key: connection for connection in mechanisms_of(environment)}
        choices = [("", "The gateways: they take it from RollbackHub")]
        choices += [(key, f"{key} ({connection.connector})" if connection.name else key) for key, connection in self._connections.items()]
        field = self.fields["connection"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    def chosen(self) -> Connection | None:
        """The connection; None for the gateways."""
        return self._connections.get(self.cleaned_data["connection"])

    def hide_refused(self, places: Iterable[str] = ()) -> None:
        """Leave empty, before the form is shown again, what of the target was refused (`target.service`) or may be a secret."""
        refused = [place.removeprefix("target.") for place in (*places, *self._refused_by_connector())]
        self.data = {**self.data, "target": shown_again(self.data.get("target", ""), load=load_yaml, dump=plan_yaml, refused=refused)}

    def _refused_by_connector(self) -> list[str]:
        """What it would refuse: while another field is wrong, nobody has asked it."""
        connection, target = self._connections.get(self.data.get("connection", "")), self.cleaned_data.get("target")
        kind = connector_type(connection.connector) if connection is not None else None
        if not target or kind is None or not issubclass(kind, Mechanism):
            return []
        try:
            kind.parse_target(target)
        except InvalidInput as error:
            return list(error.fields)
        return []


class AliasForm(BindForm):
    """A new alias with its first weights."""

    alias = forms.SlugField(label="Alias", max_length=80, widget=forms.TextInput(attrs=_CONTROLS), help_text="The name that callers use, e.g. smart-reasoner")
    artefact = forms.ChoiceField(label="Artefact", widget=forms.Select(attrs={"class": "form-select"}))
    candidates = forms.CharField(
        label="Candidates",
        max_length=LONGEST,
        strip=False,
        widget=forms.Textarea(attrs={**_CONTROLS, "rows": 8}),
        help_text="As in a policy file. For gateways an id is the name of their cluster. What serves one version at a time has one candidate with 100.",
    )
    field_order = ("alias", "artefact", "connection", "target", "candidates", "reason")

    def __init__(self, *args: Any, artefacts: Iterable[Artefact], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._artefacts = {artefact.slug: artefact for artefact in artefacts}
        field = self.fields["artefact"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(slug, f"{artefact.name} ({artefact.get_change_type_display().lower()})") for slug, artefact in self._artefacts.items()]

    def chosen_artefact(self) -> Artefact:
        """The artefact."""
        return self._artefacts[self.cleaned_data["artefact"]]

    def clean_candidates(self) -> list[CandidateSpec]:
        """The candidates, read as a policy file's are."""
        lines = self.cleaned_data["candidates"].replace("\r\n", "\n").split("\n")
        text = "aliases:\n  x:\n    candidates:\n" + "".join(f"      {line}\n" for line in lines)
        try:
            found = parse_policies(text)
        except InvalidInput as error:
            # Its lines are counted from the file's begin, three before the field's.
            said = [f"{_shifted(where)}: {sentence}" for where, sentences in error.fields.items() for sentence in sentences]
            raise forms.ValidationError(said or [error.message]) from error
        return found[0].candidates if found else []


def mechanisms_of(environment: Environment) -> list[Connection]:
    """The environment's connections that move versions."""
    return [connection for connection in environment.connections.all() if issubclass(connector_type(connection.connector), Mechanism)]


def _shifted(where: str) -> str:
    name, _, number = where.partition(" ")
    return f"{name.title()} {max(int(number) - 3, 1)}" if number.isdigit() else where
