"""What verifies a rollback of an artefact: shown before it is saved, never over somebody else's."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from rollbackhub.accounts.rules import Capability
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.check_forms import ChecksForm
from rollbackhub.dashboard.check_words import KIND_WORDS, OF_EVERY_KIND, check_rows, checks_yaml
from rollbackhub.executions.domain.checks_in_use import checks_in_use, template_checks
from rollbackhub.registry.domain.checks import checks_digest, set_checks
from rollbackhub.registry.domain.selectors import get_artefact
from rollbackhub.registry.models import Artefact
from rollbackhub.verification.specs import Check
from rollbackhub.verification.written import all_warnings, parse_written


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.CONFIGURE)
def artefact_checks(request: HttpRequest, slug: str) -> HttpResponse:
    """Edit the checks. Each button sends the whole form; only `save` and `remove` write anything."""
    artefact = get_artefact(slug)
    button = request.POST.get("do", "") if request.method == "POST" else ""
    if button in ("", "template"):
        begin = template_checks(artefact) if button == "template" else checks_in_use(artefact).checks
        initial = {"checks": checks_yaml(begin), "reason": request.POST.get("reason", ""), "based_on": checks_digest(artefact)}
        return _show(request, artefact, ChecksForm(initial=initial))
    form = ChecksForm(request.POST)
    if button == "remove":
        # What stands in the text does not matter then.
        form = ChecksForm({**request.POST.dict(), "checks": "[]"})
        form.fields["checks"].required = False
    if not form.is_valid():
        return _show(request, artefact, form)
    checks: list[Check] | None = None
    try:
        if button != "remove":
            checks = parse_written(form.cleaned_data["checks"])
        if button == "preview":
            return _show(request, artefact, form, preview=checks)
        changed = set_checks(
            artefact=artefact,
            checks=None if button == "remove" else form.cleaned_data["checks"],
            based_on=form.cleaned_data["based_on"],
            reason=form.cleaned_data["reason"],
            account=person(request),
            actor=actor(request),
        )
    except Conflict as error:
        return _show(request, artefact, form, refusal=error, preview=checks)
    except InvalidInput as error:
        form.blame(error)
        return _show(request, artefact, form, preview=checks)
    said = "From now on its rollbacks are verified so. What was proven about their way back has to be proven again: drill it."
    messages.success(request, said if changed else "They were so already: nothing was changed.")
    wide = all_warnings(checks or [])
    if wide:
        messages.warning(request, " ".join(["These margins are wide.", *wide]))
    return redirect("registry:artefact", slug=slug)


def _show(request: HttpRequest, artefact: Artefact, form: ChecksForm, *, preview: list[Check] | None = None, refusal: Conflict | None = None) -> HttpResponse:
    in_use = checks_in_use(artefact)
    context = {
        "artefact": artefact,
        "form": form,
        "in_use": in_use,
        "preview": check_rows(preview) if preview is not None else None,
        "refusal": refusal,
        "present": checks_yaml(in_use.checks) if refusal else "",
        # Who looks at the others' version may save over it then.
        "digest": checks_digest(artefact),
        "kinds": KIND_WORDS,
        "of_every_kind": OF_EVERY_KIND,
    }
    status = refusal.status if refusal else (422 if form.errors else 200)
    return render(request, "registry/checks.html", context, status=status)
