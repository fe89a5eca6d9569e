"""One's own API tokens. Only a person makes tokens, and only just after proving again who they are."""

from __future__ import annotations

from typing import Any

from allauth.account.decorators import reauthentication_required
from allauth.core.exceptions import ReauthenticationRequired
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.accounts.domain.transitions import issue_token, revoke_token
from rollbackhub.accounts.models import ApiToken
from rollbackhub.api.idempotency import created, once
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.permissions import MayView, MayViewInPerson, token_of
from rollbackhub.api.schema import page_of
from rollbackhub.api.tokens.serializers import NewTokenRow, TokenRequest, TokenRow
from rollbackhub.api.views import ApiView, PagedView
from rollbackhub.common.errors import Forbidden, NotFound


class ByCreated(NewestFirstCursor):
    """Newest first."""

    ordering = ("-created", "-pk")


class TokenList(PagedView):
    """One's tokens, and a new one."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayViewInPerson}
    pagination_class = ByCreated
    serializer_class = TokenRow

    @extend_schema(operation_id="tokens_list", summary="Your tokens, newest first", responses=page_of(TokenRow, name="Token"))
    def get(self, request: Request) -> Response:
        """Expired ones included."""
        return self.paged(request)

    @extend_schema(
        operation_id="tokens_create",
        summary="Make a token",
        request=TokenRequest,
        responses={201: OpenApiResponse(NewTokenRow, description="`token` is shown this once")},
    )
    def post(self, request: Request) -> Response:
        """By a signed-in session that gave its password again a short while ago (403 `reauthentication_required` otherwise); never by a token."""
        require_recent_reauthentication(request)

        def act(key: str | None) -> Response:
            wanted = TokenRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            token, plain = issue_token(user=self.person, actor=self.actor, **wanted.validated_data)
            token.token = plain
            content = NewTokenRow(token).data
            return created(content, at=content["url"])

        return once(request, act, secret_members=("token",))

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """One's own."""
        found: QuerySet[ApiToken] = ApiToken.objects.filter(user=self.person)
        return found


class TokenOne(ApiView):
    """One of one's tokens."""

    permission_classes = [MayView]

    @extend_schema(operation_id="tokens_destroy", summary="End a token", responses={204: OpenApiResponse(description="It is of no use any more")})
    def delete(self, request: Request, token_id: str) -> Response:
        """Any of your own when you are signed in; a token may end only itself."""
        used = token_of(request)
        token = ApiToken.objects.select_related("user").filter(user=self.person, token_key=token_id).first()
        if token is None:
            raise NotFound("You have no such token.", code="token_not_found")
        if used is not None and used.pk != token.pk:
            raise Forbidden("A token may end only itself. Sign in to end another one.", code="session_only")
        revoke_token(token=token, actor=self.actor)
        return Response(status=204)


def require_recent_reauthentication(request: Request) -> None:
    """Raise Forbidden `reauthentication_required` unless the person gave their password in this session a short while ago."""

    @reauthentication_required
    def passes(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    try:
        passes(request._request)
    except ReauthenticationRequired as error:
        where = reverse("account_reauthenticate")
        raise Forbidden(f"Confirm at {where} that it is you, then try again.", code="reauthentication_required", url=where) from error
