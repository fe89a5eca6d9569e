"""Production of the lab under a running hub: its people, rollbacks to start and to wait for, and the way back to the beginning."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from uuid import UUID

import httpx
from django.db import connection
from django.db.models import Q

from incidents.domain.acts import close_incident
from incidents.enums import IncidentState
from incidents.models import Incident
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.enums import Scope
from rollbackhub.accounts.models import User
from rollbackhub.alerts.domain.proposals import dismiss_proposal
from rollbackhub.alerts.enums import ProposalState
from rollbackhub.alerts.models import Proposal
from rollbackhub.common import clock
from rollbackhub.connectors.prometheus import PrometheusConnector
from rollbackhub.executions.enums import RUNNABLE_STATES
from rollbackhub.executions.models import Execution
from rollbackhub.lab.catalogue import ALIASES, SMART_REASONER
from rollbackhub.lab.domain.alerting import ensure_alert_hook
from rollbackhub.lab.switches import SwitchFollower
from rollbackhub.lab.world import LabWorld
from rollbackhub.registry.domain.holds import lift_hold, list_standing_holds
from rollbackhub.registry.models import Version
from rollbackhub.rollbacks.domain.acts import close_rollback
from rollbackhub.rollbacks.domain.proposal import Target
from rollbackhub.rollbacks.domain.transitions import request_rollback
from rollbackhub.rollbacks.enums import OPEN_STATES, RollbackState, Via
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.domain.transitions import append_revision
from rollbackhub.routing.models import PolicyRevision
from rollbackhub.routing.rules import CandidateSpec
from tests.factories.accounts import ApiTokenFactory
from tests.factories.fixtures import make_cast
from tests.integration.hub import ACTOR, QUICK, Hub, LabHub, steps_of

REASON = "degraded feedback"
BASELINE_REQUESTS = 80
"""So many of an alias, of which the good version gets more than half, are enough for every check."""


class Production(LabHub):
    """Aliases whose bad version can be rolled back, again and again."""

    environment = "production"
    quick: ClassVar[dict[str, dict[str, object]]] = {**QUICK, "propagate": {"limit_seconds": 5}}
    """A gateway that is silent is called so after 5 s."""

    def __init__(self, *, hub: Hub, world: LabWorld) -> None:
        super().__init__(hub=hub, world=world)
        self.cast = make_cast()
        self.token: str = ApiTokenFactory(user=self.cast.on_call, name="phone", scopes=[Scope.READ.value, Scope.ROLLBACK.value, Scope.ROUTE.value]).plain

    def begin_again(self) -> None:
        """Everything as the lab seeded it: nothing open, no holds, the bad versions in canary, the gateway following."""
        self.hub.forget_failpoints()
        for execution in Execution.objects.filter(state__in=RUNNABLE_STATES):
            self.wait_still(execution.pk)
        for rollback in Rollback.objects.filter(state__in=OPEN_STATES):
            close_rollback(rollback_id=rollback.pk, account=self.cast.lead, actor=actor_of(self.cast.lead), reason="the next test")
        for hold in list_standing_holds():
            lift_hold(hold_id=hold.pk, user=self.cast.lead, actor=actor_of(self.cast.lead), reason="the next test")
        for alias in ALIASES:
            for version in alias.versions:
                Version.objects.filter(artefact__slug=alias.alias, label=version.label).update(lifecycle=version.lifecycle)
            self.route(alias.alias, [CandidateSpec(candidate.candidate_id, candidate.version_pin, candidate.weight) for candidate in alias.candidates])
        self.wait_gateways()
        for alias in ALIASES:
            self._wait_baseline(alias.alias)

    def _wait_baseline(self, alias: str) -> None:
        """A lab that has just started has no history to compare with."""
        connector = PrometheusConnector(PrometheusConnector.parse_settings(self.world.connections(self.environment)["prometheus"]), timeout_seconds=5)
        deadline = clock.monotonic() + 30
        while sum(found.requests for found in connector.read_versions(environment=self.environment, alias=alias).values()) < BASELINE_REQUESTS:
            if clock.monotonic() > deadline:
                raise AssertionError(f"no traffic at {alias}")
            clock.sleep(0.2)

    def route(self, alias: str, candidates: list[CandidateSpec]) -> None:
        """Somebody writes these weights, unless they are so already."""
        policy = self.policy(alias)
        if get_candidates(policy=policy) != candidates:
            append_revision(policy_id=policy.pk, expected_revision=policy.revision_number, candidates=candidates, actor=ACTOR, reason="by somebody else")

    def weights(self, alias: str = "smart-reasoner") -> dict[str, int]:
        """The weight of each version now."""
        return {candidate.version_pin: candidate.weight for candidate in get_candidates(policy=self.policy(alias))}

    def roll_back(self, *aliases: str, by: User | None = None, **values: Any) -> UUID:
        """Decide to roll back (smart-reasoner), as the on-call engineer on the page, unless told otherwise."""
        account = User.objects.get(pk=(by or self.cast.on_call).pk)
        values = {"reason": REASON, "via": Via.PAGE} | values
        targets = [Target(self.policy(alias)) for alias in aliases or (SMART_REASONER.alias,)]
        return request_rollback(targets=targets, account=account, actor=actor_of(account), **values).pk

    def wait_for(self, rollback_id: UUID, *states: RollbackState, timeout_seconds: float = 60) -> Rollback:
        """Wait until a rollback is in one of these states (verified, unless told otherwise)."""
        wanted = states or (RollbackState.VERIFIED,)
        deadline = clock.monotonic() + timeout_seconds
        while True:
            rollback = Rollback.objects.get(pk=rollback_id)
            if rollback.state in wanted:
                return rollback
            if clock.monotonic() > deadline:
                every = Execution.objects.filter(Q(rollback_part__rollback=rollback_id) | Q(roll_forward__rollback=rollback_id)).order_by("created_at")
                steps = [steps_of(execution) for execution in every]
                raise AssertionError(f"{rollback.state}, not {' or '.join(wanted)}, after {timeout_seconds} s: {rollback.outcome}; {steps}")
            clock.sleep(0.02)

    def wait_still(self, execution_id: UUID, *, timeout_seconds: float = 60) -> None:
        """Wait until an execution has ended or waits for a person."""
        deadline = clock.monotonic() + timeout_seconds
        while (execution := Execution.objects.get(pk=execution_id)).state in RUNNABLE_STATES:
            if clock.monotonic() > deadline:
                raise AssertionError(f"still {execution.state} after {timeout_seconds} s: {steps_of(execution)}")
            clock.sleep(0.05)

    def wait_step(self, rollback_id: UUID, key: str, *, position: int = 0, timeout_seconds: float = 30) -> None:
        """Wait until a step of a part has begun."""
        deadline = clock.monotonic() + timeout_seconds
        while not Execution.objects.filter(rollback_part__rollback=rollback_id, rollback_part__position=position, attempts__key=key).exists():
            if clock.monotonic() > deadline:
                raise AssertionError(f"step {key} did not begin within {timeout_seconds} s")
            clock.sleep(0.01)

    def post(self, path: str, content: dict[str, Any], *, key: str = "", timeout_seconds: float = 30) -> httpx.Response:
        """Ask the hub's API, with the token of the on-call engineer."""
        headers = {"Authorization": f"Bearer {self.token}"} | ({"Idempotency-Key": key} if key else {})
        return httpx.post(f"{self.hub.url}/api/v1/{path}", json=content, headers=headers, timeout=timeout_seconds, trust_env=False)

    def call_model(self, alias: str = "smart-reasoner") -> tuple[int, str | None]:
        """One request through the gateway, as a caller sends it: the status, and the version that answered."""
        body = {"model": alias, "messages": [{"role": "user", "content": "Are you there?"}]}
        answer = httpx.post(f"{self.world.gateway_url(self.environment)}/{alias}/v1/chat/completions", content=json.dumps(body), trust_env=False)
        return answer.status_code, answer.headers.get("x-served-version")

    @contextmanager
    def gateway_stopped(self) -> Iterator[None]:
        """The gateway's process is there and does nothing."""
        pid = self.world.gateways[self.environment].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


class Releasing(Production):
    """Production with staging beside it."""

    beside = ("staging",)


class Alerted(Releasing):
    """The same with the real Prometheus and Alertmanager, whose alerts the hub takes; and with the lab's own process played, so that switches work."""

    parts = ("prometheus", "alertmanager")

    def __init__(self, *, hub: Hub, world: LabWorld) -> None:
        super().__init__(hub=hub, world=world)
        assert ensure_alert_hook(world)
        self._follower = SwitchFollower(world)

    @contextmanager
    def following(self) -> Iterator[None]:
        """What `manage.py lab` does while it runs."""
        ending = threading.Event()

        def follow() -> None:
            while not ending.wait(0.4):
                self.world.follow_parts()
                self._follower.follow()
            connection.close()

        thread = threading.Thread(target=follow, name="lab", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()

    def quiet(self) -> None:
        """As the lab seeded it, and nothing open that an earlier test's alert has made: the next firing opens its own."""
        self.begin_again()
        lead = self.cast.lead
        for proposal in Proposal.objects.filter(state=ProposalState.OPEN):
            dismiss_proposal(proposal_id=proposal.pk, account=lead, actor=actor_of(lead), reason="the next test")
        for incident in Incident.objects.exclude(state=IncidentState.CLOSED):
            close_incident(incident_id=incident.pk, account=lead, actor=actor_of(lead), reason="the next test")


def say(figures: str) -> None:
    """Show what was measured, to whoever runs the tests with -s."""
    sys.stdout.write(f"\n{figures}\n")


def executions_of(rollback_id: UUID) -> list[Execution]:
    """The executions of its parts, in their order."""
    return list(Execution.objects.filter(rollback_part__rollback=rollback_id).order_by("rollback_part__position"))


def effect_keys(execution: Execution) -> list[str]:
    """The steps of the execution that wrote a revision, one entry for each revision."""
    keys = PolicyRevision.objects.filter(effect_key__startswith=f"{execution.pk}:").order_by("number").values_list("effect_key", flat=True)
    return [str(key).rpartition(":")[2] for key in keys]
