"""Runbooks are read by the clock; what is wrong with one is a sentence, never an exception."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

import pytest
from django.test import Client

from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.executions.domain import runbooks
from rollbackhub.executions.domain.runbooks import is_due, read_due_runbooks, read_runbook
from rollbackhub.executions.models import Procedure
from tests.common.servers import answers, drips, http, tcp_server
from tests.factories.fixtures import Cast

pytestmark = pytest.mark.django_db


def with_url(url: str, **values: Any) -> Procedure:
    Procedure.objects.filter(change_type="model", connector="").update(runbook_url=url, **values)
    return Procedure.objects.get(change_type="model", connector="")


def read(url: str) -> Procedure:
    procedure = with_url(url)
    assert read_runbook(procedure_id=procedure.pk, url=url)
    procedure.refresh_from_db()
    return procedure


def test_runbook_is_read_once_and_its_bytes_are_hashed() -> None:
    body = b"# Roll back\r\n\r\n1. Flip.  \n"
    with tcp_server(answers(http("200 OK", body))) as server:
        procedure = with_url(server.url)
        assert read_due_runbooks() == 1
        assert read_due_runbooks() == 0
        assert server.connections == 1
    procedure.refresh_from_db()
    assert procedure.runbook_hash == "sha256:" + hashlib.sha256(body).hexdigest()
    assert procedure.runbook_problem == ""
    assert procedure.runbook_read_at == procedure.runbook_tried_at
    assert AuditEvent.objects.filter(event="procedure.runbook_changed", subject_id=str(procedure.pk)).count() == 1


def test_procedure_without_an_address_is_never_due() -> None:
    assert read_due_runbooks() == 0


def test_it_is_due_again_after_an_hour_give_or_take_a_tenth() -> None:
    tried = now()
    due_after = []
    for pk in range(1, 60):
        procedure = Procedure(pk=pk, runbook_url="http://wiki/r", runbook_tried_at=tried)
        assert not is_due(procedure, at=tried + dt.timedelta(minutes=53))
        assert is_due(procedure, at=tried + dt.timedelta(minutes=67))
        due_after.append(next(minute for minute in range(53, 68) if is_due(procedure, at=tried + dt.timedelta(minutes=minute))))
    assert len(set(due_after)) > 5, "they are spread"


def test_same_content_again_is_no_change() -> None:
    with tcp_server(answers(http("200 OK", b"x"))) as server:
        first = read(server.url)
        second = read(server.url)
    assert first.runbook_hash == second.runbook_hash
    assert second.runbook_read_at is not None
    assert first.runbook_read_at is not None
    assert second.runbook_read_at > first.runbook_read_at
    assert AuditEvent.objects.filter(event="procedure.runbook_changed").count() == 1


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (http("404 Not Found"), "answered 404: there is no runbook."),
        (http("410 Gone"), "answered 410: there is no runbook."),
        (http("403 Forbidden"), "answered 403: RollbackHub may not read it."),
        (http("500 Oh"), "answered 500"),
        (http("302 Found", b"", "Location: http://elsewhere/"), "redirects are not followed"),
        (b"nonsense\r\n\r\n", "did not speak HTTP"),
    ],
)
def test_runbook_that_cannot_be_read_is_a_problem_in_words_and_keeps_its_hash(raw: bytes, words: str) -> None:
    with tcp_server(answers(raw)) as server:
        with_url(server.url, runbook_hash="sha256:before")
        procedure = read(server.url)
    assert words in procedure.runbook_problem
    assert (procedure.runbook_hash, procedure.runbook_read_at) == ("sha256:before", None)
    assert procedure.runbook_tried_at is not None
    assert AuditEvent.objects.filter(event="procedure.runbook_lost").count() == 1


def test_nobody_there_is_a_problem_and_its_return_ends_it() -> None:
    with tcp_server(answers(http("200 OK", b"x"))) as server:
        pass
    procedure = read(server.url)
    assert "cannot be reached" in procedure.runbook_problem
    with tcp_server(answers(http("200 OK", b"x"))) as server:
        procedure = read(server.url)
    assert procedure.runbook_problem == ""
    assert AuditEvent.objects.filter(event="procedure.runbook_found").count() == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://wiki.example.com/r", "may not call wiki.example.com. An administrator can allow it by adding it to OUTBOUND_ALLOWED_HOSTS."),
        ("ftp://127.0.0.1/r", "Only http:// and https://"),
        ("http://user:pw@127.0.0.1/r", "may not carry a user name or password"),
        ("http://[broken", "may not call"),
    ],
)
def test_address_that_may_not_be_called_is_a_clear_problem(url: str, words: str) -> None:
    procedure = with_url(url)
    assert read_due_runbooks() == 1
    procedure.refresh_from_db()
    assert words in procedure.runbook_problem
    assert procedure.runbook_hash == ""


def test_slow_and_endless_runbooks_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runbooks, "TIMEOUT_SECONDS", 0.4)
    with tcp_server(drips(b"HTTP/1.1 200 OK\r\n\r\n", b"x", 0.05)) as server:
        assert "did not answer within 0.4 s" in read(server.url).runbook_problem
    monkeypatch.setattr(runbooks, "MAX_BYTES", 1000)
    with tcp_server(answers(http("200 OK", b"x" * 1001))) as server:
        assert "more than 1000 bytes" in read(server.url).runbook_problem


def test_address_that_changed_while_it_was_read_keeps_nothing_of_the_old() -> None:
    with tcp_server(answers(http("200 OK", b"x"))) as server:
        procedure = with_url("http://127.0.0.1:9/new")
        assert not read_runbook(procedure_id=procedure.pk, url=server.url)
    procedure.refresh_from_db()
    assert (procedure.runbook_hash, procedure.runbook_tried_at) == ("", None)


def test_address_that_was_emptied_past_the_admin_is_forgotten() -> None:
    procedure = with_url("", runbook_hash="sha256:x", runbook_tried_at=now(), runbook_read_at=now(), runbook_problem="gone")
    assert read_due_runbooks() == 1
    procedure.refresh_from_db()
    assert (procedure.runbook_hash, procedure.runbook_read_at, procedure.runbook_tried_at, procedure.runbook_problem) == ("", None, None, "")


def test_admin_shows_what_was_read_and_another_address_forgets_it(cast: Cast, client: Client) -> None:
    client.force_login(cast.admin)
    procedure = with_url("http://127.0.0.1:9/old", runbook_hash="sha256:shown", runbook_tried_at=now(), runbook_problem="it is gone")
    address = f"/admin/executions/procedure/{procedure.pk}/change/"
    page = client.get(address).content.decode()
    assert "sha256:shown" in page
    assert "it is gone" in page
    assert 'name="runbook_hash"' not in page
    form = {"name": procedure.name, "runbook_url": "http://127.0.0.1:9/old", "runbook_hash": "sha256:forged"}
    form |= {"versions-TOTAL_FORMS": "0", "versions-INITIAL_FORMS": "0"}
    assert client.post(address, form | {"name": "Another"}).status_code == 302
    procedure.refresh_from_db()
    assert (procedure.name, procedure.runbook_hash, procedure.runbook_problem) == ("Another", "sha256:shown", "it is gone")
    assert client.post(address, form | {"runbook_url": "http://127.0.0.1:9/new"}).status_code == 302
    procedure.refresh_from_db()
    assert (procedure.runbook_url, procedure.runbook_hash, procedure.runbook_tried_at, procedure.runbook_problem) == ("http://127.0.0.1:9/new", "", None, "")
    assert AuditEvent.objects.filter(event="procedure.runbook_forgotten", actor_kind="person").count() == 1
