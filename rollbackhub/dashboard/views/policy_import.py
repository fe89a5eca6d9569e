"""Bringing in a policy file: text, then the differences that it makes, then the act."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from rollbackhub.accounts.rules import Capability
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.dashboard.access import actor, requires
from rollbackhub.dashboard.forms import ImportForm
from rollbackhub.executions.domain.listing import list_active
from rollbackhub.registry.domain.selectors import get_environment
from rollbackhub.registry.models import Environment
from rollbackhub.routing.domain.yaml_io import PolicyChange, dump_policies, export_policies, import_policies, plan_import


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.ROUTE)
def policy_import(request: HttpRequest, environment: str) -> HttpResponse:
    """Nothing is changed before the person has seen the differences and confirmed them."""
    found = get_environment(environment)
    if request.method != "POST":
        alias = request.GET.get("alias", "")
        text = export_policies(environment=found, aliases=[alias] if alias else None)
        return _show(request, found, ImportForm(initial={"text": text}))
    form = ImportForm(request.POST)
    if not form.is_valid():
        return _show(request, found, form, status=422)
    text, reason = form.cleaned_data["text"], form.cleaned_data["reason"]
    try:
        if "confirm" in request.POST:
            revisions = import_policies(environment=found, text=text, actor=actor(request), reason=reason, expected_revisions=_seen(request))
            messages.success(request, _done(len(revisions), found))
            return redirect(f"{reverse('routing:list')}?environment={found.slug}")
        return _show(request, found, form, changes=plan_import(environment=found, text=text))
    except InvalidInput as error:
        return _show(request, found, form, refusal=error, status=error.status)
    except Conflict as error:
        return _show(request, found, form, refusal=error, changes=plan_import(environment=found, text=text), status=error.status)


def _show(
    request: HttpRequest, environment: Environment, form: ImportForm, *, changes: list[PolicyChange] | None = None, refusal: Any = None, status: int = 200
) -> HttpResponse:
    differing = [change for change in changes or [] if change.before != change.after]
    busy = {execution.policy_id: execution for execution in list_active(limit=100)} if differing else {}
    context = {
        "environment": environment,
        "form": form,
        "refusal": refusal,
        "previewed": changes is not None,
        "same": len(changes or []) - len(differing),
        "changes": [
            {
                "policy": change.policy,
                "before": dump_policies({change.policy.alias: change.before}),
                "after": dump_policies({change.policy.alias: change.after}),
                "busy": busy.get(change.policy.pk),
            }
            for change in differing
        ],
        "seen": json.dumps({change.policy.alias: change.policy.revision_number for change in changes or []}),
    }
    return render(request, "routing/import.html", context, status=status)


def _seen(request: HttpRequest) -> dict[str, int]:
    """The revision numbers that the person saw in the preview. Raises InvalidInput when the form was tampered with."""
    try:
        values = json.loads(request.POST.get("seen", ""))
        return {str(alias): int(number) for alias, number in values.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise InvalidInput("The preview of this import is missing. Show the differences again before importing.", code="preview_missing") from error


def _done(count: int, environment: Environment) -> str:
    if not count:
        return f"Nothing to change: {environment.name} is so already."
    return f"Imported: {count} new revision{'s' if count > 1 else ''} in {environment.name}."
