"""Every error is a problem document, whatever went wrong and wherever."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404
from psycopg_pool import PoolTimeout
from rest_framework import exceptions

from rollbackhub.api.artefacts.views import ArtefactList
from rollbackhub.api.errors import as_error
from rollbackhub.common.errors import Conflict, InvalidInput, RollbackHubError, TransientError
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.fixtures import Cast

PROBLEM = "application/problem+json"


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch, on_call: CheckedClient) -> Any:
    """Calls an endpoint whose view raises this."""

    def call(error: Exception) -> Any:
        def rows(self: object, query: object) -> None:
            raise error

        monkeypatch.setattr(ArtefactList, "rows", rows)
        on_call.raise_request_exception = False
        return on_call.get("/api/v1/artefacts/")

    return call


def test_error_of_our_hierarchy_keeps_code_sentence_fields_and_extras(raising: Any) -> None:
    response = raising(Conflict("It runs.", code="already_running", fields={"alias": ["Taken."]}, execution_id="42", url="/drills/42/"))
    assert response.status_code == 409
    assert response.headers["Content-Type"] == PROBLEM
    assert response.json() == {
        "type": "urn:rollbackhub:error:already_running",
        "title": "In conflict with the present state",
        "status": 409,
        "detail": "It runs.",
        "code": "already_running",
        "instance": "/api/v1/artefacts/",
        "fields": {"alias": ["Taken."]},
        "execution_id": "42",
        "url": "/drills/42/",
    }


def test_error_extra_cannot_replace_a_member_of_the_problem(raising: Any) -> None:
    response = raising(InvalidInput("No.", instance="elsewhere", detail="other"))
    assert response.json()["detail"] == "No."
    assert response.json()["instance"] == "/api/v1/artefacts/"


def test_error_unexpected_is_a_500_without_a_leak_and_is_logged(raising: Any, caplog: pytest.LogCaptureFixture, settings: Any) -> None:
    settings.DEBUG = True
    with caplog.at_level(logging.ERROR, logger="rollbackhub.api.errors"):
        response = raising(KeyError("password=hunter2"))
    assert response.status_code == 500
    assert response.json()["code"] == "internal_error"
    assert b"hunter2" not in response.content
    assert "hunter2" in caplog.text


@pytest.mark.parametrize("error", [OperationalError("server closed the connection at 10.0.0.7"), PoolTimeout("no connection")])
def test_error_of_the_database_is_a_503(raising: Any, error: Exception) -> None:
    response = raising(error)
    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
    assert b"10.0.0.7" not in response.content


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Http404(), 404, "not_found"),
        (PermissionDenied(), 403, "forbidden"),
        (SuspiciousOperation("odd"), 400, "malformed"),
        (exceptions.ParseError("JSON parse error"), 400, "malformed"),
        (exceptions.UnsupportedMediaType("text/plain"), 415, "unsupported_media_type"),
        (exceptions.NotAcceptable(), 406, "not_acceptable"),
        (exceptions.APIException("secret"), 500, "internal_error"),
        (TransientError("Envoy is gone."), 503, "transient"),
        (ZeroDivisionError(), 500, "internal_error"),
    ],
)
def test_as_error_gives_status_and_code(error: Exception, status: int, code: str) -> None:
    found = as_error(error)
    assert (found.status, found.code) == (status, code)
    assert "secret" not in found.message
    assert isinstance(found, RollbackHubError)


def test_as_error_validation_names_nested_fields_with_dots() -> None:
    detail: Any = {"candidates": [{}, {"weight": ["Too much."]}], "reason": ["Missing."], "non_field_errors": ["Odd."]}
    found = as_error(exceptions.ValidationError(detail))
    assert found.status == 422
    assert found.fields == {"candidates.1.weight": ["Too much."], "reason": ["Missing."], "body": ["Odd."]}
    assert found.message == "candidates.1.weight: Too much. reason: Missing. Odd."


@pytest.mark.parametrize("path", ["/api/", "/api/nonsense/", "/api/v1/", "/api/v1/nonsense/", "/api/v2/drills/", "/api/v1/drills/not-a-uuid/"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_unknown_address_is_a_problem_for_every_method(path: str, method: str, anonymous: CheckedClient) -> None:
    response = anonymous.generic(method, path)
    assert response.status_code == 404
    assert response.headers["Content-Type"] == PROBLEM
    assert response.json()["code"] == "unknown_address"


def test_unknown_address_without_its_slash_says_so(anonymous: CheckedClient) -> None:
    response = anonymous.post("/api/v1/drills")
    assert response.status_code == 404
    assert "/api/v1/drills/" in response.json()["detail"]
    assert "ends with a slash" in response.json()["detail"]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        ("{", "application/json", 400, "malformed"),
        ('{"alias": NaN}', "application/json", 400, "malformed"),
        (b"\xff\xfe{}", "application/json", 400, "malformed"),
        ("[]", "application/json", 422, "invalid_input"),
        ('"text"', "application/json", 422, "invalid_input"),
        ("null", "application/json", 422, "invalid_input"),
        ('{"alias": "a\\u0000b"}', "application/json", 422, "invalid_input"),
        ('{"alias": "\\ud800"}', "application/json", 422, "invalid_input"),
        ('{"alias": ["a"]}', "application/json", 422, "invalid_input"),
        ("[" * 100_000, "application/json", 400, "malformed"),
        ('{"a":' * 30 + "1" + "}" * 30, "application/json", 400, "malformed"),
        ('{"alias": 1e999}', "application/json", 422, "policy_not_found"),
        ("alias=a", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        ("a", "text/plain", 415, "unsupported_media_type"),
    ],
)
def test_body_that_cannot_be_used_is_a_problem(body: Any, content_type: str, status: int, code: str, on_call: CheckedClient) -> None:
    response = on_call.generic("POST", "/api/v1/drills/", data=body, content_type=content_type)
    assert (response.status_code, response.json()["code"]) == (status, code), response.content


def test_body_member_that_is_unknown_is_refused(on_call: CheckedClient) -> None:
    response = on_call.post("/api/v1/drills/", {"alias": "a", "enviroment": "staging"}, format="json")
    assert response.status_code == 422
    assert "enviroment" in response.json()["fields"]


def test_body_that_is_too_large_is_refused_before_it_is_read(on_call: CheckedClient) -> None:
    response = on_call.generic("POST", "/api/v1/drills/", data="x" * (256 * 1024 + 1), content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (413, "too_large")


def test_body_without_a_length_is_refused(on_call: CheckedClient) -> None:
    response = on_call.generic("POST", "/api/v1/drills/", HTTP_TRANSFER_ENCODING="chunked", CONTENT_LENGTH="")
    assert (response.status_code, response.json()["code"]) == (411, "length_required")


def test_accept_that_we_cannot_answer_is_a_problem(on_call: CheckedClient) -> None:
    response = on_call.get("/api/v1/drills/", HTTP_ACCEPT="text/html")
    assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")


def test_answers_are_not_kept_by_caches_in_between(on_call: CheckedClient) -> None:
    response = on_call.get("/api/v1/drills/")
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert {"Authorization", "Cookie"} <= set(response.headers["Vary"].split(", "))


def test_session_post_without_csrf_token_is_refused(by_session: Caller, cast: Cast) -> None:
    response = by_session(cast.on_call, csrf=True).post("/api/v1/drills/", {"alias": "a"}, format="json")
    assert response.status_code == 403
    assert "CSRF" in response.json()["detail"]


def test_token_post_needs_no_csrf_token(by_token: Caller, cast: Cast) -> None:
    client = by_token(cast.on_call)
    client.handler.enforce_csrf_checks = True
    assert client.post("/api/v1/drills/", {"alias": "nobody"}, format="json").status_code == 422
