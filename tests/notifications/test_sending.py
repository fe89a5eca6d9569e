"""The process that sends, against real receivers: what arrives, what fails and how it is said, what it refuses, and that no secret leaves it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rollbackhub.notifications.enums import AttemptOutcome
from rollbackhub.notifications.sending import Result, Sender
from tests import leaks
from tests.connectors.git_repositories import make_certificate
from tests.notifications.receivers import HttpReceiver, SmtpReceiver, closed_port, http_receiver

SECRET = "hook-path-secret-7Gq2Zr"
leaks.watch(SECRET)


def send(sender: Sender, address: str) -> Result:
    return sender.send(address=address, subject="Rollback needs a person", body="It has stopped.\n\nLook at it.", weight="failure")


@pytest.fixture
def allow(settings: Any) -> Any:
    """Allow other hosts or schemes."""

    def set_to(**values: Any) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update=values)

    return set_to


def test_webhook_gets_subject_and_text(sender: Sender, http: HttpReceiver) -> None:
    assert send(sender, http.address(SECRET)) == Result(AttemptOutcome.DELIVERED)
    (got,) = http.got
    assert (got["title"], got["message"], got["type"]) == ("Rollback needs a person", "It has stopped.\n\nLook at it.", "failure")
    assert http.headers[0]["Authorization"].startswith("Basic ")
    assert http.headers[0]["User-Agent"] == "RollbackHub"


def test_mail_goes_to_its_recipient(sender: Sender, smtp: SmtpReceiver) -> None:
    assert send(sender, smtp.address()) == Result(AttemptOutcome.DELIVERED)
    (mail,) = smtp.mails
    assert "Subject: Rollback needs a person" in mail
    assert smtp.recipients == ["RCPT TO:<team@example.org>"] or "team@example.org" in smtp.recipients[0]


@pytest.mark.parametrize("status", [500, 503, 400, 401, 404, 429])
def test_webhook_that_refuses_is_a_failure_with_its_status(status: int, sender: Sender, http: HttpReceiver) -> None:
    http.answers = [status]
    assert send(sender, http.address(SECRET)) == Result(AttemptOutcome.FAILED, f"It answered {status}.")


def test_mail_server_that_refuses_the_recipient_is_a_failure_with_its_code(sender: Sender, smtp: SmtpReceiver) -> None:
    smtp.refuses = "550 no such user here"
    found = send(sender, smtp.address())
    assert found == Result(AttemptOutcome.FAILED, "The mail server answered 550.")


def test_nobody_listens(sender: Sender) -> None:
    for scheme in ("json", "mailto"):
        address = f"{scheme}://127.0.0.1:{closed_port()}/?smtp=127.0.0.1&mode=insecure&from=a@example.org&to=b@example.org"
        assert send(sender, address) == Result(AttemptOutcome.FAILED, "Nothing listens there: the connection was refused.")


def test_receiver_that_hangs_costs_the_limit_and_no_more(sender: Sender, http: HttpReceiver, quick: None) -> None:
    http.hangs = True
    assert send(sender, http.address(SECRET)) == Result(AttemptOutcome.FAILED, "It did not answer in time.")
    http.hangs = False
    assert send(sender, http.address(SECRET)).outcome == AttemptOutcome.DELIVERED, "the next one is not kept from it"


def test_process_that_hangs_is_ended_and_another_one_sends(sender: Sender, http: HttpReceiver, quick: None) -> None:
    assert send(sender, http.address()).outcome == AttemptOutcome.DELIVERED
    process = sender._process
    assert process is not None
    os.kill(process.pid, 19)
    assert send(sender, http.address()) == Result(AttemptOutcome.FAILED, "It took longer than 1 s.")
    assert process.poll() is not None
    assert send(sender, http.address()).outcome == AttemptOutcome.DELIVERED


def test_process_that_was_killed_is_started_again(sender: Sender, http: HttpReceiver) -> None:
    assert send(sender, http.address()).outcome == AttemptOutcome.DELIVERED
    process = sender._process
    assert process is not None
    process.kill()
    process.wait()
    assert send(sender, http.address()).outcome == AttemptOutcome.DELIVERED


class TestTls:
    """A server whose certificate nobody knows, and one that is known."""

    @pytest.fixture
    def certificate(self, tmp_path: Path) -> Path:
        return make_certificate(tmp_path / "server.pem")

    @pytest.fixture
    def secure(self, certificate: Path) -> Iterator[HttpReceiver]:
        with http_receiver(certificate=certificate) as receiver:
            yield receiver

    @pytest.mark.parametrize("parameter", ["", "?verify=no"])
    def test_unknown_certificate_is_never_taken(self, sender: Sender, secure: HttpReceiver, parameter: str) -> None:
        found = send(sender, secure.address(SECRET, scheme="jsons") + parameter)
        assert found == Result(AttemptOutcome.FAILED, "Its certificate is not one that can be trusted.")
        assert secure.got == []

    def test_known_certificate_is_taken(self, secure: HttpReceiver, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        sender = Sender()
        try:
            assert send(sender, secure.address(SECRET, scheme="jsons")) == Result(AttemptOutcome.DELIVERED)
        finally:
            sender.close()

    def test_plain_server_where_tls_is_expected(self, sender: Sender, http: HttpReceiver) -> None:
        assert send(sender, http.address(SECRET, scheme="jsons")) == Result(AttemptOutcome.FAILED, "It could not be spoken to over TLS.")


class TestRefused:
    """What is not sent whatever the address says."""

    @pytest.mark.parametrize("host", ["example.org", "localhost.example.org", "10.0.0.1"])
    def test_host_that_is_not_allowed(self, sender: Sender, host: str) -> None:
        found = send(sender, f"json://{host}/{SECRET}/")
        assert found.outcome == AttemptOutcome.REFUSED
        assert "OUTBOUND_ALLOWED_HOSTS" in found.error

    @pytest.mark.parametrize("host", ["169.254.169.254", "100.100.100.200", "0.0.0.0", "metadata.google.internal", "224.0.0.1", "2852039166"])
    def test_metadata_and_link_local_even_when_allowed(self, sender: Sender, host: str, allow: Any) -> None:
        allow(outbound_allowed_hosts=[host, "127.0.0.1"])
        found = send(sender, f"json://{host}/{SECRET}/")
        assert found.outcome == AttemptOutcome.REFUSED
        assert "never calls" in found.error

    def test_redirect_is_not_followed(self, sender: Sender, http: HttpReceiver) -> None:
        with http_receiver() as other:
            http.answers, http.location = [302], f"http://127.0.0.1:{other.port}/"
            found = send(sender, http.address(SECRET) + "?redirect=yes")
            assert found == Result(AttemptOutcome.FAILED, "It answered 302; redirects are not followed.")
            assert other.got == []

    @pytest.mark.parametrize(
        "address", ["form://127.0.0.1/", "xml://127.0.0.1/", "syslog://", "dbus://", "gnome://", "apprise://127.0.0.1/token12345", "ntfy://127.0.0.1/topic"]
    )
    def test_scheme_that_is_not_allowed(self, sender: Sender, address: str) -> None:
        found = send(sender, address)
        assert found.outcome == AttemptOutcome.REFUSED

    @pytest.mark.parametrize("address", ["", "nonsense", "https://127.0.0.1/x", "file:///etc/passwd", f"{SECRET}://x", "json://", "postgresql://a:b@c/d"])
    def test_address_that_is_none(self, sender: Sender, address: str) -> None:
        found = send(sender, address)
        assert (found.outcome, SECRET in found.error) == (AttemptOutcome.REFUSED, False)

    def test_file_of_the_machine_is_not_read(self, sender: Sender, tmp_path: Path) -> None:
        """A template of Teams is a file: whoever may set up channels must not read files with it."""
        template = tmp_path / "template.json"
        template.write_text('{"type": "message"}')
        secret = "A" * 60
        address = f"workflows://127.0.0.1:{closed_port()}/{secret}/{secret}?template={template}"
        found = send(sender, address)
        assert (found.outcome, found.error) == (AttemptOutcome.REFUSED, "It wanted to read or write a file.")

    def test_service_with_hosts_of_its_own_is_called_nowhere_else(self, sender: Sender, http: HttpReceiver, allow: Any) -> None:
        """slack:// does not reach hosts that are allowed for webhooks, and a native address is known for what it is."""
        allow(notify_allowed_schemes=["json"])
        found = send(sender, "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")
        assert found == Result(AttemptOutcome.REFUSED, "Addresses of the kind slack:// are not allowed. An administrator can add it to NOTIFY_ALLOWED_SCHEMES.")


class TestGuard:
    """The audit hook, from inside a process of its own: what no plugin can do."""

    def tried(self, code: str, *, hosts: str = "127.0.0.1") -> str:
        program = (
            "import socket, os, subprocess, sys, ctypes.util\n"
            "from rollbackhub.notifications.child import Guard\n"
            f"guard = Guard(); guard.install(); guard.begin([{hosts!r}])\n"
            f"try:\n    {code}\n    said = 'done'\nexcept OSError as error:\n    said = type(error).__name__\n"
            "guard.on = False\nprint(said, '|', guard.refusal)\n"
        )
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60).stdout.strip()

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("open('/etc/passwd')", "It wanted to read or write a file."),
            ("os.open('/tmp/x', os.O_WRONLY | os.O_CREAT)", "It wanted to read or write a file."),
            ("subprocess.run(['true'])", "It wanted to start a program."),
            ("os.system('true')", "It wanted to start a program."),
            ("os.remove('/tmp/there-is-no-such-file')", "It wanted to change files."),
            ("socket.socket(socket.AF_UNIX).connect('/run/dbus/system_bus_socket')", "It wanted to use a local socket."),
            ("socket.socket().bind(('127.0.0.1', 0))", "It wanted to use the network in another way than to connect to its host."),
            ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))", "It wanted to use the network in another way than"),
            ("socket.getaddrinfo('example.org', 80)", "RollbackHub may not call example.org."),
            ("socket.gethostbyname('example.org')", "RollbackHub may not call example.org."),
            # Without a look-up: an address that comes from anywhere else.
            ("socket.socket().connect(('127.0.0.2', 9))", "It wanted to connect to an address to which its host does not lead."),
            ("socket.socket().connect(('localhost', 9))", "It wanted to connect to a name that was not looked up."),
        ],
    )
    def test_is_refused(self, code: str, said: str) -> None:
        found = self.tried(code)
        assert found.startswith("Refused | " + said)

    def test_name_that_leads_to_a_metadata_address_is_not_connected_to(self) -> None:
        """A name that is allowed and answers with another address: by the address that is connected to, not by what was looked up before."""
        code = "guard.resolved.add('169.254.169.254'); socket.socket().connect(('169.254.169.254', 80))"
        assert "link-local, metadata or multicast" in self.tried(code)

    def test_what_the_host_leads_to_is_connected_to(self) -> None:
        assert self.tried(f"socket.create_connection(('127.0.0.1', {closed_port()}))") == "ConnectionRefusedError |"


def test_process_gets_nothing_of_the_environment(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, no password of the database, no key."""
    for name in ("HTTPS_PROXY", "DATABASE_URL", "SECRET_KEY", "NETRC"):
        monkeypatch.setenv(name, "something")
    fresh = Sender()
    try:
        assert fresh.start()
        process = fresh._process
        assert process is not None
        environment = Path(f"/proc/{process.pid}/environ").read_bytes().decode()
        given = {entry.partition("=")[0] for entry in environment.split("\0") if entry}
        assert given <= {"PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HOME", "PYTHONPATH"}
    finally:
        fresh.close()


def test_process_says_only_its_own_sentences(http: HttpReceiver) -> None:
    """Nothing of the address stands in what comes out of the process, on either stream, whatever happens."""
    http.answers = [500]
    orders = [
        {"address": address, "subject": "s", "body": "b", "weight": "info", "seconds": 1, "schemes": ["json", "slack"], "hosts": ["127.0.0.1"]}
        for address in (http.address(SECRET), f"json://u:{SECRET}@127.0.0.1:{closed_port()}/{SECRET}", f"json://example.org/{SECRET}", f"slack://{SECRET}/x")
    ]
    process = subprocess.run(
        [sys.executable, "-m", "rollbackhub.notifications.child"],
        input="".join(json.dumps(order) + "\n" for order in orders),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    answers = [json.loads(line) for line in process.stdout.splitlines()]
    assert [answer["outcome"] for answer in answers] == ["ready", "failed", "failed", "refused", "refused"]
    assert SECRET not in process.stdout + process.stderr
