"""No sequence of requests, decisions, failures, retries, crashes and changes by others breaks what must hold of rollbacks."""

from __future__ import annotations

import datetime as dt
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.domain.transitions import grant_role, revoke_role
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.common.failpoints import failpoint
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.actions.base import StepOutcome
from rollbackhub.executions.domain import context as context_module
from rollbackhub.executions.domain import engine
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.domain.engine import advance_execution
from rollbackhub.executions.domain.transitions import request_cancel
from rollbackhub.executions.models import Execution
from rollbackhub.registry.domain.holds import lift_hold, list_standing_holds
from rollbackhub.registry.models import Version
from rollbackhub.rollbacks.domain import watch
from rollbackhub.rollbacks.domain.acts import close_rollback, retry_rollback, skip_failed_step, stop_rollback, undo_rollback
from rollbackhub.rollbacks.domain.approvals import break_glass, expire_requests, sign_review, tell_next_levels, withdraw_rollback
from rollbackhub.rollbacks.domain.authority import set_rule
from rollbackhub.rollbacks.domain.proposal import Target
from rollbackhub.rollbacks.domain.roll_forward import SkippedGate, roll_back_instead, start_roll_forward
from rollbackhub.rollbacks.enums import RollbackState, Via
from rollbackhub.rollbacks.models import AuthorityRule, Rollback, RollbackPart
from rollbackhub.routing.models import Gateway, RoutingPolicy
from tests.factories.fixtures import Cast
from tests.factories.routing import GatewayFactory
from tests.rollbacks import invariants
from tests.rollbacks.conftest import ACTOR, approve, ask, fresh, passes, reject, reroute, script, seed_production, service_of, token_actor, weight_of

EXAMPLES, STEPS = 30, 30
FIX = "v3"
LAGGARD, WANTED = "gw-7", 1000
WRITES = ("flip", "forward", "restore")
POINTS = ("boundary", "started", "middle", "acted", "done")

ACTS = (retry_rollback, retry_rollback, undo_rollback, skip_failed_step, stop_rollback, close_rollback, roll_back_instead, roll_back_instead)
STARTS = ("nothing", "waiting", "waiting", "preflight", "propagate", "drain", "verify", "coordinated", "forward", "forward")
number = st.integers(min_value=0, max_value=9)
people = st.sampled_from(["on_call", "on_call", "lead", "lead", "leadership", "leadership", "admin", "auditor", "stranger", "service"])
operators = st.sampled_from(["on_call", "lead", "leadership"])
faults = st.sampled_from(["failed", "inconclusive", "error", "lagging", "stopped", "overtaken"])


MAY_BE_MISSED = {"rejected", "expired", "withdrawn", "cancelled", "rolled_forward"}
"""Ends from which nothing goes on."""


class Killed(BaseException):
    """Stands for a worker that was killed: nothing after this point is run."""


class World:
    """What all examples begin with: two aliases and everybody who may touch them. Each example is undone."""

    aliases: ClassVar[list[RoutingPolicy]] = []
    people: ClassVar[dict[str, User]] = {}
    reached: ClassVar[Counter[str]] = Counter()
    """How often a rollback came into a state."""
    refused: ClassVar[Counter[str]] = Counter()
    done: ClassVar[Counter[str]] = Counter()


class Rollbacks(RuleBasedStateMachine):
    """Everybody does what they like, allowed or not."""

    def __init__(self) -> None:
        super().__init__()
        self.undone = transaction.atomic()
        self.undone.__enter__()
        self.seen: list[UUID] = []
        self.begun: set[UUID] = set()
        self.known: dict[UUID, tuple[Any, ...]] = {}
        self.plans: dict[UUID, int] = {}
        self.fault: tuple[str, str] | None = None
        self.armed = ""
        self.table = dict(AuthorityRule.objects.values_list("subject", "role"))
        script("", self.observe)
        engine.failpoint = context_module.failpoint = self.failpoint  # type: ignore[attr-defined]

    def teardown(self) -> None:
        """From wherever it stands, people can bring it to an end, and every alias is free again."""
        try:
            self.bring_to_an_end()
            World.reached.update(to for to in AuditEvent.objects.filter(subject_type="rollback", data__has_key="to").values_list("data__to", flat=True))
            World.reached["awaiting_approval"] += len(self.seen)
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        finally:
            transaction.set_rollback(True)
            self.undone.__exit__(None, None, None)

    def bring_to_an_end(self) -> None:
        self.fault, self.armed = None, ""
        for name, role in (("lead", Role.PLATFORM_LEAD), ("leadership", Role.LEADERSHIP)):
            grant_role(user=self.person(name), role=role, actor=ACTOR)
        for rollback_id in self.seen:
            for _ in range(40):
                rollback = Rollback.objects.get(pk=rollback_id)
                if rollback.state in invariants.ENDED:
                    break
                if rollback.state == RollbackState.AWAITING_APPROVAL:
                    withdraw_rollback(**self.by("lead", rollback), reason="the end")
                elif rollback.state in ("needs_human", "partially_restored", "verification_failed"):
                    close_rollback(**self.by("lead", rollback), reason="the end")
                else:
                    self.advance_once(Execution.objects.get(policy__rollback_parts__rollback=rollback, state__in=("queued", "running", "cleaning_up")))
            else:
                raise AssertionError(f"{rollback} does not end: {rollback.state}, {rollback.outcome}")
        invariants.all_hold()
        assert not RollbackPart.objects.filter(holds_alias=True).exists()

    # The gateways and the workers.

    def observe(self, context: StepContext) -> StepOutcome:
        """Gateways serve by the policy: traffic has drained when the bad version has no weight, and not before."""
        fault, key = self.fault, context.attempt.key
        if fault is not None and fault[1] == key:
            self.fault = None
            return self.go_wrong(fault[0], context)
        if context.attempt.segment in ("drain", "verify") or key.startswith("hold_"):
            policy = RoutingPolicy.objects.get(pk=context.execution.policy_id)
            if weight_of(policy, context.bad_version):
                return StepOutcome(Verdict.FAILED, "It still gets traffic.")
        return passes(context)

    def go_wrong(self, how: str, context: StepContext) -> StepOutcome:
        if how == "lagging":
            return StepOutcome(Verdict.FAILED, "One does not follow.", result={"lagging": [LAGGARD], "wanted": WANTED})
        if how == "overtaken":
            Execution.objects.filter(pk=context.execution.pk).update(lease_until=Now() - dt.timedelta(seconds=1))
            advance_execution(execution_id=context.execution.pk, worker="worker-2")
            return StepOutcome(Verdict.PASSED, "written by a ghost", at=clock.now())
        if how == "stopped":
            if context.execution.state == "running":
                request_cancel(execution_id=context.execution.pk, actor=ACTOR, reason="enough seen")
                context.pause(0.001)
            return passes(context)
        return StepOutcome(Verdict(how), "The test says so.")

    def failpoint(self, name: str, *, scope: str) -> None:
        if self.armed and name == self.armed:
            self.armed = ""
            raise Killed

    # Words.

    def person(self, name: str) -> User:
        return User.objects.get(pk=World.people[name].pk)

    def by(self, name: str, rollback: Rollback) -> dict[str, Any]:
        account = self.person(name)
        return {"rollback_id": rollback.pk, "account": account, "actor": actor_of(account)}

    def open_one(self, which: int, *states: str) -> Rollback | None:
        """One of the rollbacks, of those in these states if there are any."""
        found = {rollback.pk: rollback for rollback in Rollback.objects.filter(pk__in=self.seen)}
        listed = [found[pk] for pk in self.seen]
        fitting = [rollback for rollback in listed if rollback.state in states] or listed
        return fitting[which % len(fitting)] if fitting else None

    def is_any(self, *states: str) -> bool:
        """Whether a rollback is in one of these states. Half of what is tried beside that would only be refused."""
        return Rollback.objects.filter(pk__in=self.seen, state__in=states).exists()

    def keys_ahead(self, execution: Execution) -> list[str]:
        """The steps that it has not done."""
        done = set(execution.attempts.filter(state__in=("done", "skipped")).values_list("key", flat=True))
        return [step["key"] for step in execution.plan["steps"] if step["key"] not in done and step["undo"] == (execution.state == "cleaning_up")]

    def runnable(self) -> list[Execution]:
        return list(Execution.objects.filter(state__in=("queued", "running", "cleaning_up")).order_by("policy"))

    def attempt(self, name: str, act: Callable[[], Any]) -> None:
        """What is refused has done nothing: the refusal's code is counted, and the rollbacks stand as they stood, but for new plans."""
        before = dict(Rollback.objects.values_list("pk", "state"))
        try:
            act()
        except RollbackHubError as error:
            World.refused[f"{name}: {error.code}"] += 1
            event(f"{name} refused")
            after = dict(Rollback.objects.values_list("pk", "state"))
            changed = {key: (state, after[key]) for key, state in before.items() if after[key] != state}
            # A request that has become void is ended by whoever finds that out.
            assert all(change in (("awaiting_approval", "withdrawn"), ("awaiting_approval", "expired")) for change in changed.values()), changed
            assert after.keys() == before.keys()
        else:
            World.done[name] += 1

    def advance_once(self, execution: Execution) -> None:
        World.done["advance"] += 1
        try:
            advance_execution(execution_id=execution.pk, worker="worker-1")
        except Killed:
            World.done["killed"] += 1
            event("killed")
            Execution.objects.filter(pk=execution.pk).update(lease_until=Now() - dt.timedelta(seconds=1))

    def ship_again(self) -> None:
        """Where nothing is left to roll back, the bad version ships again, its hold lifted: else an example would soon have seen it all."""
        for policy in World.aliases:
            if weight_of(policy) or RollbackPart.objects.filter(policy=policy, holds_alias=True).exists():
                continue
            grant_role(user=self.person("leadership"), role=Role.LEADERSHIP, actor=ACTOR)
            for hold in list_standing_holds().filter(version__artefact=policy.artefact_id):
                account = self.person("leadership")
                lift_hold(hold_id=hold.pk, user=account, actor=actor_of(account), reason="it ships again")
            reroute(policy, bad=25)

    @initialize(start=st.sampled_from(STARTS), fault=st.sampled_from(["failed", "lagging"]))
    def begin(self, start: str, fault: str) -> None:
        """Somewhere on the way already."""
        policy, leader = World.aliases[1], self.person("leadership")
        if start == "waiting":
            ask(policy, account=self.person("on_call"))
        elif start == "forward":
            self.fault = (fault, "hold_1")
            self.roll_forward(policy, leader, (100,))
        elif start == "coordinated":
            self.fault = (fault, "drain")
            ask(*World.aliases, account=leader)
        elif start != "nothing":
            self.fault = (fault, start)
            ask(policy, account=leader)
        for _ in range(2):
            for execution in self.runnable()[:1] if self.fault else []:
                self.advance_once(execution)
        self.fault = None

    # What people do.

    @rule(name=people, aliases=st.sampled_from([(0,), (1,), (0, 1), (1, 0)]), strategic=number, glass=number, token=number, forward=number)
    def request(self, name: str, aliases: tuple[int, ...], strategic: int, glass: int, token: int, forward: int) -> None:
        self.ship_again()
        account = self.person(name)
        actor = token_actor(account) if token == 9 else actor_of(account)
        reason = "it cannot wait any longer" if glass > 7 else ""
        policies = [World.aliases[index] for index in aliases]
        if forward > 7:
            self.attempt("roll forward", lambda: self.roll_forward(policies[0], account, (10, 100) if glass % 2 else (100,)))
            return
        self.attempt("request", lambda: ask(*policies, account=account, actor=actor, strategic=strategic == 9, break_glass_reason=reason))

    @precondition(lambda self: self.is_any("awaiting_approval"))
    @rule(which=number, name=people, decide=st.sampled_from([approve, approve, reject]), wrong=st.sampled_from(["", "", "", "hash", "old", "token"]))
    def decide(self, which: int, name: str, decide: Any, wrong: str) -> None:
        rollback, account = self.open_one(which, "awaiting_approval"), self.person(name)
        assert rollback is not None
        values: dict[str, Any] = {"plan_hash": "0" * 64} if wrong == "hash" else {}
        actor = token_actor(account) if wrong == "token" else None
        self.attempt(decide.__name__, lambda: decide(rollback, account, actor=actor, seconds_ago=400 if wrong == "old" else 1, **values))
        if wrong:
            assert not rollback.approvals.filter(plan_hash=rollback.plan_hash).exists() or rollback.state != "awaiting_approval"

    @precondition(lambda self: self.is_any("awaiting_approval") or self.is_any("verified"))
    @rule(which=number, name=people, kind=st.sampled_from(["withdraw", "glass", "expire", "tell", "sign"]))
    def wait(self, which: int, name: str, kind: str) -> None:
        rollback = self.open_one(which, "awaiting_approval")
        assert rollback is not None
        waiting = Rollback.objects.filter(pk=rollback.pk, state="awaiting_approval")
        past = clock.now() - dt.timedelta(seconds=1)
        if kind == "withdraw":
            self.attempt(kind, lambda: withdraw_rollback(**self.by(name, rollback), reason="no longer"))
        elif kind == "glass":
            self.attempt(kind, lambda: break_glass(**self.by(name, rollback), reason="it cannot wait any longer", plan_hash=rollback.plan_hash))
        elif kind == "sign":
            broken = self.open_one(which, *(state for state in RollbackState.values if state != "awaiting_approval"))
            assert broken is not None
            self.attempt(kind, lambda: sign_review(**self.by(name, broken), note_text="it was right"))
        elif kind == "expire":
            waiting.update(expires_at=past)
            self.attempt(kind, expire_requests)
        else:
            waiting.update(tell_next_at=past)
            self.attempt(kind, tell_next_levels)

    @precondition(lambda self: self.is_any(*RollbackState.values[4:10]))
    @rule(which=number, name=operators, act=st.sampled_from(ACTS))
    def go_on(self, which: int, name: str, act: Any) -> None:
        stopped = ("needs_human", "partially_restored", "verification_failed", "verified")
        rollback = self.open_one(which, *(("running", "restored", "rolling_forward") if act is stop_rollback else stopped))
        assert rollback is not None
        if act is roll_back_instead:
            self.attempt("roll back instead", lambda: self.turn_back(**self.by(name, rollback)))
            return
        more = {} if act is retry_rollback else {"reason": "seen by hand"}
        self.attempt(act.__name__, lambda: act(**self.by(name, rollback), **more))

    def turn_back(self, **values: Any) -> Any:
        """Roll back instead, where a roll-forward is what failed."""
        failed = Rollback.objects.filter(pk__in=self.seen, state="needs_human", roll_forwards__isnull=False).order_by("parts__policy").first()
        return roll_back_instead(**values | ({"rollback_id": failed.pk} if failed else {}))

    def roll_forward(self, policy: RoutingPolicy, account: User, percents: tuple[int, ...]) -> Any:
        fix = Version.objects.get(artefact=policy.artefact, label=FIX)
        gates = [SkippedGate("canary", "Lee Lead", "a typo in a prompt")]
        values: dict[str, Any] = {"account": account, "actor": actor_of(account), "reason": "a small fix", "skipped_gates": gates, "via": Via.PAGE}
        return start_roll_forward(target=Target(fresh(policy)), fix_version=fix, percents=percents, **values)

    # What the machines do.

    @precondition(lambda self: self.runnable())
    @rule(which=number)
    def advance(self, which: int) -> None:
        runnable = self.runnable()
        self.advance_once(runnable[which % len(runnable)])

    @precondition(lambda self: self.runnable())
    @rule(which=number, how=faults, step=number)
    def advance_badly(self, which: int, how: str, step: int) -> None:
        """One of the steps ahead goes wrong. (The writes are real and cannot be told to.)"""
        runnable = self.runnable()
        keys = [key for key in self.keys_ahead(runnable[which % len(runnable)]) if key == "restore_gateways" or not key.startswith(WRITES)] or [""]
        self.fault = (how, keys[step % len(keys)])
        self.advance(which)
        self.fault = None

    @precondition(lambda self: self.runnable())
    @rule(which=number, point=st.sampled_from(POINTS), step=number)
    def kill(self, which: int, point: str, step: int) -> None:
        """The worker is killed before, in or after one of the steps ahead."""
        runnable = self.runnable()
        keys = self.keys_ahead(runnable[which % len(runnable)]) or [""]
        self.armed = f"{point}-{keys[step % len(keys)]}"
        self.advance(which)
        self.armed = ""

    # What others do.

    @rule(what=st.sampled_from(["policy", "policy", "role", "table", "lift"]), which=number, name=people, weight=st.sampled_from([0, 10, 25, 25, 60]))
    def others(self, what: str, which: int, name: str, weight: int) -> None:
        """A policy, somebody's role or the table is changed, or a hold lifted."""
        if what == "policy":
            self.attempt("change of the policy", lambda: reroute(World.aliases[which % 2], bad=weight))
        elif what == "role":
            user, role = self.person("on_call" if which % 2 else "lead"), (Role.ON_CALL if which % 2 else Role.PLATFORM_LEAD)
            if not revoke_role(user=user, role=role, actor=ACTOR):
                grant_role(user=user, role=role, actor=ACTOR)
        elif what == "table":
            subject, level = ("model", "dataset", "coordinated")[which % 3], list(invariants.RANK)[which % 2]
            set_rule(subject=subject, role=level, tell_next_after_seconds=60, expires_after_seconds=600, actor=ACTOR)
            self.table[subject] = level
        elif (hold := list_standing_holds().first()) is not None:
            account = self.person(name)
            self.attempt("lift a hold", lambda: lift_hold(hold_id=hold.pk, user=account, actor=actor_of(account), reason="it was not this"))

    @rule(follows=st.booleans(), seen=st.booleans())
    def watch_jobs(self, follows: bool, seen: bool) -> None:
        """The laggard follows or not; the held version gets traffic around the hub or not."""
        Gateway.objects.filter(node_id=LAGGARD).update(applied_number=WANTED if follows else 1)
        self.attempt("resume", watch.resume_partially_restored)
        held = [hold.rollback_id for hold in list_standing_holds()]
        parts = RollbackPart.objects.filter(rollback__in=held, execution__restored_at__isnull=False, execution__state="finished").select_related("bad_version")
        for part in parts.order_by("pk"):
            if seen:
                watch._seen(part, requests=3, per_gateway={LAGGARD: 3})
            else:
                watch._not_seen(part)

    # What must hold.

    @invariant()
    def all_hold(self) -> None:
        self.seen += list(Rollback.objects.exclude(pk__in=self.seen).values_list("pk", flat=True))
        for rollback in Rollback.objects.filter(pk__in=self.seen):
            event(f"state {rollback.state}")
            if self.plans.get(rollback.pk) != rollback.plan_number:
                self.plans[rollback.pk] = rollback.plan_number
                invariants.required_role_is_the_tables(rollback, table=self.table)
        for execution in Execution.objects.filter(attempts__isnull=False).exclude(pk__in=self.begun).distinct():
            self.begun.add(execution.pk)
            invariants.began_with_due_authority(execution, table=self.table)
        invariants.all_hold(known=self.known)


@pytest.fixture
def world(cast: Cast, scripted_actions: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two aliases: one that the on-call engineer rolls back alone, one that takes a lead."""
    World.aliases[:] = [seed_production("model", alias="one"), seed_production("dataset", alias="two")]
    for policy in World.aliases:
        Version.objects.create(artefact=policy.artefact, label=FIX, digest="sha256:fix")
    GatewayFactory(environment=World.aliases[0].environment, node_id=LAGGARD)
    World.people.clear()
    World.people.update(cast.everybody_but(), service=service_of(cast.on_call, Role.ON_CALL))
    for counter in (World.reached, World.refused, World.done):
        counter.clear()
    # Set for good by each machine; put back by these when the test ends.
    monkeypatch.setattr(engine, "failpoint", failpoint)
    monkeypatch.setattr(context_module, "failpoint", failpoint)


def tell(title: str, counter: Counter[str]) -> None:
    sys.stdout.write(f"{title}: {', '.join(f'{name} {count}' for name, count in counter.most_common())}\n")


@pytest.mark.timeout(600)
def test_no_sequence_breaks_what_must_hold(world: None) -> None:
    how = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    run_state_machine_as_test(Rollbacks, settings=how)
    tell("states", World.reached)
    tell("done", World.done)
    tell("refused", World.refused)
    # A machine that does not come about proves nothing.
    assert set(RollbackState.values) - set(World.reached) <= MAY_BE_MISSED
    assert World.done["killed"] > 0
