"""What is set up for alerts: hooks, rules, and where rollbacks run by themselves."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.alerts.domain.automation import (
    get_auto,
    get_automation,
    list_autos,
    named_account,
    release_automation,
    stop_automation,
    turn_off,
    turn_on,
)
from rollbackhub.alerts.domain.hooks import counts_of, end_hook, get_hook, list_hooks, make_hook
from rollbackhub.alerts.domain.ruling import RuleDraft, change_rule, delete_rule, get_rule, list_rules, make_rule
from rollbackhub.alerts.models import AlertHook
from rollbackhub.alerts.rules import Matcher
from rollbackhub.api.alert_settings.serializers import (
    AutomationRow,
    AutoRow,
    HookFilters,
    HookRequest,
    HookRow,
    KillSwitchRequest,
    NewHookRow,
    RuleRequest,
    RuleRow,
    SwitchRequest,
    TurnOnRequest,
)
from rollbackhub.api.fields import NoBody
from rollbackhub.api.idempotency import created, once
from rollbackhub.api.lookups import get_policy, named_environment, named_team
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.permissions import MayConfigure, MayLeadInPerson, MayRollBack, MayView
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, OneView, PagedView
from rollbackhub.common.errors import InvalidInput


class InOrder(NewestFirstCursor):
    """In the order in which rules are tried."""

    ordering = ("position", "id")


class HookList(PagedView):
    """All hooks."""

    permission_classes = [MayConfigure]
    filters = HookFilters
    serializer_class = HookRow

    @extend_schema(operation_id="alert_hooks_list", summary="Hooks, newest first", responses=page_of(HookRow, name="AlertHook"))
    def get(self, request: Request) -> Response:
        """Ended ones included, with how many posts they took and refused."""
        return self.paged(request)

    @extend_schema(
        operation_id="alert_hooks_create",
        summary="Make a hook",
        request=HookRequest,
        responses={201: OpenApiResponse(NewHookRow, description="`address` is where to post")},
    )
    def post(self, request: Request) -> Response:
        """An Alertmanager's address holds a secret, and is shown this once. Signed hooks name where their secret is found."""

        def act(key: str | None) -> Response:
            wanted = HookRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            values = wanted.validated_data
            places = {"environment": named_environment(values["environment"]), "team": named_team(values["team"])}
            hook, path = make_hook(**{**values, **places}, user=self.person, actor=self.actor)
            hook.address = f"{settings.PUBLIC_URL}{path}"  # type: ignore[attr-defined]
            content = NewHookRow(_counted([hook])[0]).data
            return created(content, at=content["url"])

        return once(request, act, secret_members=("address",))

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        return list_hooks(**query)

    def paged(self, request: Request) -> Response:
        """One page, with the counts of its hooks."""
        paginator = self.pagination_class()
        page = paginator.paginate_queryset(self.rows(self.query()), request, self)
        return paginator.get_paginated_response(HookRow(_counted(list(page or [])), many=True).data)


class HookOne(OneView):
    """One hook."""

    permission_classes = [MayConfigure]

    @extend_schema(operation_id="alert_hooks_retrieve", summary="One hook", responses=HookRow)
    def get(self, request: Request, hook_id: UUID) -> HttpResponseBase:
        """Without the secret of its address, of which a hash is kept only."""
        return self.answer(HookRow(_counted([get_hook(hook_id)])[0]).data)


class HookEnd(ApiView):
    """No more."""

    permission_classes = [MayConfigure]

    @extend_schema(operation_id="alert_hooks_end", summary="End a hook", request=NoBody, responses=HookRow)
    def post(self, request: Request, hook_id: UUID) -> Response:
        """At once: its address takes nothing from now on. 409 `hook_ended` when it was already."""

        def act(key: str | None) -> Response:
            get_hook(hook_id)
            NoBody(data=request.data).is_valid(raise_exception=True)
            hook = end_hook(hook_id=hook_id, user=self.person, actor=self.actor)
            return Response(HookRow(_counted([hook])[0]).data)

        return once(request, act)


class RuleList(PagedView):
    """All rules."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayConfigure}
    pagination_class = InOrder
    serializer_class = RuleRow

    @extend_schema(operation_id="alert_rules_list", summary="Rules, in the order in which they are tried", responses=page_of(RuleRow, name="AlertRule"))
    def get(self, request: Request) -> Response:
        """The first that fits counts."""
        return self.paged(request)

    @extend_schema(
        operation_id="alert_rules_create",
        summary="Write a rule",
        request=RuleRequest,
        responses={201: OpenApiResponse(RuleRow, description="Behind the others")},
    )
    def post(self, request: Request) -> Response:
        """It holds for what fires from now on."""

        def act(key: str | None) -> Response:
            content = RuleRow(make_rule(draft=_draft(request.data), user=self.person, actor=self.actor)).data
            return created(content, at=content["url"])

        return once(request, act)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """All."""
        return list_rules()


class RuleOne(OneView):
    """One rule."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayConfigure, "DELETE": MayConfigure}

    @extend_schema(operation_id="alert_rules_retrieve", summary="One rule", responses=RuleRow)
    def get(self, request: Request, rule_id: int) -> HttpResponseBase:
        """What it fits, and what is done."""
        return self.answer(RuleRow(get_rule(rule_id)).data)

    @extend_schema(operation_id="alert_rules_change", summary="Write a rule anew", request=RuleRequest, responses=RuleRow)
    def post(self, request: Request, rule_id: int) -> Response:
        """All of it; what is left out has its default."""

        def act(key: str | None) -> Response:
            get_rule(rule_id)
            return Response(RuleRow(change_rule(rule_id=rule_id, draft=_draft(request.data), user=self.person, actor=self.actor)).data)

        return once(request, act)

    @extend_schema(operation_id="alert_rules_delete", summary="Delete a rule", responses={204: None})
    def delete(self, request: Request, rule_id: int) -> Response:
        """What it did stays."""
        delete_rule(rule_id=rule_id, user=self.person, actor=self.actor)
        return Response(status=204)


class AutomationOne(OneView):
    """Where rollbacks run by themselves."""

    permission_classes = [MayView]

    @extend_schema(operation_id="automation_retrieve", summary="Where rollbacks run by themselves, and the kill switch", responses=AutomationRow)
    def get(self, request: Request) -> HttpResponseBase:
        """Off for every alias until a lead turns it on."""
        return self.answer(_automation())


class AutomationStop(ApiView):
    """The kill switch."""

    permission_classes = [MayRollBack]

    @extend_schema(operation_id="automation_stop", summary="Pull the kill switch", request=KillSwitchRequest, responses=AutomationRow)
    def post(self, request: Request) -> Response:
        """From now on nothing runs by itself, of any alias. 409 `automation_stopped` when it is pulled already."""

        def act(key: str | None) -> Response:
            wanted = KillSwitchRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            stop_automation(reason=wanted.validated_data["reason"], user=self.person, actor=self.actor)
            return Response(_automation())

        return once(request, act)


class AutomationRelease(ApiView):
    """Let go of the kill switch."""

    permission_classes = [MayLeadInPerson]

    @extend_schema(operation_id="automation_release", summary="Release the kill switch", request=SwitchRequest, responses=AutomationRow)
    def post(self, request: Request) -> Response:
        """By a lead who is signed in. 409 `automation_not_stopped` when it is not pulled."""

        def act(key: str | None) -> Response:
            release_automation(reason=_reason(request), user=self.person, actor=self.actor)
            return Response(_automation())

        return once(request, act)


class AutomationAlias(ApiView):
    """One alias."""

    permission_classes = [MayLeadInPerson]

    @extend_schema(operation_id="automation_turn_on", summary="Let rollbacks of an alias run by themselves", request=TurnOnRequest, responses=AutoRow)
    def post(self, request: Request, environment: str, alias: str) -> Response:
        """By a lead who is signed in, in the name of a service account. Each run needs valid proof, and what the on-call engineer may decide alone."""

        def act(key: str | None) -> Response:
            policy = get_policy(environment=environment, alias=alias)
            wanted = TurnOnRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            values = wanted.validated_data
            turn_on(policy=policy, **{**values, "account": named_account(values["account"])}, user=self.person, actor=self.actor)
            return Response(AutoRow(get_auto(policy)).data)

        return once(request, act)


class AutomationAliasOff(ApiView):
    """No more."""

    permission_classes = [MayRollBack]

    @extend_schema(operation_id="automation_turn_off", summary="Leave rollbacks of an alias to people again", request=SwitchRequest, responses=AutoRow)
    def post(self, request: Request, environment: str, alias: str) -> Response:
        """By who may roll back. 409 `automation_off` when it is off."""

        def act(key: str | None) -> Response:
            policy = get_policy(environment=environment, alias=alias)
            turn_off(policy=policy, reason=_reason(request), user=self.person, actor=self.actor)
            return Response(AutoRow(get_auto(policy)).data)

        return once(request, act)


def _counted(hooks: list[AlertHook]) -> list[AlertHook]:
    """The same hooks with `counted_posts`. One query."""
    counts = counts_of([hook.pk for hook in hooks])
    for hook in hooks:
        hook.counted_posts = {counted.value: number for counted, number in counts.get(hook.pk, {}).items()}  # type: ignore[attr-defined]
    return hooks


def _automation() -> Any:
    automation = get_automation()
    automation.aliases = list(list_autos())  # type: ignore[attr-defined]
    return AutomationRow(automation).data


def _reason(request: Request) -> str:
    wanted = SwitchRequest(data=request.data)
    wanted.is_valid(raise_exception=True)
    return str(wanted.validated_data["reason"])


def _draft(data: Any) -> RuleDraft:
    wanted = RuleRequest(data=data)
    wanted.is_valid(raise_exception=True)
    values = dict(wanted.validated_data)
    hook = None
    if values["hook"] is not None:
        hook = list_hooks().filter(pk=values["hook"]).first()
        if hook is None:
            raise InvalidInput("There is no such hook.", fields={"hook": ["There is no such hook."]})
    matchers = [Matcher(matcher["label"], matcher["op"], matcher["value"]) for matcher in values["matchers"]]
    return RuleDraft(**{**values, "hook": hook, "matchers": matchers})
