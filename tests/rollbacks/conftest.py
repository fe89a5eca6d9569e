"""Rollbacks of production aliases of every change type, by procedures that need no gateway; what the gateways would show is scripted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.enums import Role, Scope
from rollbackhub.accounts.models import ApiToken, Team, User
from rollbackhub.audit.actors import Actor, system_actor
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import Promise
from rollbackhub.executions.actions import base
from rollbackhub.executions.actions.base import Action, Params, StepOutcome
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.domain.engine import advance_execution
from rollbackhub.executions.domain.procedures import append_procedure_version
from rollbackhub.executions.models import Execution, Procedure
from rollbackhub.registry.models import Artefact, Environment, Version
from rollbackhub.rollbacks.domain.approvals import approve_rollback, reject_rollback
from rollbackhub.rollbacks.domain.proposal import Target
from rollbackhub.rollbacks.domain.transitions import request_rollback
from rollbackhub.rollbacks.enums import Via
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.domain.transitions import append_revision, create_policy
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from tests.factories.accounts import ApiTokenFactory, UserFactory

ACTOR: Actor = system_actor("test")
BAD, GOOD = "v2", "v1"
REASON = "degraded feedback"
CHANGE_TYPES = ("prompt", "model", "agent_code", "eval_set", "dataset")

Play = Callable[[StepContext], StepOutcome]


def passes(context: StepContext) -> StepOutcome:
    """What was waited for is seen now."""
    return StepOutcome(Verdict.PASSED, "As wanted.", at=clock.now())


def ends(verdict: Verdict, message: str = "The test says so.", **result: Any) -> Play:
    """A step that ends with this verdict."""
    return lambda context: StepOutcome(verdict, message, result=result)


class Observe(Action):
    """Stands for everything that a real procedure reads at gateways: passes, unless a test has scripted something else for the step."""

    name = "observe_at"
    promise = Promise.CONVERGENT
    params_type = Params
    plays: ClassVar[dict[tuple[str, str], Play]] = {}

    def run(self, context: StepContext, params: Params) -> StepOutcome:
        """Play what is scripted for this step of this alias, else for this step."""
        alias, key = context.plan["alias"], context.attempt.key
        return (self.plays.get((alias, key)) or self.plays.get(("", key)) or self.plays.get(("", ""), passes))(context)


class ObserveAnyhow(Observe):
    """The same with whatever parameters: takes the place of the real actions where the product itself writes the steps (roll-forward)."""

    name = ""

    class Anything(Params, extra="ignore"):
        """Parameters of any action."""

    params_type = Anything


def script(key: str, play: Play | None, *, alias: str = "") -> None:
    """Have a step (of one alias, or of all; "": every step that nothing else is said of) do this; None: pass again."""
    if play is None:
        Observe.plays.pop((alias, key), None)
    else:
        Observe.plays[alias, key] = play


@pytest.fixture(autouse=True)
def _no_script() -> Iterator[None]:
    Observe.plays.clear()
    yield
    Observe.plays.clear()


@pytest.fixture
def scripted_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real actions that read gateways and metrics are scripted, too; weights are written by the real ones."""
    for name in ("preflight", "await_gateways", "await_drain", "verify"):
        monkeypatch.setitem(base._actions, name, ObserveAnyhow())


STEPS: list[dict[str, Any]] = [
    {"key": "preflight", "title": "Check the path", "action": "observe_at", "segment": "setup"},
    {"key": "flip", "title": "Flip", "action": "set_weights", "params": {"to": "rolled_back"}, "segment": "execute", "starts_clock": True},
    {"key": "propagate", "title": "Gateways acknowledge", "action": "observe_at", "segment": "propagate"},
    {"key": "drain", "title": "Traffic drains", "action": "observe_at", "segment": "drain"},
    {"key": "verify", "title": "Verify", "action": "observe_at", "segment": "verify"},
    {"key": "restore", "title": "Put back", "action": "restore_before", "segment": "clean_up", "always": True, "kinds": ["drill", "rehearsal"]},
    {
        "key": "restore_gateways",
        "title": "Gateways take it back",
        "action": "observe_at",
        "segment": "clean_up",
        "always": True,
        "kinds": ["drill", "rehearsal"],
    },
]


def candidates(bad: int, *, good: str = GOOD, bad_label: str = BAD) -> list[CandidateSpec]:
    """The bad version with this weight, the good one with the rest."""
    return [CandidateSpec(f"anthropic:{label}:ap-south-1", label, weight) for label, weight in ((bad_label, bad), (good, 100 - bad))]


def seed_production(change_type: str = "model", *, alias: str = "", bad: int = 25, environment: str = "production") -> RoutingPolicy:
    """An alias of this change type at revision 1, with a procedure for it."""
    alias = alias or f"{change_type}-alias".replace("_", "-")
    team, _ = Team.objects.get_or_create(slug="platform", defaults={"name": "Platform"})
    artefact, _ = Artefact.objects.get_or_create(slug=f"{alias}-artefact", defaults={"name": alias, "change_type": change_type, "team": team})
    for label in (GOOD, BAD):
        Version.objects.get_or_create(artefact=artefact, label=label, defaults={"digest": f"sha256:{label}"})
    # Versions come and go here without a release: what is tested lies after that.
    place, _ = Environment.objects.get_or_create(slug=environment, defaults={"name": environment.title(), "kind": environment, "releases_only": False})
    procedure, _ = Procedure.objects.get_or_create(
        change_type=change_type, connector="", artefact=None, defaults={"slug": f"{change_type}-test".replace("_", "-"), "name": change_type}
    )
    append_procedure_version(procedure=procedure, steps=STEPS, actor=ACTOR)
    policy = create_policy(environment=place, alias=alias, artefact=artefact, candidates=candidates(bad), actor=ACTOR, reason="seed")
    return RoutingPolicy.objects.select_related("environment", "artefact").get(pk=policy.pk)


def reroute(policy: RoutingPolicy, *, bad: int) -> None:
    """Somebody else changes the policy: the bad version gets this weight."""
    number = RoutingPolicy.objects.values_list("revision_number", flat=True).get(pk=policy.pk)
    append_revision(policy_id=policy.pk, expected_revision=number, candidates=candidates(bad), actor=ACTOR, reason="by somebody else")


def weight_of(policy: RoutingPolicy, label: str = BAD) -> int:
    """The weight of a version now."""
    return sum(candidate.weight for candidate in get_candidates(policy=RoutingPolicy.objects.get(pk=policy.pk)) if candidate.version_pin == label)


def fresh(policy: RoutingPolicy) -> RoutingPolicy:
    """The policy as the database has it."""
    return RoutingPolicy.objects.select_related("environment", "artefact").get(pk=policy.pk)


def ask(*policies: RoutingPolicy, account: User, actor: Actor | None = None, **values: Any) -> Rollback:
    """Ask for a rollback of these aliases, on the page, unless told otherwise."""
    values = {"reason": REASON, "via": Via.PAGE} | values
    return request_rollback(targets=[Target(fresh(policy)) for policy in policies], account=account, actor=actor or actor_of(account), **values)


def approve(rollback: Rollback, approver: User, *, actor: Actor | None = None, seconds_ago: float | None = 1, stale: bool = False, **values: Any) -> Rollback:
    """Approve what the rollback's plan was when it was loaded; the password was entered so many seconds ago (None: never).

    `stale` hands in the very object, with the roles that it remembers.
    """
    return approve_rollback(**_decision(rollback, approver, actor, seconds_ago) | ({"approver": approver} if stale else {}) | values)


def reject(rollback: Rollback, approver: User, *, actor: Actor | None = None, seconds_ago: float | None = 1, **values: Any) -> Rollback:
    """Reject it."""
    return reject_rollback(**_decision(rollback, approver, actor, seconds_ago) | {"reason": "not like this"} | values)


def _decision(rollback: Rollback, approver: User, actor: Actor | None, seconds_ago: float | None) -> dict[str, Any]:
    return {
        "rollback_id": rollback.pk,
        "approver": User.objects.get(pk=approver.pk),
        "actor": actor or actor_of(approver),
        "plan_hash": rollback.plan_hash,
        "reauthenticated_at": None if seconds_ago is None else clock.now() - dt.timedelta(seconds=seconds_ago),
        "via": Via.PAGE,
    }


def run(rollback: Rollback, *, worker: str = "worker-1") -> Rollback:
    """Let the engine do what there is to do for this rollback, part after part; the rollback as it stands then."""
    while True:
        due = Execution.objects.filter(rollback_part__rollback=rollback, state__in=("queued", "running", "cleaning_up")).order_by("created_at").first()
        due = due or Execution.objects.filter(roll_forward__rollback=rollback, state__in=("queued", "running", "cleaning_up")).first()
        if due is None or advance_execution(execution_id=due.pk, worker=worker) == "not_claimed":
            return again(rollback)


def again(rollback: Rollback) -> Rollback:
    """The rollback as the database has it."""
    return Rollback.objects.select_related("environment", "principal", "requested_by", "authorised_by").get(pk=rollback.pk)


def execution_of(rollback: Rollback, position: int = 0) -> Execution:
    """What one part of it runs."""
    return Execution.objects.get(rollback_part__rollback=rollback, rollback_part__position=position)


def events(rollback: Rollback) -> list[str]:
    """The audit events of a rollback, in their order."""
    return list(AuditEvent.objects.filter(subject_type="rollback", subject_id=str(rollback.pk)).order_by("id").values_list("event", flat=True))


def service_of(person: User, *roles: Role) -> User:
    """A service account of this person."""
    service: User = UserFactory(username=f"{person.username}-bot", roles=list(roles))
    service.responsible = person
    service.save(update_fields=["responsible"])
    return service


def token_actor(user: User) -> Actor:
    """The user through an API token."""
    token: ApiToken = ApiTokenFactory(user=user, scopes=[Scope.READ.value, Scope.ROLLBACK.value])
    return actor_of(user, token)


@pytest.fixture
def policy(db: None) -> RoutingPolicy:
    """A model's alias in production, the bad version with 25 %."""
    return seed_production("model", alias="smart-reasoner")


@pytest.fixture
def dataset(db: None) -> RoutingPolicy:
    """A data set's alias in production: rolling it back is a platform lead's."""
    return seed_production("dataset", alias="answers-corpus")
