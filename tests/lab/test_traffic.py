"""The simulated users: a steady rate, a cap, never a backlog."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollbackhub.lab.metrics import TrafficMetrics
from rollbackhub.lab.traffic import MOST_AT_ONCE_SECONDS, Pace, Target, TrafficGenerator

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@given(rate=st.floats(1, 2000), steps=st.lists(st.floats(0.0001, 5), max_size=60))
def test_pace_any_pauses_never_exceed_the_rate(rate: float, steps: list[float]) -> None:
    pace, now, sent = Pace(per_second=rate, started_at=0), 0.0, 0
    for step in steps:
        now += step
        due = pace.due(now)
        sent += due
        assert due <= max(1, MOST_AT_ONCE_SECONDS * rate) + 1e-3
    assert sent <= now * rate + 1e-3


def test_pace_looked_at_often_keeps_the_rate() -> None:
    pace = Pace(per_second=40, started_at=0)
    assert sum(pace.due(step * 0.001) for step in range(1, 10_001)) == 400


def test_pace_after_a_long_pause_does_not_catch_up() -> None:
    pace = Pace(per_second=40, started_at=0)
    assert pace.due(60) == 4
    assert pace.due(60.001) == 0
    assert sum(pace.due(60 + step * 0.01) for step in range(1, 101)) == 40


def run_generator(
    serve: Serve, *, seconds: float, per_second: float, most_under_way: int = 64, until: Callable[[TrafficMetrics], bool] | None = None
) -> TrafficMetrics:
    """What a generator counted in these seconds, and longer until `until` holds: a busy machine may be slow, not wrong."""

    async def run() -> TrafficMetrics:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        metrics = TrafficMetrics()
        target = Target(environment="staging", alias="a", url=f"http://127.0.0.1:{port}/a/v1/chat/completions")
        generator = TrafficGenerator(targets=[target], per_second=per_second, metrics=metrics, most_under_way=most_under_way)
        running = asyncio.create_task(generator.run())
        await asyncio.sleep(seconds)
        end = time.monotonic() + 20
        while until is not None and not until(metrics) and time.monotonic() < end:
            await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        server.close()
        return metrics

    return asyncio.run(run())


def total(metrics: TrafficMetrics, name: str, **labels: str) -> float:
    return sum(
        sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == name and all(sample.labels.get(label) == value for label, value in labels.items())
    )


async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def answer_404(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"}")
    writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    await writer.drain()
    writer.close()


def test_generator_stuck_gateway_holds_only_the_cap_and_skips_the_rest() -> None:
    started = time.monotonic()
    metrics = run_generator(never_answer, seconds=1.0, per_second=200, most_under_way=10)
    assert total(metrics, "lab_requests_under_way") <= 10
    skipped = total(metrics, "lab_requests_skipped_total")
    assert 100 <= skipped <= 200 * (time.monotonic() - started) - 10


def test_generator_answer_without_a_version_is_no_versions_request() -> None:
    metrics = run_generator(answer_404, seconds=0.5, per_second=100, until=lambda found: total(found, "llm_requests_total", code="404") > 20)
    assert total(metrics, "llm_requests_total", version="none", code="404") > 20
    assert total(metrics, "llm_request_duration_seconds_count") == 0


def test_generator_gateway_that_hangs_up_is_counted_as_unreachable() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    metrics = run_generator(hang_up, seconds=0.5, per_second=100, until=lambda found: total(found, "llm_requests_total", code="unreachable") > 20)
    assert total(metrics, "llm_requests_total", version="none", code="unreachable") > 20
