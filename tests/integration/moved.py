"""Aliases of production that mechanisms move on real systems, under a running hub; and where a message can be held on its way to a system."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import Team
from rollbackhub.common import clock
from rollbackhub.executions.domain.procedures import append_procedure_version
from rollbackhub.executions.enums import RUNNABLE_STATES, StepState
from rollbackhub.executions.models import Execution, Procedure, StepAttempt
from rollbackhub.lab.parts import MovedAlias
from rollbackhub.lab.parts.balancer import ALIAS as BALANCED
from rollbackhub.lab.parts.balancer import BalancerPart
from rollbackhub.lab.parts.git import GitPart
from rollbackhub.lab.parts.tables import ALIAS as TABLE
from rollbackhub.lab.parts.tables import TablesPart
from rollbackhub.registry.domain.holds import lift_hold, list_standing_holds
from rollbackhub.registry.models import Artefact, Connection, Environment, Version
from rollbackhub.rollbacks.domain.acts import close_rollback
from rollbackhub.rollbacks.domain.proposal import Target
from rollbackhub.rollbacks.domain.transitions import request_rollback
from rollbackhub.rollbacks.enums import OPEN_STATES, Via
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.domain.transitions import create_policy
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from tests.connectors.delta_tables import Table
from tests.connectors.deploy_receiver import SIGNING, Receiver, running_receiver
from tests.connectors.git_repositories import Bare, git
from tests.connectors.mlflow_server import MlflowServer, Relay, relay_to
from tests.integration.hub import ACTOR, QUICK, steps_of
from tests.integration.production import REASON, Production

ENVIRONMENT = "production"
REGISTERED, DEPLOYED = "tone-prompt", "reports-agent"
"""Moved by an alias of MLflow, and by a hook that honours idempotency keys."""
TOLD_ONCE = ("billing-agent", "shipping-agent")
"""By a hook that does not."""
CACHE_SECONDS = 1
"""Instead of the 60 s of MLflow's own client."""
BY_ACTION: dict[str, dict[str, object]] = {
    "await_traffic": QUICK["expose_traffic"],
    "await_drain": QUICK["drain"],
    "verify": QUICK["verify"],
    "verify_served": {"window_seconds": 0.5, "interval_seconds": 0.2},
}


class Moved(Production):
    """Production with Git, a Delta table and HAProxy of the lab, with MLflow and a receiver of deploy hooks beside it."""

    parts = ("git", "delta", "haproxy")
    # A call of a mechanism has half of the lease: several at once on a busy machine take their time.
    lease_seconds = 8.0

    def begin(self, *, mlflow: MlflowServer, folder: Path, stack: ExitStack) -> None:
        """Bring in what the lab does not have, and wait until everything stands as the policies say."""
        self.mlflow = mlflow
        self.model = f"{REGISTERED}-{os.getpid()}"
        services = [f"--service={one}=v2,v1" for one in (DEPLOYED, *TOLD_ONCE)]
        self.receiver: Receiver = stack.enter_context(running_receiver(folder, "--deploy-seconds=1", *services))
        self.to_mlflow: Relay = stack.enter_context(relay_to(mlflow.port))
        self.to_receiver: Relay = stack.enter_context(relay_to(self.receiver.port))
        balancer = self._part(BalancerPart)
        self.to_balancer: SocketRelay = stack.enter_context(socket_relay(balancer.socket))
        self.repository = Bare(folder=self._part(GitPart).repository, clone=folder)
        self.table = Table(self._part(TablesPart).root / ENVIRONMENT, name=TABLE)
        for procedure in Procedure.objects.exclude(connector=""):
            newest = procedure.versions.first()
            assert newest is not None
            steps = [{**step, "params": {**step.get("params", {}), **BY_ACTION.get(step["action"], {})}} for step in newest.steps]
            append_procedure_version(procedure=procedure, steps=steps, actor=ACTOR)
        kept = Connection.objects.get(connector="haproxy")
        Connection.objects.filter(pk=kept.pk).update(settings={**kept.settings, "sockets": {"haproxy": f"unix:{self.to_balancer.path}"}})
        mlflow.make_model(self.model, versions=2, prompt=True)
        mlflow.set_alias(self.model, ENVIRONMENT, 2)
        self._seed(
            REGISTERED,
            "prompt",
            uris=(f"prompts:/{self.model}/1", f"prompts:/{self.model}/2"),
            connection=self._connection("mlflow", address=self.to_mlflow.address, client_cache_seconds=CACHE_SECONDS),
            target={"model": self.model, "alias": ENVIRONMENT},
        )
        for alias in (DEPLOYED, *TOLD_ONCE):
            consumers = [{"url": f"{self.receiver.address}/services/{alias}", "field": "version"}]
            connection = self._hook(alias, honours_idempotency_key=alias == DEPLOYED)
            uris = (f"oci://registry/{alias}:v1", f"oci://registry/{alias}:v2")
            self._seed(alias, "agent_code", uris=uris, connection=connection, target={"service": alias, "consumers": consumers})
        policies = RoutingPolicy.objects.filter(connection__isnull=False).select_related("artefact")
        self._first = {policy.alias: self._candidates_of(policy.alias) for policy in policies}
        self._lifecycles = dict(Version.objects.values_list("pk", "lifecycle"))
        self.wait_delivered()
        self._wait_baseline(BALANCED)

    def begin_again(self) -> None:
        """Nothing open, no holds, and every system stands at the bad version again: brought there by deliveries."""
        self.hub.forget_failpoints()
        for execution in Execution.objects.filter(state__in=RUNNABLE_STATES):
            self.wait_still(execution.pk)
        lead = self.cast.lead
        for rollback in Rollback.objects.filter(state__in=OPEN_STATES):
            close_rollback(rollback_id=rollback.pk, account=lead, actor=actor_of(lead), reason="the next test")
        for hold in list_standing_holds():
            lift_hold(hold_id=hold.pk, user=lead, actor=actor_of(lead), reason="the next test")
        for pk, lifecycle in self._lifecycles.items():
            Version.objects.filter(pk=pk).update(lifecycle=lifecycle)
        for alias, candidates in self._first.items():
            self.route(alias, candidates)
        self.wait_delivered()
        self._wait_baseline(BALANCED)

    def go_back(self, alias: str) -> UUID:
        """A lead takes out the version that this alias has had since the start."""
        lead = self.cast.lead
        policy = self.policy(alias)
        bad = Version.objects.get(artefact=policy.artefact, label=self._first[alias][0].version_pin)
        return request_rollback(targets=[Target(policy, bad)], account=lead, actor=actor_of(lead), reason=REASON, via=Via.PAGE).pk

    def wait_delivered(self) -> None:
        """Wait until every system was brought to what its policy says, and a service that is deployed runs it."""
        deadline = clock.monotonic() + 60
        while behind := self._behind():
            assert clock.monotonic() < deadline, f"not delivered: {behind}"
            clock.sleep(0.1)

    def commits_since(self, commit: str) -> list[str]:
        """What was committed on production's branch since then."""
        return git(self.repository.folder, "rev-list", "--reverse", f"{commit}..{ENVIRONMENT}").split()

    def message(self, commit: str) -> str:
        """A commit's whole message."""
        return git(self.repository.folder, "log", "-1", "--format=%B", commit)

    def branch(self) -> str:
        """The newest commit of production's branch."""
        return git(self.repository.folder, "rev-parse", ENVIRONMENT)

    def agent(self) -> str:
        """The version of the agent that the branch holds."""
        return self.repository.show("agent/VERSION", ENVIRONMENT)

    def balance(self) -> dict[str, int]:
        """The weights in HAProxy now, asked past the relay."""
        lines = self.to_balancer.ask(f"show servers state {BALANCED}-{ENVIRONMENT}").splitlines()
        rows = [line.split() for line in lines[2:] if line]
        return {row[3]: int(row[7]) for row in rows}

    def kill_worker_of(self, execution_id: UUID, *, key: str = "flip") -> None:
        """Kill the process that runs this step."""
        os.kill(pid_of(StepAttempt.objects.get(execution_id=execution_id, key=key, state=StepState.STARTED)), 9)

    def say_where(self, executions: dict[str, UUID]) -> str:
        """How far these have come, for messages."""
        return "; ".join(f"{alias}: {steps_of(Execution.objects.get(pk=pk))}" for alias, pk in executions.items())

    def _behind(self) -> list[str]:
        policies = RoutingPolicy.objects.filter(connection__isnull=False).select_related("delivery")
        found = [
            f"{policy.alias}: {policy.delivery.problem if hasattr(policy, 'delivery') else 'not yet'}"
            for policy in policies
            if not hasattr(policy, "delivery") or policy.delivery.number < policy.revision_number
        ]
        return found + [f"{alias} runs" for alias in (DEPLOYED, *TOLD_ONCE) if self.receiver.status(alias)["state"] != "succeeded"]

    def _part(self, kind: type[Any]) -> Any:
        return next(part for part in self.world.parts if isinstance(part, kind))

    def _candidates_of(self, alias: str) -> list[CandidateSpec]:
        for part in self.world.parts:
            for moved in part.aliases():
                if moved.alias == alias:
                    return _lab_candidates(moved)
        return _candidates(alias)

    def _connection(self, connector: str, name: str = "", **settings: Any) -> Connection:
        environment = Environment.objects.get(slug=ENVIRONMENT)
        return Connection.objects.create(environment=environment, connector=connector, name=name, settings=settings)

    def _hook(self, alias: str, *, honours_idempotency_key: bool) -> Connection:
        address = self.to_receiver.address
        return self._connection(
            "deploy",
            name=alias,
            deploy_url=f"{address}/deploy",
            status_url=f"{address}/services/{{service}}",
            signing_ref=f"env:{SIGNING}",
            honours_idempotency_key=honours_idempotency_key,
            # So that what is posted is a deployment.
            ping=False,
        )

    def _seed(self, alias: str, change_type: str, *, uris: tuple[str, str], connection: Connection, target: dict[str, Any]) -> None:
        """An artefact with a good and a bad version, of which the bad one has everything."""
        artefact = Artefact.objects.create(slug=alias, name=alias.capitalize(), change_type=change_type, team=Team.objects.get(slug="lab"))
        for label, uri, lifecycle in zip(("v1", "v2"), uris, ("superseded", "live"), strict=True):
            Version.objects.create(artefact=artefact, label=label, uri=uri, lifecycle=lifecycle)
        environment = Environment.objects.get(slug=ENVIRONMENT)
        create_policy(
            environment=environment,
            alias=alias,
            artefact=artefact,
            candidates=_candidates(alias),
            actor=ACTOR,
            reason="as it stands",
            connection=connection,
            target=target,
        )


def pid_of(attempt: StepAttempt) -> int:
    """The process that ran an attempt."""
    return int(attempt.worker.rpartition(":")[2])


def _lab_candidates(moved: MovedAlias) -> list[CandidateSpec]:
    return [CandidateSpec(*candidate) for candidate in moved.candidates]


def _candidates(alias: str) -> list[CandidateSpec]:
    return [CandidateSpec(f"{alias}:v2:test", "v2", 100), CandidateSpec(f"{alias}:v1:test", "v1", 0)]


class Gate:
    """Holds who comes until it is opened, and counts them."""

    def __init__(self) -> None:
        self._came: list[int] = []
        self._open = threading.Event()

    @property
    def arrived(self) -> int:
        """How many have come."""
        return len(self._came)

    def pass_through(self) -> None:
        """Come, and go on when it is open."""
        self._came.append(threading.get_ident())
        self._open.wait(60)

    def open(self) -> None:
        """Let everybody go on."""
        self._open.set()


class PushGate(Gate):
    """The same for pushes to a repository on this machine: its own hook waits, after the server has everything and before the branch moves."""

    def __init__(self, repository: Bare, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        repository.hook(f"#!/bin/sh\ntouch {folder}/arrived.$$\nwhile [ ! -e {folder}/open ]; do sleep 0.02; done\n")

    @property
    def arrived(self) -> int:
        """How many pushes have come."""
        return len(list(self._folder.glob("arrived.*")))

    def open(self) -> None:
        """Let every push go on."""
        (self._folder / "open").touch()


@dataclass
class SocketRelay:
    """Passes commands on to HAProxy's runtime socket and remembers those that set weights; `swallow` loses one and leaves the asker waiting."""

    upstream: Path
    path: Path
    commands: list[str] = field(default_factory=list)
    swallow: Callable[[str], bool] = lambda command: False

    def ask(self, command: str) -> str:
        """HAProxy's answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.upstream))
            connection.sendall(command.encode() + b"\n")
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        return answer.decode()

    def serve(self, listening: socket.socket) -> None:
        """Take connections until the socket is closed."""
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(connection,), daemon=True).start()

    def _pass_on(self, connection: socket.socket) -> None:
        # Who asked may have been killed meanwhile.
        with connection, contextlib.suppress(ConnectionError):
            command = b""
            while not command.endswith(b"\n"):
                chunk = connection.recv(65536)
                if not chunk:
                    return
                command += chunk
            text = command.decode().strip()
            if text.startswith("set weight"):
                if self.swallow(text):
                    connection.recv(1)
                    return
                self.commands.append(text.rpartition("/")[2])
            connection.sendall(self.ask(text).encode())


@contextmanager
def socket_relay(upstream: Path) -> Iterator[SocketRelay]:
    """A relay in front of a runtime socket. Its folder is short: sockets' paths are bounded."""
    folder = Path(tempfile.mkdtemp(prefix="hap-", dir="/tmp"))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "relay.sock"))
        listening.listen(64)
        relay = SocketRelay(upstream=upstream, path=folder / "relay.sock")
        thread = threading.Thread(target=relay.serve, args=(listening,), daemon=True)
        thread.start()
        try:
            yield relay
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
    shutil.rmtree(folder)
