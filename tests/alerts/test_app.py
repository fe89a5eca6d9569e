"""The application that takes posts, spoken to as a server does: sizes, methods, addresses, and that a storm is counted."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum

from rollbackhub.alerts.app import HooksApp
from rollbackhub.alerts.domain.receiving import MAX_BODY_BYTES
from rollbackhub.alerts.enums import Counted
from rollbackhub.alerts.models import AlertHook, AlertPost, PostCount
from tests.alerts.posts import am_body
from tests.databases import FreshDatabase
from tests.factories.alerts import AlertHookFactory

SECRET = "the-secret-of-the-alertmanager"
PATH = f"/api/v1/hooks/alertmanager/{SECRET}"


async def nothing_behind(scope: Any, receive: Any, send: Any) -> None:
    """Stands where Django would."""
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def ask(app: HooksApp, *chunks: bytes, path: str = PATH, method: str = "POST", headers: dict[str, str] | None = None) -> tuple[int, Any, dict[str, str]]:
    """One request: status, the answer's JSON, its headers. A chunk that is asked for after the last one fails the test."""
    waiting, sent = list(chunks), list[dict[str, Any]]()

    async def receive() -> dict[str, Any]:
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    await app({"type": "http", "path": path, "method": method, "headers": raw}, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body) if body else None, {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.fixture
def hook(fresh_database: FreshDatabase) -> AlertHook:
    """An Alertmanager's, committed: the application has connections of its own."""
    made: AlertHook = AlertHookFactory(secret=SECRET)
    return made


def counted(hook: AlertHook | None, what: Counted) -> int:
    """How many posts were counted so."""
    return PostCount.objects.filter(hook=hook, counted=what).aggregate(total=Sum("count"))["total"] or 0


def test_post_is_taken_with_202_and_problems_never_repeat_the_secret(hook: AlertHook) -> None:
    async def main() -> None:
        app = HooksApp(nothing_behind)
        body = am_body()
        assert (await ask(app, body))[:2] == (202, {"taken": 1})
        assert (await ask(app, body[:40], body[40:], b""))[:2] == (202, {"taken": 1})
        assert (await ask(app, body, path=f"{PATH}/"))[0] == 202
        status, problem, headers = await ask(app, b"{")
        assert (status, problem["code"], headers["content-type"]) == (400, "malformed", "application/problem+json")
        assert SECRET not in json.dumps(problem)
        status, problem, _ = await ask(app, b'{"version": "4", "alerts": []}')
        assert (status, problem["code"], list(problem["fields"])) == (422, "unusable", ["alerts"])

    asyncio.run(main())
    assert AlertPost.objects.count() == 3
    assert (counted(hook, Counted.MALFORMED), counted(hook, Counted.UNUSABLE)) == (1, 1)


def test_post_of_2_mb_is_refused_before_it_is_read(hook: AlertHook) -> None:
    async def main() -> None:
        app = HooksApp(nothing_behind)
        # By what it says: not a byte is asked for.
        status, problem, _ = await ask(app, headers={"content-length": str(MAX_BODY_BYTES + 1)})
        assert (status, problem["code"]) == (413, "too_large")
        # By what comes, whatever it says: the third part is never asked for.
        part = b" " * (MAX_BODY_BYTES // 2 + 1)
        status, problem, _ = await ask(app, part, part, headers={"content-length": "10"})
        assert (status, problem["code"]) == (413, "too_large")
        # A stranger learns no more than of anything else.
        status, problem, _ = await ask(app, path="/api/v1/hooks/alertmanager/no-such-secret-of-an-alertmanager", headers={"content-length": "99999999"})
        assert (status, problem["detail"]) == (404, "There is no such hook.")
        # Just below it is read.
        body = am_body()
        assert (await ask(app, body + b" " * (MAX_BODY_BYTES - len(body))))[0] == 202

    asyncio.run(main())
    assert (counted(hook, Counted.TOO_LARGE), counted(None, Counted.UNKNOWN_HOOK), AlertPost.objects.count()) == (2, 1, 1)


def test_other_methods_and_addresses_are_refused_and_the_rest_goes_on(hook: AlertHook) -> None:
    async def main() -> None:
        app = HooksApp(nothing_behind)
        status, _, headers = await ask(app, method="GET")
        assert (status, headers["allow"]) == (405, "POST")
        for path in (
            "/api/v1/hooks/",
            "/api/v1/hooks/slack/x",
            "/api/v1/hooks/alertmanager/a/b",
            "/api/v1/hooks/alertmanager/%2e%2e",
            "/api/v1/hooks/standard/\x00",
        ):
            assert (await ask(app, path=path))[0] == 404
        assert (await ask(app, path="/api/v1/alerts/"))[0] == 299
        assert (await ask(app, path="/api/v1/hooks"))[0] == 299

    asyncio.run(main())
    assert AlertPost.objects.count() == 0


def test_refusals_at_once_are_all_counted(hook: AlertHook) -> None:
    async def main() -> list[int]:
        app = HooksApp(nothing_behind)
        return [answer[0] for answer in await asyncio.gather(*(ask(app, b"{") for _ in range(120)))]

    assert set(asyncio.run(main())) == {400}
    assert counted(hook, Counted.MALFORMED) == 120


def test_database_away_asks_to_send_it_again(hook: AlertHook, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError

    def away(**values: Any) -> int:
        raise OperationalError("gone")

    monkeypatch.setattr("rollbackhub.alerts.app.receive_post", away)
    status, problem, _ = asyncio.run(ask(HooksApp(nothing_behind), am_body()))
    assert (status, problem["code"]) == (503, "database_unavailable")
    assert connection.is_usable()
