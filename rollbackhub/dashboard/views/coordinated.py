"""Coordinated procedures: one with its order and its point of no return, a new one, changing one, removing one."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from rollbackhub.accounts.rules import Capability
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.coordinated_draft import CoordinatedDraft, draft_of_procedure, read_draft
from rollbackhub.registry.domain.selectors import get_environment
from rollbackhub.registry.models import Environment
from rollbackhub.rollbacks.domain.coordination import MAX_BECAUSE, MAX_WHY, delete_coordinated, get_coordinated, write_coordinated
from rollbackhub.routing.models import RoutingPolicy


@require_safe
@requires(Capability.VIEW)
def coordinated_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One coordinated procedure."""
    procedure = get_coordinated(slug)
    return render(request, "rollbacks/coordinated.html", {"procedure": procedure, "steps": procedure.steps.all()})


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.CONFIGURE)
def coordinated_new(request: HttpRequest, environment: str) -> HttpResponse:
    """Write one for an environment."""
    draft = read_draft(request.POST) if request.method == "POST" else CoordinatedDraft()
    draft.based_on = 0
    return _edited(request, draft, environment=get_environment(environment), is_new=True)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.CONFIGURE)
def coordinated_edit(request: HttpRequest, slug: str) -> HttpResponse:
    """Change one. What somebody else wrote meanwhile is not overwritten unseen."""
    procedure = get_coordinated(slug)
    draft = read_draft(request.POST) if request.method == "POST" else draft_of_procedure(procedure)
    draft.slug = slug
    # 0 would write a new one.
    draft.based_on = draft.based_on or procedure.number
    return _edited(request, draft, environment=procedure.environment, is_new=False)


@require_POST
@requires(Capability.CONFIGURE)
def coordinated_delete(request: HttpRequest, slug: str) -> HttpResponse:
    """Remove one. Rollbacks that followed it keep what it said."""
    procedure = get_coordinated(slug)
    delete_coordinated(slug=slug, account=person(request), actor=actor(request))
    messages.success(request, f"{procedure.name} is removed. Rollbacks that followed it keep what it said.")
    return redirect("rollbacks:choose")


def _edited(request: HttpRequest, draft: CoordinatedDraft, *, environment: Environment, is_new: bool) -> HttpResponse:
    moved: Conflict | None = None
    status = 200
    if request.method == "POST" and not draft.press(request.POST.get("do", "")):
        try:
            written = write_coordinated(
                slug=draft.slug,
                name=draft.name,
                environment=environment,
                steps=draft.steps,
                no_return_before=draft.no_return_before,
                no_return_because=draft.because,
                based_on=draft.based_on,
                account=person(request),
                actor=actor(request),
            )
        except InvalidInput as error:
            status = error.status
            draft.blame(error.fields)
        except Conflict as error:
            status = error.status
            if error.code == "coordinated_moved":
                moved = error
                # Saved again, it goes over theirs: the person was told.
                draft.based_on = int(str(error.extra["current_number"]))
            else:
                draft.blame(error.fields)
        else:
            messages.success(request, f"{written.name} is saved.")
            return redirect("rollbacks:coordinated", slug=written.slug)
    context = {
        "draft": draft,
        "environment": environment,
        "is_new": is_new,
        "moved": moved,
        "policies": RoutingPolicy.objects.filter(environment=environment).order_by("alias").values_list("alias", flat=True),
        "max_why": MAX_WHY,
        "max_because": MAX_BECAUSE,
    }
    return render(request, "rollbacks/coordinated_edit.html", context, status=status)
