"""What every endpoint does alike."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.http import quote_etag
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.api.errors import HttpError
from rollbackhub.api.fields import ApiSerializer
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.parsers import BoundedJsonParser
from rollbackhub.api.permissions import permissions_of, token_of
from rollbackhub.api.throttling import CALLERS, STRANGERS
from rollbackhub.audit.actors import Actor
from rollbackhub.common.errors import NotFound

MAX_BODY_BYTES = 256 * 1024


class ApiView(APIView):
    """An endpoint: permission per method, bounded bodies, throttled, never stored by caches."""

    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    parser_classes = [BoundedJsonParser]
    max_body_bytes: ClassVar[int] = MAX_BODY_BYTES
    permission_by_method: ClassVar[Mapping[str, type[BasePermission]]] = {}
    """Where a method needs another permission than `permission_classes`."""
    filters: ClassVar[type[ApiSerializer] | None] = None
    """Query parameters that a GET takes; others are refused."""

    def get_permissions(self) -> list[Any]:
        """The permission of this request's method."""
        method = "GET" if self.request.method == "HEAD" else self.request.method
        return [kind() for kind in permissions_of(type(self), method or "GET")]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse what is too large or too often; then sign-in and permission as usual."""
        self._require_bounded_body(request)
        try:
            super().initial(request, *args, **kwargs)
        except (exceptions.NotAuthenticated, exceptions.AuthenticationFailed) as error:
            _throttle(STRANGERS.take(request.META.get("REMOTE_ADDR", "")), because=error)
            raise

    def check_throttles(self, request: Request) -> None:
        """Count this caller's call: of its token, or of the person."""
        token = token_of(request)
        _throttle(CALLERS.take(f"token:{token.pk}" if token else f"user:{request.user.pk}"))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """What is answered depends on who asks, and is not to be kept by anything in between."""
        response = super().finalize_response(request, response, *args, **kwargs)
        patch_vary_headers(response, ["Authorization", "Cookie"])
        response.headers.setdefault("Cache-Control", "private, no-cache")
        return response

    def query(self) -> dict[str, Any]:
        """The checked query parameters. Raises ValidationError for a wrong or unknown one."""
        paging = ("cursor", "page_size") if getattr(self, "pagination_class", None) else ()
        given = {name: value for name, value in self.request.query_params.items() if name not in paging}
        serializer = (self.filters or ApiSerializer)(data=given)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    @property
    def person(self) -> User:
        """Who asks (signed in: the permissions saw to it)."""
        user = self.request.user
        assert isinstance(user, User)
        return user

    @property
    def actor(self) -> Actor:
        """Who acts, for the audit log."""
        return actor_of(self.person, token_of(self.request))

    def _require_bounded_body(self, request: Request) -> None:
        length = request.META.get("CONTENT_LENGTH") or ""
        if not length and "HTTP_TRANSFER_ENCODING" in request.META:
            raise HttpError("Send a Content-Length: chunked bodies are not taken.", code="length_required", status=411, title="Length required")
        if length and (not length.isdecimal() or int(length) > self.max_body_bytes):
            raise HttpError(f"The body may have at most {self.max_body_bytes} bytes.", code="too_large", status=413, title="Too large")


class PagedView(ApiView):
    """A list in cursor pages."""

    pagination_class: type[NewestFirstCursor] = NewestFirstCursor
    serializer_class: type[BaseSerializer[Any]]

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """What is listed, filtered by the checked query parameters."""
        raise NotImplementedError

    def paged(self, request: Request) -> Response:
        """One page as the answer."""
        paginator = self.pagination_class()
        page = paginator.paginate_queryset(self.rows(self.query()), request, self)
        return paginator.get_paginated_response(self.serializer_class(page, many=True, context={"request": request}).data)


class OneView(ApiView):
    """One thing, with an ETag for those who poll it."""

    conditional: ClassVar[bool] = True

    def answer(self, content: Any) -> HttpResponseBase:
        """The answer; 304 without a body when the caller has just this already."""
        response = Response(content)
        body = JSONRenderer().render(content)
        etag = quote_etag(hashlib.sha256(body).hexdigest()[:32])
        response.headers["ETag"] = etag
        return get_conditional_response(self.request._request, etag=etag, response=response) or response


def _throttle(wait: float, *, because: Exception | None = None) -> None:
    if wait > 0:
        raise exceptions.Throttled(wait=wait) from because


@extend_schema(exclude=True)
class UnknownAddress(APIView):
    """Whatever under /api/ is no endpoint: a problem document, not a page."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer 404 to every method."""
        self.args, self.kwargs = args, kwargs
        self.request = self.initialize_request(request, *args, **kwargs)
        self.headers = {}
        sentence = "There is no such address in this API. What there is: /api/schema/."
        if not request.path.endswith("/") and _leads_somewhere(request.path + "/"):
            sentence = f"Every address of this API ends with a slash: {request.path}/"
        response = self.handle_exception(NotFound(sentence, code="unknown_address"))
        self.response = self.finalize_response(self.request, response, *args, **kwargs)
        return self.response


def _leads_somewhere(path: str) -> bool:
    try:
        return getattr(resolve(path).func, "cls", None) is not UnknownAddress
    except Resolver404:
        return False
