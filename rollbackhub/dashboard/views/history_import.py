"""Past drills and rollbacks from a file: what each row says, confirmed or not; what was imported, and taking it back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from rollbackhub.accounts.rules import Capability, may
from rollbackhub.analytics.domain.history_import import (
    MAX_ROWS,
    HistoryFile,
    Preview,
    confirm_history,
    count_kinds,
    get_import,
    list_imported_runs,
    list_imports,
    preview_history,
    take_back_import,
    template_csv,
)
from rollbackhub.analytics.enums import RunKind
from rollbackhub.analytics.history_rules import COLUMNS, NEEDED
from rollbackhub.common.csv_file import MAX_BYTES
from rollbackhub.common.errors import Conflict, InvalidInput, RollbackHubError
from rollbackhub.common.sentences import counted
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.history_forms import HistoryFileForm
from rollbackhub.dashboard.requests import typed

SHOWN_ROWS = 200
"""A preview shows the rows that are wrong first, and so many in all."""
PAGE_SIZE = 50


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.CONFIGURE)
def history_import(request: HttpRequest) -> HttpResponse:
    """Nothing is imported before the person has seen what the file says and confirmed it."""
    form = HistoryFileForm()
    if request.method != "POST":
        return _show(request, form)
    try:
        if "preview" in request.POST:
            made = confirm_history(token=request.POST["preview"], account=person(request), actor=actor(request))
            messages.success(request, f"Imported: {counted(made.rows, 'past run')}. Analytics count them, marked as imported.")
            return redirect("history:detail", import_id=made.pk)
        form = HistoryFileForm(request.POST, request.FILES)
        if not form.is_valid():
            return _show(request, form, status=422)
        file = form.cleaned_data["file"]
        # One byte more than may be is enough to refuse it.
        wanted = HistoryFile(content=file.read(MAX_BYTES + 1), name=file.name or "", zone=form.cleaned_data["zone"], note=form.cleaned_data["note"])
        preview = preview_history(file=wanted, account=person(request), actor=actor(request))
    except (InvalidInput, Conflict) as error:
        return _show(request, form, refusal=error, status=error.status)
    return _show(request, form, preview=preview, name=wanted.name, status=422 if preview.wrong else 200)


@require_safe
@requires(Capability.CONFIGURE)
def template(request: HttpRequest) -> HttpResponse:
    """A file to fill in."""
    headers = {"Content-Disposition": 'attachment; filename="history-template.csv"', "X-Content-Type-Options": "nosniff"}
    return HttpResponse("\ufeff" + template_csv(), content_type="text/csv; charset=utf-8", headers=headers)


@require_safe
@requires(Capability.VIEW)
def history_detail(request: HttpRequest, import_id: UUID) -> HttpResponse:
    """What one file brought in, row by row."""
    found = get_import(import_id)
    page = Paginator(list_imported_runs(found), PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "analytics/history_detail.html", {"found": found, "page": page, "rows": list(page.object_list), "kinds": _kinds(count_kinds(found))})


@require_POST
@requires(Capability.LEAD)
def take_back(request: HttpRequest, import_id: UUID) -> HttpResponse:
    """Take an import back, whole."""
    found = take_back_import(import_id=import_id, account=person(request), actor=actor(request), reason=typed(request))
    messages.success(request, f"{found.file_name} is taken back: its {counted(found.rows, 'run')} are counted no more.")
    return redirect("history:import" if may(user=request.user, capability=Capability.CONFIGURE) else "dashboard:overview")


def _kinds(counts: dict[RunKind, int]) -> str:
    """`3 drills, 1 rollback`."""
    return ", ".join(counted(count, kind.label.lower()) for kind, count in counts.items())


def _show(
    request: HttpRequest,
    form: HistoryFileForm,
    *,
    preview: Preview | None = None,
    refusal: RollbackHubError | None = None,
    name: str = "",
    status: int = 200,
) -> HttpResponse:
    rows = [] if preview is None else [*preview.wrong, *(row for row in preview.rows if not row.problems)]
    context: dict[str, Any] = {
        "form": form,
        "preview": preview,
        "rows": rows[:SHOWN_ROWS],
        "more": max(0, len(rows) - SHOWN_ROWS),
        "kinds": _kinds(preview.counts) if preview else "",
        "refusal": refusal,
        "refused_rows": sorted((refusal.fields if refusal and refusal.code == "history_refused" else {}).items())[:SHOWN_ROWS],
        "file_name": name,
        "columns": COLUMNS,
        "needed": NEEDED,
        "max_rows": MAX_ROWS,
        "page": Paginator(list_imports(), PAGE_SIZE).get_page(request.GET.get("page")),
    }
    return render(request, "analytics/history_import.html", context, status=status)
