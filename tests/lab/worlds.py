"""Worlds for tests, and shares as the metrics endpoint shows them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from rollbackhub.common.config import LAB_PORTS
from rollbackhub.lab.children import Child
from rollbackhub.lab.world import LabWorld
from tests.ports import free_port


@contextmanager
def running_world(
    *, hub_url: str, directory: Path, environments: Iterable[str] = ("staging",), requests_per_second: float = 100, parts: Iterable[str] = ()
) -> Iterator[LabWorld]:
    """A world that is ready."""
    environments = tuple(environments)
    with LabWorld(
        hub_url=hub_url,
        base_port=free_port(size=LAB_PORTS),
        directory=directory,
        environments=environments,
        requests_per_second=requests_per_second,
        parts=parts,
    ) as world:
        assert world.missing_parts == {}
        world.wait_ready(timeout_seconds=60)
        yield world


def kill(child: Child) -> None:
    """SIGKILL the child and wait until another one runs in its place."""
    before = child.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    eventually(lambda: child.pid not in (None, before), what=f"the restart of {child.name}")


def reading(world: LabWorld, *, url: str | None = None) -> str:
    """The whole metrics page, so that several totals can be taken at one instant."""
    return httpx.get(url or world.metrics_url(), trust_env=False).text


def totals(
    world: LabWorld, *, name: str, alias: str = "smart-reasoner", by: str = "version", url: str | None = None, text: str | None = None
) -> dict[str, float]:
    """A metric's totals by a label: as they are now, or in a `reading`."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(reading(world, url=url) if text is None else text):
        for sample in family.samples:
            if sample.name == name and sample.labels.get("alias") == alias:
                found[sample.labels[by]] = found.get(sample.labels[by], 0) + sample.value
    return found


def growth(world: LabWorld, *, seconds: float, name: str = "llm_requests_total", alias: str = "smart-reasoner", by: str = "version") -> dict[str, float]:
    """How much a metric grew within some seconds, by a label; what did not grow is absent."""
    before = totals(world, name=name, alias=alias, by=by)
    time.sleep(seconds)
    after = totals(world, name=name, alias=alias, by=by)
    return {key: value - before.get(key, 0) for key, value in after.items() if value > before.get(key, 0)}


def eventually(condition: Callable[[], object], *, within: float = 10, what: str = "it") -> None:
    """Wait until the condition holds; fail when it does not within these seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {within} s"
        time.sleep(0.02)


def is_alive(process: psutil.Process) -> bool:
    """Whether the process still runs (a zombie does not)."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
