"""Versions: everything about one, and how new ones come in: one by one, or by a file."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from rollbackhub.accounts.rules import Capability
from rollbackhub.common.csv_file import MAX_BYTES
from rollbackhub.common.errors import Conflict, InvalidInput, RollbackHubError
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.templatetags.hub import named
from rollbackhub.dashboard.version_forms import VersionFileForm, VersionForm
from rollbackhub.dashboard.version_page import SHOWN, version_context
from rollbackhub.dashboard.views.retention import retention_context
from rollbackhub.registry.domain.selectors import get_artefact, get_version
from rollbackhub.registry.domain.version_import import COLUMNS, MAX_ROWS, NEEDED, NEW, Preview, confirm_import, preview_again, preview_import
from rollbackhub.registry.domain.versions import register_version


@require_safe
@requires(Capability.VIEW)
def version_detail(request: HttpRequest, version_id: int) -> HttpResponse:
    """Everything about one version."""
    version = get_version(version_id)
    return render(request, "registry/version.html", version_context(version) | retention_context(version))


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.REGISTER)
def version_new(request: HttpRequest, slug: str) -> HttpResponse:
    """Register one version of an artefact."""
    artefact = get_artefact(slug)
    form = VersionForm(request.POST if request.method == "POST" else None, initial={"author": named(person(request))})
    refusal: Conflict | None = None
    if request.method == "POST" and form.is_valid():
        try:
            version, is_new = register_version(artefact=artefact, account=person(request), actor=actor(request), **form.cleaned_data)
        except Conflict as error:
            refusal = error
        except InvalidInput as error:
            for field, sentences in error.fields.items():
                for sentence in sentences:
                    form.add_error(field, sentence)
        else:
            if is_new:
                messages.success(request, f"{version.label} is registered.")
            else:
                messages.info(request, f"{version.label} was registered before with this digest: here it is, as it was.")
            return redirect("registry:version", version_id=version.pk)
    status = refusal.status if refusal else (422 if form.errors else 200)
    context = {
        "artefact": artefact,
        "form": form,
        "refusal": refusal,
        "taken_url": reverse("registry:version", args=[refusal.extra["version_id"]]) if refusal else "",
        "known": list(artefact.versions.order_by("-created_at", "-pk").values_list("label", flat=True)[:SHOWN]),
    }
    return render(request, "registry/version_new.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.REGISTER)
def version_import(request: HttpRequest) -> HttpResponse:
    """Versions from a CSV file. Nothing is imported before the person has seen what each row does and confirmed it."""
    form = VersionFileForm()
    if request.method != "POST":
        return _show_import(request, form)
    who: dict[str, Any] = {"account": person(request), "actor": actor(request)}
    try:
        if "preview" in request.POST:
            return _confirm(request, form, who)
        form = VersionFileForm(request.POST, request.FILES)
        if not form.is_valid():
            return _show_import(request, form, status=422)
        # One byte more than may be is enough to refuse it.
        preview = preview_import(content=form.cleaned_data["file"].read(MAX_BYTES + 1), **who)
    except InvalidInput as error:
        return _show_import(request, form, refusal=error, status=error.status)
    return _show_import(request, form, preview=preview, name=form.cleaned_data["file"].name, status=422 if preview.counts["wrong"] else 200)


def _confirm(request: HttpRequest, form: VersionFileForm, who: dict[str, Any]) -> HttpResponse:
    token = request.POST["preview"]
    try:
        rows = confirm_import(token=token, **who)
    except Conflict as error:
        return _show_import(request, form, refusal=error, preview=preview_again(token=token, **who), status=error.status)
    new = [row for row in rows if row.action == NEW]
    messages.success(request, f"Imported: {len(new)} new version{'s' if len(new) != 1 else ''}.")
    artefacts = {row.values["artefact"] for row in new}
    return redirect("registry:artefact", slug=artefacts.pop()) if len(artefacts) == 1 else redirect("registry:list")


def _show_import(
    request: HttpRequest,
    form: VersionFileForm,
    *,
    preview: Preview | None = None,
    refusal: RollbackHubError | None = None,
    name: str = "",
    status: int = 200,
) -> HttpResponse:
    context = {
        "form": form,
        "preview": preview,
        "counts": preview.counts if preview else {},
        "refusal": refusal,
        "file_name": name,
        "columns": COLUMNS,
        "needed": NEEDED,
        "max_rows": MAX_ROWS,
    }
    return render(request, "registry/version_import.html", context, status=status)
