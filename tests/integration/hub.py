"""A whole hub of real processes for tests: web, worker, beat, sweeper, sequencer, housekeeper, beside a lab with a real Envoy."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, TypeVar
from uuid import UUID

import redis

from drills.domain.transitions import start_drill
from rollbackhub.audit.actors import system_actor
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.models import ProcessHeartbeat
from rollbackhub.executions.domain.procedures import append_procedure_version
from rollbackhub.executions.enums import ACTIVE_STATES
from rollbackhub.executions.models import Execution, Procedure
from rollbackhub.executions.procedures import WEIGHT_FLIP
from rollbackhub.lab.children import Child
from rollbackhub.lab.domain.seed import seed_lab
from rollbackhub.lab.world import LabWorld
from rollbackhub.registry.models import Artefact
from rollbackhub.routing.models import Gateway, RoutingPolicy, RoutingState
from tests.ports import free_port

ACTOR = system_actor("test")

QUICK: dict[str, dict[str, object]] = {
    "expose_traffic": {"min_requests": 2, "min_baseline_requests": 40, "interval_seconds": 0.1},
    "drain": {"interval_seconds": 0.15},
    "verify": {"consecutive": 2, "window_seconds": 0, "interval_seconds": 0.15, "limit_seconds": 60},
}
"""Step parameters that let a drill end within about two seconds of traffic, and do not mind that the machine of the tests is busy."""

QUICK_CHECKS: list[dict[str, object]] = [
    {"kind": "traffic_share", "key": "traffic_share"},
    {"kind": "metric_baseline", "key": "negative_feedback", "metric": "negative_feedback", "margin_points": 0.1, "harmless_below": 0.3},
]
"""The judge needs about twenty requests for these. No latency: while the machine of the tests is busy, the callers really wait ten times as long."""

PLAIN_CHECKS: list[dict[str, object]] = [{"kind": "traffic_share", "key": "traffic_share"}, {"kind": "gateway_revision", "key": "gateways"}]
"""For tests that kill: each new process would load the judge's mathematics anew (seconds, while two hubs start processes all the time)."""

LATENCY: dict[str, object] = {"kind": "metric_baseline", "key": "latency", "metric": "latency", "margin_ratio": 10}

LEASE_SECONDS = 3.0
SWEEP_SECONDS = 0.5
RESUME_LIMIT_SECONDS = LEASE_SECONDS + SWEEP_SECONDS + 4


class Hub:
    """The processes of a hub. They are started again when they die, as the product's own runner does."""

    def __init__(self, *, environment: dict[str, str], port: int, folder: Path, concurrency: int = 4, lease_seconds: float = LEASE_SECONDS) -> None:
        self.port = port
        self.folder = folder
        self.broker_url = environment["BROKER_URL"]
        self.failpoints = folder / "failpoints"
        self.failpoints.mkdir(parents=True)
        self.environment = {
            "DATABASE_URL": environment["DATABASE_URL"],
            "DATABASE_OWNER_URL": environment["DATABASE_OWNER_URL"],
            "BROKER_URL": self.broker_url,
            "ROLLBACKHUB_VAR": str(folder),
            "PORT": str(port),
            "LEASE_SECONDS": str(lease_seconds),
            "SWEEP_SECONDS": str(SWEEP_SECONDS),
            "FAILPOINTS_DIR": str(self.failpoints),
        }
        python = sys.executable
        celery = [python, "-m", "celery", "-A", "rollbackhub"]
        self.web = self._child(
            "web", [python, "-m", "uvicorn", "rollbackhub.asgi:application", "--port", str(port), "--log-level", "warning", "--no-proxy-headers"]
        )
        queues = "executions,executions.resume,default"
        self.worker = self._child("worker", [*celery, "worker", "-Q", queues, "-c", str(concurrency), "-l", "info"])
        self.beat = self._child("beat", [*celery, "beat", "-s", str(folder / "beat-schedule"), "-l", "info"])
        self.sweeper = self._child("sweeper", [python, "manage.py", "sweeper"])
        self.sequencer = self._child("sequencer", [python, "manage.py", "sequencer"])
        self.housekeeper = self._child("housekeeper", [python, "manage.py", "housekeeper"])
        self.children = [self.web, self.worker, self.beat, self.sweeper, self.sequencer, self.housekeeper]
        self._held: set[str] = set()
        self._ending = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start everything and wait until the web process and the worker answer."""
        for child in self.children:
            child.start()
        self._watcher.start()
        for child in self.children:
            self.wait_up(child)

    def stop(self) -> None:
        """End every process."""
        self._ending.set()
        if self._watcher.is_alive():
            self._watcher.join()
        for child in self.children:
            child.ask_to_end()
        for child in self.children:
            child.wait_until_ended()

    def hold(self, child: Child) -> None:
        """Stop a process and do not start it again until `let_go`."""
        self._held.add(child.name)
        child.stop()

    def let_go(self, child: Child) -> None:
        """Start a held process again."""
        child.start()
        self._held.discard(child.name)
        self.wait_up(child)

    def kill_whole(self) -> None:
        """Kill every process at once, and start none again until `start_whole`."""
        self._held |= {child.name for child in self.children}
        for child in self.children:
            # Each leads a group of its own: the worker's pool goes with it.
            os.killpg(child.pid or 0, signal.SIGKILL)
        for child in self.children:
            child.wait_until_ended()

    def start_whole(self) -> None:
        """Start what `kill_whole` has killed, and wait until it works."""
        for child in self.children:
            child.start()
        self._held.clear()
        for child in self.children:
            self.wait_up(child)

    def wait_up(self, child: Child, *, restarts_before: int = -1) -> None:
        """Wait until a process (started again, after a kill) says by its heartbeat that it works."""
        deadline = clock.monotonic() + 120
        while child.restarts == restarts_before or not ProcessHeartbeat.objects.filter(name=child.name, pid=child.pid or 0, ended_at=None).exists():
            if clock.monotonic() > deadline:
                raise AssertionError(f"{child.name} did not come up:\n{child.log.read_text()[-3000:]}")
            clock.sleep(0.05)

    def worker_children(self) -> list[int]:
        """The process ids of the worker's pool."""
        return [int(pid) for pid in Path(f"/proc/{self.worker.pid}/task/{self.worker.pid}/children").read_text().split()]

    def arm(self, point: str, *, alias: str, lines: list[str]) -> None:
        """Have the next process that reaches the point do this."""
        path = self.failpoints / f".{point}@{alias}"
        path.write_text("\n".join(lines))
        path.rename(self.failpoints / f"{point}@{alias}")

    def fired_at(self, point: str, *, alias: str) -> float | None:
        """When the point fired, seconds since the epoch; None while it has not."""
        fired = self.failpoints / f"fired-{point}@{alias}"
        # The rename sets the time of the inode's last change.
        return fired.stat().st_ctime if fired.exists() else None

    def forget_failpoints(self) -> None:
        """Take away everything armed or fired."""
        for path in self.failpoints.iterdir():
            path.unlink()

    def wipe_broker(self) -> None:
        """Lose every message."""
        client = redis.Redis.from_url(self.broker_url.replace("redis+socket", "unix").replace("virtual_host", "db"))
        client.flushdb()
        client.close()

    def _child(self, name: str, command: list[str]) -> Child:
        variables = [f"{key}={value}" for key, value in self.environment.items()]
        return Child(name=name, command=lambda: ["/usr/bin/env", *variables, *command], folder=self.folder / "log")

    def _watch(self) -> None:
        while not self._ending.wait(0.1):
            for child in self.children:
                # At once and for ever: these tests kill on purpose.
                if child.pid is None and child.name not in self._held:
                    child.start()
                    child.restarts += 1


class LabHub:
    """A hub with one of the lab's environments. Its procedures have the quick parameters."""

    environment: ClassVar[str]
    beside: ClassVar[tuple[str, ...]] = ()
    """Other environments that run, too."""
    quick: ClassVar[Mapping[str, Mapping[str, object]]] = QUICK
    parts: ClassVar[tuple[str, ...]] = ()
    """The lab's optional parts that run, too."""
    checks: ClassVar[list[dict[str, object]]] = QUICK_CHECKS
    """What verifies."""
    lease_seconds: ClassVar[float] = LEASE_SECONDS

    def __init__(self, *, hub: Hub, world: LabWorld) -> None:
        self.hub = hub
        self.world = world
        seed_lab(world)
        Artefact.objects.update(checks=self.checks)
        self._write_procedures(self.quick)

    @staticmethod
    def _write_procedures(quick: Mapping[str, Mapping[str, object]]) -> None:
        for procedure in Procedure.objects.filter(connector=""):
            append_procedure_version(procedure=procedure, steps=quick_steps(quick), actor=ACTOR)

    @contextmanager
    def giving_up_draining(self, *, after_seconds: float) -> Iterator[None]:
        """What never drains is not waited for a whole minute."""
        self._write_procedures({**self.quick, "drain": {**self.quick["drain"], "limit_seconds": after_seconds}})
        try:
            yield
        finally:
            self._write_procedures(self.quick)

    def policy(self, alias: str = "smart-reasoner") -> RoutingPolicy:
        """An alias of the lab in this environment, as it stands now."""
        return RoutingPolicy.objects.select_related("environment", "artefact").get(alias=alias, environment__slug=self.environment)

    def wait_gateways(self, environment: str = "") -> None:
        """Wait until the gateway (of this environment, or of the lab's own) serves by the present routing state."""
        environment = environment or self.environment
        deadline = clock.monotonic() + 30
        while clock.monotonic() < deadline:
            number = RoutingState.objects.get(environment__slug=environment).number
            gateways = list(Gateway.objects.filter(environment__slug=environment))
            if gateways and all(gateway.applied_number >= number for gateway in gateways):
                return
            clock.sleep(0.05)
        raise AssertionError("no gateway follows the hub")

    def settle(self) -> None:
        """Wait until nothing runs any more, so that one failed test does not fail the next."""
        self.hub.forget_failpoints()
        for execution_id in Execution.objects.filter(state__in=ACTIVE_STATES).values_list("pk", flat=True):
            self.wait_ended(execution_id, timeout_seconds=120)

    def wait_ended(self, execution_id: UUID, *, timeout_seconds: float = 60) -> Execution:
        """Wait for an execution's end."""
        deadline = clock.monotonic() + timeout_seconds
        while True:
            execution = Execution.objects.get(pk=execution_id)
            if not execution.is_active:
                return execution
            if clock.monotonic() > deadline:
                raise AssertionError(f"still {execution.state} after {timeout_seconds} s: {steps_of(execution)}; {execution.outcome}")
            clock.sleep(0.05)


Lab = TypeVar("Lab", bound=LabHub)


class Staging(LabHub):
    """Aliases that drill quickly."""

    environment = "staging"

    def drill(self, alias: str = "smart-reasoner") -> UUID:
        """Start a drill."""
        return start_drill(policy=self.policy(alias), actor=ACTOR, user=None).execution_id


class Observed(Staging):
    """The same, with a real Prometheus before its metrics, and with latencies verified, too."""

    parts = ("prometheus",)
    checks: ClassVar[list[dict[str, object]]] = [*QUICK_CHECKS, LATENCY]


def steps_of(execution: Execution) -> list[tuple[str, int, str, str]]:
    """What became of each step, for messages of failed tests."""
    return [(attempt.key, attempt.number, attempt.state, attempt.message) for attempt in execution.attempts.all()]


def quick_steps(quick: Mapping[str, Mapping[str, object]]) -> list[dict[str, object]]:
    """The built-in procedure with these parameters of its steps."""
    return [{**step, "params": {**step.get("params", {}), **quick.get(step["key"], {})}} for step in WEIGHT_FLIP]


@contextmanager
def running_lab(kind: type[Lab], *, environment: dict[str, str], folder: Path, requests_per_second: float = 60, concurrency: int = 4) -> Iterator[Lab]:
    """A running hub and lab on free ports; everything is ended afterwards."""
    base = free_port(size=50)
    hub = Hub(environment=environment, port=base + 49, folder=folder / "var", concurrency=concurrency, lease_seconds=kind.lease_seconds)
    try:
        hub.start()
        environments = (kind.environment, *kind.beside)
        with LabWorld(
            hub_url=hub.url,
            base_port=base,
            directory=folder / "lab",
            environments=environments,
            requests_per_second=requests_per_second,
            parts=kind.parts,
        ) as world:
            assert world.missing_parts == {}
            lab = kind(hub=hub, world=world)
            world.wait_ready()
            lab.wait_gateways()
            yield lab
    finally:
        hub.stop()
        shutil.rmtree(folder, ignore_errors=True)


def resume_seconds(hub: Hub, point: str, alias: str, execution: Execution) -> float:
    """From the kill at an armed point to the claim that went on."""
    killed_at = hub.fired_at(point, alias=alias)
    assert killed_at is not None, f"{point} was never reached"
    resumed = AuditEvent.objects.filter(event__in=["execution.resumed", "execution.started"], subject_id=str(execution.pk)).order_by("id")
    after = [event.at.timestamp() for event in resumed if event.at.timestamp() > killed_at]
    assert after, "nobody resumed it"
    return after[0] - killed_at


def assert_audit_log_verifies(hub: Hub, *, within_seconds: float = 10) -> None:
    """It is whole, and every event has its place in it within this time."""
    deadline = clock.monotonic() + within_seconds
    while AuditEvent.objects.filter(leaf=None).exists() and clock.monotonic() < deadline:
        clock.sleep(0.2)
    assert not AuditEvent.objects.filter(leaf=None).exists()
    result = subprocess.run([sys.executable, "manage.py", "verify_audit"], env=os.environ | hub.environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def wake(pid: int) -> None:
    """Let a stopped process go on."""
    os.kill(pid, signal.SIGCONT)
