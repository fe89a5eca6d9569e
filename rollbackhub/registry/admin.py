"""Speed targets, retention windows, artefacts, versions, environments and connections in the admin."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from rollbackhub.accounts.audited_admin import AuditedModelAdmin, admin_actor
from rollbackhub.accounts.models import User
from rollbackhub.common.errors import InvalidInput
from rollbackhub.common.read_only_admin import ReadOnlyModelAdmin
from rollbackhub.common.shown_text import problems_within
from rollbackhub.connectors.base import connector_type, list_connector_names
from rollbackhub.connectors.secret_refs import shown_again
from rollbackhub.registry.admin_retire import RetireActions
from rollbackhub.registry.domain.checks import own_checks
from rollbackhub.registry.domain.holds import LONGEST_DAYS
from rollbackhub.registry.domain.versions import LONGEST, field_problems, register_version
from rollbackhub.registry.models import Artefact, Connection, Environment, RetentionRule, SpeedTarget, StabilityHold, Version
from rollbackhub.registry.rules import LEAST_RETENTION_DAYS
from rollbackhub.verification.specs import title_of

LONGEST_RETENTION_DAYS = 3650
"""Ten years: more than that is a slip of the hand."""


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


class RetentionRuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """A change type's window."""

    days = forms.IntegerField(
        min_value=LEAST_RETENTION_DAYS,
        max_value=LONGEST_RETENTION_DAYS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=RetentionRule._meta.get_field("days").help_text,
    )

    class Meta:
        model = RetentionRule
        fields = ["days"]


@admin.register(RetentionRule)
class RetentionRuleAdmin(AuditedModelAdmin):
    """One row for each change type, seeded; only the days change."""

    form = RetentionRuleForm
    list_display = ["change_type", "days"]
    fields = ["change_type", "days"]
    readonly_fields = ["change_type"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """There is one for each change type already."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """A change type without a row would have no window of its own."""
        return False


class ArtefactForm(forms.ModelForm):  # type: ignore[type-arg]
    """An artefact; a hold or a window that would never end is a mistake."""

    hold_days = forms.IntegerField(
        min_value=1, max_value=LONGEST_DAYS, initial=7, widget=UnfoldAdminIntegerFieldWidget, help_text=Artefact._meta.get_field("hold_days").help_text
    )

    retention_days = forms.IntegerField(
        required=False,
        min_value=LEAST_RETENTION_DAYS,
        max_value=LONGEST_RETENTION_DAYS,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=Artefact._meta.get_field("retention_days").help_text,
    )

    class Meta:
        model = Artefact
        fields = ["slug", "name", "change_type", "team", "stakes", "target_seconds", "hold_days", "retention_days"]


@admin.register(Artefact)
class ArtefactAdmin(AuditedModelAdmin):
    """What is released. Its change type decides which procedure runs, so it stays."""

    form = ArtefactForm
    list_display = ["slug", "name", "change_type", "team", "stakes", "target_seconds", "hold_days", "retention_days", "is_lab"]
    list_filter = ["change_type", "stakes", "team"]
    list_select_related = ["team"]
    search_fields = ["slug", "name"]
    fields = ["slug", "name", "change_type", "team", "stakes", "target_seconds", "hold_days", "retention_days", "verified_by"]
    readonly_fields = ["verified_by"]
    fixed_fields = ("slug", "change_type")

    @admin.display(description="What verifies a rollback of it")
    def verified_by(self, artefact: Artefact) -> str:
        """Its checks by name, with the page where they are shown before they are saved."""
        own = own_checks(artefact)
        names = "The template of its change type" if own is None else ", ".join(title_of(check) for check in own)
        return format_html('{}. <a href="{}">See and edit them</a>', names, reverse("registry:checks", args=[artefact.slug])) if artefact.pk else f"{names}."


class VersionForm(forms.ModelForm):  # type: ignore[type-arg]
    """A version to register; the same checks as everywhere."""

    class Meta:
        model = Version
        fields = ["artefact", "label", "digest", "uri", "changelog", "eval_reference", "author", "parent", "is_strategic"]

    def clean(self) -> dict[str, Any]:
        """Field by field, before anything is saved; what is read-only is not there."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        for field, sentences in field_problems({name: values[name].strip() for name in LONGEST if name in values}).items():
            self.add_error(field, sentences)
        parent, artefact = values.get("parent"), values.get("artefact")
        if parent is not None and artefact is not None and parent.artefact_id != artefact.pk:
            self.add_error("parent", f"{parent.label} is a version of another artefact.")
        return values


@admin.register(Version)
class VersionAdmin(RetireActions):
    """A version is immutable: it is registered, or, while nothing refers to it, deleted. Whether its release was strategic may be said later."""

    form = VersionForm
    list_display = ["label", "artefact", "lifecycle", "author", "superseded_at", "provider_retires_at", "is_strategic", "created_at"]
    list_filter = ["lifecycle", "is_strategic", "artefact__change_type"]
    list_select_related = ["artefact"]
    search_fields = ["label", "artefact__slug", "digest"]
    autocomplete_fields = ["artefact", "parent"]
    fixed_fields = ("artefact", "label", "digest", "uri", "changelog", "eval_reference", "author", "parent")
    readonly_fields = ["lifecycle", "superseded_at", "provider_retires_at", "created_at"]
    fields = [*fixed_fields, "is_strategic", *readonly_fields]

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        """Where it stands is nothing yet while it is registered."""
        return [name for name in self.fields if obj is not None or name not in self.readonly_fields]

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[Version], change: bool) -> None:
        """A new one goes the way of all versions. Of another only what may change is written: whatever happened to it meanwhile stays."""
        if change:
            with transaction.atomic():
                obj.save(update_fields=["is_strategic"])
                self.record_saved(request, obj, form, change)
            return
        values = {name: form.cleaned_data[name] for name in (*LONGEST, "artefact", "is_strategic")}
        parent = form.cleaned_data["parent"]
        if not isinstance(request.user, User):
            raise PermissionDenied
        version, _ = register_version(**values, parent=parent.label if parent else None, account=request.user, actor=admin_actor(request))
        # The admin goes on with the row that is there now.
        obj.pk, obj.label = version.pk, version.label
        obj._state.adding = False


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

    list_display = ["slug", "name", "kind", "releases_only", "is_lab"]
    fields = ["slug", "name", "kind", "releases_only"]
    fixed_fields = ("slug", "kind")


class ConnectionForm(forms.ModelForm):  # type: ignore[type-arg]
    """A connection whose settings the connector can read, and that hold no secret."""

    connector = forms.ChoiceField(widget=UnfoldAdminSelectWidget)

    class Meta:
        model = Connection
        fields = ["environment", "connector", "name", "settings"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._refused: list[str] = []
        if "connector" in self.fields:
            self.fields["connector"].choices = [(name, name) for name in list_connector_names()]  # type: ignore[attr-defined]

    def full_clean(self) -> None:
        """What is refused does not come back in the page: it may be a secret in the wrong place."""
        super().full_clean()
        name = self.add_prefix("settings")
        if self.is_bound and self.errors and name in self.data:
            shown = shown_again(self.data[name], load=json.loads, dump=partial(json.dumps, indent=2), refused=self._refused)
            self.data = {**self.data, name: shown}

    def clean(self) -> dict[str, Any]:
        """Ask the connector, which refuses secrets too."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        if "settings" in self.errors:
            return values
        name = values.get("connector") or self.instance.connector
        if name:
            unshowable = [f"{place}: {problem}" if place else problem for place, problem in problems_within(values.get("settings"))]
            if unshowable:
                self.add_error("settings", unshowable)
            try:
                connector_type(name).parse_settings(values.get("settings"))
            except InvalidInput as error:
                self._refused = list(error.fields)
                self.add_error("settings", error.message)
        return values


@admin.register(Connection)
class ConnectionAdmin(AuditedModelAdmin):
    """How an environment reaches real systems."""

    form = ConnectionForm
    list_display = ["environment", "key", "connector"]
    list_filter = ["environment", "connector"]
    fixed_fields = ("environment", "connector", "name")
