"""Admin pages for settings: every change is on the audit log, field by field, without secrets."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Field, Model, QuerySet, TextField
from django.forms import CharField, JSONField, ModelForm
from django.forms import Field as FormField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.admin import ModelAdmin

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.common.secret_names import looks_secret, without_secrets
from rollbackhub.common.shown_text import shown_line, shown_lines

LONGEST_TEXT = 500
LONGEST_JSON = 4000
"""Characters of a changed text, or of changed JSON, that the audit log keeps."""


def admin_actor(request: HttpRequest) -> Actor:
    """The person who works in the admin. Raises PermissionDenied when there is none."""
    if isinstance(request.user, AnonymousUser):
        raise PermissionDenied
    return actor_of(request.user)


class AuditedModelAdmin(ModelAdmin):
    """Records `<app>.<model>.added`, `.changed` (what was, what is) and `.deleted` in the transaction of the change."""

    fixed_fields: tuple[str, ...] = ()
    """Set when the object is added, read-only afterwards."""

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        """What is fixed can be written once."""
        return [*super().get_readonly_fields(request, obj), *(self.fixed_fields if obj is not None else ())]

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> FormField | None:
        """Texts that people write can be shown to other people."""
        field: FormField | None = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(field, CharField) and not isinstance(field, JSONField):
            field.validators.append(shown_lines if isinstance(db_field, TextField) else shown_line)
        return field

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> None:
        """Save and record."""
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            self.record_saved(request, obj, form, change)

    def record_saved(self, request: HttpRequest, obj: Model, form: ModelForm[Any], change: bool) -> None:
        """Record what the form has changed; nothing when it has not."""
        fields = changed_fields(form, added=not change)
        if fields or not change:
            self.record(request, obj, "changed" if change else "added", {"fields": fields})

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        """Delete and record."""
        with transaction.atomic():
            self.record(request, obj, "deleted", {})
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """One by one, so that each is recorded."""
        with transaction.atomic():
            for obj in queryset:
                self.delete_model(request, obj)

    def record(self, request: HttpRequest, obj: Model, verb: str, data: dict[str, Any]) -> None:
        """One event about one object."""
        record(
            event=f"{obj._meta.app_label}.{obj._meta.model_name}.{verb}",
            actor=admin_actor(request),
            subject_type=str(obj._meta.model_name),
            subject_id=obj.pk,
            data={"name": _cut(str(obj)), **data},
        )

    def changeform_view(self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None) -> Any:
        """A refusal of the domain is shown as a message; nothing was saved then."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except RollbackHubError as error:
            return self.show_refusal(request, error)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> Any:
        """As above."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except RollbackHubError as error:
            return self.show_refusal(request, error)

    def show_refusal(self, request: HttpRequest, error: RollbackHubError) -> HttpResponse:
        """Back to the same page, with the sentence."""
        self.message_user(request, error.message, messages.ERROR)
        return HttpResponseRedirect(request.get_full_path())


def changed_fields(form: ModelForm[Any], *, added: bool) -> list[dict[str, Any]]:
    """What a valid form changes: field, before, after, as JSON without secrets. Of a new object all that was filled in."""
    found = []
    for name in form.changed_data:
        if name not in form.cleaned_data:
            continue
        entry: dict[str, Any] = {"field": name}
        if looks_secret(name.rstrip("12")):
            entry["hidden"] = True
        else:
            if not added:
                entry["before"] = _plain(form.initial.get(name))
            entry["after"] = _plain(form.cleaned_data[name])
        found.append(entry)
    return found


def _plain(value: object) -> object:
    """A form's value as JSON that the audit log takes."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Model):
        return _plain(value.pk)
    if isinstance(value, dict | list):
        # As text: numbers of any size, and of bounded length.
        return _cut(json.dumps(without_secrets(value), ensure_ascii=False, sort_keys=True), LONGEST_JSON)
    if isinstance(value, QuerySet | set | tuple | frozenset):
        return [_plain(item) for item in value]
    return _cut(str(without_secrets(str(value))))


def _cut(text: str, longest: int = LONGEST_TEXT) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"
