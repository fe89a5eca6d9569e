"""The deploy hook and receivers that refuse, err, repeat secrets or lead elsewhere: small real servers, each with one habit."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from rollbackhub.common import http as client
from rollbackhub.common.errors import RollbackHubError, TransientError, Unavailable
from rollbackhub.common.http_network import OutboundRefused
from rollbackhub.connectors.base import PermissionMissing
from rollbackhub.connectors.deploy import DeployConnector
from rollbackhub.connectors.deploy.calls import sign
from rollbackhub.connectors.mechanism import JobState, ProblemCode, ProblemFound
from tests.connectors.deploy_receiver import SECRET, SIGNING
from tests.connectors.test_deploy import all_texts, back, connector, look, seen, version

TOKEN = "deploy-bearer-kL9mN2pQ"
SERVED = {"version": "v2", "state": "succeeded"}


@dataclass
class Habit:
    """What a server answers, by method, and what it was sent."""

    get: tuple[int, bytes, dict[str, str]] = (200, json.dumps(SERVED).encode(), {})
    post: tuple[int, bytes, dict[str, str]] = (202, b"{}", {})
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def server_with(habit: Habit) -> Iterator[Habit]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            habit.seen.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            status, content, headers = habit.get if self.command == "GET" else habit.post
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    habit.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield habit
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def habit() -> Iterator[Habit]:
    with server_with(Habit()) as found:
        yield found


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    client._start_anew()
    monkeypatch.setenv(SIGNING, SECRET)
    monkeypatch.setenv("TEST_DEPLOY_TOKEN", TOKEN)


def told(habit: Habit, **settings: Any) -> DeployConnector:
    return connector(habit.address, token_ref="env:TEST_DEPLOY_TOKEN", **settings)


def no_secret_in(text: str) -> None:
    for secret in (SECRET, SECRET.removeprefix("whsec_"), TOKEN):
        assert secret not in text


# What is sent


def test_signature_is_the_published_one() -> None:
    """Published by Svix, whose scheme Standard Webhooks is: https://docs.svix.com/receiving/verifying-payloads/how-manual."""
    body = b'{"event_type":"ping","data":{"success":true}}'
    found = sign(secret="whsec_plJ3nmyCDGBKInavdOK15jsl", message_id="msg_loFOjxBNrRLzqYUf", timestamp=1731705121, body=body)
    assert found == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="


def test_secret_of_plain_text_signs_with_its_bytes() -> None:
    mac = hmac.new("plain sécret".encode(), b"m.1.body", hashlib.sha256).digest()
    assert sign(secret="plain sécret", message_id="m", timestamp=1, body=b"body") == "v1," + base64.b64encode(mac).decode()


def test_deploy_sends_what_the_protocol_says_and_looking_sends_no_signature(habit: Habit) -> None:
    done = back(told(habit), "agent", key="12:restore")
    assert done.revision == "deployment of v1", "an id is not needed"
    [(_, path, got, _), (method, to, headers, body)] = habit.seen
    assert (path, method, to) == ("/services/agent", "POST", "/deploy")
    assert got["authorization"] == headers["authorization"] == f"Bearer {TOKEN}"
    assert "webhook-signature" not in got
    assert headers["idempotency-key"] == headers["webhook-id"] == "12:restore"
    assert headers["content-type"] == "application/json"
    signed = f"12:restore.{headers['webhook-timestamp']}.".encode() + body
    mac = hmac.new(base64.b64decode(SECRET.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()
    assert json.loads(body) == {
        "type": "deploy",
        "service": "agent",
        "version": {"label": "v1", "digest": "sha256:v1", "uri": "oci://registry/agent:v1"},
        "key": "12:restore",
        "reason": "lead@x: it evades",
    }


def test_ping_says_what_would_be_deployed_with_a_key_of_its_own(habit: Habit) -> None:
    assert look(told(habit), "agent") == []
    assert look(told(habit), "agent") == []
    first, second = [(headers, json.loads(body)) for method, _, headers, body in habit.seen if method == "POST"]
    assert first[1] == {"type": "ping", "service": "agent", "version": {"label": "v1", "digest": "sha256:v1", "uri": "oci://registry/agent:v1"}}
    assert first[0]["webhook-id"] != second[0]["webhook-id"]
    assert [call[0] for call in habit.seen] == ["GET", "POST"] * 2


def test_status_may_name_the_digest(habit: Habit) -> None:
    habit.get = (200, b'{"version": "sha256:v1", "state": "succeeded"}', {})
    assert seen(told(habit), "agent").reached
    assert not back(told(habit), "agent", key="k").changed


# How it refuses


@pytest.mark.parametrize(
    ("status", "body", "code", "says"),
    [
        (400, {"message": "No service."}, ProblemCode.CONFIG_MISMATCH, "No service."),
        (404, {"detail": "agent is unknown"}, ProblemCode.FLAG_MOVED, "nothing is deployed there by this name"),
        (405, {}, ProblemCode.FLAG_MOVED, "HTTP 405"),
        (409, {"message": "A deployment is running."}, ProblemCode.CONFIG_MISMATCH, "A deployment is running."),
        (410, {"error": "v1 was deleted"}, ProblemCode.TARGET_RETIRED, "v1 was deleted"),
        (422, {"code": "unknown_version", "message": "No v1 here."}, ProblemCode.TARGET_RETIRED, "No v1 here."),
        (422, {"code": "bad_reason", "message": "Too long."}, ProblemCode.CONFIG_MISMATCH, "Too long."),
        (422, ["unknown_version"], ProblemCode.CONFIG_MISMATCH, "HTTP 422"),
    ],
)
def test_refusal_is_a_problem_in_the_receivers_words(habit: Habit, status: int, body: Any, code: ProblemCode, says: str) -> None:
    habit.post = (status, json.dumps(body).encode(), {})
    with pytest.raises(ProblemFound) as caught:
        back(told(habit), "agent", key="k")
    assert caught.value.problem.code == code
    assert says in caught.value.problem.found
    [found] = look(told(habit), "agent")
    assert found == caught.value.problem


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("method", ["get", "post"])
def test_refused_login_is_permission_missing(habit: Habit, status: int, method: str) -> None:
    setattr(habit, method, (status, b'{"message": "You may not."}', {}))
    with pytest.raises(PermissionMissing, match=f"HTTP {status}: You may not."):
        back(told(habit), "agent", key="k")
    assert [problem.code for problem in look(told(habit), "agent")] == [ProblemCode.PERMISSION_MISSING]


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_overload_is_worth_a_retry(habit: Habit, status: int) -> None:
    habit.post = (status, b"{}", {})
    with pytest.raises(TransientError) as caught:
        back(told(habit), "agent", key="k")
    assert ("is not known" in caught.value.message) is (status >= 500), "one that said that it has too much to do did not take it"


def test_overload_is_worth_a_retry_also_where_keys_are_not_honoured_but_an_error_of_the_server_is_not(habit: Habit) -> None:
    careless = told(habit, honours_idempotency_key=False)
    habit.post = (429, b"{}", {})
    with pytest.raises(TransientError):
        back(careless, "agent", key="k")
    habit.post = (503, b"{}", {})
    with pytest.raises(RollbackHubError) as caught:
        back(careless, "agent", key="k")
    assert caught.value.code == "effect_unknown"


# What it says is limited and cleaned


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422])
def test_secrets_that_a_receiver_repeats_are_not_shown(habit: Habit, status: int) -> None:
    text = f"got Bearer {TOKEN}, wanted {SECRET} or {SECRET.removeprefix('whsec_')} from http://ops:hunter22@10.0.0.1/"
    habit.post = (status, json.dumps({"message": text}).encode(), {})
    with pytest.raises(RollbackHubError) as caught:
        back(told(habit), "agent", key="k")
    assert "[not shown]" in caught.value.message
    no_secret_in(all_texts(caught.value) + repr(getattr(caught.value, "problem", "")))
    assert "hunter22" not in caught.value.message
    no_secret_in(repr(look(told(habit), "agent")))


def test_secrets_in_a_status_are_not_kept(habit: Habit) -> None:
    habit.get = (200, json.dumps({"version": f"v2 {TOKEN}", "state": "failed", "message": f"cannot log in with {SECRET}"}).encode(), {})
    found = seen(told(habit), "agent")
    no_secret_in(repr(found))
    habit.get = (200, json.dumps({"state": "succeeded", "message": TOKEN, "result": {"version": "v1", TOKEN: [SECRET, {"a": TOKEN}]}}).encode(), {})
    report = told(habit).read_job(job_id="j")
    no_secret_in(repr(report))
    assert report.result["version"] == "v1"


def test_words_of_a_receiver_are_one_short_line(habit: Habit) -> None:
    habit.post = (409, json.dumps({"message": "line\nbreak \x1b[31mred\u202e " + "x" * 5000}).encode(), {})
    with pytest.raises(ProblemFound) as caught:
        back(told(habit), "agent", key="k")
    found = caught.value.problem.found
    assert len(found) < 400
    assert not set(found) & set("\n\x1b\u202e")
    assert "line break" in found
    habit.post = (409, b"<html><body>Proxy error</body></html>", {"Content-Type": "text/html"})
    with pytest.raises(ProblemFound) as caught:
        back(told(habit), "agent", key="k")
    assert "html" not in caught.value.message


# What it answers is read strictly


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"state": "succeeded"}, "a status that names the version"),
        ({"version": 2, "state": "succeeded"}, "a version that is no text"),
        ({"version": "v1"}, "a state, one of running, succeeded, failed"),
        ({"version": "v1", "state": "done"}, "“done”"),
        ({"version": "v1", "state": None}, "a state"),
        ({"version": "v1", "state": ["succeeded"]}, "a state"),
    ],
)
def test_status_that_does_not_say_it_all_is_never_taken_for_success(habit: Habit, status: Any, says: str) -> None:
    habit.get = (200, json.dumps(status).encode(), {})
    with pytest.raises(ProblemFound) as caught:
        seen(told(habit), "agent")
    assert caught.value.problem.code == ProblemCode.CONFIG_MISMATCH
    assert says in caught.value.problem.in_words
    assert look(told(habit), "agent")[0] == caught.value.problem


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b"", b'["v1"]', b"[" * 100_000, b"\xff\xfe"])
def test_status_that_is_no_json_object_is_said(habit: Habit, body: bytes) -> None:
    habit.get = (200, body, {})
    with pytest.raises(Unavailable, match="did not answer with a JSON object"):
        seen(told(habit), "agent")
    assert [problem.code for problem in look(told(habit), "agent")] == [ProblemCode.UNREACHABLE]


def test_nothing_deployed_yet_is_seen_as_such(habit: Habit) -> None:
    habit.get = (200, b'{"version": null, "state": "succeeded"}', {})
    found = seen(told(habit), "agent")
    assert (found.reached, found.found) == (False, "nothing is deployed")
    assert [problem.code for problem in look(told(habit), "agent")] == [ProblemCode.CONFIG_MISMATCH]


@pytest.mark.parametrize(
    ("progress", "read"),
    [("40", 40.0), ("250", 100.0), ("-1", 0.0), ("NaN", None), ("Infinity", 100.0), ("1" + "0" * 400, 100.0), ("true", None), ('"40"', None), ("null", None)],
)
def test_progress_is_a_percentage_or_none(habit: Habit, progress: str, read: float | None) -> None:
    habit.get = (200, f'{{"version": "v1", "state": "running", "progress": {progress}}}'.encode(), {})
    found = seen(told(habit), "agent")
    assert found.values["progress"] == read
    assert not found.reached
    json.dumps(found.values, allow_nan=False)


def test_status_of_megabytes_is_refused(habit: Habit) -> None:
    habit.get = (200, b'{"version": "v1", "state": "succeeded", "message": "' + b"x" * 2_000_000 + b'"}', {})
    with pytest.raises(Unavailable) as caught:
        seen(told(habit), "agent")
    assert caught.value.code == "answer_too_large"


def test_deployment_is_taken_whatever_a_good_answer_says_and_its_id_is_cleaned(habit: Habit) -> None:
    habit.post = (200, b"OK", {"Content-Type": "text/plain"})
    assert back(told(habit), "agent", key="k").changed
    habit.post = (200, json.dumps({"id": f"d-7\n{TOKEN}"}).encode(), {})
    assert back(told(habit), "agent", key="k").revision == "deployment d-7 [not shown]"


@pytest.mark.parametrize("answer", [{}, {"job_id": ""}, {"job_id": 7}, {"job_id": "x" * 201}, {"job_id": None}])
def test_job_whose_name_is_not_told_is_a_problem_that_says_it_may_run(habit: Habit, answer: Any) -> None:
    habit.post = (202, json.dumps(answer).encode(), {})
    with pytest.raises(ProblemFound) as caught:
        told(habit).start_job(job="rebaseline", version=version("v1"), parameters={}, key="k", reason="r")
    assert "may run" in caught.value.problem.remedy


def test_job_without_a_state_has_not_ended_well(habit: Habit) -> None:
    habit.get = (200, b'{"result": {"version": "v1"}}', {})
    with pytest.raises(ProblemFound):
        told(habit).read_job(job_id="j")


def test_result_of_a_job_is_kept_small_and_storable(habit: Habit) -> None:
    habit.get = (200, b'{"state": "succeeded", "result": {"version": "v1", "score": NaN, "text": "a\\u0000b", "deep": [[[[[[1]]]]]], "n": 3}}', {})
    report = told(habit).read_job(job_id="j")
    assert report.result == {"version": "v1", "score": None, "text": "a b", "deep": [[[[None]]]], "n": 3}
    habit.get = (200, json.dumps({"state": "succeeded", "result": {"version": "v1", "all": ["x" * 200] * 200}}).encode(), {})
    report = told(habit).read_job(job_id="j")
    assert report.state == JobState.SUCCEEDED
    assert set(report.result) == {"version", "left_out"}


def test_name_of_a_job_cannot_lead_to_another_address(habit: Habit) -> None:
    habit.get = (404, b"{}", {})
    with pytest.raises(ProblemFound) as caught:
        told(habit).read_job(job_id="../services/agent?x=1#y")
    assert caught.value.problem.code == ProblemCode.NOT_RESTORED
    assert habit.seen[-1][1] == "/jobs/..%2Fservices%2Fagent%3Fx%3D1%23y"


# Where it leads


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("method", ["get", "post"])
def test_redirect_is_not_followed_and_no_signed_request_goes_elsewhere(habit: Habit, status: int, method: str) -> None:
    with server_with(Habit()) as other:
        setattr(habit, method, (status, b"", {"Location": f"{other.address}/deploy"}))
        with pytest.raises(Unavailable) as caught:
            back(told(habit), "agent", key="k")
        assert caught.value.code == "unexpected_redirect"
        [problem] = look(told(habit), "agent")
        assert problem.code == ProblemCode.UNREACHABLE
        assert "redirects are not followed" in problem.found
        assert other.seen == []


def allow(settings: Any, *hosts: str) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"outbound_allowed_hosts": ["127.0.0.1", *hosts]})


@pytest.mark.parametrize("part", ["deploy_url", "status_url"])
def test_host_that_is_not_allowed_is_refused_before_anything_is_sent(habit: Habit, part: str) -> None:
    place = "/services/{service}" if part == "status_url" else "/deploy"
    mechanism = told(habit, **{part: f"http://deploy.example.com{place}"})
    with pytest.raises(OutboundRefused):
        back(mechanism, "agent", key="k")
    [problem] = look(mechanism, "agent")
    assert problem.code == ProblemCode.PERMISSION_MISSING
    assert "OUTBOUND_ALLOWED_HOSTS" in problem.remedy
    assert all(call[0] == "GET" for call in habit.seen)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "2852039166",  # the same, as the system's resolver reads it
        "0xa9fea9fe",
        "[::ffff:169.254.169.254]",
        "[fe80::1]",
        "0.0.0.0",
        "100.100.100.200",
    ],
)
def test_link_local_and_metadata_addresses_are_refused_even_when_allowed(habit: Habit, settings: Any, host: str) -> None:
    allow(settings, host)
    mechanism = told(habit, deploy_url=f"http://{host}:{habit.port}/deploy", job_url=f"http://{host}:{habit.port}/jobs")
    with pytest.raises(OutboundRefused) as caught:
        back(mechanism, "agent", key="k")
    assert "never calls" in caught.value.message
    assert [problem.code for problem in look(mechanism, "agent")] == [ProblemCode.PERMISSION_MISSING]
    with pytest.raises(OutboundRefused):
        mechanism.start_job(job="rebaseline", version=version("v1"), parameters={}, key="k", reason="r")
    assert all(call[0] == "GET" for call in habit.seen)
