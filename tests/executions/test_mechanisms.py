"""Aliases that a mechanism moves: drilled, rolled back and delivered by the same engine, on a real repository with a service that runs what it holds."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now

from rollbackhub.accounts.models import Team
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain import deliver as delivering
from rollbackhub.executions.domain import owners
from rollbackhub.executions.domain.deliver import deliver_due, look_at_binding
from rollbackhub.executions.domain.engine import advance_execution
from rollbackhub.executions.domain.owners import ExecutionOwner
from rollbackhub.executions.domain.path import PathNow, paths_of
from rollbackhub.executions.domain.plan import build_plan
from rollbackhub.executions.domain.proof import proofs_of
from rollbackhub.executions.domain.runbooks import read_runbook
from rollbackhub.executions.domain.transitions import start_execution
from rollbackhub.executions.enums import ExecutionKind, ExecutionState, FindingCode, ProofState
from rollbackhub.executions.models import Execution, Procedure, Sample
from rollbackhub.readiness.domain.preflight import claim_run, make_runs, run_preflight
from rollbackhub.readiness.models import PreflightFinding
from rollbackhub.registry.models import Artefact, Connection, Environment, Version
from rollbackhub.routing.domain.deliveries import FETCHED, DeliveryState, delivery_of
from rollbackhub.routing.domain.transitions import append_revision, bind_policy, create_policy
from rollbackhub.routing.models import Delivery, RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from rollbackhub.routing.xds.render import load_snapshot
from tests.common.servers import answers, http, tcp_server
from tests.connectors.git_repositories import Bare, bare_repository, git
from tests.routing.conftest import ACTOR

OLD, NEW = CandidateSpec("git:agent:v1", "v1", 0), CandidateSpec("git:agent:v2", "v2", 100)


class Service:
    """A real service: answers with the version that the branch holds now, unless it is stuck."""

    def __init__(self, bare: Bare) -> None:
        self.bare, self.stuck_at, self.broken = bare, "", False
        service = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:
                """Keep quiet."""

            def do_GET(self) -> None:
                version = service.stuck_at or service.bare.show("agent/version.txt")
                body = json.dumps({"running": {"version": version}}).encode()
                self.send_response(503 if service.broken else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def consumer(self) -> dict[str, str]:
        return {"url": f"http://127.0.0.1:{self._server.server_port}/", "field": "running.version"}

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class World:
    """Agent code: v2 runs, v1 is what to go back to."""

    def __init__(self, folder: Path, environment: str = "staging") -> None:
        self.bare = bare_repository(folder)
        self.commits = {label: self.bare.push({"agent/version.txt": f"{label}\n", "agent/code.py": f"# {label}\n"}, subject=label) for label in ("v1", "v2")}
        self.bare.push({"README": "another part of the repository\n"})
        self.service = Service(self.bare)
        team, _ = Team.objects.get_or_create(slug="platform", defaults={"name": "Platform"})
        self.artefact = Artefact.objects.create(slug="agent", name="Agent", change_type="agent_code", team=team)
        for label, commit in self.commits.items():
            Version.objects.create(artefact=self.artefact, label=label, digest=commit, uri=f"git:{commit}")
        self.environment = Environment.objects.create(slug=environment, name=environment.title(), kind=environment, releases_only=False)
        self.connection = Connection.objects.create(environment=self.environment, connector="git", settings={"remote": self.bare.remote})
        self.policy = create_policy(
            environment=self.environment,
            alias="support-agent",
            artefact=self.artefact,
            candidates=[NEW, OLD],
            actor=ACTOR,
            reason="seed",
            connection=self.connection,
            target=self.target,
        )

    @property
    def target(self) -> dict[str, Any]:
        return {"path": "agent", "consumers": [self.service.consumer]}

    def start(self, kind: ExecutionKind = ExecutionKind.DRILL) -> Execution:
        self.policy.refresh_from_db()
        bad = Version.objects.get(label="v2")
        plan = build_plan(policy=self.policy, kind=kind, bad_version=bad)
        for step in plan.content["steps"]:
            if step["action"] in ("await_consumers", "await_observed", "verify_served"):
                step["params"] = {**step["params"], "limit_seconds": 2, "interval_seconds": 0.05}
            if step["action"] == "verify_served":
                step["params"]["window_seconds"] = 0.2
        return start_execution(kind=kind, policy=self.policy, plan=plan, actor=ACTOR, user=None)

    def run(self, kind: ExecutionKind = ExecutionKind.DRILL) -> Execution:
        execution = self.start(kind)
        advance_execution(execution_id=execution.pk, worker="worker-1")
        execution.refresh_from_db()
        return execution

    def running(self) -> str:
        return self.bare.show("agent/version.txt")

    def preflight(self) -> list[PreflightFinding]:
        make_runs()
        claim = claim_run(environment_id=self.environment.pk)
        assert claim is not None
        assert run_preflight(claim)
        return list(PreflightFinding.objects.filter(closed_at=None))


@pytest.fixture
def world(db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    # Who may roll back is another test's matter.
    monkeypatch.setitem(owners._owners, ExecutionKind.ROLLBACK, ExecutionOwner())
    made = World(tmp_path)
    assert deliver_due() == 1
    yield made
    made.service.stop()


def codes(execution: Execution) -> list[str]:
    return sorted(execution.findings.values_list("code", flat=True))


def test_drill_goes_back_on_the_real_system_observes_it_and_puts_it_back(world: World) -> None:
    before = world.bare.count()
    execution = world.run()
    assert (execution.state, execution.verdict) == (ExecutionState.FINISHED, Verdict.PASSED), execution.outcome
    assert world.running() == "v2"
    assert world.bare.count() == before + 2
    assert execution.restored_at is not None
    assert execution.verified_at is not None
    assert execution.rollback_seconds is not None
    assert 0 < execution.rollback_seconds < 10
    seen = Sample.objects.filter(execution=execution, kind="consumers", value__answers__contains={world.service.consumer["url"]: "v1"})
    assert seen.count() >= 5
    now = paths_of([world.policy])
    assert proofs_of(now)[world.policy.pk].state == ProofState.VALID


def test_rollback_stays_and_is_what_the_branch_and_the_service_hold(world: World) -> None:
    execution = world.run(ExecutionKind.ROLLBACK)
    assert (execution.state, execution.verdict) == (ExecutionState.FINISHED, Verdict.PASSED), execution.outcome
    assert world.running() == "v1"
    assert world.bare.show("README") == "another part of the repository"
    assert Delivery.objects.get(policy=world.policy).number == RoutingPolicy.objects.get(pk=world.policy.pk).revision_number
    assert world.bare.keys() == [f"{execution.pk}:flip"]
    assert "requested by test)" in git(world.bare.folder, "log", "-1", "--format=%B", "main")


def test_service_that_does_not_follow_is_not_restored_and_waits_for_a_person(world: World) -> None:
    world.service.stuck_at = "v2"
    execution = world.run(ExecutionKind.ROLLBACK)
    assert execution.state == ExecutionState.NEEDS_HUMAN
    assert execution.restored_at is None
    assert codes(execution) == [FindingCode.NOT_RESTORED]
    assert "uses v2" in execution.outcome


def test_service_that_cannot_be_asked_is_an_error_not_a_pass(world: World) -> None:
    world.service.broken = True
    execution = world.run()
    assert execution.verdict == Verdict.ERROR
    assert codes(execution) == [FindingCode.UNREACHABLE]
    assert world.running() == "v2"


def test_change_behind_our_back_is_found_before_anything_happens(world: World) -> None:
    world.bare.push({"agent/version.txt": "v3-by-hand\n"}, subject="Hot fix by hand")
    execution = world.run(ExecutionKind.ROLLBACK)
    assert execution.state == ExecutionState.NEEDS_HUMAN
    assert codes(execution) == [FindingCode.CONFIG_MISMATCH]
    assert world.running() == "v3-by-hand"
    assert RoutingPolicy.objects.get(pk=world.policy.pk).revision_number == 1


def test_continuous_preflight_finds_the_same_names_it_and_closes_it_when_mended(world: World) -> None:
    assert world.preflight() == []
    world.bare.push({"agent/version.txt": "v3-by-hand\n"}, subject="Hot fix by hand")
    found = world.preflight()
    assert [(finding.check_name, finding.code, finding.policy_id) for finding in found] == [("mechanism", "config_mismatch", world.policy.pk)]
    assert "Hot fix by hand" in found[0].found
    world.bare.push({"agent/version.txt": "v2\n"}, subject="Undo the hot fix")
    assert world.preflight() == []


def test_runbook_that_is_dead_is_a_finding_and_one_that_changed_ends_the_proof(world: World) -> None:
    procedure = Procedure.objects.get(slug="agent-code-git")

    def read(raw: bytes) -> PathNow:
        with tcp_server(answers(raw)) as server:
            Procedure.objects.filter(pk=procedure.pk).update(runbook_url=server.url)
            assert read_runbook(procedure_id=procedure.pk, url=server.url)
        return paths_of([world.policy])[world.policy.pk]

    read(http("200 OK", b"1. Revert the commit."))
    assert world.preflight() == []
    assert world.run().verdict == Verdict.PASSED
    world.policy.refresh_from_db()
    gone = read(http("404 Not Found"))
    found = world.preflight()
    assert [(finding.code, finding.subject, finding.policy_id) for finding in found] == [("docs_stale", f"runbook of {procedure.name}", world.policy.pk)]
    assert "answered 404: there is no runbook." in found[0].found
    assert proofs_of({world.policy.pk: gone})[world.policy.pk].state == ProofState.VALID, "nobody knows that it says something else"
    changed = read(http("200 OK", b"1. Revert the commit. 2. Tell the desk."))
    assert world.preflight() == []
    proof = proofs_of({world.policy.pk: changed})[world.policy.pk]
    assert (proof.state, [change.part for change in proof.changes]) == (ProofState.STALE, ["runbook"])


def test_target_that_is_gone_is_found_before_it_is_needed(world: World) -> None:
    Version.objects.filter(label="v1").update(uri="git:" + "0" * 40, digest="0" * 40)
    assert [finding.code for finding in world.preflight()] == ["target_retired"]
    assert codes(world.run(ExecutionKind.ROLLBACK)) == [FindingCode.TARGET_RETIRED]


def test_alias_without_anything_that_shows_what_runs_is_refused_at_preflight(world: World) -> None:
    bind_policy(policy_id=world.policy.pk, connection=world.connection, target={"path": "agent"}, actor=ACTOR, reason="forgot the consumer")
    assert [(finding.code, finding.subject) for finding in world.preflight()] == [("config_mismatch", "consumers of git")]
    assert codes(world.run()) == [FindingCode.CONFIG_MISMATCH]


def bind(world: World, path: str, *, consumers: list[dict[str, str]] | None = None) -> DeliveryState:
    target = {"path": path, "consumers": [world.service.consumer] if consumers is None else consumers}
    bind_policy(policy_id=world.policy.pk, connection=world.connection, target=target, actor=ACTOR, reason="elsewhere")
    return delivery_now(world)


def delivery_now(world: World) -> DeliveryState:
    found = delivery_of(RoutingPolicy.objects.select_related(*FETCHED).get(pk=world.policy.pk))
    assert found is not None
    return found


def test_binding_anew_is_not_delivered_until_it_was_looked_at_and_moves_nothing(world: World) -> None:
    assert delivery_now(world).is_current
    before = world.bare.count()
    assert not bind(world, "nowhere").is_current
    assert deliver_due() == 0
    gone = delivery_now(world)
    assert not gone.is_current
    assert "nowhere" in gone.problem
    bind(world, "agent")
    assert delivery_now(world).problem == ""
    assert deliver_due() == 1
    assert delivery_now(world).is_current
    assert world.bare.count() == before


def test_binding_anew_after_a_rollback_is_looked_at_too(world: World) -> None:
    assert world.run(ExecutionKind.ROLLBACK).verdict == Verdict.PASSED
    assert not bind(world, "agent/version.txt").is_current
    assert deliver_due() == 1
    assert delivery_now(world).is_current
    world.bare.push({"agent/version.txt": "v3-by-hand\n"}, subject="Hot fix by hand")
    bind(world, "agent")
    assert deliver_due() == 0
    assert "Nothing is moved by binding" in delivery_now(world).problem
    assert world.running() == "v3-by-hand"


def test_other_consumers_of_the_same_target_leave_it_delivered(world: World) -> None:
    assert bind(world, "agent", consumers=[]).is_current


def second_alias(world: World, *, target: dict[str, Any], connection: Connection, alias: str = "second-agent") -> RoutingPolicy:
    return create_policy(
        environment=connection.environment,
        alias=alias,
        artefact=world.artefact,
        candidates=[NEW, OLD],
        actor=ACTOR,
        reason="seed",
        connection=connection,
        target=target,
    )


def test_second_alias_on_the_same_target_is_refused_and_the_first_is_named(world: World) -> None:
    again = Connection.objects.create(environment=world.environment, connector="git", name="again", settings=world.connection.settings)
    for connection in (world.connection, again):
        with pytest.raises(Conflict) as caught:
            second_alias(world, target={"path": "agent"}, connection=connection)
        assert (caught.value.code, caught.value.extra["alias"]) == ("target_taken", "support-agent")
        assert "The alias support-agent moves agent of git in staging already" in caught.value.message
    assert RoutingPolicy.objects.count() == 1
    other = second_alias(world, target={"path": "README"}, connection=world.connection)
    with pytest.raises(Conflict) as caught:
        bind_policy(policy_id=other.pk, connection=world.connection, target={"path": "agent"}, actor=ACTOR, reason="both")
    assert caught.value.code == "target_taken"
    assert RoutingPolicy.objects.get(pk=other.pk).target["path"] == "README"
    bind(world, "agent")


def test_same_target_in_another_environment_is_another_matter(world: World) -> None:
    production = Environment.objects.create(slug="production", name="Production", kind="production")
    connection = Connection.objects.create(environment=production, connector="git", settings=world.connection.settings)
    assert second_alias(world, target={"path": "agent"}, connection=connection, alias="support-agent").pk


def test_look_at_a_binding_says_what_stands_there(world: World) -> None:
    assert look_at_binding(world.policy).is_right
    bind(world, "nowhere")
    look = look_at_binding(RoutingPolicy.objects.get(pk=world.policy.pk))
    assert not look.is_right
    assert look.words.startswith("It was kept, but git ")


def test_revision_that_a_person_writes_is_delivered_once(world: World) -> None:
    before = world.bare.count()
    append_revision(policy_id=world.policy.pk, expected_revision=1, candidates=swapped(), actor=ACTOR, reason="by hand")
    assert deliver_due() == 1
    assert deliver_due() == 0
    assert world.running() == "v1"
    assert world.bare.count() == before + 1
    assert AuditEvent.objects.filter(event="policy.delivered", data__revision=2).count() == 1


def test_delivery_whose_process_died_is_taken_up_without_a_second_effect(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    append_revision(policy_id=world.policy.pk, expected_revision=1, candidates=swapped(), actor=ACTOR, reason="by hand")
    count = world.bare.count()

    def die(*, policy_id: int, number: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(delivering, "mark_delivered", die)
        with pytest.raises(KeyboardInterrupt):
            deliver_due()
    assert world.bare.count() == count + 1
    assert deliver_due() == 0, "its claim still holds"
    Delivery.objects.update(claimed_until=Now() - timedelta(seconds=1))
    assert deliver_due() == 1
    assert world.bare.count() == count + 1
    assert Delivery.objects.get().number == 2


def test_delivery_that_is_refused_says_why_is_tried_again_and_overwrites_nobody(world: World) -> None:
    world.bare.push({"agent/version.txt": "v3-by-hand\n"}, subject="Hot fix by hand")
    append_revision(policy_id=world.policy.pk, expected_revision=1, candidates=swapped(), actor=ACTOR, reason="by hand")
    assert deliver_due() == 0
    kept = Delivery.objects.get()
    assert kept.number == 1
    assert "Hot fix by hand" in kept.problem
    assert kept.due_at is not None
    assert kept.due_at > clock.now()
    assert world.running() == "v3-by-hand"
    world.bare.push({"agent/version.txt": "v2\n"}, subject="Undo")
    assert deliver_due() == 0, "not before it is due"
    Delivery.objects.update(due_at=Now() - timedelta(seconds=1))
    assert deliver_due() == 1
    assert world.running() == "v1"
    assert AuditEvent.objects.filter(event="policy.delivery_failed").count() == 1


def test_nothing_is_delivered_under_a_running_execution(world: World) -> None:
    execution = world.start()
    append_revision(policy_id=world.policy.pk, expected_revision=1, candidates=swapped(), actor=ACTOR, reason="by hand")
    assert deliver_due() == 0
    advance_execution(execution_id=execution.pk, worker="worker-1")
    assert codes(execution) == [FindingCode.CONFIG_MISMATCH]
    assert deliver_due() == 1


def swapped() -> list[CandidateSpec]:
    return [CandidateSpec(NEW.candidate_id, "v2", 0), CandidateSpec(OLD.candidate_id, "v1", 100)]


def test_gateways_are_not_told_of_it(world: World) -> None:
    snapshot = load_snapshot(environment="staging")
    assert snapshot is not None
    assert b"support-agent" not in snapshot.body


def test_two_versions_at_once_are_refused(world: World) -> None:
    both = [CandidateSpec(NEW.candidate_id, "v2", 50), CandidateSpec(OLD.candidate_id, "v1", 50)]
    with pytest.raises(InvalidInput) as caught:
        append_revision(policy_id=world.policy.pk, expected_revision=1, candidates=both, actor=ACTOR, reason="half")
    assert caught.value.code == "not_splittable"
    assert RoutingPolicy.objects.get(pk=world.policy.pk).revision_number == 1


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ({}, "target"),
        ({"path": "../etc"}, "target.path"),
        ({"path": "agent", "token": "abc"}, "target.token"),
        ({"path": "agent", "consumers": [{"url": "http://me:hunter2@service/"}]}, "target.consumers.0.url"),
    ],
)
def test_target_that_does_not_fit_is_refused_and_not_repeated(target: dict[str, Any], field: str, world: World) -> None:
    with pytest.raises(InvalidInput) as caught:
        bind_policy(policy_id=world.policy.pk, connection=world.connection, target=target, actor=ACTOR, reason="wrong")
    assert caught.value.code == "invalid_target"
    assert field in caught.value.fields
    assert "hunter2" not in str(caught.value.fields) + caught.value.message
    assert RoutingPolicy.objects.get(pk=world.policy.pk).target == world.policy.target


def test_connection_of_another_environment_or_of_no_mechanism_is_refused(world: World) -> None:
    other = Environment.objects.create(slug="production", name="Production", kind="production")
    elsewhere = Connection.objects.create(environment=other, connector="git", settings={"remote": world.bare.remote})
    metrics = Connection.objects.create(environment=world.environment, connector="prometheus", settings={"endpoint": "http://127.0.0.1:1/metrics"})
    for connection, code in ((elsewhere, "invalid_target"), (metrics, "not_a_mechanism")):
        with pytest.raises(InvalidInput) as caught:
            bind_policy(policy_id=world.policy.pk, connection=connection, target=world.target, actor=ACTOR, reason="wrong")
        assert caught.value.code == code


def test_other_target_or_settings_turn_the_proof_stale_and_are_named(world: World) -> None:
    assert world.run().verdict == Verdict.PASSED
    world.policy.refresh_from_db()
    bind_policy(policy_id=world.policy.pk, connection=world.connection, target={**world.target, "path": "agent/version.txt"}, actor=ACTOR, reason="narrower")
    Connection.objects.filter(pk=world.connection.pk).update(settings={"remote": world.bare.remote, "tries": 3})
    policy = RoutingPolicy.objects.select_related("environment", "artefact").get(pk=world.policy.pk)
    proof = proofs_of(paths_of([policy]))[policy.pk]
    assert proof.state == ProofState.STALE
    assert [(change.what, change.old, change.new) for change in proof.changes] == [
        ("staging / git / tries", "none", "3"),
        ("staging / target / path", "agent", "agent/version.txt"),
    ]
