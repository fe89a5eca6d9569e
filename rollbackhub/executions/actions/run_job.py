"""Have another system do what a version needs before it serves again (re-baseline, rebuild an index), and follow it to its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from rollbackhub.common import clock
from rollbackhub.common.errors import TransientError
from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import PermissionMissing, Promise, connector_type
from rollbackhub.connectors.mechanism import JobReport, JobState, ProblemFound, RunsJobs, VersionRef, serving
from rollbackhub.executions.actions.await_observed import no_mechanism
from rollbackhub.executions.actions.base import Action, Params, StepOutcome
from rollbackhub.executions.domain.context import StepContext, describe
from rollbackhub.executions.domain.mechanisms import to_finding
from rollbackhub.executions.enums import FindingCode
from rollbackhub.executions.findings import FindingDraft
from rollbackhub.verification.evidence import CheckOutcome
from rollbackhub.verification.served import judge_job, said_at

TEXT_SECONDS = 5.0
"""Between two samples that differ only in what the system says."""


class RunJobParams(Params):
    """Which job on which connection, for the version of which state; the limit in seconds."""

    job: str = Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")
    connection: str = Field(default="deploy", pattern=r"^[A-Za-z0-9_-]{1,40}$")
    of: Literal["rolled_back", "before"] = "rolled_back"
    parameters: dict[str, str | int | float | bool] = Field(default={}, max_length=20)
    limit_seconds: float = Field(default=3600, gt=0, le=86400)
    interval_seconds: float = Field(default=0.5, gt=0, le=60)


class RunJob(Action):
    """Done only when the system says that the job has ended well, for this version."""

    name = "run_job"
    promise = Promise.IDEMPOTENT
    params_type = RunJobParams

    def promise_in(self, plan: Mapping[str, Any], params: RunJobParams) -> Promise:
        """The system's, as its connection says."""
        name = params.connection
        if name not in plan["connections"]:
            return self.promise
        kind = connector_type(plan.get("connectors", {}).get(name, name))
        connector: object = kind(kind.parse_settings(plan["connections"][name]))
        return connector.jobs_promise if isinstance(connector, RunsJobs) else self.promise

    def run(self, context: StepContext, params: RunJobParams) -> StepOutcome:
        """Start the job (with the step's key: the same step twice starts it once), then look until it has ended."""
        moved_by = context.mechanism()
        if moved_by is None:
            return no_mechanism(context)
        if params.of == "before" and context.last_own_revision() is None:
            return StepOutcome(Verdict.PASSED, "Nothing had been changed, so nothing had to be built again.")
        runner = context.job_runner(params.connection)
        if runner is None:
            return _no_runner(context, params)
        version = serving(moved_by.shares(context.candidates(params.of)))
        names = set(moved_by.mechanism.served_names(target=moved_by.target, version=version))
        parameters = {
            "alias": context.plan["alias"],
            "artefact": context.plan["artefact"],
            "environment": context.plan["environment"],
            "target": moved_by.target.model_dump(mode="json", exclude={"consumers"}),
            **params.parameters,
        }
        try:
            job_id = runner.start_job(
                job=params.job, version=version, parameters=parameters, key=context.effect_key, reason=f"{params.job} of {version.label} (RollbackHub)"
            )
            context.in_the_middle()
            return _follow(context, runner, params, job_id=job_id, version=version, names=names)
        except ProblemFound as error:
            return StepOutcome(Verdict.FAILED, error.message, findings=(to_finding(error.problem),))
        except PermissionMissing as error:
            finding = FindingDraft(
                FindingCode.PERMISSION_MISSING, params.connection, f"a system that runs {params.job} for RollbackHub", error.message, "Give it the permission."
            )
            return StepOutcome(Verdict.FAILED, error.message, findings=(finding,))


def _follow(context: StepContext, runner: RunsJobs, params: RunJobParams, *, job_id: str, version: VersionRef, names: set[str]) -> StepOutcome:
    kept: dict[str, Any] | None = None
    kept_at = 0.0
    report: JobReport | None = None
    while True:
        try:
            report = runner.read_job(job_id=job_id)
            value: dict[str, Any] = {"job": params.job, "id": job_id, "state": str(report.state), "progress": report.progress, "message": report.message}
            value["result"] = dict(report.result)
            problem = ""
        except TransientError as error:
            problem = error.message
            value = {"job": params.job, "id": job_id, "error": describe(error)}
        if kept is None or is_news(value, kept, seconds=clock.monotonic() - kept_at):
            kept, kept_at = value, clock.monotonic()
            context.keep_sample(kind="job", source=params.connection, value=value)
        if not problem and report is not None and report.state != JobState.RUNNING:
            context.keep_sample(kind="look", source="checks", value=said_at([_judged(value, version, names)]) | _asked(version, names))
            return _ended(report, params, _judged(value, version, names), version=version, job_id=job_id)
        if context.seconds_left(params.limit_seconds) <= 0:
            return _over_time(params, report, problem)
        context.pause(params.interval_seconds)


def is_news(value: Mapping[str, Any], kept: Mapping[str, Any], *, seconds: float) -> bool:
    """Whether a look is worth keeping: another state or error always, another share by the whole percent, another text now and then.

    A job of hours that counts its rows in its message would otherwise leave a sample for each look.
    """
    if any(value.get(name) != kept.get(name) for name in ("state", "error", "result")):
        return True
    if _whole(value.get("progress")) != _whole(kept.get("progress")):
        return True
    return value != kept and seconds >= TEXT_SECONDS


def _whole(progress: float | None) -> int | None:
    return None if progress is None else int(progress)


def _judged(value: Mapping[str, Any], version: VersionRef, names: set[str]) -> CheckOutcome:
    return judge_job(value, names=sorted(names), label=version.label)


def _asked(version: VersionRef, names: set[str]) -> dict[str, Any]:
    """For which version the job was to be done, and how that may be called: it is judged again from this."""
    return {"version": version.label, "names": sorted(names)}


def _ended(report: JobReport, params: RunJobParams, judged: CheckOutcome, *, version: VersionRef, job_id: str) -> StepOutcome:
    if judged.verdict == Verdict.PASSED:
        return StepOutcome(Verdict.PASSED, judged.sentence, at=clock.now(), result={"job_id": job_id, **dict(report.result)})
    if report.state == JobState.FAILED:
        found, remedy = f"failed: {report.message}", "Mend what it says, then retry this step."
    else:
        built = str(report.result.get("version", "")) or "a version that it does not name"
        found, remedy = f"done for {built}", "See for which version it ran."
    finding = FindingDraft(FindingCode.NOT_RESTORED, f"job {params.job}", f"done for {version.label}", found, remedy)
    return StepOutcome(Verdict.FAILED, judged.sentence, findings=(finding,), result={"job_id": job_id})


def _named(params: RunJobParams) -> str:
    """`rebuild_index` as `Rebuild index`, at the beginning of a sentence."""
    return params.job.replace("_", " ").capitalize()


def _over_time(params: RunJobParams, report: JobReport | None, problem: str) -> StepOutcome:
    done = f" at {report.progress:.0f} %" if report is not None and report.progress is not None else ""
    found, limit = problem or f"still running{done}", f"{params.limit_seconds:g} s"
    code = FindingCode.UNREACHABLE if problem else FindingCode.TOO_SLOW
    finding = FindingDraft(code, f"job {params.job}", f"ended within {limit}", found, "See what it does; a retry of this step follows it on.")
    verdict = Verdict.ERROR if problem else Verdict.FAILED
    return StepOutcome(verdict, f"{_named(params)} had not ended after {limit}: {found}.", findings=(finding,))


def _no_runner(context: StepContext, params: RunJobParams) -> StepOutcome:
    finding = FindingDraft(
        FindingCode.CONFIG_MISMATCH,
        f"connections of {context.plan['environment']}",
        f"a connection {params.connection} that runs jobs",
        "none",
        "Add it, or mend the procedure's step.",
    )
    return StepOutcome(Verdict.FAILED, f"There is no connection {params.connection} that could run {params.job}.", findings=(finding,))
