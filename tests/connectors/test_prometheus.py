"""Metrics from a real Prometheus server and from plain endpoints, and from servers with bad habits."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from rollbackhub.common.errors import InvalidInput, RollbackHubError, TransientError
from rollbackhub.connectors.base import PermissionMissing
from rollbackhub.connectors.prometheus import NoData, PrometheusConnector
from tests.connectors.prometheus_server import SCRAPE_SECONDS, PrometheusServer

BUCKETS = (0.1, 0.5, 1.0)
SESAME = "$2b$04$TXpjB/ACtsgt0reF0ee4YOw6Mtinw7eyIL9hOcb19SDWBbxdzKfTu"
"""The bcrypt hash of sesame-7431, as Prometheus wants it."""


class Exporter:
    """What a test counts, as a page that Prometheus scrapes; or whatever a test has it answer instead."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("environment", "alias", "version")
        self.requests = Counter("llm_requests", "r", (*labels, "code"), registry=self.registry)
        self.feedback = Counter("llm_negative_feedback", "f", labels, registry=self.registry)
        self.durations = Histogram("llm_request_duration_seconds", "d", labels, registry=self.registry, buckets=BUCKETS)
        self.answer: Callable[[BaseHTTPRequestHandler], tuple[int, str, bytes]] | None = None
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, kind, body = exporter.answer(self) if exporter.answer else (200, "text/plain; version=0.0.4", generate_latest(exporter.registry))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def count(self, version: str, requests: int, *, disliked: int = 0, seconds: float = 0.3, code: str = "200", alias: str = "reasoner") -> None:
        """So many requests more."""
        labels = ("production", alias, version)
        self.requests.labels(*labels, code).inc(requests)
        self.feedback.labels(*labels).inc(disliked)
        for _ in range(requests):
            self.durations.labels(*labels).observe(seconds)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    found = Exporter()
    yield found
    found.close()


@pytest.fixture
def server(exporter: Exporter, tmp_path: Path) -> Iterator[PrometheusServer]:
    """A real Prometheus that scrapes the exporter five times a second."""
    found = PrometheusServer(tmp_path / "prometheus", targets=[exporter.url.removeprefix("http://")])
    found.start()
    yield found
    found.stop()


def connector(timeout_seconds: float = 2.0, **settings: Any) -> PrometheusConnector:
    return PrometheusConnector(PrometheusConnector.parse_settings(settings), timeout_seconds=timeout_seconds)


def eventually(look: Callable[[], bool], *, within: float = 10) -> None:
    deadline = time.monotonic() + within
    while not look():
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.05)


def kept(found: PrometheusConnector) -> dict[str, Any]:
    return {version: metrics.as_dict() for version, metrics in found.read_versions(environment="production", alias="reasoner").items()}


def test_server_and_plain_endpoint_say_the_same(exporter: Exporter, server: PrometheusServer) -> None:
    exporter.count("v1", 40, disliked=3)
    exporter.count("v1", 2, code="503", seconds=2)
    exporter.count("v2", 5, disliked=5, seconds=0.7)
    exporter.count("v1", 9, alias="other")
    wanted = {
        "v1": {
            "requests": 42.0,
            "errors": 2.0,
            "negative_feedback": 3.0,
            "duration_sum": pytest.approx(40 * 0.3 + 2 * 2),
            "duration_count": 42.0,
            "buckets": {"0.1": 0.0, "0.5": 40.0, "1": 40.0, "+Inf": 42.0},
        },
        "v2": {
            "requests": 5.0,
            "errors": 0.0,
            "negative_feedback": 5.0,
            "duration_sum": pytest.approx(3.5),
            "duration_count": 5.0,
            "buckets": {"0.1": 0.0, "0.5": 0.0, "1": 5.0, "+Inf": 5.0},
        },
    }
    assert kept(connector(endpoint=f"{exporter.url}/metrics")) == wanted
    by_server = connector(server=server.url)
    eventually(lambda: kept(by_server) == wanted)
    look = by_server.read(environment="production", alias="reasoner")
    assert look.newest_at is not None
    assert look.source_now is not None
    assert abs((look.source_now - look.newest_at).total_seconds()) < 2
    assert '__name__=~"llm_requests_total|' in look.query


def test_series_that_nobody_has_counted_are_no_data_and_not_zero(exporter: Exporter, server: PrometheusServer) -> None:
    for found in (connector(endpoint=f"{exporter.url}/metrics"), connector(server=server.url)):
        assert kept(found) == {}
        assert found.read_missing(environment="production", aliases=["reasoner"]) == {
            "reasoner": ["llm_requests_total", "llm_negative_feedback_total", "llm_request_duration_seconds_sum", "llm_request_duration_seconds_count"]
        }
    exporter.requests.labels("production", "reasoner", "v1", "200").inc()
    by_server = connector(server=server.url)
    eventually(lambda: by_server.read_missing(environment="production", aliases=["reasoner"]).get("reasoner", [])[:1] == ["llm_negative_feedback_total"])
    exporter.count("v1", 1)
    eventually(lambda: by_server.read_missing(environment="production", aliases=["reasoner"]) == {})


def test_exporter_that_dies_has_no_data_and_is_never_taken_for_silence(exporter: Exporter, server: PrometheusServer) -> None:
    exporter.count("v1", 7)
    found = connector(server=server.url, stale_after_seconds=2)
    eventually(lambda: bool(kept(found)))
    exporter.answer = lambda handler: (500, "text/plain", b"dead")

    def is_no_data() -> bool:
        try:
            return kept(found) == {}
        except NoData as error:
            return "its scrapes have stopped" in error.message

    eventually(is_no_data)
    time.sleep(1)
    assert is_no_data()
    exporter.answer = None
    eventually(lambda: _says(found) == 7)


def _says(found: PrometheusConnector) -> float | None:
    try:
        return kept(found)["v1"]["requests"]  # type: ignore[no-any-return]
    except (NoData, KeyError):
        return None


def test_server_tells_how_it_was(exporter: Exporter, server: PrometheusServer) -> None:
    exporter.count("v1", 10)
    found = connector(server=server.url, stale_after_seconds=5)
    eventually(lambda: _says(found) == 10)
    then = found.read(environment="production", alias="reasoner").newest_at
    assert then is not None
    time.sleep(2 * SCRAPE_SECONDS)
    exporter.count("v1", 30)
    eventually(lambda: _says(found) == 40)
    before = found.read(environment="production", alias="reasoner", at=then)
    assert before.totals["reasoner"]["v1"].requests == 10
    assert found.has_history
    assert not connector(endpoint=f"{exporter.url}/metrics").has_history
    long_ago = found.read(environment="production", alias="reasoner", at=then - dt.timedelta(hours=1))
    assert long_ago.totals == {}


def test_server_stopped_and_started_again_is_an_error_and_then_well(exporter: Exporter, server: PrometheusServer) -> None:
    exporter.count("v1", 3)
    found = connector(server=server.url)
    eventually(lambda: _says(found) == 3)
    server.stop()
    with pytest.raises(TransientError, match="cannot be reached"):
        kept(found)
    server.start()
    eventually(lambda: _says(found) == 3)


def test_server_that_does_not_answer_costs_the_time_limit_and_no_more(exporter: Exporter, server: PrometheusServer) -> None:
    server.pause()
    began = time.monotonic()
    with pytest.raises(TransientError, match="did not answer within"):
        kept(connector(server=server.url, timeout_seconds=0.5))
    assert time.monotonic() - began < 5
    server.go_on()
    exporter.count("v1", 3)
    eventually(lambda: _says(connector(server=server.url)) == 3)


def test_password_and_token_are_read_where_they_are_and_their_lack_is_said(exporter: Exporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = f"basic_auth_users:\n  hub: {SESAME}\n"
    guarded = PrometheusServer(tmp_path / "guarded", targets=[exporter.url.removeprefix("http://")], web_config=users)
    guarded.start()
    try:
        with pytest.raises(PermissionMissing, match="401"):
            kept(connector(server=guarded.url))
        monkeypatch.setenv("PROM_LOGIN", "hub:sesame-7431")
        exporter.count("v1", 4)
        eventually(lambda: _says(connector(server=guarded.url, login_ref="env:PROM_LOGIN")) == 4)
        monkeypatch.delenv("PROM_LOGIN")
        with pytest.raises(RollbackHubError, match="PROM_LOGIN is not set"):
            kept(connector(server=guarded.url, login_ref="env:PROM_LOGIN"))
    finally:
        guarded.stop()
    seen: list[str | None] = []

    def guard(handler: BaseHTTPRequestHandler) -> tuple[int, str, bytes]:
        seen.append(handler.headers["Authorization"])
        return 403, "text/plain", b"no"

    exporter.answer = guard
    monkeypatch.setenv("PROM_TOKEN", "token-9921")
    for found in (connector(token_ref="env:PROM_TOKEN", server=exporter.url), connector(token_ref="env:PROM_TOKEN", endpoint=f"{exporter.url}/metrics")):
        with pytest.raises(PermissionMissing, match="403"):
            kept(found)
    assert seen == ["Bearer token-9921"] * 2


def api(value: str, *, age: float = 0, **more: Any) -> Callable[[], bytes]:
    """An answer with one series, whose only sample is so many seconds old when it is asked for."""

    def body() -> bytes:
        labels = {"__name__": "llm_requests_total", "alias": "reasoner", "version": "v1"}
        result = [{"metric": labels, "values": [[time.time() - age, value]]}]
        return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}, **more}).encode()

    return body


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (b"<html><body>It works!</body></html>", TransientError, "does not answer as a Prometheus server does"),
        (b"[]", TransientError, "does not answer as"),
        (b'{"status": "success", "data": {"result": [1]}}', TransientError, "does not answer as"),
        (api("x"), TransientError, "no value that can be read"),
        (b'{"status": "error", "errorType": "timeout", "error": "query timed out"}', TransientError, "query timed out"),
        (api("5", warnings=["store gateway 10.0.0.7 did not answer"]), NoData, "partial: store gateway"),
        (api("NaN"), TransientError, "is not a count"),
        (api("+Inf"), TransientError, "is not a count"),
        (api("-1"), TransientError, "is not a count"),
        (api("5", age=600), NoData, "its scrapes have stopped"),
        (b"x" * 10_000_000, RollbackHubError, "more than 4000000 bytes"),
    ],
    ids=["html", "list", "no series", "no number", "refused", "partial", "nan", "infinity", "below zero", "old", "10 MB"],
)
def test_server_with_bad_habits_is_a_clear_error(exporter: Exporter, answer: bytes | Callable[[], bytes], error: type[Exception], says: str) -> None:
    exporter.answer = lambda handler: (200, "application/json", answer if isinstance(answer, bytes) else answer())
    with pytest.raises(error, match=says):
        kept(connector(server=exporter.url))


def test_ten_megabytes_again_and_again_leave_the_process_as_small_as_it_was(exporter: Exporter) -> None:
    exporter.answer = lambda handler: (200, "application/json", b"x" * 10_000_000)
    found = connector(server=exporter.url)
    process = psutil.Process()

    def refused(times: int) -> int:
        for _ in range(times):
            with pytest.raises(RollbackHubError, match="more than"):
                kept(found)
        return int(process.memory_info().rss)

    settled = refused(5)
    # Thirty answers that were kept would be 300 MB; what the process of all tests does besides is far less.
    assert refused(30) - settled < 100_000_000


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html><body>It works!</body></html>", "text format"),
        (b"\xff\xfe\x00", "text format"),
        (b'llm_requests_total{environment="production",alias="reasoner",version="v1"} NaN\n', "is not a count"),
        (b'llm_requests_total{environment="production",alias="reasoner",version="v1"} -3\n', "is not a count"),
    ],
)
def test_plain_endpoint_with_bad_habits_is_a_clear_error(exporter: Exporter, body: bytes, says: str) -> None:
    exporter.answer = lambda handler: (200, "text/plain", body)
    with pytest.raises(TransientError, match=says):
        kept(connector(endpoint=f"{exporter.url}/metrics"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "one of the two"),
        ({"endpoint": "http://a/metrics", "server": "http://a"}, "one of the two"),
        ({"server": "http://a", "token_ref": "env:A", "login_ref": "env:B"}, "not both"),
        ({"server": "http://a", "token_ref": "abc"}, "env:NAME or file:/path"),
        ({"server": "http://me:pass@a"}, "must not hold a secret"),
        ({"server": "ftp://a"}, "server"),
        ({"server": "http://a", "requests": 'x"} or vector(1)'}, "requests"),
        ({"server": "http://a", "stale_after_seconds": 0}, "stale_after_seconds"),
        ({"server": "http://a", "colour": "red"}, "colour"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        PrometheusConnector.parse_settings(settings)


def test_label_values_are_quoted_in_the_query(exporter: Exporter, server: PrometheusServer) -> None:
    found = connector(server=server.url)
    assert found.read_versions(environment='x"} or {a="', alias="\\") == {}
