"""What is set up for alerts: hooks, rules with a way to try them, and where rollbacks run by themselves."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from rollbackhub.accounts.rules import Capability
from rollbackhub.alerts.domain.automation import (
    get_automation,
    limit_automation,
    list_autos,
    release_automation,
    stop_automation,
    turn_off,
    turn_on,
)
from rollbackhub.alerts.domain.hooks import count_unknown, counts_of, end_hook, list_hooks, make_hook, path_of
from rollbackhub.alerts.domain.ruling import change_rule, delete_rule, get_rule, list_rules, make_rule, move_rule_up
from rollbackhub.alerts.domain.trying import MAX_SHOWN, try_post
from rollbackhub.alerts.enums import Counted, HookKind
from rollbackhub.alerts.models import AlertHook, AlertRule
from rollbackhub.alerts.rules import matchers_of
from rollbackhub.common.errors import InvalidInput
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.alert_forms import HookForm, LimitForm, RuleForm, TryForm, TurnOnForm, blame
from rollbackhub.dashboard.requests import typed
from rollbackhub.routing.domain.selectors import get_policy


@require_safe
@requires(Capability.VIEW)
def hook_list(request: HttpRequest) -> HttpResponse:
    """Which systems post their alerts, and what became of the posts."""
    return render(request, "alerts/hooks.html", _hooks_context(HookForm()))


@require_POST
@requires(Capability.CONFIGURE)
def hook_new(request: HttpRequest) -> HttpResponse:
    """Make a hook. The answer to this request is the only page that ever shows an Alertmanager's address."""
    form = HookForm(request.POST)
    made: dict[str, Any] = {}
    if form.is_valid():
        try:
            hook, path = make_hook(**form.chosen(), actor=actor(request), user=person(request))
        except InvalidInput as error:
            blame(form, error)
            if "signing_ref" in error.fields:
                # It may be the secret itself, in the wrong place: it is not shown again.
                form.data = {**request.POST.dict(), "signing_ref": ""}
        else:
            made = {"made": hook, "address": f"{settings.PUBLIC_URL}{path}", "once": hook.kind == HookKind.ALERTMANAGER}
    response = render(request, "alerts/hooks.html", _hooks_context(HookForm() if made else form) | made, status=201 if made else 422)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
@requires(Capability.CONFIGURE)
def hook_end(request: HttpRequest, hook_id: UUID) -> HttpResponse:
    """Take no more posts."""
    hook = end_hook(hook_id=hook_id, actor=actor(request), user=person(request))
    messages.success(request, f"{hook.name} takes no more posts. What it took stays.")
    return redirect("alerts:hooks")


@require_safe
@requires(Capability.VIEW)
def rule_list(request: HttpRequest) -> HttpResponse:
    """What is done about which alerts, in the order in which rules are tried."""
    rules = [(rule, matchers_of(rule.matchers)) for rule in list_rules()]
    return render(request, "alerts/rules.html", {"rules": rules})


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.CONFIGURE)
def rule_new(request: HttpRequest) -> HttpResponse:
    """Write a rule, behind the others."""
    form = RuleForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            rule = make_rule(draft=form.draft(), actor=actor(request), user=person(request))
        except InvalidInput as error:
            blame(form, error)
        else:
            messages.success(request, f"“{rule.name}” is kept, behind the other rules. Try a post to see what it does.")
            return redirect("alerts:rules")
    return _rule_page(request, form, None)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.CONFIGURE)
def rule_edit(request: HttpRequest, rule_id: int) -> HttpResponse:
    """Write a rule anew."""
    rule = get_rule(rule_id)
    form = RuleForm(request.POST if request.method == "POST" else None, rule=rule)
    if form.is_valid():
        try:
            change_rule(rule_id=rule_id, draft=form.draft(), actor=actor(request), user=person(request))
        except InvalidInput as error:
            blame(form, error)
        else:
            messages.success(request, "The rule is changed. It holds for what fires from now on.")
            return redirect("alerts:rules")
    return _rule_page(request, form, rule)


@require_POST
@requires(Capability.CONFIGURE)
def rule_delete(request: HttpRequest, rule_id: int) -> HttpResponse:
    """Take a rule away."""
    delete_rule(rule_id=rule_id, actor=actor(request), user=person(request))
    messages.success(request, "The rule is gone. What it did stays.")
    return redirect("alerts:rules")


@require_POST
@requires(Capability.CONFIGURE)
def rule_up(request: HttpRequest, rule_id: int) -> HttpResponse:
    """Try a rule before the one before it."""
    move_rule_up(rule_id=rule_id, actor=actor(request), user=person(request))
    return redirect("alerts:rules")


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.VIEW)
def rule_try(request: HttpRequest) -> HttpResponse:
    """What a post would do, without doing it."""
    form = TryForm(request.POST if request.method == "POST" else None)
    tried = None
    if form.is_valid():
        try:
            tried = try_post(hook=form.chosen_hook(), body=form.cleaned_data["body"])
        except InvalidInput as error:
            blame(form, error)
    context = {"form": form, "tried": tried, "most": MAX_SHOWN}
    return render(request, "alerts/try.html", context, status=422 if form.errors else 200)


@require_safe
@requires(Capability.VIEW)
def automation(request: HttpRequest) -> HttpResponse:
    """Where rollbacks run by themselves, and the kill switch."""
    return _automation_page(request, TurnOnForm())


@require_POST
@requires(Capability.LEAD)
def automation_on(request: HttpRequest) -> HttpResponse:
    """Turn it on for an alias."""
    form = TurnOnForm(request.POST)
    if form.is_valid():
        try:
            auto = turn_on(**form.chosen(), user=person(request), actor=actor(request))
        except InvalidInput as error:
            blame(form, error)
        else:
            messages.success(request, f"Proposed rollbacks of {auto.policy.alias} run by themselves from now on, where the path is proven.")
            return redirect("alerts:automation")
    return _automation_page(request, form, status=422)


@require_POST
@requires(Capability.ROLL_BACK)
def automation_off(request: HttpRequest, environment: str, alias: str) -> HttpResponse:
    """Turn it off for an alias."""
    turn_off(policy=get_policy(environment=environment, alias=alias), reason=typed(request), user=person(request), actor=actor(request))
    messages.success(request, f"Rollbacks of {alias} wait for a person again.")
    return redirect("alerts:automation")


@require_POST
@requires(Capability.ROLL_BACK)
def automation_stop(request: HttpRequest) -> HttpResponse:
    """Pull the kill switch."""
    stop_automation(reason=typed(request), user=person(request), actor=actor(request))
    messages.success(request, "The kill switch is pulled: no rollback starts by itself any more. What runs already is stopped on its own page.")
    return redirect("alerts:automation")


@require_POST
@requires(Capability.LEAD)
def automation_release(request: HttpRequest) -> HttpResponse:
    """Let go of the kill switch."""
    release_automation(reason=typed(request), user=person(request), actor=actor(request))
    messages.success(request, "The kill switch is released. Proposals that were made meanwhile stay with people.")
    return redirect("alerts:automation")


@require_POST
@requires(Capability.LEAD)
def automation_limit(request: HttpRequest) -> HttpResponse:
    """How many there may be in a day."""
    form = LimitForm(request.POST)
    if form.is_valid():
        limit_automation(**form.cleaned_data, user=person(request), actor=actor(request))
        messages.success(request, "The limit is changed.")
        return redirect("alerts:automation")
    return _automation_page(request, TurnOnForm(), limit=form, status=422)


def _hooks_context(form: HookForm) -> dict[str, Any]:
    hooks = list(list_hooks())
    counts = counts_of([hook.pk for hook in hooks])
    return {"form": form, "rows": [_hook_row(hook, counts.get(hook.pk, {})) for hook in hooks], "unknown": count_unknown()}


def _hook_row(hook: AlertHook, counts: dict[Counted, int]) -> dict[str, Any]:
    refused = [(counted.label, number) for counted, number in sorted(counts.items()) if counted != Counted.TAKEN]
    path = "" if hook.kind == HookKind.ALERTMANAGER else path_of(hook)
    return {"hook": hook, "taken": counts.get(Counted.TAKEN, 0), "refused": refused, "path": path}


def _rule_page(request: HttpRequest, form: RuleForm, rule: AlertRule | None) -> HttpResponse:
    return render(request, "alerts/rule_form.html", {"form": form, "rule": rule}, status=422 if form.errors else 200)


def _automation_page(request: HttpRequest, form: TurnOnForm, *, limit: LimitForm | None = None, status: int = 200) -> HttpResponse:
    switch = get_automation()
    context = {"switch": switch, "autos": list(list_autos()), "form": form, "limit": limit or LimitForm(initial={"per_day": switch.per_day})}
    return render(request, "alerts/automation.html", context, status=status)
