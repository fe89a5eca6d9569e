"""What was verified by what is served, or by a job's end, is judged again from what was kept, too; what kept nothing is said to be so."""

from __future__ import annotations

import datetime as dt
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.mechanism import JobReport, JobState, VersionRef
from rollbackhub.executions.actions import base
from rollbackhub.executions.actions.run_job import RunJobParams, _follow
from rollbackhub.executions.domain.recheck import list_not_kept, recheck_execution
from rollbackhub.executions.models import CheckResult, Execution, Sample, StepAttempt
from tests.executions.test_mechanisms import World, world
from tests.factories.executions import ExecutionFactory, StepAttemptFactory
from tests.rollbacks.conftest import ObserveAnyhow

__all__ = ["world"]


def recheck(execution: Execution) -> tuple[int, str]:
    """Exit code and what was said."""
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("recheck", str(execution.pk), stdout=out, stderr=out)
    return int(ended.value.code or 0), out.getvalue()


def test_drill_that_was_verified_by_what_is_served_is_recomputed(world: World) -> None:
    execution = world.run()
    assert execution.verdict == Verdict.PASSED, execution.outcome
    (again,) = recheck_execution(execution.pk)
    assert (again.agrees, again.verdict, again.differing) == (True, Verdict.PASSED, [])
    assert again.looks >= 3
    assert [outcome.name for outcome in again.outcomes] == ["served_version", "consumers"]
    assert len(again.kept) == 2
    code, said = recheck(execution)
    assert (code, "The same as recorded." in said) == (0, True)


@pytest.mark.parametrize(("habit", "verdict"), [("stuck", Verdict.FAILED), ("broken", Verdict.ERROR)])
def test_drill_that_was_not_verified_is_recomputed_too(habit: str, verdict: Verdict, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(base._actions, "await_consumers", ObserveAnyhow())
    if habit == "stuck":
        world.service.stuck_at = "v2"
    else:
        world.service.broken = True
    execution = world.run()
    assert execution.verdict == verdict
    (again,) = recheck_execution(execution.pk)
    assert again.agrees, again
    assert {outcome.name: outcome.verdict for outcome in again.outcomes} == {"served_version": Verdict.PASSED, "consumers": verdict}
    assert recheck(execution)[0] == 0


def test_verdict_that_its_looks_do_not_say_is_named(world: World) -> None:
    execution = world.run()
    CheckResult.objects.filter(execution=execution, check_name="consumers").update(sentence="9 of 9 consumers use v1.")
    code, said = recheck(execution)
    assert code == 1
    assert "Recorded otherwise: consumers: passed. 9 of 9 consumers use v1." in said


def test_execution_from_before_such_looks_were_kept_says_so_and_what_was_recorded(world: World) -> None:
    execution = world.run()
    Sample.objects.filter(execution=execution, kind="look")._raw_delete("default")
    assert recheck_execution(execution.pk) == []
    assert [lost.attempt.action for lost in list_not_kept(execution.pk)] == ["verify_served"]
    code, said = recheck(execution)
    assert code == 2
    assert "recorded as passed, and it kept no looks" in said
    assert "consumers: passed. 1 of 1 consumers use v1." in said


class _Context:
    """Keeps samples of an attempt as the engine's context does, and never waits."""

    def __init__(self, attempt: StepAttempt) -> None:
        self.attempt = attempt

    def keep_sample(self, *, kind: str, source: str, value: dict[str, Any]) -> Sample:
        at = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)
        return Sample.objects.create(execution_id=self.attempt.execution_id, attempt=self.attempt, kind=kind, source=source, taken_at=at, value=value)

    def seconds_left(self, limit: float) -> float:
        return 1.0

    def pause(self, seconds: float) -> None:
        return


class _Jobs:
    """A system whose job says these things, one after the other."""

    def __init__(self, *reports: JobReport) -> None:
        self._reports = list(reports)

    def read_job(self, *, job_id: str) -> JobReport:
        return self._reports.pop(0)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("end", "verdict"),
    [
        (JobReport(JobState.SUCCEEDED, result={"version": "sha256:1"}, message="9 rows"), Verdict.PASSED),
        (JobReport(JobState.SUCCEEDED, result={"version": "v2"}), Verdict.FAILED),
        (JobReport(JobState.FAILED, message="disk full"), Verdict.FAILED),
    ],
)
def test_end_of_a_job_is_judged_again(end: JobReport, verdict: Verdict) -> None:
    params = {"job": "rebuild_index", "connection": "deploy"}
    step = {"key": "rebuild", "title": "Rebuild", "action": "run_job", "params": params, "segment": "execute"}
    execution = ExecutionFactory(plan={"alias": "index", "environment": "staging", "bad_version": "v2", "good_versions": ["v1"], "steps": [step]})
    attempt = StepAttemptFactory(execution=execution, key="rebuild", action="run_job", segment="execute", position=0)
    version = VersionRef(label="v1", digest="sha256:1", uri="")
    outcome = _follow(
        _Context(attempt),  # type: ignore[arg-type]
        _Jobs(JobReport(JobState.RUNNING, progress=40.0), end),  # type: ignore[arg-type]
        RunJobParams.model_validate(params),
        job_id="j1",
        version=version,
        names={"v1", "sha256:1"},
    )
    assert outcome.verdict == verdict
    (again,) = recheck_execution(execution.pk)
    assert (again.agrees, again.verdict, again.outcomes[0].sentence) == (True, verdict, outcome.message)
    assert recheck(execution)[0] == 0
    look = Sample.objects.get(attempt=attempt, kind="look")
    other = Verdict.FAILED if verdict == Verdict.PASSED else Verdict.PASSED
    Sample.objects.create(
        execution=execution, attempt=attempt, kind="look", source="checks", taken_at=look.taken_at, value={**look.value, "verdicts": {"job": other}}
    )
    assert recheck(execution)[0] == 1
