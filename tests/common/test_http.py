"""The guarded client against real local servers."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rollbackhub.common import http as client
from rollbackhub.common.errors import RollbackHubError, TransientError, Unavailable
from rollbackhub.common.http import guarded_get, guarded_request
from rollbackhub.common.http_network import OutboundRefused, is_forbidden, plain_host, resolve
from tests.common.servers import answers, drips, http, tcp_server


@pytest.fixture(autouse=True)
def _a_pool_of_its_own() -> None:
    client._start_anew()


def allow(settings: Any, *hosts: str) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"outbound_allowed_hosts": list(hosts)})


def test_guarded_get_good_server_gives_status_text_and_json() -> None:
    with tcp_server(answers(http("200 OK", b'{"a": "\xc3\xbc"}', "X-Served-Version: 4.5"))) as server:
        found = guarded_get(server.url, timeout_seconds=2)
    assert (found.status, found.text, found.json()) == (200, '{"a": "ü"}', {"a": "ü"})
    assert found.headers["x-served-version"] == "4.5"
    assert 0 < found.seconds < 2
    head = server.requests[0].decode()
    assert head.startswith("GET /path?query=1 HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{server.port}\r\n" in head
    assert "Accept-Encoding: identity" in head


def test_guarded_request_post_sends_method_body_and_headers() -> None:
    with tcp_server(answers(http("201 Created"))) as server:
        found = guarded_request("POST", server.url, timeout_seconds=2, content=b"body", headers={"Content-Type": "text/x-test"})
    assert found.status == 201
    assert server.requests[0].startswith(b"POST ")
    assert b"Content-Length: 4" in server.requests[0]
    assert b"text/x-test" in server.requests[0]


def test_guarded_get_4xx_is_returned() -> None:
    with tcp_server(answers(http("404 Not Found", b"no"))) as server:
        assert guarded_get(server.url, timeout_seconds=2).status == 404


def test_guarded_get_5xx_is_transient() -> None:
    with tcp_server(answers(http("503 Busy"))) as server, pytest.raises(TransientError) as caught:
        guarded_get(server.url, timeout_seconds=2)
    assert caught.value.code == "server_error"
    assert caught.value.extra["http_status"] == 503


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "304 Not Modified", "307 Temporary"])
def test_guarded_get_redirect_is_an_error_and_not_followed(status: str) -> None:
    with tcp_server(answers(http("200 OK"))) as other:
        with tcp_server(answers(http(status, b"", f"Location: {other.url}"))) as server, pytest.raises(Unavailable) as caught:
            guarded_get(server.url, timeout_seconds=2)
        assert caught.value.code == "unexpected_redirect"
        assert other.connections == 0


def test_guarded_get_not_json_is_unreadable() -> None:
    with tcp_server(answers(http("200 OK", b"<html>"))) as server:
        found = guarded_get(server.url, timeout_seconds=2)
    with pytest.raises(Unavailable) as caught:
        found.json()
    assert caught.value.code == "unreadable_answer"


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x", id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", id="chunks"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x", id="head"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="continues"),
    ],
)
def test_guarded_get_drip_fed_answer_is_cut_off_at_the_deadline(start: bytes, drop: bytes) -> None:
    started = time.monotonic()
    with tcp_server(drips(start, drop, 0.05)) as server, pytest.raises(TransientError) as caught:
        guarded_get(server.url, timeout_seconds=0.6)
    assert caught.value.code == "timeout"
    assert 0.5 < time.monotonic() - started < 2.5


def test_guarded_get_silent_server_times_out() -> None:
    with tcp_server(lambda connection, head, stopped: stopped.wait(5)) as server, pytest.raises(TransientError) as caught:
        guarded_get(server.url, timeout_seconds=0.3)
    assert caught.value.code == "timeout"


def test_guarded_get_slow_connect_times_out() -> None:
    # A listener whose backlog is full leaves the next connection's SYN unanswered.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        started = time.monotonic()
        with pytest.raises(TransientError) as caught:
            guarded_get(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout_seconds=0.5)
        for filler in fillers:
            filler.close()
    assert caught.value.code == "timeout"
    assert time.monotonic() - started < 2.5


def test_guarded_get_refused_connection_is_transient() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        with pytest.raises(TransientError) as caught:
            guarded_get(f"http://127.0.0.1:{reserved.getsockname()[1]}/secret?key=1", timeout_seconds=2)
    assert caught.value.code == "unreachable"
    assert "key=1" not in caught.value.message


def test_guarded_get_announced_huge_body_is_refused_before_it_is_read() -> None:
    with tcp_server(drips(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", b"x", 1)) as server, pytest.raises(Unavailable) as caught:
        guarded_get(server.url, timeout_seconds=5, max_bytes=1000)
    assert caught.value.code == "answer_too_large"


def test_guarded_get_endless_body_is_cut_off_at_the_limit() -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with tcp_server(drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, 0)) as server, pytest.raises(Unavailable) as caught:
        guarded_get(server.url, timeout_seconds=20, max_bytes=300_000)
    assert caught.value.code == "answer_too_large"


def test_guarded_get_body_of_exactly_the_limit_is_read() -> None:
    with tcp_server(answers(http("200 OK", b"x" * 1000))) as server:
        assert len(guarded_get(server.url, timeout_seconds=5, max_bytes=1000).body) == 1000


def test_guarded_get_endless_head_is_an_error() -> None:
    with tcp_server(drips(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"y" * 60_000 + b"\r\n", 0)) as server, pytest.raises(TransientError) as caught:
        guarded_get(server.url, timeout_seconds=5)
    assert caught.value.code == "broken_answer"


@pytest.mark.parametrize("raw", [b"SSH-2.0-OpenSSH_9\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"])
def test_guarded_get_answer_that_is_not_whole_http_is_transient(raw: bytes) -> None:
    with tcp_server(answers(raw)) as server, pytest.raises(TransientError) as caught:
        guarded_get(server.url, timeout_seconds=2)
    assert caught.value.code == "broken_answer"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "//127.0.0.1/",
        "127.0.0.1:80",
        "",
        "http://",
        "http://example.com/",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.2/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://user:password@127.0.0.1/",
        "http://127.0.0.1\r\nX: y/",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
def test_guarded_get_address_that_is_not_allowed_is_refused(url: str, settings: Any) -> None:
    allow(settings, "127.0.0.1", "localhost")
    with pytest.raises(OutboundRefused) as caught:
        guarded_get(url, timeout_seconds=2)
    assert caught.value.code == "outbound_refused"
    assert "password" not in caught.value.message or "user name or password" in caught.value.message


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "100.100.100.200", "fe80::1", "fd00:ec2::254", "::", "ff02::1"]
    + ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::"],
)
def test_guarded_get_metadata_address_is_refused_even_when_allowed(address: str, settings: Any) -> None:
    allow(settings, address)
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(OutboundRefused):
        guarded_get(f"http://{host}/", timeout_seconds=2)


def test_guarded_get_allowed_name_that_resolves_to_metadata_is_refused(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(settings, "metrics.internal")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 0))])
    with pytest.raises(OutboundRefused):
        guarded_get("http://metrics.internal/", timeout_seconds=2)


def test_guarded_get_name_is_resolved_once_and_kept_in_the_host_header(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(settings, "metrics.internal")
    asked: list[str] = []

    def look_up(host: str, *_: object, **__: object) -> list[Any]:
        # A rebinding name server: loopback first, the metadata service from then on.
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1" if len(asked) == 1 else "169.254.169.254", 0))]

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: look_up(host) if host == "metrics.internal" else real(host, *a, **k))
    with tcp_server(answers(http("200 OK"))) as server:
        assert guarded_get(f"http://metrics.internal:{server.port}/", timeout_seconds=2).status == 200
        assert f"Host: metrics.internal:{server.port}\r\n".encode() in server.requests[0]
    assert asked == ["metrics.internal"]


def test_guarded_get_localhost_tries_each_of_its_addresses() -> None:
    with tcp_server(answers(http("200 OK"))) as server:
        assert guarded_get(f"http://localhost:{server.port}/", timeout_seconds=2).status == 200


def test_guarded_get_slow_resolver_is_cut_off(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(settings, "slow.internal")
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(10) and [])
    started = time.monotonic()
    with pytest.raises(TransientError) as caught:
        guarded_get("http://slow.internal/", timeout_seconds=0.3)
    released.set()
    assert caught.value.code == "timeout"
    assert time.monotonic() - started < 2


def test_guarded_get_unknown_name_is_unreachable(settings: Any) -> None:
    allow(settings, "no-such-host.invalid")
    with pytest.raises(TransientError) as caught:
        guarded_get("http://no-such-host.invalid/", timeout_seconds=5)
    assert caught.value.code == "unreachable"


def test_guarded_get_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with tcp_server(answers(http("200 OK", b"proxy"))) as proxy, tcp_server(answers(http("200 OK", b"server"))) as server:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert guarded_get(server.url, timeout_seconds=2).text == "server"
        assert proxy.connections == 0


def test_guarded_get_same_server_reuses_the_connection() -> None:
    with tcp_server(answers(http("200 OK", b"x")), keep_alive=True) as server:
        for _ in range(5):
            guarded_get(server.url, timeout_seconds=2)
    assert (server.connections, len(server.requests)) == (1, 5)


def test_guarded_get_after_a_timeout_the_next_call_gets_its_own_answer() -> None:
    calls = []

    def first_slow(connection: socket.socket, head: bytes, stopped: threading.Event) -> None:
        calls.append(1)
        if len(calls) == 1:
            stopped.wait(0.5)
        connection.sendall(http("200 OK", f"answer {len(calls)}".encode()))

    with tcp_server(first_slow, keep_alive=True) as server:
        with pytest.raises(TransientError):
            guarded_get(server.url, timeout_seconds=0.2)
        assert guarded_get(server.url, timeout_seconds=2).text == "answer 2"
    assert server.connections == 2


def test_guarded_get_many_threads_each_gets_its_own_answer() -> None:
    def echo(connection: socket.socket, head: bytes, stopped: threading.Event) -> None:
        connection.sendall(http("200 OK", head.split(b" ")[1]))

    with tcp_server(echo, keep_alive=True) as server:

        def ask(number: int) -> list[str]:
            return [guarded_get(f"http://127.0.0.1:{server.port}/{number}/{turn}", timeout_seconds=10).text for turn in range(5)]

        with ThreadPoolExecutor(20) as threads:
            found = list(threads.map(ask, range(40)))
    assert found == [[f"/{number}/{turn}" for turn in range(5)] for number in range(40)]


def test_guarded_get_forked_child_uses_a_connection_of_its_own() -> None:
    with tcp_server(answers(http("200 OK", b"x")), keep_alive=True) as server:
        guarded_get(server.url, timeout_seconds=2)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if guarded_get(server.url, timeout_seconds=5).text == "x" else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        guarded_get(server.url, timeout_seconds=2)
        assert (server.connections, len(server.requests)) == (2, 3)


def test_guarded_get_bad_header_is_an_error_of_the_caller() -> None:
    with tcp_server(answers(http("200 OK"))) as server, pytest.raises(RollbackHubError) as caught:
        guarded_get(server.url, timeout_seconds=2, headers={"X-A": "b\r\nX-C: d"})
    assert caught.value.code == "bad_request_header"


def test_plain_host_every_form_of_one_address_compares_equal() -> None:
    assert plain_host("[::1]") == plain_host("0:0:0:0:0:0:0:1") == "::1"
    assert plain_host("LocalHost") == "localhost"


def test_is_forbidden_loopback_and_private_addresses_may_be_called() -> None:
    assert [is_forbidden(address) for address in (*resolve("127.0.0.1", seconds=1), *resolve("10.0.0.7", seconds=1), *resolve("::1", seconds=1))] == [False] * 3


def test_guarded_get_https_asks_for_the_name_and_refuses_an_unknown_certificate(settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    allow(settings, "metrics.internal")
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: real("127.0.0.1" if host == "metrics.internal" else host, *a, **k))
    names: list[str] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path, name="metrics.internal"))
    context.sni_callback = lambda _, name, __: names.append(str(name))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                context.wrap_socket(connection, server_side=True).close()

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(TransientError) as caught:
            guarded_get(f"https://metrics.internal:{listener.getsockname()[1]}/", timeout_seconds=5)
    assert names == ["metrics.internal"], caught.value.message
    assert "certificate" in caught.value.message.lower()


def self_signed(folder: Path, *, name: str) -> Path:
    """A key and a certificate that nobody vouches for, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2099, 1, 1, tzinfo=dt.UTC))
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()) + certificate.public_bytes(pem))
    return path
