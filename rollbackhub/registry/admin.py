"""Speed targets, artefacts, versions, environments and connections in the admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from rollbackhub.accounts.audited_admin import AuditedModelAdmin
from rollbackhub.common.errors import InvalidInput
from rollbackhub.common.read_only_admin import ReadOnlyModelAdmin
from rollbackhub.common.secret_names import has_password_in_url, looks_secret
from rollbackhub.connectors.base import connector_type, list_connector_names
from rollbackhub.registry.admin_retire import RetireActions
from rollbackhub.registry.domain.holds import LONGEST_DAYS
from rollbackhub.registry.models import Artefact, Connection, Environment, SpeedTarget, StabilityHold, Version


@admin.register(SpeedTarget)
class SpeedTargetAdmin(AuditedModelAdmin):
    """One row for each change type, seeded; only the seconds change."""

    list_display = ["change_type", "seconds"]
    fields = ["change_type", "seconds"]
    readonly_fields = ["change_type"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """There is one for each change type already."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """A change type without a row would have no target."""
        return False


class ArtefactForm(forms.ModelForm):  # type: ignore[type-arg]
    """An artefact; a hold that would never end is a mistake."""

    hold_days = forms.IntegerField(
        min_value=1, max_value=LONGEST_DAYS, initial=7, widget=UnfoldAdminIntegerFieldWidget, help_text=Artefact._meta.get_field("hold_days").help_text
    )

    class Meta:
        model = Artefact
        fields = ["slug", "name", "change_type", "team", "stakes", "target_seconds", "hold_days"]


@admin.register(Artefact)
class ArtefactAdmin(AuditedModelAdmin):
    """What is released. Its change type decides which procedure runs, so it stays."""

    form = ArtefactForm
    list_display = ["slug", "name", "change_type", "team", "stakes", "target_seconds", "hold_days", "is_lab"]
    list_filter = ["change_type", "stakes", "team"]
    list_select_related = ["team"]
    search_fields = ["slug", "name"]
    fields = ["slug", "name", "change_type", "team", "stakes", "target_seconds", "hold_days"]
    fixed_fields = ("slug", "change_type")


@admin.register(Version)
class VersionAdmin(RetireActions):
    """A version is immutable: it is added, or, while nothing refers to it, deleted. Whether its release was strategic may be said later."""

    list_display = ["label", "artefact", "lifecycle", "is_strategic", "created_at"]
    list_filter = ["lifecycle", "is_strategic", "artefact__change_type"]
    list_select_related = ["artefact"]
    search_fields = ["label", "artefact__slug", "digest"]
    autocomplete_fields = ["artefact"]
    fields = ["artefact", "label", "digest", "uri", "changelog", "eval_reference", "is_strategic"]
    fixed_fields = ("artefact", "label", "digest", "uri", "changelog", "eval_reference")

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[Version], change: bool) -> None:
        """Only what may change is written: whatever happened to the version meanwhile stays."""
        if not change:
            super().save_model(request, obj, form, change)
            return
        with transaction.atomic():
            obj.save(update_fields=["is_strategic"])
            self.record_saved(request, obj, form, change)


@admin.register(StabilityHold)
class StabilityHoldAdmin(ReadOnlyModelAdmin):
    """What may not ship again yet. Leads lift holds on the page, with a reason."""

    list_display = ["version", "artefact", "started_at", "ends_at", "lifted_at", "lifted_by"]
    list_select_related = ["version__artefact", "lifted_by"]
    list_filter = [("lifted_at", admin.EmptyFieldListFilter)]
    search_fields = ["version__label", "rollback_id__exact"]

    @admin.display(description="artefact")
    def artefact(self, hold: StabilityHold) -> str:
        """What the version is a version of."""
        return hold.version.artefact.slug


@admin.register(Environment)
class EnvironmentAdmin(AuditedModelAdmin):
    """Gateways name their environment by its slug, so that stays."""

    list_display = ["slug", "name", "kind", "is_lab"]
    fields = ["slug", "name", "kind"]
    fixed_fields = ("slug", "kind")


class ConnectionForm(forms.ModelForm):  # type: ignore[type-arg]
    """A connection whose settings the connector can read, and that hold no secret."""

    connector = forms.ChoiceField(widget=UnfoldAdminSelectWidget)

    class Meta:
        model = Connection
        fields = ["environment", "connector", "settings"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "connector" in self.fields:
            self.fields["connector"].choices = [(name, name) for name in list_connector_names()]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Refuse secrets, then ask the connector."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        settings = values.get("settings")
        if settings is None or "settings" in self.errors:
            return values
        secret = next(_secrets("settings", settings), None)
        name = values.get("connector") or self.instance.connector
        if secret is not None:
            self.add_error(
                "settings", f"{secret} looks like a secret. Settings are shown and recorded: keep secrets in the environment and name the variable here."
            )
        elif name:
            try:
                connector_type(name).parse_settings(settings)
            except InvalidInput as error:
                self.add_error("settings", error.message)
        return values


def _secrets(path: str, value: object) -> Any:
    if isinstance(value, dict):
        for key, inner in value.items():
            if looks_secret(key):
                yield f"{path}.{key}"
            yield from _secrets(f"{path}.{key}", inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _secrets(f"{path}[{index}]", inner)
    elif isinstance(value, str) and has_password_in_url(value):
        yield path


@admin.register(Connection)
class ConnectionAdmin(AuditedModelAdmin):
    """How an environment reaches real systems."""

    form = ConnectionForm
    list_display = ["environment", "connector"]
    list_filter = ["environment"]
    fixed_fields = ("environment", "connector")
