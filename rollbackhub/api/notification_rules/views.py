"""What teams are told: rules per topic, and quiet hours."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.accounts.models import Team
from rollbackhub.api.idempotency import once
from rollbackhub.api.lookups import named_team
from rollbackhub.api.notification_rules.serializers import (
    NotificationRuleAnswer,
    NotificationRuleRequest,
    NotificationRuleRow,
    QuietHoursBody,
    RuleFilters,
    hours_of,
)
from rollbackhub.api.pagination import NewestIdFirst
from rollbackhub.api.permissions import MayConfigure, MayView
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import OneView, PagedView
from rollbackhub.common.errors import NotFound
from rollbackhub.notifications.domain.selectors import list_rules, quiet_hours_of
from rollbackhub.notifications.domain.wishes import Wish, set_quiet_hours, set_rules
from rollbackhub.notifications.enums import Digest, Topic


class RuleList(PagedView):
    """All rules."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayConfigure}
    filters = RuleFilters
    pagination_class = NewestIdFirst
    serializer_class = NotificationRuleRow

    @extend_schema(operation_id="notification_rules_list", summary="What teams are told", responses=page_of(NotificationRuleRow, name="NotificationRule"))
    def get(self, request: Request) -> Response:
        """A topic without a rule is not told."""
        return self.paged(request)

    @extend_schema(
        operation_id="notification_rules_set", summary="Say what a team is told of a topic", request=NotificationRuleRequest, responses=NotificationRuleAnswer
    )
    def post(self, request: Request) -> Response:
        """In the place of what was said before. Without channels the topic is not told any more."""

        def act(key: str | None) -> Response:
            wanted = NotificationRuleRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            values = dict(wanted.validated_data)
            team = named_team(values["team"])
            wish = Wish(
                topic=Topic(values["topic"]),
                channels=set[UUID](values["channels"]),
                digest=Digest(values["digest"]),
                daily_at=values["daily_at"],
                passes_quiet=values["passes_quiet"],
            )
            rules = set_rules(team=team, wishes=[wish], user=self.person, actor=self.actor)
            return Response({"rule": NotificationRuleRow(rules[0]).data if rules else None})

        return once(request, act)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        return list_rules(**query)


class QuietHoursOfTeam(OneView):
    """A team's quiet hours."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayConfigure}

    @extend_schema(operation_id="notification_quiet_hours_retrieve", summary="A team's quiet hours", responses=QuietHoursBody)
    def get(self, request: Request, team: str) -> HttpResponseBase:
        """By the team's clock; nulls when there are none."""
        return self.answer(hours_of(quiet_hours_of(_team(team))))

    @extend_schema(operation_id="notification_quiet_hours_set", summary="Set a team's quiet hours", request=QuietHoursBody, responses=QuietHoursBody)
    def post(self, request: Request, team: str) -> Response:
        """What comes then and is not urgent waits, and goes out together when they end."""

        def act(key: str | None) -> Response:
            found = _team(team)
            wanted = QuietHoursBody(data=request.data)
            wanted.is_valid(raise_exception=True)
            return Response(hours_of(set_quiet_hours(team=found, user=self.person, actor=self.actor, **wanted.validated_data)))

        return once(request, act)


def _team(slug: str) -> Team:
    """Raises NotFound."""
    team = Team.objects.filter(slug=slug).first()
    if team is None:
        raise NotFound(f"There is no team {slug}.", code="team_not_found")
    return team
