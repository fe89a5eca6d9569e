"""The lab as one thing: gateways, model servers and traffic for some environments, started, watched and stopped together.

    with LabWorld(hub_url="http://127.0.0.1:8000", base_port=18100, directory=folder, environments=("staging",)) as world:
        world.wait_ready()

Needs no database and no Django: `manage.py lab` runs it, and so do tests, which take one environment to be cheap.
"""

from __future__ import annotations

import base64
import json
import logging
import secrets
import sys
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import TracebackType

import httpx

from rollbackhub.common import clock
from rollbackhub.lab.catalogue import BAD_MODEL, ENVIRONMENTS, GOOD_MODEL, gateway_id
from rollbackhub.lab.children import Child
from rollbackhub.lab.deployer.settings import DeployerSettings
from rollbackhub.lab.envoy import GatewayMode, bootstrap, envoy_command
from rollbackhub.lab.metrics import MetricsMode
from rollbackhub.lab.parts import LabConnection, LabPart, choose_parts
from rollbackhub.lab.ports import LOOPBACK, Ports, require_free
from rollbackhub.lab.traffic_process import TrafficSettings

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.1
CALL_SECONDS = 2.0
JOB_STEP_SECONDS = 0.2
"""Each tenth of a job pauses so long: a simulation of a larger one, so that its progress can be seen."""


class LabNotReady(Exception):
    """A part of the lab did not come up in time; the message names it and its log."""


class LabWorld:
    """Real Envoys in front of simulated models, with simulated users. Everything listens on loopback, from `base_port` on (ports.py)."""

    def __init__(
        self,
        *,
        hub_url: str,
        base_port: int,
        directory: Path,
        environments: Iterable[str] = ("staging",),
        requests_per_second: float = 40,
        parts: Iterable[str] = (),
    ) -> None:
        """`directory` takes configurations and logs; `requests_per_second` is the sum over all aliases and environments.

        `parts`: names of optional parts (parts/); what this machine has not is left out and named in `missing_parts`.
        """
        self.environments = tuple(environments)
        if not self.environments or not set(self.environments) <= set(ENVIRONMENTS):
            raise ValueError(f"the lab plays {' and '.join(ENVIRONMENTS)}, not {self.environments}")
        self.hub_url = hub_url
        self.ports = Ports(base_port)
        self.directory = directory.resolve()
        self.requests_per_second = requests_per_second
        self.parts, self.missing_parts = choose_parts(parts, environments=self.environments, ports=self.ports, folder=self.directory / "parts", hub_url=hub_url)
        self.part_children = [child for part in self.parts for child in part.children()] + self._deployer()
        self.gateway_modes = dict.fromkeys(self.environments, GatewayMode.FOLLOWING)
        self.metrics_modes = dict.fromkeys(self.environments, MetricsMode.NORMAL)
        self.sticky_clients = dict.fromkeys(self.environments, False)
        self.gateways = {environment: self._gateway(environment) for environment in self.environments}
        self.traffic = Child(name="traffic", command=self._traffic_command, folder=directory)
        self.models = {
            model: Child(name=f"model-{model}", command=_model_command(model=model, port=port), folder=directory)
            for model, port in ((GOOD_MODEL, self.ports.good_model), (BAD_MODEL, self.ports.bad_model))
        }
        # One client, without kept connections: making one costs 20 ms, and what it calls gets restarted.
        self._client = httpx.Client(timeout=CALL_SECONDS, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    # Addresses, for whoever talks to the lab.

    def gateway_url(self, environment: str) -> str:
        """Where the environment's gateway takes traffic; callers add `/<alias>/v1/chat/completions`."""
        return f"http://{LOOPBACK}:{self.ports.listener(environment)}"

    def admin_url(self, environment: str) -> str:
        """The admin interface of the environment's gateway."""
        return f"http://{LOOPBACK}:{self.ports.admin(environment)}"

    def metrics_url(self, environment: str | None = None) -> str:
        """The metrics endpoint: of one environment, or of all."""
        return f"http://{LOOPBACK}:{self.ports.metrics}/metrics" + (f"/{environment}" if environment else "")

    def connections(self, environment: str) -> dict[str, dict[str, object]]:
        """The settings with which RollbackHub's connectors reach this environment, whatever parts there are."""
        return {
            "envoy": {"admins": {gateway_id(environment): self.admin_url(environment)}},
            "prometheus": {"endpoint": self.metrics_url(environment)},
        }

    def part_connections(self, environment: str) -> list[LabConnection]:
        """How RollbackHub reaches the parts in this environment; of a connector that the environment has anyway, the part's is to be taken."""
        found = [connection for part in self.parts for connection in part.connections(environment)]
        if any(part.services() for part in self.parts):
            address = f"http://{LOOPBACK}:{self.ports.deployer}"
            settings = {
                "deploy_url": f"{address}/deploy",
                "status_url": f"{address}/services/{{service}}",
                "job_url": f"{address}/jobs",
                "job_status_url": f"{address}/jobs/{{job_id}}",
                "signing_ref": f"file:{self.signing_file}",
            }
            found.append(LabConnection("deploy", settings))
        return found

    @property
    def signing_file(self) -> Path:
        """Where the deployer's secret is: made once, for this lab alone."""
        return self.directory / "parts" / "signing"

    @property
    def children(self) -> list[Child]:
        """Every child process, in the order in which they start."""
        return [*self.models.values(), *self.gateways.values(), *self.part_children, self.traffic]

    @property
    def ports_used(self) -> dict[str, int]:
        """Every port, by what it is for."""
        used = self.ports.all_of(self.environments)
        for part in self.parts:
            used |= part.ports_used()
        return used | ({"deployer": self.ports.deployer} if any(part.services() for part in self.parts) else {})

    # Life.

    def __enter__(self) -> LabWorld:
        """Start."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Start every child and watch them. Raises PortTaken, EnvoyMissing.

        The kernel ends children with the thread that started them: call it from one that lives as long as the world.
        """
        require_free(self.ports_used)
        self.prepare()
        self._stopping.clear()
        try:
            for environment in self.environments:
                self._write_bootstrap(environment)
            for child in self.children:
                child.start()
        except BaseException:
            self.stop()
            raise
        self._watcher = threading.Thread(target=self._watch, name="lab-watcher", daemon=True)
        self._watcher.start()

    def prepare(self) -> None:
        """Make what the parts need on disk."""
        for part in self.parts:
            part.folder.mkdir(parents=True, exist_ok=True)
            part.prepare()
        signing = self.signing_file
        if not signing.exists() and self.parts:
            signing.touch(mode=0o600)
            signing.write_text("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())

    def follow_parts(self) -> None:
        """Let parts do what needs their processes to answer."""
        for part in self.parts:
            part.follow()

    def stop(self) -> None:
        """Stop watching, and end every child."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None
        with self._lock:
            # Traffic first, so that the gateways' end is not counted as errors.
            for child in reversed(self.children):
                child.ask_to_end()
            for child in self.children:
                child.wait_until_ended()

    def wait_ready(self, *, timeout_seconds: float = 20) -> None:
        """Wait until every part answers. Raises LabNotReady.

        A gateway that follows a hub counts as ready when it has its first routes, or has waited five seconds for them.
        """
        deadline = clock.monotonic() + timeout_seconds
        for name, is_ready in self._ready_checks().items():
            while not is_ready():
                if clock.monotonic() >= deadline:
                    raise LabNotReady(f"{name} did not come up within {timeout_seconds:g} s; see {self.directory}")
                clock.sleep(0.05)

    def is_ready(self) -> bool:
        """Whether every part answers now."""
        return all(is_ready() for is_ready in self._ready_checks().values())

    def gateway_is_ready(self, environment: str) -> bool:
        """Whether the environment's gateway takes traffic now."""
        return self._answers(f"{self.admin_url(environment)}/ready")

    # Faults.

    def set_gateway_mode(self, environment: str, mode: GatewayMode) -> None:
        """Restart the environment's gateway with another configuration (nothing when it already has it)."""
        with self._lock:
            if self.gateway_modes[environment] == mode:
                return
            self.gateway_modes[environment] = mode
            self._write_bootstrap(environment)
            self.gateways[environment].restart()
            logger.info("the gateway of %s was restarted: %s", environment, mode)

    def set_metrics_mode(self, environment: str, mode: MetricsMode) -> bool:
        """Have the environment's metrics endpoint work or fail. False while the traffic process does not answer (ask again)."""
        with self._lock:
            self.metrics_modes[environment] = mode
            return self._tell_traffic("metrics-modes", {"modes": {environment: mode}})

    def set_sticky_clients(self, environment: str, on: bool) -> bool:
        """Have a share of the environment's clients stay with the version that served them first, or end that.

        False while the traffic process does not answer (ask again).
        """
        with self._lock:
            self.sticky_clients[environment] = on
            return self._tell_traffic("sticky-clients", {"environments": self._sticky_environments()})

    def _sticky_environments(self) -> list[str]:
        return [environment for environment, on in self.sticky_clients.items() if on]

    def _tell_traffic(self, what: str, content: object) -> bool:
        try:
            return self._client.put(f"http://{LOOPBACK}:{self.ports.control}/{what}", json=content).status_code == 200
        except httpx.TransportError:
            return False

    # Inside.

    def _deployer(self) -> list[Child]:
        services = {name: service for part in self.parts for name, service in part.services().items()}
        if not services:
            return []
        settings = DeployerSettings(
            port=self.ports.deployer,
            state=str(self.directory / "parts" / "deployer"),
            signing_file=str(self.signing_file),
            services=services,
            step_seconds=JOB_STEP_SECONDS,
        )
        return [Child(name="deployer", command=lambda: [sys.executable, "-m", "rollbackhub.lab.deployer", settings.model_dump_json()], folder=self.directory)]

    def _gateway(self, environment: str) -> Child:
        return Child(name=f"gateway-{environment}", command=lambda: envoy_command(configuration=self._bootstrap_path(environment)), folder=self.directory)

    def _bootstrap_path(self, environment: str) -> Path:
        return self.directory / f"gateway-{environment}.json"

    def _write_bootstrap(self, environment: str) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        content = bootstrap(environment=environment, hub_url=self.hub_url, ports=self.ports, mode=self.gateway_modes[environment])
        self._bootstrap_path(environment).write_text(json.dumps(content, indent=1))

    def _traffic_command(self) -> list[str]:
        more = [(environment, alias, url) for part in self.parts for environment in self.environments for alias, url in part.traffic(environment).items()]
        settings = TrafficSettings(
            base_port=self.ports.base,
            environments=list(self.environments),
            requests_per_second=self.requests_per_second,
            modes=self.metrics_modes,
            sticky=self._sticky_environments(),
            more_targets=more,
        )
        return [sys.executable, "-m", "rollbackhub.lab.traffic_process", settings.model_dump_json()]

    def _ready_checks(self) -> dict[str, Callable[[], bool]]:
        models = {
            f"the model server {model}": f"http://{LOOPBACK}:{port}/v1/models"
            for model, port in zip(self.models, (self.ports.good_model, self.ports.bad_model), strict=True)
        }
        gateways = {f"the gateway of {environment}": f"{self.admin_url(environment)}/ready" for environment in self.environments}
        if any(part.services() for part in self.parts):
            gateways["the deployer"] = f"http://{LOOPBACK}:{self.ports.deployer}/healthz"
        urls = {**models, **gateways, "the traffic generator": f"http://{LOOPBACK}:{self.ports.control}/metrics-modes"}
        checks: dict[str, Callable[[], bool]] = {name: partial(self._answers, url) for name, url in urls.items()}
        checks |= {f"the part {part.name}": partial(self._part_is_ready, part) for part in self.parts}
        return checks

    def _part_is_ready(self, part: LabPart) -> bool:
        try:
            return part.is_ready(self._client)
        except httpx.TransportError:
            return False

    def _answers(self, url: str) -> bool:
        try:
            return self._client.get(url).status_code == 200
        except httpx.TransportError:
            return False

    def _watch(self) -> None:
        looks = 0
        while not self._stopping.wait(WATCH_SECONDS):
            looks += 1
            with self._lock:
                for child in self.children:
                    try:
                        child.watch()
                        if looks % 100 == 0:
                            child.keep_log_small()
                    except OSError:
                        # No memory or no process to be had: the next look tries again.
                        logger.exception("%s could not be started", child.name)


def _model_command(*, model: str, port: int) -> Callable[[], list[str]]:
    return lambda: [sys.executable, "-m", "rollbackhub.lab.model_server", model, str(port)]
