"""Past runs by API: tried, imported whole, listed, taken back."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from rollbackhub.analytics.models import HistoryImport, RunFact
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.csv_file import MAX_BYTES
from tests.analytics.history_files import DRILL, GONE, ROLLBACK, csv_of, make_world
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.fixtures import Cast

ADDRESS = "/api/v1/history-imports/"
FILE = csv_of(DRILL, ROLLBACK, GONE)


@pytest.fixture
def lead(cast: Cast, by_token: Caller) -> CheckedClient:
    """The platform lead, by a token with every scope."""
    make_world()
    return by_token(cast.lead)


def send(client: CheckedClient, content: bytes, query: str = "", **kwargs: Any) -> Any:
    """POST the file."""
    return client.post(ADDRESS + query, content, content_type="text/csv", **kwargs)


def test_dry_run_says_what_a_file_would_bring_in_and_writes_nothing(lead: CheckedClient) -> None:
    response = send(lead, FILE, "?dry_run=true")
    assert response.status_code == 200
    assert response.json() | {"sha256": ""} == {
        "rows": 3,
        "sha256": "",
        "importable": True,
        "kinds": [{"kind": "drill", "runs": 2}, {"kind": "rollback", "runs": 1}],
        "problems": [],
    }
    wrong = send(lead, csv_of({**DRILL, "verdict": "great"}), "?dry_run=true").json()
    assert (wrong["importable"], [(problem["row"], problem["column"]) for problem in wrong["problems"]]) == (False, [(2, "verdict")])
    assert not HistoryImport.objects.exists()


def test_file_is_imported_listed_and_found(lead: CheckedClient, on_call: CheckedClient) -> None:
    response = send(lead, FILE, "?file_name=2025.csv&note=From%20the%20wiki")
    assert response.status_code == 201
    body = response.json()
    assert (body["file_name"], body["rows"], body["note"], body["imported_by"]) == ("2025.csv", 3, "From the wiki", "Lee Lead")
    assert response.headers["Location"] == body["url"]
    assert on_call.get(body["url"]).json() == body
    assert on_call.get(ADDRESS).json()["results"] == [body]
    assert RunFact.objects.filter(source="imported").count() == 3
    assert AuditEvent.objects.get(event="history.imported").actor_kind == "token"


def test_file_with_wrong_rows_is_refused_whole_with_every_row(lead: CheckedClient) -> None:
    response = send(lead, csv_of(DRILL, {**ROLLBACK, "verdict": "great"}, {**GONE, "artefact": ""}))
    body = response.json()
    assert (response.status_code, body["code"]) == (422, "history_refused")
    assert [(problem["row"], problem["column"]) for problem in body["problems"]] == [(3, "verdict"), (4, "artefact")]
    assert list(body["fields"]) == ["row 3", "row 4"]
    assert not RunFact.objects.exists()


def test_same_file_again_is_a_conflict_that_names_the_import(lead: CheckedClient) -> None:
    first = send(lead, FILE).json()
    response = send(lead, FILE)
    body = response.json()
    assert (response.status_code, body["code"], body["import_id"], body["url"]) == (
        409,
        "history_imported_already",
        first["id"],
        f"/analytics/import/{first['id']}/",
    )


def test_same_request_with_its_key_is_answered_again(lead: CheckedClient) -> None:
    first = send(lead, FILE, HTTP_IDEMPOTENCY_KEY="once")
    again = send(lead, FILE, HTTP_IDEMPOTENCY_KEY="once")
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert again.headers["Idempotent-Replayed"] == "true"
    assert HistoryImport.objects.count() == 1


@pytest.mark.parametrize(
    ("content", "query", "status", "code"),
    [
        (csv_of({**DRILL, "note": "grün"}).decode().encode("latin-1"), "", 422, "wrong_encoding"),
        (b"", "", 400, "malformed"),
        (b"x" * (MAX_BYTES + 1), "", 413, "too_large"),
        (FILE, "?zone=Middle/Earth", 422, "zone_unknown"),
        (FILE, "?dry=true", 422, "invalid_input"),
        (csv_of({**DRILL, "decided_at": "2026-03-02 10:00"}), "", 422, "history_refused"),
    ],
)
def test_what_cannot_be_read_is_refused(content: bytes, query: str, status: int, code: str, lead: CheckedClient) -> None:
    response = send(lead, content, query)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert not HistoryImport.objects.exists()


def test_json_is_refused_with_what_the_address_takes(lead: CheckedClient) -> None:
    response = lead.generic("POST", "/api/v1/history-imports/", data="{}", content_type="application/json")
    assert response.status_code == 415
    assert response.json()["detail"].endswith("This address takes a file as the body, with Content-Type: text/csv.")


def test_import_with_a_stated_zone(lead: CheckedClient) -> None:
    assert send(lead, csv_of({**DRILL, "decided_at": "2026-03-02 10:00"}), "?zone=Asia/Kolkata").status_code == 201
    assert RunFact.objects.get().at.isoformat() == "2026-03-02T04:30:00+00:00"


@pytest.mark.parametrize("name", ["on_call", "leadership", "auditor", "stranger"])
def test_import_is_for_those_who_may_configure(name: str, lead: CheckedClient, cast: Cast, by_token: Caller) -> None:
    for query in ("", "?dry_run=true"):
        assert send(by_token(getattr(cast, name)), FILE, query).status_code == 403
    assert not RunFact.objects.exists()


def test_token_without_the_scope_imports_nothing(lead: CheckedClient, cast: Cast, by_token: Caller) -> None:
    assert send(by_token(cast.lead, scopes=("read", "drill")), FILE).status_code == 403


def test_import_is_taken_back_by_a_lead_in_person(lead: CheckedClient, cast: Cast, by_session: Caller) -> None:
    made = send(lead, FILE).json()
    where = f"{made['url']}take-back/"
    assert lead.post(where, {"reason": "wrong clock"}, format="json").json()["code"] == "token_not_allowed"
    assert by_session(cast.admin).post(where, {"reason": "wrong clock"}, format="json").status_code == 403
    person = by_session(cast.lead)
    assert person.post(where, {"reason": ""}, format="json").status_code == 422
    assert person.post(where, {"reason": "no"}, format="json").status_code == 422
    response = person.post(where, {"reason": "wrong clock"}, format="json")
    assert response.json() == {"id": made["id"], "file_name": "history.csv", "rows": 3}
    assert not RunFact.objects.exists()
    assert person.get(made["url"]).json()["code"] == "history_import_not_found"
    assert person.post(f"{ADDRESS}{uuid.UUID(int=3)}/take-back/", {"reason": "wrong clock"}, format="json").status_code == 404
