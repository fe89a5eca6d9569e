"""Who runs a preflight, and when: one process at a time, taken over after a death, at once when somebody asks."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any

import pytest
from django.db import connection

from rollbackhub.audit.actors import system_actor
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.common.errors import NotFound
from rollbackhub.common.housekeeping import list_jobs
from rollbackhub.readiness.domain import looking, preflight
from rollbackhub.readiness.domain.preflight import claim_run, make_runs, request_run, run_due, run_preflight
from rollbackhub.readiness.enums import RunState
from rollbackhub.readiness.models import PreflightFinding, PreflightRun
from tests.databases import FreshDatabase
from tests.factories.registry import EnvironmentFactory
from tests.factories.routing import RoutingPolicyFactory
from tests.threads import at_once

ACTOR = system_actor("test")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "LOOK_AGAIN_SECONDS", 0)


def test_both_jobs_have_threads_of_their_own() -> None:
    jobs = {job.name: job.own_thread for job in list_jobs()}
    assert (jobs["readiness.preflight"], jobs["executions.read_runbooks"]) == (True, True)


@pytest.mark.django_db
def test_every_environment_with_an_alias_is_due_at_first_and_then_not() -> None:
    for slug in ("staging", "production"):
        RoutingPolicyFactory(environment__slug=slug)
    EnvironmentFactory(slug="empty")
    assert run_due() == 2
    assert run_due() == 0
    # Neither has an envoy connection: that is found, so both are looked at again soon.
    assert {run.state for run in PreflightRun.objects.all()} == {RunState.INCOMPLETE}
    assert PreflightFinding.objects.count() == 2
    assert all(run.due_at < now() + dt.timedelta(minutes=2) for run in PreflightRun.objects.all())


def test_two_housekeepers_never_run_the_same(fresh_database: FreshDatabase) -> None:
    for number in range(6):
        RoutingPolicyFactory(environment__slug=f"staging-{number}")
    make_runs()
    claims = [claim for found in at_once(4, lambda _: [claim_run() for _ in range(3)]) for claim in (found if isinstance(found, list) else [found])]
    taken = [claim.environment_id for claim in claims if claim is not None]  # type: ignore[union-attr]
    assert sorted(taken) == sorted(PreflightRun.objects.values_list("pk", flat=True))
    assert len(claims) == 12


@pytest.mark.django_db
def test_claim_of_a_process_that_died_is_taken_over_after_its_time() -> None:
    RoutingPolicyFactory()
    make_runs()
    dead = claim_run()
    assert dead is not None
    assert claim_run() is None
    assert claim_run(environment_id=dead.environment_id) is None
    PreflightRun.objects.update(claimed_until=now() - dt.timedelta(seconds=1))
    claim = claim_run()
    assert claim is not None
    assert run_preflight(dead) is False, "who lost the claim keeps nothing"
    assert (PreflightFinding.objects.count(), PreflightRun.objects.get().finished_at) == (0, None)
    assert run_preflight(claim) is True
    assert PreflightFinding.objects.count() == 1


@pytest.mark.django_db
def test_request_makes_it_due_now_and_is_recorded() -> None:
    policy = RoutingPolicyFactory()
    run_due()
    assert run_due() == 0
    (run,) = request_run(environment=policy.environment.slug, actor=ACTOR)
    assert run.environment == policy.environment
    assert AuditEvent.objects.filter(event="preflight.requested", subject_id=str(policy.environment_id)).count() == 1
    assert run_due() == 1


@pytest.mark.django_db
def test_request_while_it_runs_runs_it_again_afterwards() -> None:
    RoutingPolicyFactory()
    make_runs()
    claim = claim_run()
    assert claim is not None
    request_run(environment=None, actor=ACTOR)
    assert claim_run() is None
    run_preflight(claim)
    assert run_due() == 1
    assert run_due() == 0


@pytest.mark.django_db
def test_request_for_an_unknown_environment_is_refused() -> None:
    RoutingPolicyFactory()
    with pytest.raises(NotFound, match="no environment moon"):
        request_run(environment="moon", actor=ACTOR)
    assert not AuditEvent.objects.filter(event="preflight.requested").exists()


@pytest.mark.django_db
def test_run_that_breaks_closes_nothing_and_is_due_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    RoutingPolicyFactory()
    run_due()
    request_run(environment=None, actor=ACTOR)

    def broken(*args: Any, **wanted: Any) -> None:
        raise ValueError("a mistake of ours")

    monkeypatch.setattr(preflight, "run_checks", broken)
    with pytest.raises(ValueError, match="a mistake"):
        run_due()
    run = PreflightRun.objects.get()
    assert (run.state, run.skipped, run.claimed_until) == (RunState.INCOMPLETE, ["The whole run: ValueError."], None)
    assert now() < run.due_at < now() + dt.timedelta(minutes=2)
    assert PreflightFinding.objects.filter(closed_at=None).count() == 1


def test_run_holds_no_transaction_while_it_calls(fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    RoutingPolicyFactory()
    seen: list[tuple[bool, str]] = []
    real = looking.look_at

    def look(**wanted: Any) -> Any:
        seen.append((connection.in_atomic_block, threading.current_thread().name))
        return real(**wanted)

    monkeypatch.setattr(preflight, "look_at", look)
    assert run_due() == 1
    assert [inside for inside, _ in seen] == [False, False]
