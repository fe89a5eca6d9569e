"""Procedures (a change is a new version) and executions (to look at) in the admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import Field, Model, URLField
from django.http import HttpRequest

from rollbackhub.accounts.audited_admin import AuditedModelAdmin, admin_actor
from rollbackhub.common.errors import InvalidInput
from rollbackhub.common.read_only_admin import ReadOnlyModelAdmin, ReadOnlyTabularInline
from rollbackhub.executions.domain.procedures import append_procedure_version, require_fitting_steps, require_valid_steps
from rollbackhub.executions.domain.runbooks import forget_runbook
from rollbackhub.executions.models import CheckResult, Execution, Finding, Procedure, ProcedureVersion, Sample, StepAttempt


class ProcedureVersionInline(ReadOnlyTabularInline):
    """All versions, newest first."""

    model = ProcedureVersion
    fields = ["number", "author_label", "reason", "content_hash", "created_at"]
    readonly_fields = fields


@admin.register(Procedure)
class ProcedureAdmin(AuditedModelAdmin):
    """Name and runbook; the steps stand in the versions."""

    list_display = ["slug", "name", "change_type", "runbook_url", "runbook_read_at", "runbook_problem"]
    fields = ["slug", "name", "change_type", "runbook_url", "runbook_hash", "runbook_read_at", "runbook_tried_at", "runbook_problem"]
    readonly_fields = ["runbook_hash", "runbook_read_at", "runbook_tried_at", "runbook_problem"]
    fixed_fields = ("slug", "change_type")
    inlines = [ProcedureVersionInline]

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[Procedure], change: bool) -> None:
        """What was read at the old address of a runbook says nothing about the new one."""
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            if change and "runbook_url" in form.changed_data:
                forget_runbook(procedure_id=obj.pk, url=obj.runbook_url, actor=admin_actor(request))

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        """An address without a scheme is one with https."""
        if isinstance(db_field, URLField):
            kwargs["assume_scheme"] = "https"
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never: executions refer to it."""
        return False


class ProcedureVersionForm(forms.ModelForm):  # type: ignore[type-arg]
    """The next version of a procedure."""

    class Meta:
        model = ProcedureVersion
        fields = ["procedure", "steps"]

    def clean_steps(self) -> Any:
        """Refuse steps that no execution could run, each with its place."""
        steps = self.cleaned_data["steps"]
        if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
            raise forms.ValidationError("Steps are a JSON list of objects.")
        procedure = self.cleaned_data.get("procedure")
        try:
            if procedure is None:
                require_valid_steps(steps)
            else:
                require_fitting_steps(steps, connector=procedure.connector)
        except InvalidInput as error:
            raise forms.ValidationError([f"{place}: {sentence}" for place, sentences in error.fields.items() for sentence in sentences]) from error
        return steps


@admin.register(ProcedureVersion)
class ProcedureVersionAdmin(AuditedModelAdmin):
    """Versions are added, never changed: executions run frozen ones. Start from the newest version's steps."""

    form = ProcedureVersionForm
    list_display = ["procedure", "number", "content_hash", "created_at"]
    list_filter = ["procedure"]
    list_select_related = ["procedure"]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """The present steps of the procedure named in the address (`?procedure=1`)."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        procedure = str(initial.get("procedure", ""))
        latest = ProcedureVersion.objects.filter(procedure_id=int(procedure)).order_by("-number").first() if procedure.isdigit() else None
        return initial | ({"steps": latest.steps} if latest else {})

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never: add the next version."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[ProcedureVersion], change: bool) -> None:
        """By the domain's function, which numbers, hashes and records it."""
        version = append_procedure_version(procedure=obj.procedure, steps=obj.steps, actor=admin_actor(request))
        obj.__dict__.update(version.__dict__)


class StepAttemptInline(ReadOnlyTabularInline):
    """What was done."""

    model = StepAttempt
    fields = ["position", "key", "number", "state", "verdict", "started_at", "ended_at", "worker", "message"]


class CheckResultInline(ReadOnlyTabularInline):
    """What was checked."""

    model = CheckResult
    fields = ["check_name", "verdict", "sentence", "decided_at"]


class FindingInline(ReadOnlyTabularInline):
    """What was caught."""

    model = Finding
    fields = ["code", "subject", "expected", "found"]


@admin.register(Execution)
class ExecutionAdmin(ReadOnlyModelAdmin):
    """Runs of procedures. What they observed is evidence."""

    list_display = ["id", "kind", "policy", "state", "verdict", "rollback_seconds", "target_seconds", "created_at"]
    list_filter = ["kind", "state", "verdict", "change_type"]
    list_select_related = ["policy__environment"]
    search_fields = ["policy__alias__exact"]
    inlines = [StepAttemptInline, CheckResultInline, FindingInline]


@admin.register(StepAttempt)
class StepAttemptAdmin(ReadOnlyModelAdmin):
    """Attempts of steps."""

    list_display = ["id", "execution_id", "key", "number", "state", "verdict", "started_at", "ended_at"]
    list_filter = ["state"]
    search_fields = ["execution__id__exact"]
    ordering = ["-id"]


@admin.register(CheckResult)
class CheckResultAdmin(ReadOnlyModelAdmin):
    """Checks of verifications."""

    list_display = ["id", "execution_id", "check_name", "verdict", "sentence"]
    list_filter = ["verdict"]
    search_fields = ["execution__id__exact"]
    ordering = ["-id"]


@admin.register(Sample)
class SampleAdmin(ReadOnlyModelAdmin):
    """Everything that was observed."""

    list_display = ["id", "execution_id", "kind", "source", "taken_at"]
    search_fields = ["execution__id__exact"]
    ordering = ["-id"]


@admin.register(Finding)
class FindingAdmin(ReadOnlyModelAdmin):
    """What executions caught."""

    list_display = ["id", "execution_id", "code", "subject", "found_at"]
    list_filter = ["code"]
    search_fields = ["subject", "execution__id__exact"]
    ordering = ["-id"]
