"""The lab's traffic process: the generator, its metrics endpoint, and a control interface for the lab's main process.

Run by the lab as `python -m rollbackhub.lab.traffic_process` with its settings as JSON in the only argument.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import prometheus_client
from pydantic import BaseModel, ConfigDict, ValidationError

from rollbackhub.lab.asgi import BodyTooLarge, PartServer, Receive, Scope, Send, read_body, send_json, server_config
from rollbackhub.lab.catalogue import ALIASES
from rollbackhub.lab.metrics import MetricsApp, MetricsMode, TrafficMetrics
from rollbackhub.lab.ports import LOOPBACK, Ports
from rollbackhub.lab.traffic import Target, TrafficGenerator


class TrafficSettings(BaseModel):
    """What the process is told at its start."""

    model_config = ConfigDict(frozen=True)

    base_port: int
    environments: list[str]
    requests_per_second: float
    modes: dict[str, MetricsMode]
    """How the metrics endpoint behaves, by environment."""
    more_targets: list[tuple[str, str, str]] = []
    """Environment, alias and address of what is served by other systems than the gateways."""


class MetricsModes(BaseModel):
    """Body of PUT /metrics-modes."""

    model_config = ConfigDict(extra="forbid")

    modes: dict[str, MetricsMode]


class ControlApp:
    """ASGI: GET or PUT /metrics-modes, on loopback only. The answer of a PUT says what is in force."""

    def __init__(self, metrics_app: MetricsApp) -> None:
        self._metrics_app = metrics_app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        status = 404
        if scope["path"] == "/metrics-modes" and scope["method"] in ("GET", "PUT"):
            status = 200 if scope["method"] == "GET" else await self._put(receive)
        content = {"modes": self._metrics_app.modes} if status == 200 else {"error": "Unknown address, environment or mode."}
        await send_json(send, status=status, content=content)

    async def _put(self, receive: Receive) -> int:
        try:
            wanted = MetricsModes.model_validate_json(await read_body(receive, max_bytes=10_000) or b"").modes
        except (ValidationError, BodyTooLarge):
            return 400
        if not set(wanted) <= set(self._metrics_app.modes):
            return 400
        self._metrics_app.modes.update(wanted)
        return 200


async def run(settings: TrafficSettings) -> None:
    """Send, count and answer scrapes until SIGTERM."""
    ports = Ports(settings.base_port)
    metrics = TrafficMetrics()
    metrics_app = MetricsApp(metrics, settings.environments)
    metrics_app.modes.update(settings.modes)
    targets = [
        Target(environment=environment, alias=alias.alias, url=f"http://{LOOPBACK}:{ports.listener(environment)}/{alias.alias}/v1/chat/completions")
        for alias in ALIASES
        for environment in settings.environments
    ]
    targets += [Target(environment=environment, alias=alias, url=url) for environment, alias, url in settings.more_targets]
    generator = TrafficGenerator(targets=targets, per_second=settings.requests_per_second, metrics=metrics)
    parts: list[asyncio.Task[Any]] = [
        asyncio.create_task(PartServer(server_config(metrics_app, port=ports.metrics)).serve(), name="metrics endpoint"),
        asyncio.create_task(PartServer(server_config(ControlApp(metrics_app), port=ports.control)).serve(), name="control"),
        asyncio.create_task(generator.run(), name="generator"),
    ]
    stopped = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stopped.set)
    stopping: asyncio.Task[Any] = asyncio.create_task(stopped.wait())
    # None of the parts ends by itself: if one does, the process ends with it and the lab starts it again.
    done, _ = await asyncio.wait([*parts, stopping], return_when=asyncio.FIRST_COMPLETED)
    for part in parts:
        part.cancel()
    for part in done - {stopping}:
        raise RuntimeError(f"the {part.get_name()} of the lab's traffic process ended") from part.exception()


def main() -> None:
    """The command line."""
    # The moment of a counter's birth would be a series more for each, and nobody asks for it.
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    settings = TrafficSettings.model_validate_json(sys.argv[1])
    # The event loop that uvicorn would take (uvloop where it is installed).
    with asyncio.Runner(loop_factory=server_config(None, port=0).get_loop_factory()) as runner:
        runner.run(run(settings))


if __name__ == "__main__":
    main()
