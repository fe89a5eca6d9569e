"""The lab's traffic process: the generator, its metrics endpoint, and a control interface for the lab's main process.

Run by the lab as `python -m rollbackhub.lab.traffic_process` with its settings as JSON in the only argument.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from typing import Any

import prometheus_client
from pydantic import BaseModel, ConfigDict, ValidationError

from rollbackhub.lab.asgi import BodyTooLarge, PartServer, Receive, Scope, Send, read_body, send_json, server_config
from rollbackhub.lab.catalogue import ALIASES
from rollbackhub.lab.clients import direct_to
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
    sticky: list[str] = []
    """The environments in which clients' sessions hold."""
    more_targets: list[tuple[str, str, str]] = []
    """Environment, alias and address of what is served by other systems than the gateways."""


class MetricsModes(BaseModel):
    """Body of PUT /metrics-modes."""

    model_config = ConfigDict(extra="forbid")

    modes: dict[str, MetricsMode]


class StickyClients(BaseModel):
    """Body of PUT /sticky-clients."""

    model_config = ConfigDict(extra="forbid")

    environments: list[str]


class ControlApp:
    """ASGI: GET or PUT /metrics-modes and /sticky-clients, on loopback only. The answer of a PUT says what is in force."""

    def __init__(self, metrics_app: MetricsApp, generator: TrafficGenerator) -> None:
        self._metrics_app = metrics_app
        self._generator = generator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        put = {"/metrics-modes": self._put_modes, "/sticky-clients": self._put_sticky}.get(scope["path"])
        status = 404
        if put is not None and scope["method"] in ("GET", "PUT"):
            status = 200 if scope["method"] == "GET" else await self._put(receive, put)
        content: object = {"error": "Unknown address, environment or mode."}
        if status == 200:
            content = {"modes": self._metrics_app.modes} if scope["path"] == "/metrics-modes" else {"environments": sorted(self._generator.sticky)}
        await send_json(send, status=status, content=content)

    @staticmethod
    async def _put(receive: Receive, put: Callable[[bytes], bool]) -> int:
        try:
            return 200 if put(await read_body(receive, max_bytes=10_000) or b"") else 400
        except (ValidationError, BodyTooLarge):
            return 400

    def _put_modes(self, body: bytes) -> bool:
        wanted = MetricsModes.model_validate_json(body).modes
        known = set(wanted) <= set(self._metrics_app.modes)
        if known:
            self._metrics_app.modes.update(wanted)
        return known

    def _put_sticky(self, body: bytes) -> bool:
        wanted = StickyClients.model_validate_json(body).environments
        known = set(wanted) <= set(self._metrics_app.modes)
        if known:
            self._generator.set_sticky(wanted)
        return known


async def run(settings: TrafficSettings) -> None:
    """Send, count and answer scrapes until SIGTERM."""
    ports = Ports(settings.base_port)
    metrics = TrafficMetrics()
    metrics_app = MetricsApp(metrics, settings.environments)
    metrics_app.modes.update(settings.modes)
    targets = [
        Target(
            environment=environment,
            alias=alias.alias,
            url=f"http://{LOOPBACK}:{ports.listener(environment)}/{alias.alias}/v1/chat/completions",
            direct=direct_to(alias, ports),
        )
        for alias in ALIASES
        for environment in settings.environments
    ]
    targets += [Target(environment=environment, alias=alias, url=url) for environment, alias, url in settings.more_targets]
    generator = TrafficGenerator(targets=targets, per_second=settings.requests_per_second, metrics=metrics)
    generator.set_sticky(settings.sticky)
    parts: list[asyncio.Task[Any]] = [
        asyncio.create_task(PartServer(server_config(metrics_app, port=ports.metrics)).serve(), name="metrics endpoint"),
        asyncio.create_task(PartServer(server_config(ControlApp(metrics_app, generator), port=ports.control)).serve(), name="control"),
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
