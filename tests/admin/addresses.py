"""Every page of the admin, found by asking the admin itself."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.urls import reverse

from rollbackhub.accounts.audited_admin import AuditedModelAdmin
from rollbackhub.common.read_only_admin import ReadOnlyModelAdmin

REGISTERED: list[tuple[type[Any], Any]] = sorted(admin.site._registry.items(), key=lambda entry: entry[0]._meta.label)
READ_ONLY = [model for model, options in REGISTERED if isinstance(options, ReadOnlyModelAdmin)]
AUDITED = [model for model, options in REGISTERED if isinstance(options, AuditedModelAdmin)]


def address(model: type[Any], page: str, *args: object) -> str:
    """`changelist`, `add`, `change` or `delete` of a model."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def name_of(model: type[Any]) -> str:
    """For the names of parametrised tests."""
    return str(model._meta.label_lower)
