"""What holds for every endpoint: described, guarded, closed to nobody and to strangers."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, may
from rollbackhub.api.permissions import CapabilityPermission, permissions_of
from rollbackhub.api.schema import CAPABILITY, SIGNED_IN
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient, description
from tests.factories.fixtures import Cast

SAMPLE_VALUES = {"uuid": str(uuid.UUID(int=7)), "slug": "some-slug", "int": "7"}
FOR_STRANGERS = {("GET", "/api/v1/me/")}
"""What somebody without a role may see: themselves."""


def _routes() -> Iterator[tuple[str, Any]]:
    """Every address under /api/v1/ as (pattern, view class), from the URL configuration itself."""

    def walk(patterns: list[Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for entry in patterns:
            route = prefix + str(entry.pattern)
            if isinstance(entry, URLResolver):
                yield from walk(entry.url_patterns, route)
            elif isinstance(entry, URLPattern) and route.startswith("api/v1/"):
                yield f"/{route}", entry.callback.cls  # type: ignore[attr-defined]

    yield from walk(get_resolver().url_patterns, "")


def _operations() -> list[tuple[str, str, Any]]:
    return [(method.upper(), route, view) for route, view in _routes() for method in ("get", "post", "put", "patch", "delete") if hasattr(view, method)]


OPERATIONS = _operations()
IDS = [f"{method} {route}" for method, route, _ in OPERATIONS]


def _path(route: str) -> str:
    return re.sub(r"<(\w+):\w+>", lambda found: SAMPLE_VALUES[found[1]], route)


def _template(route: str) -> str:
    return re.sub(r"<\w+:(\w+)>", r"{\1}", route)


def _who_may(view: Any, method: str, cast: Cast) -> User:
    """Leads decide what no administrator may; an administrator may everything else."""
    return cast.lead if permissions_of(view, method)[0].capability == Capability.LEAD else cast.admin  # type: ignore[attr-defined]


def test_endpoints_found() -> None:
    assert len(OPERATIONS) >= 45


@pytest.mark.parametrize(("method", "route", "view"), OPERATIONS, ids=IDS)
def test_endpoint_is_described_with_its_capability(method: str, route: str, view: Any) -> None:
    operation = description()["paths"][_template(route)][method.lower()]
    permissions = permissions_of(view, method)
    assert len(permissions) == 1
    assert issubclass(permissions[0], CapabilityPermission)
    named = permissions[0].capability
    assert operation[CAPABILITY] == (named.value if named else SIGNED_IN)
    assert operation["summary"]


def test_description_has_nothing_that_is_not_served() -> None:
    assert {(method.upper(), path) for path, operations in description()["paths"].items() for method in operations} == {
        (method, _template(route)) for method, route, _ in OPERATIONS
    }


@pytest.mark.parametrize(("method", "route", "view"), OPERATIONS, ids=IDS)
def test_endpoint_anonymous_is_refused_with_401(method: str, route: str, view: Any, anonymous: CheckedClient) -> None:
    response = anonymous.generic(method, _path(route), data="{}", content_type="application/json")
    assert response.status_code == 401
    assert response.json()["code"] == "not_authenticated"
    assert response.headers["WWW-Authenticate"] == 'Token realm="RollbackHub"'


@pytest.mark.parametrize(("method", "route", "view"), OPERATIONS, ids=IDS)
def test_endpoint_stranger_is_refused_with_403(method: str, route: str, view: Any, cast: Cast, by_session: Caller) -> None:
    response = by_session(cast.stranger).generic(method, _path(route), data="{}", content_type="application/json")
    assert (response.status_code == 200) == ((method, route) in FOR_STRANGERS)
    if response.status_code != 200:
        assert response.status_code == 403
        assert "role" in response.json()["detail"]


@pytest.mark.parametrize(("method", "route", "view"), OPERATIONS, ids=IDS)
def test_endpoint_each_role_is_let_in_as_the_rules_say(method: str, route: str, view: Any, cast: Cast, by_session: Caller) -> None:
    capability = permissions_of(view, method)[0].capability  # type: ignore[attr-defined]
    for name, person in cast.everybody_but("stranger").items():
        response = by_session(person).generic(method, _path(route), data="{}", content_type="application/json")
        allowed = capability is None or may(user=person, capability=capability)
        refused = response.status_code == 403 and response.json()["code"] == "forbidden"
        assert refused == (not allowed), (name, response.status_code, response.content)


GUARDED = [entry for entry in OPERATIONS if permissions_of(entry[2], entry[0])[0].capability]  # type: ignore[attr-defined]
WITH_VARIABLES = [entry for entry in OPERATIONS if "<" in entry[1]]
LISTS = [route for method, route, view in OPERATIONS if method == "GET" and hasattr(view, "pagination_class") and "<" not in route]


@pytest.mark.parametrize(("method", "route", "view"), GUARDED)
def test_endpoint_token_without_the_scope_is_refused(method: str, route: str, view: Any, cast: Cast, by_token: Caller) -> None:
    capability = permissions_of(view, method)[0].capability  # type: ignore[attr-defined]
    scopes = ("route",) if capability != Capability.ROUTE else ("read", "drill")
    response = by_token(cast.admin, scopes=scopes).generic(method, _path(route), data="{}", content_type="application/json")
    assert response.status_code == 403
    assert response.json()["code"] in ("forbidden", "session_only", "token_not_allowed")


@pytest.mark.parametrize(("method", "route", "view"), WITH_VARIABLES)
def test_endpoint_of_something_that_does_not_exist_answers_404(method: str, route: str, view: Any, cast: Cast, by_session: Caller) -> None:
    client = by_session(_who_may(view, method, cast))
    kwargs: dict[str, Any] = {"data": "{}", "content_type": "application/json"}
    if route.endswith("import/"):
        kwargs = {"data": "aliases: {}", "content_type": "application/yaml"}
        route += "?reason=x"
    response = client.generic(method, _path(route), **kwargs)
    assert response.status_code == 404
    assert response.json()["code"].endswith("not_found")


@pytest.mark.parametrize(("route", "view"), list(_routes()), ids=[route for route, _ in _routes()])
def test_endpoint_other_methods_answer_405_with_allow(route: str, view: Any, cast: Cast, by_session: Caller) -> None:
    for method in ("PUT", "PATCH", "OPTIONS", "TRACE"):
        response = by_session(_who_may(view, method, cast)).generic(method, _path(route))
        assert response.status_code == 405, method
        assert response.json()["code"] == "method_not_allowed"
        assert set(response.headers["Allow"].split(", ")) - {"HEAD"} == {method for method, other, _ in OPERATIONS if other == route}


@pytest.mark.parametrize("route", LISTS)
def test_endpoint_unknown_query_parameter_is_refused(route: str, cast: Cast, by_session: Caller) -> None:
    response = by_session(cast.admin).get(route, {"nonsense": "1"})
    assert response.status_code == 422
    assert "nonsense" in response.json()["fields"]


@pytest.mark.parametrize("route", LISTS)
@pytest.mark.parametrize("page_size", ["0", "201", "-1", "x", "", "1e2", "٣"])
def test_endpoint_page_size_that_is_none_is_refused(route: str, page_size: str, cast: Cast, by_session: Caller) -> None:
    response = by_session(cast.admin).get(route, {"page_size": page_size})
    assert response.status_code == 422
    assert list(response.json()["fields"]) == ["page_size"]


@pytest.mark.parametrize("route", LISTS)
@pytest.mark.parametrize("cursor", ["x", "cD1ub25zZW5zZQ==", "bz0xMDAwMDAwMDAw", "cD0lMDA=", "cD05OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "é"])
def test_endpoint_cursor_that_is_none_never_breaks(route: str, cursor: str, cast: Cast, by_session: Caller) -> None:
    response = by_session(cast.admin).get(route, {"cursor": cursor})
    assert response.status_code in (200, 422)
    if response.status_code == 422:
        assert response.json()["code"] == "invalid_cursor"
