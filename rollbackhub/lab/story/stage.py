"""What the story plays on: the lab as it is found, the people whose part is played, and the way back to how it was."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import httpx

from drills.domain.transitions import start_drill
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.alerts.enums import AlertState
from rollbackhub.alerts.models import Alert
from rollbackhub.audit.actors import Actor, system_actor
from rollbackhub.common import clock
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.connectors.prometheus import PrometheusConnector
from rollbackhub.connectors.prometheus.reading import VersionMetrics
from rollbackhub.executions.domain.proof import Proof
from rollbackhub.executions.models import Execution
from rollbackhub.lab.catalogue import BAD_MODEL, GOOD_MODEL, SMART_REASONER
from rollbackhub.lab.enums import SwitchName
from rollbackhub.lab.models import LabSwitch
from rollbackhub.lab.ports import LOOPBACK, Ports
from rollbackhub.lab.switches import set_switch
from rollbackhub.registry.domain.checks import checks_digest, set_checks
from rollbackhub.registry.models import Artefact, Connection, Version
from rollbackhub.rollbacks.domain.proposal import proofs_for
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.domain.gateways import list_live_gateways, not_acknowledged
from rollbackhub.routing.domain.transitions import append_revision
from rollbackhub.routing.models import RoutingPolicy, RoutingState
from rollbackhub.routing.rules import CandidateSpec

logger = logging.getLogger(__name__)

ALIAS, BAD, GOOD = SMART_REASONER.alias, BAD_MODEL, GOOD_MODEL
PLAYING = system_actor("the story (simulation)")
LOOK_SECONDS = 0.2
CALL_SECONDS = 3.0
ALL_GOOD = {GOOD: 100, BAD: 0}
CANARY = {candidate.version_pin: candidate.weight for candidate in SMART_REASONER.candidates}

Found = TypeVar("Found")


class StoryFailed(Exception):
    """It went otherwise than the story tells; the sentence says where."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The lab's chapter alias, in both environments, and the two people."""

    ports: Ports
    on_call: User
    lead: User

    def acting(self, person: User) -> Actor:
        """The person as an actor; whoever reads the record sees that it was played."""
        actor = actor_of(person)
        return Actor(kind=actor.kind, label=f"{actor.label} (played by the story)"[:200], user_id=actor.user_id)

    def policy(self, environment: str) -> RoutingPolicy:
        """The alias in an environment, as it stands now."""
        return RoutingPolicy.objects.select_related("environment", "artefact").get(alias=ALIAS, environment__slug=environment)

    @staticmethod
    def bad_version() -> Version:
        """The canary that is taken back."""
        return Version.objects.get(artefact__slug=ALIAS, label=BAD)

    # What is done.

    def route(self, weights: Mapping[str, int], *, reason: str) -> None:
        """Give the versions these weights in production, unless they have them."""
        policy = self.policy("production")
        before = get_candidates(policy=policy)
        wanted = [CandidateSpec(found.candidate_id, found.version_pin, weights[found.version_pin]) for found in before]
        if wanted != before:
            append_revision(policy_id=policy.pk, expected_revision=policy.revision_number, candidates=wanted, actor=PLAYING, reason=reason)
        self.wait_gateways("production")

    def switch(self, name: SwitchName, environment: str, *, on: bool) -> None:
        """Put a fault into the lab or take it out, and wait until the lab has followed."""
        switch = set_switch(name=name, environment=environment, on=on, actor=PLAYING)
        self.wait_for(
            lambda: LabSwitch.objects.filter(pk=switch.pk, applied_at__isnull=False).first(),
            within=20,
            what=f"the lab followed the switch {name.value} in {environment}",
        )
        if not on:
            self.wait_gateways(environment)

    def write_checks(self, checks: object, *, reason: str) -> None:
        """Change what verifies the alias; the proof of its path goes with it, and comes back with the former checks."""
        artefact = Artefact.objects.get(slug=ALIAS)
        if artefact.checks == checks:
            return
        set_checks(artefact=artefact, checks=checks, based_on=checks_digest(artefact), reason=reason, account=self.lead, actor=self.acting(self.lead))

    def drill(self, *, note: str) -> Execution:
        """Drill the alias in staging, to the end."""
        # Named: by itself a drill takes out what served production last, which is the good version while the canary has no weight.
        execution_id = start_drill(policy=self.policy("staging"), bad_version=self.bad_version(), actor=PLAYING, user=None, note=note).execution_id
        return self.wait_for(lambda: _ended(execution_id), within=180, what="the drill ended")

    # What is seen.

    def proof(self) -> Proof:
        """What is proven about taking the canary out of production."""
        policy = self.policy("production")
        return proofs_for({policy: self.bad_version()})[policy.pk]

    def bad_requests(self) -> float:
        """How many requests the bad version has answered in production, by the callers' metrics. Raises StoryFailed when they cannot be read for long."""
        settings = Connection.objects.get(environment__slug="production", connector="prometheus").settings
        connector = PrometheusConnector(PrometheusConnector.parse_settings(settings), timeout_seconds=CALL_SECONDS)

        def read() -> VersionMetrics | None:
            try:
                return connector.read_versions(environment="production", alias=ALIAS).get(BAD)
            except RollbackHubError:
                # A busy machine answers late.
                return None

        return self.wait_for(read, within=60, what="the callers' metrics were read").requests

    def is_calm(self) -> bool:
        """Whether neither the Alertmanager nor the hub has a firing alert about the alias."""
        try:
            answer = httpx.get(
                f"http://{LOOPBACK}:{self.ports.alertmanager}/api/v2/alerts",
                params={"filter": [f'alias="{ALIAS}"', 'environment="production"']},
                timeout=CALL_SECONDS,
                trust_env=False,
            )
        except httpx.TransportError:
            return False
        fires = answer.status_code != httpx.codes.OK or answer.json()
        return not fires and not Alert.objects.filter(policy=self.policy("production"), state=AlertState.FIRING).exists()

    def wait_gateways(self, environment: str) -> None:
        """Wait until the environment's gateways serve by what the hub says."""
        environment_id = self.policy(environment).environment_id

        def follow() -> bool:
            gateways = list_live_gateways(environment_id=environment_id)
            return bool(gateways) and not not_acknowledged(gateways, routing_number=RoutingState.objects.get(environment=environment_id).number)

        self.wait_for(follow, within=40, what=f"the gateways of {environment} followed the hub")

    @staticmethod
    def wait_for(look: Callable[[], Found | None], *, within: float, what: str) -> Found:
        """Look until there is something. Raises StoryFailed when `what` (a sentence in the past) did not happen within so many seconds."""
        deadline = clock.monotonic() + within
        while not (found := look()):
            if clock.monotonic() > deadline:
                raise StoryFailed(f"It was waited {within:g} s in vain until {what}.")
            clock.sleep(LOOK_SECONDS)
        return found


def _ended(execution_id: UUID) -> Execution | None:
    execution = Execution.objects.get(pk=execution_id)
    return None if execution.is_active else execution
