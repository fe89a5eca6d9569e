"""Rollbacks with their parts, what people decided about them, roll-forwards, holds and notices."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import factory
from factory.django import DjangoModelFactory

from rollbackhub.accounts.domain.actors import name_of
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import Notice
from rollbackhub.common.clock import now
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import ExecutionKind, ExecutionState
from rollbackhub.executions.fingerprints import canonical_hash
from rollbackhub.executions.models import Execution, ProcedureVersion
from rollbackhub.registry.models import HoldGate, StabilityHold
from rollbackhub.rollbacks.enums import AuthorisedBy, AuthoritySubject, Decision, RollbackState, RollForwardState, Via
from rollbackhub.rollbacks.models import Approval, AuthorityRule, CoordinatedProcedure, CoordinatedStep, HeldTraffic, Rollback, RollbackPart, RollForward
from rollbackhub.rollbacks.rules import holds_aliases, plan_hash
from tests.factories.accounts import UserFactory
from tests.factories.actions import ActionFactory
from tests.factories.executions import ExecutionFactory, ProcedureVersionFactory, plan_of
from tests.factories.registry import EnvironmentFactory, VersionFactory
from tests.factories.routing import BAD, RoutingPolicyFactory

CLOCK = {"authorised_at": 0.0, "started_at": 0.05, "executed_at": 0.2, "propagated_at": 0.5, "drained_at": 2.5, "restored_at": 2.5, "verified_at": 12.5}
"""When each instant of a rollback comes, in seconds from the decision."""

EXECUTIONS: dict[RollbackState, tuple[ExecutionState, str]] = {
    RollbackState.RUNNING: (ExecutionState.RUNNING, ""),
    RollbackState.UNDOING: (ExecutionState.RUNNING, ""),
    RollbackState.RESTORED: (ExecutionState.RUNNING, ""),
    RollbackState.NEEDS_HUMAN: (ExecutionState.NEEDS_HUMAN, ""),
    RollbackState.PARTIALLY_RESTORED: (ExecutionState.NEEDS_HUMAN, ""),
    RollbackState.VERIFICATION_FAILED: (ExecutionState.NEEDS_HUMAN, ""),
    RollbackState.VERIFIED: (ExecutionState.FINISHED, Verdict.PASSED),
    RollbackState.CLOSED: (ExecutionState.FINISHED, Verdict.PASSED),
    RollbackState.UNDONE: (ExecutionState.FINISHED, Verdict.FAILED),
    RollbackState.CANCELLED: (ExecutionState.CANCELLED, ""),
}
"""State and verdict of the execution of a part, by the state of the rollback. A state that is missing has none."""


class AuthorityRuleFactory(DjangoModelFactory):
    """A row of the authority table; the migration has seeded one for each subject already."""

    class Meta:
        model = AuthorityRule
        django_get_or_create = ["subject"]

    subject = AuthoritySubject.MODEL
    role = Role.ON_CALL


class CoordinatedProcedureFactory(DjangoModelFactory):
    """An order of two aliases, without a point of no return (`steps=False`: without an alias)."""

    class Meta:
        model = CoordinatedProcedure
        skip_postgeneration_save = True

    slug = factory.Sequence("coordinated-{}".format)
    name = factory.LazyAttribute(lambda procedure: procedure.slug.replace("-", " ").capitalize())
    environment = factory.SubFactory(EnvironmentFactory, slug="production", name="Production", kind="production")
    author_label = "test"

    @factory.post_generation
    def steps(self: CoordinatedProcedure, create: bool, extracted: bool | None, **kwargs: Any) -> None:
        """Two places."""
        if extracted is not False:
            for position in range(2):
                CoordinatedStepFactory(procedure=self, position=position)


class CoordinatedStepFactory(DjangoModelFactory):
    """A place in the order."""

    class Meta:
        model = CoordinatedStep

    procedure = factory.SubFactory(CoordinatedProcedureFactory, steps=False)
    position = 0
    policy = factory.SubFactory(RoutingPolicyFactory, environment=factory.SelfAttribute("..procedure.environment"))


def _instants(*names: str) -> dict[str, Any]:
    """These instants of the clock, each by its distance from the decision."""

    def after(seconds: float) -> Any:
        return factory.LazyAttribute(lambda rollback: rollback.decided_at + dt.timedelta(seconds=seconds))

    return {name: after(CLOCK[name]) for name in names}


RESTORED = ("executed_at", "propagated_at", "drained_at", "restored_at")


class RollbackFactory(DjangoModelFactory):
    """A request of a coordinated kind that waits for a platform lead; one alias in production (`parts=2` for two, `parts=False` for none).

    Traits: `awaiting` (as it is), `running`, `needs_human`, `partially_restored`, `restored`, `verification_failed`, `verified`, `closed`,
    `rejected`, `expired`, `withdrawn`, `cancelled`, `undoing`, `undone`, `rolling_forward`, `rolled_forward`; `break_glass` with one of those that
    began. The ones that began were authorised by their requester alone. Parts get the execution that fits.
    """

    class Meta:
        model = Rollback
        skip_postgeneration_save = True

    class Params:
        begun = factory.Trait(
            required_because=AuthoritySubject.MODEL,
            required_role=Role.ON_CALL,
            authorised_how=AuthorisedBy.OWN,
            authorised_by=factory.SelfAttribute("principal"),
            tell_next_at=None,
            expires_at=None,
            **_instants("authorised_at", "started_at"),
        )
        back = factory.Trait(begun=True, rollback_seconds=CLOCK["restored_at"], **_instants(*RESTORED))
        awaiting = factory.Trait(state=RollbackState.AWAITING_APPROVAL)
        running = factory.Trait(begun=True, state=RollbackState.RUNNING)
        needs_human = factory.Trait(begun=True, state=RollbackState.NEEDS_HUMAN, outcome="The step “Flip the weights” did not pass.")
        partially_restored = factory.Trait(
            begun=True, state=RollbackState.PARTIALLY_RESTORED, outcome="Not acknowledged by production-gateway-2.", **_instants("executed_at")
        )
        restored = factory.Trait(back=True, state=RollbackState.RESTORED)
        verification_failed = factory.Trait(back=True, state=RollbackState.VERIFICATION_FAILED, outcome="Negative feedback is above its baseline.")
        verified = factory.Trait(back=True, state=RollbackState.VERIFIED, outcome="Restored and verified.", **_instants("verified_at"))
        closed = factory.Trait(back=True, state=RollbackState.CLOSED, closed_at=factory.LazyFunction(now), **_instants("verified_at"))
        rejected = factory.Trait(state=RollbackState.REJECTED, closed_at=factory.LazyFunction(now), expires_at=None, tell_next_at=None)
        expired = factory.Trait(state=RollbackState.EXPIRED, closed_at=factory.LazyFunction(now), tell_next_at=None)
        withdrawn = factory.Trait(state=RollbackState.WITHDRAWN, closed_at=factory.LazyFunction(now), expires_at=None, tell_next_at=None)
        cancelled = factory.Trait(begun=True, state=RollbackState.CANCELLED, closed_at=factory.LazyFunction(now))
        undoing = factory.Trait(begun=True, state=RollbackState.UNDOING, **_instants("executed_at"))
        undone = factory.Trait(begun=True, state=RollbackState.UNDONE, closed_at=factory.LazyFunction(now), **_instants("executed_at"))
        rolling_forward = factory.Trait(begun=True, state=RollbackState.ROLLING_FORWARD)
        rolled_forward = factory.Trait(begun=True, state=RollbackState.ROLLED_FORWARD, closed_at=factory.LazyFunction(now))
        break_glass = factory.Trait(authorised_how=AuthorisedBy.BREAK_GLASS, break_glass_reason="Customers get wrong answers; no lead picks up the phone.")

    state = RollbackState.AWAITING_APPROVAL
    environment = factory.SubFactory(EnvironmentFactory, slug="production")
    reason = "degraded feedback"
    requested_by = factory.SubFactory(UserFactory, roles=[Role.ON_CALL])
    principal = factory.SelfAttribute("requested_by")
    requested_by_label = factory.LazyAttribute(lambda rollback: name_of(rollback.principal))
    requested_via = Via.PAGE
    request_hash = factory.Sequence("{:064x}".format)
    plan_hash = factory.Sequence("{:064x}".format)
    required_role = Role.PLATFORM_LEAD
    required_because = AuthoritySubject.COORDINATED
    decided_at = factory.LazyFunction(lambda: now() - dt.timedelta(minutes=1))
    tell_next_at = factory.LazyAttribute(lambda rollback: rollback.decided_at + dt.timedelta(minutes=5))
    expires_at = factory.LazyAttribute(lambda rollback: rollback.decided_at + dt.timedelta(hours=1))
    target_seconds = 600

    @factory.post_generation
    def parts(self: Rollback, create: bool, extracted: int | bool | None, **kwargs: Any) -> None:
        """Its aliases, and the hash over their plans. `parts__policy=…` names the first one's."""
        for position in range(1 if extracted is None else int(extracted)):
            RollbackPartFactory(rollback=self, position=position, **(kwargs if position == 0 else {}))
        if plans := [part.plan for part in self.parts.order_by("position")]:
            self.plan_hash = plan_hash(plans, strategic=self.is_strategic)
            self.save(update_fields=["plan_hash"])


class RollbackPartFactory(DjangoModelFactory):
    """An alias of a rollback, with the execution that fits the rollback's state; `execution=None` leaves it out."""

    class Meta:
        model = RollbackPart

    rollback = factory.SubFactory(RollbackFactory, parts=False)
    position = factory.LazyAttribute(lambda part: part.rollback.parts.count())
    policy = factory.LazyAttribute(lambda part: RoutingPolicyFactory(environment=part.rollback.environment))
    bad_version = factory.LazyAttribute(lambda part: VersionFactory(artefact=part.policy.artefact, label=BAD))
    procedure_version = factory.LazyAttribute(
        lambda part: (
            ProcedureVersion.objects.filter(procedure__change_type=part.policy.artefact.change_type, procedure__connector="").first()
            or ProcedureVersionFactory(procedure__change_type=part.policy.artefact.change_type)
        )
    )
    plan = factory.LazyAttribute(lambda part: plan_of(policy=part.policy, procedure_version=part.procedure_version, kind=ExecutionKind.ROLLBACK))
    fingerprint = factory.LazyAttribute(lambda part: canonical_hash(part.plan))
    execution = factory.LazyAttribute(lambda part: execution_for(part))
    holds_alias = factory.LazyAttribute(lambda part: holds_aliases(RollbackState(part.rollback.state), was_verified=part.rollback.verified_at is not None))


def execution_for(part: Any) -> Execution | None:
    """The execution of a part as the engine leaves it when the rollback is in its state; None before it has begun."""
    rollback = part.rollback
    if RollbackState(rollback.state) not in EXECUTIONS:
        return None
    state, verdict = EXECUTIONS[RollbackState(rollback.state)]
    claim = {"fence": 1, "claims": 1, "claimed_by": "worker-1", "lease_until": now() + dt.timedelta(seconds=15)} if state == ExecutionState.RUNNING else {}
    instants = {name: getattr(rollback, name) for name in ("started_at", "decided_at", *RESTORED, "verified_at", "rollback_seconds")}
    ended = {"finished_at": rollback.verified_at or now()} if state in (ExecutionState.FINISHED, ExecutionState.CANCELLED) else {}
    found: Execution = ExecutionFactory(
        kind=ExecutionKind.ROLLBACK,
        state=state,
        verdict=verdict,
        policy=part.policy,
        bad_version=part.bad_version,
        procedure_version=part.procedure_version,
        plan=part.plan,
        fingerprint=part.fingerprint,
        requested_by=rollback.principal,
        requested_by_label=rollback.requested_by_label,
        target_seconds=rollback.target_seconds,
        **claim,
        **instants,
        **ended,
    )
    return found


class ApprovalFactory(DjangoModelFactory):
    """A lead's approval of a request, the password entered just before."""

    class Meta:
        model = Approval

    rollback = factory.SubFactory(RollbackFactory)
    plan_hash = factory.SelfAttribute("rollback.plan_hash")
    decision = Decision.APPROVED
    user = factory.SubFactory(UserFactory, roles=[Role.PLATFORM_LEAD])
    role = Role.PLATFORM_LEAD
    via = Via.PAGE
    decided_at = factory.LazyFunction(now)
    reauthenticated_at = factory.LazyAttribute(lambda approval: approval.decided_at - dt.timedelta(seconds=30))


class RollForwardFactory(DjangoModelFactory):
    """A fix on its fast track; the rollback that it stands for rolls forward."""

    class Meta:
        model = RollForward

    rollback = factory.SubFactory(RollbackFactory, rolling_forward=True)
    part = factory.LazyAttribute(lambda forward: forward.rollback.parts.get())
    fix_version = factory.LazyAttribute(lambda forward: VersionFactory(artefact=forward.part.policy.artefact, label="claude-sonnet-4-6-fix1"))
    execution = factory.LazyAttribute(
        lambda forward: ExecutionFactory(
            kind=ExecutionKind.ROLL_FORWARD,
            policy=forward.part.policy,
            bad_version=forward.part.bad_version,
            plan=forward.part.plan | {"fix_version": forward.fix_version.label},
            **({"running": True} if forward.state == RollForwardState.RUNNING else {"passed" if forward.state == RollForwardState.HELD else "failed": True}),
        )
    )
    state = RollForwardState.RUNNING
    canary_percents = factory.LazyFunction(lambda: [25, 100])
    skipped_gates = factory.LazyFunction(lambda: [{"gate": "canary", "name": "Lee Lead", "reason": "A one-line fix of a typing error."}])
    reason = "a small, sure fix"
    started_by = factory.SelfAttribute("rollback.principal")


class HeldTrafficFactory(DjangoModelFactory):
    """Seven requests in a second to a version under hold."""

    class Meta:
        model = HeldTraffic

    rollback = factory.SubFactory(RollbackFactory, verified=True)
    version = factory.LazyAttribute(lambda seen: seen.rollback.parts.get(position=0).bad_version)
    seen_at = factory.LazyFunction(now)
    requests = 7
    seconds = 1.0
    per_gateway = factory.LazyFunction(lambda: {"production-gateway-1": 7, "production-gateway-2": 0})


class StabilityHoldFactory(DjangoModelFactory):
    """A hold of seven days that began just now; `lifted=True`: a lead has lifted it."""

    class Meta:
        model = StabilityHold

    class Params:
        lifted = factory.Trait(
            lifted_at=factory.LazyFunction(now), lifted_by=factory.SubFactory(UserFactory, roles=[Role.PLATFORM_LEAD]), lift_reason="The fix is in."
        )

    version = factory.SubFactory(VersionFactory)
    rollback_id = factory.LazyFunction(uuid.uuid4)
    started_at = factory.LazyFunction(now)
    ends_at = factory.LazyAttribute(lambda hold: hold.started_at + dt.timedelta(days=7))


class HoldGateFactory(DjangoModelFactory):
    """An open gating action that a hold waits for."""

    class Meta:
        model = HoldGate

    hold = factory.SubFactory(StabilityHoldFactory)
    action = factory.SubFactory(ActionFactory, is_gating=True)


class NoticeFactory(DjangoModelFactory):
    """Something that a person was told and has not read."""

    class Meta:
        model = Notice

    user = factory.SubFactory(UserFactory)
    key = factory.Sequence("notice-{}".format)
    subject = "Approval wanted"
    text = "Why: degraded feedback"
    url = "/rollbacks/"
