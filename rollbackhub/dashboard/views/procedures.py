"""Procedures: which there are, what each does, and editing one: shown before it is saved, never over somebody else's."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from rollbackhub.accounts.rules import Capability
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.procedure_draft import Draft, blame_draft, draft_of, read_draft
from rollbackhub.dashboard.procedure_forms import NewProcedureForm
from rollbackhub.dashboard.procedure_page import runbook_look, sentence_of, steps_yaml, words_of, words_text
from rollbackhub.dashboard.requests import typed
from rollbackhub.executions.domain.procedure_list import (
    current_versions,
    describe_procedures,
    get_procedure,
    get_procedure_version,
    list_procedures,
    policies_using,
)
from rollbackhub.executions.domain.procedure_preview import AliasPreview, preview_alias, previewable, proofs_after
from rollbackhub.executions.domain.procedures import (
    MAX_REASON,
    MAX_STEPS,
    create_procedure,
    judge_steps,
    require_fitting_steps,
    step_problems,
    tidy_steps,
    write_procedure_version,
)
from rollbackhub.executions.enums import ExecutionKind
from rollbackhub.executions.models import Procedure, ProcedureVersion
from rollbackhub.executions.procedure_rules import Remark
from rollbackhub.executions.rules import steps_for
from rollbackhub.registry.enums import ChangeType

PAGE_SIZE = 50
VERSIONS_SHOWN = 50


@require_safe
@requires(Capability.VIEW)
def procedure_list(request: HttpRequest) -> HttpResponse:
    """All procedures."""
    change_type = request.GET.get("change_type", "")
    found = list_procedures()
    if change_type in ChangeType.values:
        found = found.filter(change_type=change_type)
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    rows = [(row, runbook_look(row.procedure)) for row in describe_procedures(list(page.object_list))]
    return render(request, "procedures/list.html", {"page": page, "rows": rows, "change_type": change_type, "change_types": ChangeType.choices})


@require_safe
@requires(Capability.VIEW)
def procedure_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One procedure: its present steps in words, its versions, and who goes back by it."""
    procedure = get_procedure(slug)
    versions = list(procedure.versions.order_by("-number")[: VERSIONS_SHOWN + 1])
    current = versions[0] if versions else None
    users = Paginator(policies_using(procedure).select_related("readiness"), PAGE_SIZE).get_page(request.GET.get("page"))
    steps = current.steps if current else []
    context = {
        "procedure": procedure,
        "current": current,
        "steps": words_of(steps),
        "counts": _counts(steps),
        "versions": versions[:VERSIONS_SHOWN],
        "has_older": len(versions) > VERSIONS_SHOWN,
        "runbook": runbook_look(procedure),
        "page": users,
        "comparison": _comparison(request, procedure, versions),
        "warnings": _warnings(steps, procedure),
    }
    return render(request, "procedures/detail.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.CONFIGURE)
def procedure_new(request: HttpRequest) -> HttpResponse:
    """Begin a procedure for something that has none."""
    form = NewProcedureForm(request.POST if request.method == "POST" else None)
    refusal: Conflict | None = None
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            procedure = create_procedure(
                slug=values["slug"],
                name=values["name"],
                change_type=values["change_type"],
                connector=values["connector"],
                artefact=form.chosen_artefact(),
                runbook_url=values["runbook_url"],
                steps=form.chosen_steps(),
                account=person(request),
                actor=actor(request),
                reason=values["reason"],
            )
        except Conflict as error:
            refusal = error
        except InvalidInput as error:
            _say(form, error)
        else:
            messages.success(request, f"{procedure.name} is there as version 1. Make its steps fit, then drill it.")
            return redirect("procedures:edit", slug=procedure.slug)
    status = refusal.status if refusal else (422 if form.errors else 200)
    return render(request, "procedures/new.html", {"form": form, "refusal": refusal}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.CONFIGURE)
def procedure_edit(request: HttpRequest, slug: str) -> HttpResponse:
    """The next version of a procedure. Each button sends the whole form; only `save` writes anything."""
    procedure = get_procedure(slug)
    current = current_versions([procedure.pk]).get(procedure.pk)
    if request.method != "POST":
        return _show(request, procedure, current, draft_of(current.steps if current else []), based_on=current.number if current else 0)
    draft, based_on = read_draft(request.POST), _number(request.POST.get("based_on", ""))
    button = request.POST.get("do", "")
    if button == "save":
        return _save(request, procedure, current, draft, based_on)
    if button == "preview":
        return _preview(request, procedure, current, draft, based_on)
    draft.press(button)
    return _show(request, procedure, current, draft, based_on=based_on)


def _save(request: HttpRequest, procedure: Procedure, current: ProcedureVersion | None, draft: Draft, based_on: int) -> HttpResponse:
    steps = draft.as_steps()
    try:
        require_fitting_steps(steps, connector=procedure.connector)
        ended = [entry.policy for entry in proofs_after(procedure, tidy_steps(steps), number=based_on + 1).ended]
        version, is_new = write_procedure_version(
            procedure=procedure, steps=steps, based_on=based_on, reason=typed(request), account=person(request), actor=actor(request)
        )
    except InvalidInput as error:
        problems = error.fields.pop("reason", []) if error.fields else []
        if not problems or error.fields:
            blame_draft(draft, error)
        return _show(request, procedure, current, draft, based_on=based_on, reason_errors=problems, status=error.status)
    except Conflict as error:
        now = current_versions([procedure.pk])[procedure.pk]
        return _show(request, procedure, now, draft, based_on=now.number, moved=error, moved_from=based_on, status=error.status)
    if not is_new:
        messages.info(request, f"Nothing was changed: version {version.number} does the same.")
    else:
        messages.success(request, f"Saved as version {version.number}. Drills and rollbacks that begin from now run it; those under way keep theirs.")
    if is_new and ended:
        names = ", ".join(f"{policy.alias} ({policy.environment.slug})" for policy in ended[:10])
        more = f" and {len(ended) - 10} more" if len(ended) > 10 else ""
        messages.warning(request, f"No longer proven: {names}{more}. Drill again.")
    return redirect("procedures:detail", slug=procedure.slug)


def _preview(request: HttpRequest, procedure: Procedure, current: ProcedureVersion | None, draft: Draft, based_on: int) -> HttpResponse:
    steps = draft.as_steps()
    try:
        require_fitting_steps(steps, connector=procedure.connector)
    except InvalidInput as error:
        blame_draft(draft, error)
        return _show(request, procedure, current, draft, based_on=based_on, status=error.status)
    steps = tidy_steps(steps)
    wanted = request.POST.get("preview_alias", "")
    policies = previewable(procedure)
    chosen = next((policy for policy in policies if str(policy.pk) == wanted), policies[0] if policies else None)
    preview = {
        "steps": steps,
        "proofs": proofs_after(procedure, steps, number=based_on + 1),
        "alias": _alias_context(preview_alias(chosen, steps)) if chosen else None,
        "drill": _sentences(steps_for(steps, kind=ExecutionKind.DRILL)),
        "rollback": _sentences([step for step in steps_for(steps, kind=ExecutionKind.ROLLBACK) if not step["undo"]]),
        "undo": _sentences([step for step in steps_for(steps, kind=ExecutionKind.ROLLBACK) if step["undo"]]),
        "before": steps_yaml(tidy_steps(current.steps)) if current else "",
        "after": steps_yaml(steps),
    }
    return _show(request, procedure, current, draft, based_on=based_on, preview=preview)


def _alias_context(found: AliasPreview) -> dict[str, Any]:
    return {"found": found, "policy": found.policy}


def _sentences(steps: list[dict[str, Any]]) -> list[str]:
    return [sentence_of(step) for step in steps]


def _show(
    request: HttpRequest,
    procedure: Procedure,
    current: ProcedureVersion | None,
    draft: Draft,
    *,
    based_on: int,
    preview: dict[str, Any] | None = None,
    moved: Conflict | None = None,
    moved_from: int = 0,
    reason_errors: list[str] | None = None,
    status: int = 200,
) -> HttpResponse:
    steps = draft.as_steps()
    wrong = any(step.errors for step in draft.steps) or bool(draft.general)
    theirs = current.steps if current else []
    context = {
        "procedure": procedure,
        "current": current,
        "draft": draft,
        "wrong": wrong,
        "sentences": [_short_sentence(step) for step in steps],
        "based_on": based_on,
        "reason": typed(request),
        "reason_errors": reason_errors or [],
        "max_reason": MAX_REASON,
        "is_full": len(draft.steps) >= MAX_STEPS,
        "max_steps": MAX_STEPS,
        "preview": preview,
        "aliases": previewable(procedure),
        "preview_alias": request.POST.get("preview_alias", ""),
        "moved": moved,
        "moved_from": moved_from,
        "their_text": words_text(theirs) if moved else "",
        "our_text": _draft_text(steps) if moved else "",
        "warnings": [] if wrong else _warnings(steps, procedure),
    }
    return render(request, "procedures/edit.html", context, status=status)


def _short_sentence(step: dict[str, Any]) -> str:
    """A step's line while it is edited: its title alone while something is wrong with it, which is said at its field."""
    title = str(step["title"] or step["key"] or "A new step")[:200]
    return title if step_problems(step) else sentence_of(step)


def _draft_text(steps: list[dict[str, Any]]) -> str:
    """The steps as they were typed, as lines; what cannot be a step is shown as it is."""
    try:
        return words_text(steps)
    except (TypeError, ValueError):
        return "\n".join(f"{place}. {step['title']} ({step['action']})" for place, step in enumerate(steps, start=1))


def _warnings(steps: list[dict[str, Any]], procedure: Procedure) -> list[Remark]:
    """What is likely wrong, and what could not run: a version may be older than a rule."""
    try:
        judgement = judge_steps(steps, connector=procedure.connector)
    except InvalidInput:
        # What is wrong with a step by itself is said where it is, when it is saved or previewed.
        return []
    return [*judgement.refusals, *judgement.warnings]


def _counts(steps: list[dict[str, Any]]) -> dict[str, int]:
    rollback = steps_for(steps, kind=ExecutionKind.ROLLBACK)
    return {"rollback": sum(not step["undo"] for step in rollback), "drill": len(steps_for(steps, kind=ExecutionKind.DRILL))}


def _comparison(request: HttpRequest, procedure: Procedure, versions: list[ProcedureVersion]) -> dict[str, Any] | None:
    """The two versions that the address names (`?from=1&to=2`); None when it names none. Raises NotFound."""
    asked = {name: request.GET[name] for name in ("from", "to") if request.GET.get(name)}
    if len(asked) < 2:
        return None
    known = {version.number: version for version in versions}
    found = {}
    for name, text in asked.items():
        number = _number(text)
        if not number:
            raise NotFound(f"{procedure.name} has no version {text[:20]!r}.", code="procedure_version_not_found")
        found[name] = known.get(number) or get_procedure_version(procedure, number)
    old, new = found["from"], found["to"]
    return {
        "old": old,
        "new": new,
        "words": (words_text(old.steps), words_text(new.steps)),
        "yaml": (steps_yaml(old.steps), steps_yaml(new.steps)),
    }


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def _say(form: NewProcedureForm, error: InvalidInput) -> None:
    """What the domain refuses, at the field that it belongs to; what is about steps is about those to begin with."""
    about = [(name, sentence) for name, sentences in error.fields.items() for sentence in sentences]
    for name, sentence in about or [("", error.message)]:
        form.add_error(name if name in form.fields else "start", sentence)
