"""What an action gets to work with: the frozen plan, samples, a heartbeat on the claim. Every write goes through the fence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from rollbackhub.common import clock
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.common.failpoints import failpoint
from rollbackhub.connectors.base import Connector, connector_type
from rollbackhub.connectors.mechanism import RunsJobs
from rollbackhub.executions.domain.claims import Claim
from rollbackhub.executions.domain.mechanisms import BoundMechanism, bind_mechanism
from rollbackhub.executions.domain.restoring import SERVED_AGAIN, revoke_restored
from rollbackhub.executions.enums import ExecutionState
from rollbackhub.executions.models import Execution, Sample, StepAttempt
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.models import PolicyRevision, RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec

MECHANISM_SECONDS = 5.0
"""A call of a mechanism may take this long (pushing to a repository), while the lease lasts."""


class CancelRequested(Exception):
    """A person asked for the execution to stop; the step ends here."""


class StepContext:
    """One attempt of one step, as its action sees it."""

    def __init__(self, *, claim: Claim, execution: Execution, attempt: StepAttempt, may_be_cancelled: bool) -> None:
        self.execution = execution
        self.plan: dict[str, Any] = execution.plan
        self.attempt = attempt
        self._claim = claim
        self._may_be_cancelled = may_be_cancelled
        self._began = clock.monotonic()

    @property
    def effect_key(self) -> str:
        """Names this step's effect for ever: the same step tried again has the same key."""
        return f"{self.execution.pk}:{self.attempt.key}"

    @property
    def bad_version(self) -> str:
        """The label of the version that is taken out."""
        return str(self.plan["bad_version"])

    @property
    def good_versions(self) -> list[str]:
        """The labels of the versions that serve afterwards."""
        return list(self.plan["good_versions"])

    def seconds_left(self, limit_seconds: float) -> float:
        """What is left of this attempt's time."""
        return limit_seconds - (clock.monotonic() - self._began)

    @contextmanager
    def fenced(self) -> Iterator[None]:
        """A transaction that commits only while the claim holds. Raises LeaseLost."""
        with self._claim.fenced():
            yield

    def keep_sample(self, *, kind: str, source: str, value: dict[str, Any]) -> Sample:
        """Keep what was just observed; renews the claim. Raises LeaseLost."""
        with self._claim.fenced():
            return Sample.objects.create(
                execution_id=self.execution.pk, attempt=self.attempt, kind=kind, source=source[:200], taken_at=clock.now(), value=value
            )

    def say(self, message: str) -> None:
        """What the step waits for, where people follow it; how it ended takes its place. Renews the claim. Raises LeaseLost."""
        if message == self.attempt.message:
            return
        with self._claim.fenced():
            StepAttempt.objects.filter(pk=self.attempt.pk).update(message=message)
        self.attempt.message = message

    def served_again(self) -> None:
        """The bad version was seen to serve after the drain: what was restored is not any more. Renews the claim. Raises LeaseLost."""
        with self._claim.fenced():
            self.attempt.result = {**self.attempt.result, SERVED_AGAIN: True}
            StepAttempt.objects.filter(pk=self.attempt.pk).update(result=self.attempt.result)
            revoke_restored(self.execution)

    def pause(self, seconds: float) -> None:
        """Wait, holding the claim. Raises LeaseLost, CancelRequested."""
        self.in_the_middle()
        end = clock.monotonic() + seconds
        while True:
            self._claim.renew()
            if self._may_be_cancelled and Execution.objects.filter(pk=self.execution.pk, cancel_requested_at__isnull=False).exists():
                raise CancelRequested
            left = end - clock.monotonic()
            if left <= 0:
                return
            clock.sleep(min(left, settings.CONFIG.lease_seconds / 3))

    def before_effect(self) -> None:
        """Where tests kill a worker right before a mechanism is told: the policy says already what is wanted."""
        failpoint(f"applying-{self.attempt.key}", scope=self.plan["alias"])

    def in_the_middle(self) -> None:
        """Where tests kill a worker in the middle of a step: after an effect, or while it waits."""
        failpoint(f"middle-{self.attempt.key}", scope=self.plan["alias"])

    def connector(self, name: str) -> Connector[Any] | None:
        """A connector of the environment by its connection's name, with the settings frozen in the plan; None when there is no such connection."""
        values = self.plan["connections"].get(name)
        if values is None:
            return None
        kind = connector_type(self.plan.get("connectors", {}).get(name, name))
        return kind(kind.parse_settings(values), timeout_seconds=min(2.0, settings.CONFIG.lease_seconds / 3))

    def job_runner(self, name: str) -> RunsJobs | None:
        """The connection of this name, when there is one and it runs jobs."""
        found: object = self.connector(name)
        return found if isinstance(found, RunsJobs) else None

    def mechanism(self) -> BoundMechanism | None:
        """What moves the alias, with the settings and target frozen in the plan; None when gateways take it from the hub.

        Raises InvalidInput when the frozen settings are not the connector's (any more).
        """
        moved_by = self.plan.get("mechanism")
        if moved_by is None:
            return None
        return bind_mechanism(
            connector=moved_by["connector"],
            name=moved_by["connection"],
            settings=self.plan["connections"][moved_by["connection"]],
            target=moved_by["target"],
            artefact=self.plan["artefact"],
            timeout_seconds=min(MECHANISM_SECONDS, settings.CONFIG.lease_seconds / 2),
        )

    def candidates(self, state: str) -> list[CandidateSpec]:
        """The plan's candidates in one of its states: `before`, `canary`, `rolled_back` …"""
        return [CandidateSpec.from_dict(values) for values in self.plan[f"weights_{state}"]]

    def wanted_now(self) -> list[CandidateSpec]:
        """What this execution has last written; as it was before when it has written nothing."""
        own = self.last_own_revision()
        if own is None:
            return self.candidates("before")
        return get_candidates(policy=RoutingPolicy.objects.get(pk=self.execution.policy_id), number=own.number)

    def last_own_revision(self) -> PolicyRevision | None:
        """The newest policy revision that this execution wrote."""
        return PolicyRevision.objects.filter(policy_id=self.execution.policy_id, effect_key__startswith=f"{self.execution.pk}:").order_by("-number").first()

    @property
    def nothing_to_put_back(self) -> bool:
        """It cleans up, and has written no weights: the system stands as it found it, also when that is not as the policy says."""
        return self.execution.state == ExecutionState.CLEANING_UP and self.last_own_revision() is None

    def expected_revision(self) -> int:
        """The number at which the policy stands, if nobody else has changed it since the plan was frozen.

        Weights that were changed and put back, as the plan has them, are as good as unchanged.
        """
        own = self.last_own_revision()
        if own is not None:
            return own.number
        policy = RoutingPolicy.objects.get(pk=self.execution.policy_id)
        return policy.revision_number if get_candidates(policy=policy) == self.candidates("before") else int(self.plan["revision"])


def describe(error: RollbackHubError) -> str:
    """An error in a sample: its code and sentence."""
    return f"{error.code}: {error.message}"
