"""Aliases: a new one, and what brings one to the system that serves it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from rollbackhub.accounts.rules import Capability
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.dashboard.access import actor, requires
from rollbackhub.dashboard.alias_forms import AliasForm, BindForm
from rollbackhub.dashboard.plans import plan_yaml
from rollbackhub.executions.domain.deliver import look_at_binding
from rollbackhub.registry.domain.selectors import get_environment
from rollbackhub.registry.models import Artefact
from rollbackhub.routing.domain.selectors import get_policy
from rollbackhub.routing.domain.transitions import bind_policy, create_policy
from rollbackhub.routing.models import RoutingPolicy

EXAMPLE = "- {id: new, version_pin: v2, weight: 100}\n- {id: old, version_pin: v1, weight: 0}"
_FIELDS = ("alias", "artefact", "connection", "target", "candidates")
_SETTINGS_WRONG = "invalid_connection"


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.CONFIGURE)
def alias_new(request: HttpRequest, environment: str) -> HttpResponse:
    """Make an alias in an environment."""
    place = get_environment(environment)
    data = request.POST if request.method == "POST" else None
    form = AliasForm(data, environment=place, artefacts=Artefact.objects.order_by("slug"), initial={"candidates": EXAMPLE})
    refusal: Conflict | None = None
    refused: Iterable[str] = ()
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            policy = create_policy(
                environment=place,
                alias=values["alias"],
                artefact=form.chosen_artefact(),
                candidates=values["candidates"],
                actor=actor(request),
                reason=values["reason"],
                connection=form.chosen(),
                target=values["target"],
            )
        except Conflict as error:
            refusal = error
        except InvalidInput as error:
            _say(form, error)
            refused = error.fields
        else:
            messages.success(request, f"{policy.alias} is there. Drill it before it is needed.")
            _say_what_stands(request, policy)
            return redirect("routing:detail", environment=environment, alias=policy.alias)
    if request.method == "POST":
        form.hide_refused(refused)
    context = {"environment": place, "form": form, "refusal": refusal}
    return render(request, "routing/new.html", context, status=_status(form, refusal))


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.CONFIGURE)
def alias_bind(request: HttpRequest, environment: str, alias: str) -> HttpResponse:
    """Say what moves an alias."""
    policy = get_policy(environment=environment, alias=alias)
    now: dict[str, Any] = {"connection": policy.connection.key if policy.connection else "", "target": plan_yaml(policy.target) if policy.target else ""}
    form = BindForm(request.POST if request.method == "POST" else None, environment=policy.environment, initial=now)
    refusal: Conflict | None = None
    refused: Iterable[str] = ()
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            bound = bind_policy(policy_id=policy.pk, connection=form.chosen(), target=values["target"], actor=actor(request), reason=values["reason"])
        except Conflict as error:
            refusal = error
        except InvalidInput as error:
            _say(form, error)
            refused = error.fields
        else:
            messages.success(request, f"Said what moves {alias}. Its way back is to be proven again: drill it.")
            _say_what_stands(request, bound)
            return redirect("routing:detail", environment=environment, alias=alias)
    if request.method == "POST":
        form.hide_refused(refused)
    return render(request, "routing/bind.html", {"policy": policy, "form": form, "refusal": refusal}, status=_status(form, refusal))


def _say_what_stands(request: HttpRequest, policy: RoutingPolicy) -> None:
    """A target that is not there is kept, since its system may just be down; but whoever has said so hears it now, not in the night."""
    if policy.connection is None:
        return
    look = look_at_binding(policy)
    messages.add_message(request, messages.SUCCESS if look.is_right else messages.WARNING, look.words)


def _status(form: forms.Form, refusal: Conflict | None) -> int:
    return refusal.status if refusal else (422 if form.errors else 200)


def _say(form: forms.Form, error: InvalidInput) -> None:
    """What the domain refuses, at the field that it belongs to; what belongs to none is about the target, or about the connection's own settings."""
    if error.code == _SETTINGS_WRONG:
        form.add_error("connection", error.message)
        return
    about = [(name.split(".")[0], name, sentence) for name, sentences in error.fields.items() for sentence in sentences]
    for field, name, sentence in about or [("target", "target", error.message)]:
        place = field if field in _FIELDS and field in form.fields else "target"
        member = name.removeprefix("target.") if place == "target" else ""
        form.add_error(place, f"{member}: {sentence}" if member and member != "target" else sentence)
