"""Every run that has ended has a fact, and it follows its rollback: what is corrected or verified later is counted so."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import OperationalError

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.analytics.domain import follow
from rollbackhub.analytics.domain.follow import follow_runs, follow_what_was_missed
from rollbackhub.analytics.domain.recount import recount
from rollbackhub.analytics.enums import RunKind, RunSource
from rollbackhub.analytics.models import RunCell, RunFact
from rollbackhub.common import clock
from rollbackhub.common.housekeeping import list_jobs
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain.path import paths_of
from rollbackhub.executions.domain.proof import proofs_of
from rollbackhub.executions.enums import ExecutionKind, ExecutionState, ProofState
from rollbackhub.executions.models import Execution
from rollbackhub.registry.models import Artefact
from rollbackhub.rollbacks.domain.acts import close_rollback, correct_detection, retry_rollback
from rollbackhub.rollbacks.domain.roll_forward import roll_back_instead
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import RoutingPolicy
from tests.databases import FreshDatabase
from tests.factories.accounts import TeamFactory
from tests.factories.analytics import RunFactFactory, add_facts
from tests.factories.executions import ExecutionFactory
from tests.factories.fixtures import Cast
from tests.factories.registry import EnvironmentFactory, VersionFactory
from tests.factories.rollbacks import RollbackFactory
from tests.factories.routing import RoutingPolicyFactory
from tests.rollbacks.conftest import ask, ends, run, script, seed_production
from tests.rollbacks.test_roll_forward import FIX, forward
from tests.threads import at_once


def followed(rollback: Rollback) -> RunFact:
    """The one fact of a rollback, after a turn of the housekeeper."""
    follow_runs()
    return RunFact.objects.get(rollback_id=rollback.pk)


def test_housekeeper_follows_often_and_looks_at_all_now_and_then() -> None:
    jobs = {job.name: job for job in list_jobs()}
    assert jobs["analytics.follow_runs"].every_seconds == 1
    assert (jobs["analytics.follow_what_was_missed"].every_seconds, jobs["analytics.follow_what_was_missed"].own_thread) == (120, True)


def test_drill_that_ended_has_a_fact_with_its_segments(db: None) -> None:
    execution = ExecutionFactory(passed=True, policy__alias="smart-reasoner")
    assert follow_runs() == 1
    fact = RunFact.objects.get()
    execution.refresh_from_db()
    assert (fact.execution, fact.source, fact.kind, fact.alias, fact.at) == (execution, RunSource.HUB, RunKind.DRILL, "smart-reasoner", execution.created_at)
    assert fact.month == execution.created_at.date().replace(day=1)
    assert (fact.team, fact.artefact, fact.environment) == (execution.policy.artefact.team, execution.policy.artefact, execution.environment)
    assert (fact.verdict, fact.outcome, fact.rollback_seconds, fact.target_seconds, fact.hit) == ("passed", "passed", 12.5, 600, True)
    assert (fact.execute_seconds, fact.propagate_seconds, fact.drain_seconds, fact.verify_seconds) == pytest.approx((0.2, 0.3, 2.0, 10.0))
    assert (fact.detect_seconds, fact.decide_seconds, fact.authorise_seconds, fact.exposure) == (None, None, None, None)
    assert (fact.rollback_id, fact.followed_number, fact.authority) == (None, 0, "")
    assert RunCell.objects.get().n == 1


def test_nothing_new_writes_nothing(db: None, django_assert_num_queries: Any) -> None:
    ExecutionFactory(passed=True)
    follow_runs()
    with django_assert_num_queries(2):
        assert follow_runs() == 0
    with django_assert_num_queries(2):
        assert follow_what_was_missed() == 0


def test_fifty_runs_take_as_many_queries_as_one(db: None, django_assert_max_num_queries: Any) -> None:
    policy = RoutingPolicyFactory()
    for _ in range(50):
        ExecutionFactory(passed=True, policy=policy)
    with django_assert_max_num_queries(10):
        assert follow_runs() == 50


def test_run_that_was_never_restored_is_counted_and_not_measured(db: None) -> None:
    ExecutionFactory(failed=True)
    follow_runs()
    fact = RunFact.objects.get()
    assert (fact.verdict, fact.rollback_seconds, fact.hit, fact.execute_seconds) == ("failed", None, None, None)
    assert (RunCell.objects.get().failed, RunCell.objects.get().rollback_n) == (1, 0)


def test_slower_than_its_target_is_no_hit(db: None) -> None:
    ExecutionFactory(passed=True, target_seconds=12)
    ExecutionFactory(passed=True, target_seconds=None)
    follow_runs()
    assert sorted(RunFact.objects.values_list("hit", flat=True), key=str) == [False, None]


@pytest.mark.parametrize("state", [state for state in ExecutionState if state != ExecutionState.FINISHED])
def test_run_that_has_not_ended_or_never_began_has_no_fact(db: None, state: ExecutionState) -> None:
    ExecutionFactory(state=state)
    assert (follow_runs(), follow_what_was_missed(), RunFact.objects.count()) == (0, 0, 0)


def test_rollback_is_counted_with_its_decision_and_follows_its_corrections(policy: RoutingPolicy, cast: Cast) -> None:
    rollback = run(ask(policy, account=cast.on_call, detected_at=clock.now() - dt.timedelta(minutes=3)))
    fact = followed(rollback)
    assert (fact.kind, fact.at, fact.outcome, fact.followed_number) == (RunKind.ROLLBACK, rollback.decided_at, "verified", rollback.number)
    assert (fact.authority, fact.authorised_how) == ("on_call", "own")
    assert fact.detect_seconds == pytest.approx(180, abs=5)
    assert rollback.authorised_at is not None
    assert fact.authorise_seconds == (rollback.authorised_at - rollback.decided_at).total_seconds()
    assert fact.rollback_seconds == rollback.rollback_seconds
    earlier = rollback.decided_at - dt.timedelta(minutes=30)
    correct_detection(rollback_id=rollback.pk, account=cast.lead, actor=actor_of(cast.lead), detected_at=earlier, reason="the alarm was before")
    fact = followed(rollback)
    assert fact.detect_seconds == 1800
    assert RunCell.objects.get().detect_us == 1_800_000_000
    close_rollback(rollback_id=rollback.pk, account=cast.on_call, actor=actor_of(cast.on_call), reason="done")
    assert followed(rollback).outcome == "closed"
    assert recount(mend=False) == []


def test_rollback_that_is_verified_late_is_counted_when_it_is(policy: RoutingPolicy, cast: Cast) -> None:
    script("verify", ends(Verdict.FAILED, "complaints go on"))
    rollback = run(ask(policy, account=cast.on_call))
    assert (rollback.state, follow_runs(), RunFact.objects.count()) == ("verification_failed", 0, 0), "it has not ended"
    script("verify", None)
    retry_rollback(rollback_id=rollback.pk, account=cast.on_call, actor=actor_of(cast.on_call))
    rollback = run(rollback)
    fact = followed(rollback)
    assert (fact.outcome, fact.verdict, fact.verify_seconds is not None) == ("verified", "passed", True)


def test_each_alias_of_a_rollback_has_a_fact_and_the_whole_is_counted_once(policy: RoutingPolicy, cast: Cast) -> None:
    prompt = seed_production("prompt", alias="support-prompt")
    rollback = run(ask(policy, prompt, account=cast.lead, detected_at=clock.now() - dt.timedelta(minutes=3)))
    Rollback.objects.filter(pk=rollback.pk).update(exposure_observed=40, exposure_estimated=2, number=rollback.number + 1)
    follow_runs()
    first, second = RunFact.objects.filter(rollback_id=rollback.pk).order_by("execution__rollback_part__position")
    assert (first.alias, first.change_type, second.alias, second.change_type) == ("smart-reasoner", "model", "support-prompt", "prompt")
    assert (first.exposure, second.exposure) == (42, None)
    assert first.detect_seconds == second.detect_seconds is not None
    assert first.authorise_seconds == second.authorise_seconds is not None
    assert second.execution is not None
    assert second.rollback_seconds == second.execution.rollback_seconds, "each alias by its own clock, which starts when its turn comes"


@pytest.mark.usefixtures("scripted_actions")
def test_roll_forward_and_the_rollback_after_it_are_counted_apart(policy: RoutingPolicy, cast: Cast) -> None:
    VersionFactory(artefact=policy.artefact, label=FIX)
    script("hold_1", ends(Verdict.FAILED, "no better"))
    rollback = run(forward(policy, cast.on_call))
    script("hold_1", None)
    roll_back_instead(rollback_id=rollback.pk, account=cast.on_call, actor=actor_of(cast.on_call))
    rollback = run(rollback)
    follow_runs()
    shipped, back = RunFact.objects.filter(rollback_id=rollback.pk).order_by("at")
    assert (shipped.kind, shipped.outcome, shipped.detect_seconds) == (RunKind.ROLL_FORWARD, "failed", None)
    assert (back.kind, back.outcome, back.at) == (RunKind.ROLLBACK, "verified", rollback.decided_at)
    assert back.detect_seconds is not None, "it was known to be wrong since the roll-forward was decided"


def test_what_was_missed_long_ago_is_caught_up_with(db: None) -> None:
    long_ago = clock.now() - dt.timedelta(days=100)
    Execution.objects.filter(pk=ExecutionFactory(passed=True).pk).update(created_at=long_ago)
    rollback = RollbackFactory(closed=True)
    assert follow_runs() == 1
    Rollback.objects.filter(pk=rollback.pk).update(created_at=long_ago, number=rollback.number + 1, detected_at=rollback.decided_at - dt.timedelta(seconds=90))
    assert follow_runs() == 0, "the quick job leaves it to the thorough one"
    assert follow_what_was_missed() == 2
    assert RunFact.objects.get(rollback_id=rollback.pk).detect_seconds == 90
    assert RunFact.objects.get(kind=RunKind.DRILL).at == long_ago


def test_history_stays_with_the_team_that_had_the_artefact(db: None) -> None:
    rollback = RollbackFactory(verified=True)
    before = followed(rollback)
    Artefact.objects.filter(pk=before.artefact_id).update(team=TeamFactory(slug="heirs"))
    Rollback.objects.filter(pk=rollback.pk).update(number=rollback.number + 1)
    after = followed(rollback)
    assert (after.pk, after.team) == (before.pk, before.team)
    assert after.followed_number > before.followed_number


def test_run_that_cannot_be_reckoned_does_not_keep_the_others_from_it(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = ExecutionFactory(passed=True), ExecutionFactory(passed=True)
    reckon = follow.fact_of

    def fails(execution: Execution, **values: Any) -> RunFact:
        if execution.pk == bad.pk:
            raise ValueError("no")
        return reckon(execution, **values)

    monkeypatch.setattr(follow, "fact_of", fails)
    with pytest.raises(ExceptionGroup) as group:
        follow_runs()
    (error,) = group.value.exceptions
    assert error.__notes__ == [f"while reckoning the fact of execution {bad.pk}"]
    assert RunFact.objects.get().execution == good
    monkeypatch.setattr(follow, "fact_of", reckon)
    assert follow_runs() == 1


def test_database_that_is_away_ends_the_turn(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    ExecutionFactory(passed=True)

    def away(execution: Execution, **values: Any) -> RunFact:
        raise OperationalError("gone")

    monkeypatch.setattr(follow, "fact_of", away)
    with pytest.raises(OperationalError):
        follow_runs()


def test_two_housekeepers_at_once_write_each_fact_once(fresh_database: FreshDatabase) -> None:
    policy = RoutingPolicyFactory()
    for _ in range(20):
        ExecutionFactory(passed=True, policy=policy)
    results = at_once(4, lambda number: follow_runs() if number % 2 else follow_what_was_missed())
    assert all(isinstance(result, int) for result in results), results
    follow_runs()
    assert RunFact.objects.count() == 20
    assert RunCell.objects.get().n == 20
    assert recount(mend=False) == []


def test_imported_run_counts_and_proves_nothing(db: None) -> None:
    policy = RoutingPolicyFactory()
    add_facts(policy, [12.5], end=clock.now())
    paths = paths_of([policy])
    assert proofs_of(paths)[policy.pk].state == ProofState.MISSING
    assert RunCell.objects.get().source == RunSource.IMPORTED
    ExecutionFactory(passed=True, policy=policy)
    assert proofs_of(paths)[policy.pk].state == ProofState.VALID, "a drill of the hub's own does"


def test_rehearsals_are_facts_of_their_own_kind(db: None) -> None:
    ExecutionFactory(passed=True, kind=ExecutionKind.REHEARSAL)
    follow_runs()
    assert RunFact.objects.get().kind == RunKind.REHEARSAL
    assert RunFactFactory(production=True, policy__environment=EnvironmentFactory(slug="production")).kind == RunKind.ROLLBACK
