"""Envoy's discovery requests: answered at once when behind, held when current, acknowledgements and refusals written down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from rollbackhub.common import clock
from rollbackhub.routing.domain.transitions import append_revision
from rollbackhub.routing.models import Gateway, RoutingPolicy
from rollbackhub.routing.xds.app import PATH, DiscoveryApp
from tests.databases import FreshDatabase
from tests.routing.conftest import ACTOR, BAD, GOOD, seed_policy
from tests.routing.test_transitions import ROLLED_BACK


async def nothing_behind(scope: Any, receive: Any, send: Any) -> None:
    """Stands where Django would."""
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b""})


class Caller:
    """Speaks ASGI to the discovery application, as a gateway would through a server."""

    def __init__(self, app: DiscoveryApp) -> None:
        self.app = app
        self.hang_up = asyncio.Event()

    async def ask(self, content: object, *, address: str = "127.0.0.1", port: int = 1, method: str = "POST", path: str = PATH) -> tuple[int, dict[str, Any]]:
        """One request: status, and the answer's JSON."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        sent: list[dict[str, Any]] = []
        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": body, "more_body": False}
            await self.hang_up.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app({"type": "http", "path": path, "method": method, "client": (address, port), "headers": []}, receive, send)
        raw = b"".join(message.get("body", b"") for message in sent)
        return sent[0]["status"], json.loads(raw) if raw else {}


def request(version: int | None = None, *, environment: str = "staging", **more: Any) -> dict[str, Any]:
    """A DiscoveryRequest as Envoy sends it."""
    values: dict[str, Any] = {"node": {"id": "gateway-1", "cluster": environment, "user_agent_name": "envoy"}, "resource_names": [environment], **more}
    return values | ({"version_info": str(version)} if version is not None else {})


def talk(conversation: Callable[[Caller], Any]) -> Any:
    """Run a conversation with a new application on a new event loop."""

    async def main() -> Any:
        try:
            return await conversation(Caller(DiscoveryApp(nothing_behind)))
        finally:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    return asyncio.run(main())


async def flip_now(policy: RoutingPolicy, *, expected: int = 1) -> None:
    """A flip from another connection, while the loop goes on."""

    def work() -> None:
        try:
            append_revision(
                policy_id=policy.pk, expected_revision=expected, candidates=ROLLED_BACK if expected % 2 else [BAD, GOOD], actor=ACTOR, reason="test"
            )
        finally:
            connection.close()

    await asyncio.to_thread(work)


@pytest.fixture
def policy(fresh_database: FreshDatabase) -> RoutingPolicy:
    """The chapter's policy, committed."""
    return seed_policy()


def test_first_request_gets_the_routes_at_once(policy: RoutingPolicy) -> None:
    status, answer = talk(lambda caller: caller.ask(request()))
    assert (status, answer["version_info"]) == (200, "1")
    (resource,) = answer["resources"]
    (route,) = resource["virtual_hosts"][0]["routes"]
    assert route["match"] == {"prefix": "/smart-reasoner/"}
    assert {cluster["name"]: cluster["weight"] for cluster in route["route"]["weighted_clusters"]["clusters"]} == {BAD.candidate_id: 25, GOOD.candidate_id: 75}


def test_current_request_is_held_until_the_flip(policy: RoutingPolicy) -> None:
    async def conversation(caller: Caller) -> tuple[float, int, dict[str, Any]]:
        await caller.ask(request())
        held = asyncio.ensure_future(caller.ask(request(1)))
        await asyncio.sleep(0.4)
        assert not held.done()
        await flip_now(policy)
        flipped = clock.monotonic()
        status, answer = await held
        return clock.monotonic() - flipped, status, answer

    seconds, status, answer = talk(conversation)
    assert (status, answer["version_info"]) == (200, "2")
    assert seconds < 1, "the notification, not the poll, should have answered"


def test_current_request_without_a_flip_ends_as_not_modified(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "CONFIG", settings.CONFIG.model_copy(update={"xds_hold_seconds": 0.3}))
    status, answer = talk(lambda caller: caller.ask(request(1)))
    assert (status, answer) == (304, {})


def test_many_held_requests_are_all_answered_by_one_flip(policy: RoutingPolicy) -> None:
    async def conversation(caller: Caller) -> list[tuple[int, dict[str, Any]]]:
        held = [asyncio.ensure_future(caller.ask(request(1) | {"node": {"id": f"gateway-{index}", "cluster": "staging"}})) for index in range(40)]
        await asyncio.sleep(1)
        await flip_now(policy)
        return await asyncio.gather(*held)

    answers = talk(conversation)
    assert {(status, answer["version_info"]) for status, answer in answers} == {(200, "2")}
    assert Gateway.objects.count() == 40


def test_version_info_is_the_acknowledgement(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "CONFIG", settings.CONFIG.model_copy(update={"xds_hold_seconds": 0.1}))

    async def conversation(caller: Caller) -> None:
        await caller.ask(request())
        await caller.ask(request(1))

    talk(conversation)
    first = Gateway.objects.get()
    assert (first.node_id, first.applied_number, str(first.address)) == ("gateway-1", 1, "127.0.0.1")
    talk(lambda caller: caller.ask(request(1)))
    again = Gateway.objects.get()
    assert again.applied_at == first.applied_at, "it is when the gateway applied it first"
    assert again.last_seen_at > first.last_seen_at


def test_error_detail_is_a_refusal_and_is_not_answered_in_a_hot_loop(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "CONFIG", settings.CONFIG.model_copy(update={"xds_hold_seconds": 0.2}))
    refusal = request(0, response_nonce="1", error_detail={"code": 13, "message": "unknown cluster x"})
    status, _ = talk(lambda caller: caller.ask(refusal))
    gateway = Gateway.objects.get()
    assert status == 304
    assert (gateway.applied_number, gateway.refused_number, gateway.refusal) == (0, 1, "unknown cluster x")
    talk(lambda caller: caller.ask(request(1)))
    gateway.refresh_from_db()
    assert (gateway.applied_number, gateway.refused_number, gateway.refusal) == (1, None, "")


def test_asking_again_on_the_same_connection_without_the_answer_is_a_refusal(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    """So does an Envoy over REST: no error_detail, the version that it still has, at once."""
    monkeypatch.setattr(settings, "CONFIG", settings.CONFIG.model_copy(update={"xds_hold_seconds": 0.2}))

    async def conversation(caller: Caller) -> list[int]:
        return [(await caller.ask(request()))[0] for _ in range(3)]

    assert talk(conversation) == [200, 304, 304], "it is held, not answered in a hot loop"
    gateway = Gateway.objects.get()
    assert (gateway.applied_number, gateway.refused_number) == (0, 1)
    assert "did not take routing state 1 and has none" in gateway.refusal


def test_refusing_gateway_is_offered_the_next_routing_state(policy: RoutingPolicy) -> None:
    async def conversation(caller: Caller) -> tuple[int, dict[str, Any]]:
        await caller.ask(request())
        held = asyncio.ensure_future(caller.ask(request()))
        await asyncio.sleep(0.5)
        await flip_now(policy)
        return await held

    status, answer = talk(conversation)
    assert (status, answer["version_info"]) == (200, "2")


def test_asking_without_a_version_on_a_new_connection_is_a_restart_and_no_refusal(policy: RoutingPolicy) -> None:
    async def conversation(caller: Caller) -> list[int]:
        return [(await caller.ask(request(), port=port))[0] for port in (1, 2, 3)]

    assert talk(conversation) == [200, 200, 200]
    assert Gateway.objects.get().refused_number is None


def test_gateway_ahead_of_the_hub_is_given_what_the_hub_has(policy: RoutingPolicy) -> None:
    status, answer = talk(lambda caller: caller.ask(request(77)))
    assert (status, answer["version_info"]) == (200, "1")


def test_gateway_that_hangs_up_ends_its_request(policy: RoutingPolicy) -> None:
    async def conversation(caller: Caller) -> float:
        began = clock.monotonic()
        held = asyncio.ensure_future(caller.ask(request(1)))
        await asyncio.sleep(0.5)
        caller.hang_up.set()
        await held
        return clock.monotonic() - began

    assert talk(conversation) < 3


def test_unknown_environment_is_not_found_and_writes_nothing(policy: RoutingPolicy) -> None:
    status, answer = talk(lambda caller: caller.ask(request(environment="moon")))
    assert status == 404
    assert "moon" in answer["detail"]
    assert not Gateway.objects.exists()


@pytest.mark.parametrize("address", ["10.0.0.1", "203.0.113.7", "2001:db8::1", "::ffff:10.0.0.1", "not an address", ""])
def test_caller_outside_the_allowed_networks_is_refused(policy: RoutingPolicy, address: str) -> None:
    status, _ = talk(lambda caller: caller.ask(request(), address=address))
    assert status == 403
    assert not Gateway.objects.exists()


@pytest.mark.parametrize("address", ["127.0.0.9", "::1", "::ffff:127.0.0.1"])
def test_caller_from_loopback_is_allowed(policy: RoutingPolicy, address: str) -> None:
    status, _ = talk(lambda caller: caller.ask(request(), address=address))
    assert status == 200


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'"node"',
        {"node": {}},
        {"node": {"id": "", "cluster": "staging"}},
        {"node": {"id": "g", "cluster": ""}},
        {"node": {"id": 5, "cluster": "staging"}},
        {"node": {"id": "g" * 121, "cluster": "staging"}},
        request() | {"version_info": "abc"},
        request() | {"version_info": "-1"},
        request() | {"version_info": str(2**70)},
        request(1, error_detail={"message": "x"}, response_nonce="abc"),
    ],
)
def test_malformed_request_is_refused(policy: RoutingPolicy, content: object) -> None:
    status, answer = talk(lambda caller: caller.ask(content))
    assert status == 400
    assert "DiscoveryRequest" in answer["detail"]
    assert not Gateway.objects.exists()


def test_oversized_request_is_refused(policy: RoutingPolicy) -> None:
    assert talk(lambda caller: caller.ask(b"x" * 1_000_001))[0] == 413


def test_other_methods_are_refused_and_other_paths_go_on(policy: RoutingPolicy) -> None:
    assert talk(lambda caller: caller.ask(request(), method="GET"))[0] == 405
    assert talk(lambda caller: caller.ask(request(), path="/v3/discovery:clusters"))[0] == 299


def test_refused_requests_are_not_each_logged(policy: RoutingPolicy, caplog: pytest.LogCaptureFixture) -> None:
    async def conversation(caller: Caller) -> None:
        for _ in range(20):
            await caller.ask(request(environment="moon"))

    talk(conversation)
    assert sum("moon" in record.message for record in caplog.records) == 1
