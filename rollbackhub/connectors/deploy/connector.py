"""Deploys versions and runs jobs by signed requests, and believes only what the receiver shows afterwards."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from rollbackhub.common.errors import RollbackHubError, TransientError, Unavailable
from rollbackhub.common.http_network import OutboundRefused
from rollbackhub.connectors.base import PermissionMissing, Promise
from rollbackhub.connectors.deploy.answers import Deployed, read_deployed, read_report
from rollbackhub.connectors.deploy.calls import BUSY, Caller
from rollbackhub.connectors.deploy.settings import DeploySettings, DeployTarget
from rollbackhub.connectors.mechanism import (
    Applied,
    Change,
    JobReport,
    JobState,
    Mechanism,
    Observation,
    Problem,
    ProblemCode,
    ProblemFound,
    RunsJobs,
    Share,
    VersionRef,
    serving,
)
from rollbackhub.connectors.secret_refs import SecretMissing

LONGEST_JOB_ID = 200


class DeployConnector(Mechanism[DeploySettings, DeployTarget], RunsJobs):
    """One receiver, the services that it deploys and the jobs that it runs. The protocol: docs/connectors/deploy.md."""

    name = "deploy"
    settings_type = DeploySettings
    target_type = DeployTarget
    promise = Promise.IDEMPOTENT
    may_give_up = True

    def __init__(self, settings: DeploySettings, *, timeout_seconds: float = 1.0) -> None:
        super().__init__(settings, timeout_seconds=timeout_seconds)
        if not settings.honours_idempotency_key:
            self.promise = Promise.AT_LEAST_ONCE  # type: ignore[misc]
        self.jobs_promise = self.promise
        self._caller = Caller(settings, timeout_seconds=timeout_seconds)

    def preflight(self, *, target: DeployTarget, before: Sequence[Share], wanted: Sequence[Share]) -> list[Problem]:
        """See Mechanism. The ping shows that the receiver takes our signature, knows the service and has the version; that it may deploy, no look shows."""
        self._caller.require_secrets()
        old, new = serving(before), serving(wanted)
        problems = self._problems(target.subject, lambda: self._differences(target, self._read(target), expected=old, free=True))
        if self.settings.ping and not any(problem.code in {ProblemCode.UNREACHABLE, ProblemCode.PERMISSION_MISSING} for problem in problems):
            message = {"type": "ping", "service": target.service, "version": _as_dict(new)}
            problems += self._problems(target.subject, lambda: self._ping(self.settings.deploy_url, message))
        return list(dict.fromkeys(problems))

    def plan(self, *, target: DeployTarget, wanted: Sequence[Share]) -> list[Change]:
        """See Mechanism."""
        found, goal = self._read(target), serving(wanted)
        if self._stands(target, found, goal):
            return []
        return [Change(target.subject, found.in_words, goal.label)]

    def apply(self, *, target: DeployTarget, before: Sequence[Share], wanted: Sequence[Share], key: str, reason: str) -> Applied:
        """Have the wanted version deployed. The receiver only takes the request: it is there when `observe` says so.

        A deployment of it that is under way is left to end. One that failed is asked for again: with a new key the receiver tries again.
        Whether it gives up another deployment that is under way for this one, the receiver decides (409: it does not).
        """
        found, goal = self._read(target), serving(wanted)
        if self._stands(target, found, goal):
            return Applied(changed=False, revision=found.in_words, note=f"The receiver had been told already: {found.in_words}.")
        if found.version not in self.served_names(target=target, version=goal):
            problems = self._differences(target, found, expected=serving(before), free=False)
            if problems:
                raise ProblemFound(problems[0])
        message = {"type": "deploy", "service": target.service, "version": _as_dict(goal), "key": key, "reason": reason}
        answer = self._send(self.settings.deploy_url, message, key=key, what=f"the deployment of {goal.label}")
        said = self._caller.clean(str(answer.get("id") or ""), most=120)
        return Applied(changed=True, revision=f"deployment {said}" if said else f"deployment of {goal.label}", note="The receiver has taken the request.")

    def observe(self, *, target: DeployTarget, wanted: Sequence[Share]) -> Observation:
        """See Mechanism. Reached only when the deployment of the wanted version has ended well; failed when that very deployment has failed."""
        goal = serving(wanted)
        expected = f"{target.subject} at {goal.label}"
        try:
            found = self._read(target)
        except ProblemFound as error:
            if error.problem.code != ProblemCode.FLAG_MOVED:
                raise
            return Observation(False, expected, error.problem.found, {"service": target.service, "version": None})
        values = {"service": target.service, "version": found.version, "state": str(found.state), "progress": found.progress, "message": found.message}
        is_goal = found.version in self.served_names(target=target, version=goal)
        # A failed deployment of another version says nothing of the one that is awaited.
        failed = (found.message or "the receiver does not say why") if is_goal and found.state == JobState.FAILED else ""
        return Observation(is_goal and found.state == JobState.SUCCEEDED, expected, found.in_words, values, failed=failed)

    def check_jobs(self, *, job: str) -> list[Problem]:
        """See RunsJobs."""
        if not self.settings.job_url:
            return [_no_jobs(job)]
        self._caller.require_secrets()
        if not self.settings.ping:
            return []
        return self._problems(f"job {job}", lambda: self._ping(self.settings.job_url, {"type": "ping", "job": job}))

    def start_job(self, *, job: str, version: VersionRef, parameters: Mapping[str, Any], key: str, reason: str) -> str:
        """See RunsJobs."""
        if not self.settings.job_url:
            raise ProblemFound(_no_jobs(job))
        message = {"type": "job", "job": job, "version": _as_dict(version), "parameters": dict(parameters), "key": key, "reason": reason}
        job_id = self._send(self.settings.job_url, message, key=key, what=f"the job {job}").get("job_id")
        if not isinstance(job_id, str) or not 0 < len(job_id) <= LONGEST_JOB_ID:
            remedy = "The job may run, and cannot be followed: look there, and mend the receiver's answer."
            raise ProblemFound(
                Problem(ProblemCode.CONFIG_MISMATCH, f"job {job}", f"an answer with its job_id, of at most {LONGEST_JOB_ID} characters", "none", remedy)
            )
        return job_id

    def read_job(self, *, job_id: str) -> JobReport:
        """See RunsJobs."""
        if not self.settings.job_status_url:
            raise ProblemFound(_no_jobs(job_id))
        missing = Problem(ProblemCode.NOT_RESTORED, f"job {job_id}", "a job that the receiver knows", "none by this name", "Look there; then retry the step.")
        content = self._caller.get(self.settings.job_status_url.replace("{job_id}", quote(job_id, safe="")), missing=missing)
        return read_report(content, subject=f"job {job_id}", clean=self._caller.clean)

    def _read(self, target: DeployTarget) -> Deployed:
        """What is deployed. Raises ProblemFound: flag_moved when the receiver knows no such service, config_mismatch for a status that cannot be read."""
        remedy = "Correct the service's name, or the address in the connection."
        missing = Problem(ProblemCode.FLAG_MOVED, target.subject, "a service that the receiver knows", "nothing is deployed there by this name", remedy)
        content = self._caller.get(self.settings.status_url.replace("{service}", quote(target.service, safe="")), missing=missing)
        return read_deployed(content, subject=target.subject, clean=self._caller.clean)

    def _stands(self, target: DeployTarget, found: Deployed, goal: VersionRef) -> bool:
        return found.version in self.served_names(target=target, version=goal) and found.state != JobState.FAILED

    def _differences(self, target: DeployTarget, found: Deployed, *, expected: VersionRef, free: bool) -> list[Problem]:
        if found.version not in self.served_names(target=target, version=expected):
            remedy = "Somebody deployed another version without the hub. It is not overwritten: see which one is right."
            return [Problem(ProblemCode.CONFIG_MISMATCH, target.subject, expected.label, found.in_words, remedy)]
        if free and found.state == JobState.RUNNING:
            remedy = "Wait until it has ended, or end it there."
            return [Problem(ProblemCode.CONFIG_MISMATCH, target.subject, "no deployment under way", found.in_words, remedy)]
        # A version whose own deployment failed is a reason to go back, not one against it.
        return []

    def _ping(self, url: str, message: Mapping[str, Any]) -> list[Problem]:
        self._caller.post(url, message, key=f"ping-{uuid.uuid4()}")
        return []

    def _send(self, url: str, message: Mapping[str, Any], *, key: str, what: str) -> dict[str, Any]:
        """Send what has an effect. When the answer is lost nobody knows whether it was taken: that is said, and the promise says what comes next."""
        try:
            return self._caller.post(url, message, key=key)
        except TransientError as error:
            if error.code == BUSY:
                raise
            unsure = f"{error.message} Whether {what} was begun is not known"
            if self.settings.honours_idempotency_key:
                raise TransientError(f"{unsure}; the next try has the same key, so it has one effect.", code=error.code) from error
            raise RollbackHubError(
                f"{unsure}. The receiver does not honour idempotency keys, so it is not asked again: look there.", code="effect_unknown"
            ) from error
        except Unavailable as error:
            raise Unavailable(f"{error.message} Whether {what} was begun is not known: look there.", code=error.code) from error

    @staticmethod
    def _problems(subject: str, look: Callable[[], list[Problem]]) -> list[Problem]:
        """What a look finds; what it raises, as a problem. SecretMissing goes on: the mistake is ours."""
        try:
            return look()
        except ProblemFound as error:
            return [error.problem]
        except SecretMissing:
            raise
        except PermissionMissing as error:
            remedy = "Give the receiver the same signing secret (and token) that the connection refers to."
            return [Problem(ProblemCode.PERMISSION_MISSING, subject, "a receiver that takes our requests", error.message, remedy)]
        except OutboundRefused as error:
            remedy = "Add the host to OUTBOUND_ALLOWED_HOSTS, or correct the address."
            return [Problem(ProblemCode.PERMISSION_MISSING, subject, "an address that may be called", error.message, remedy)]
        except RollbackHubError as error:
            return [Problem(ProblemCode.UNREACHABLE, subject, "a receiver that answers", error.message, "See whether it runs and can be reached.")]


def _as_dict(version: VersionRef) -> dict[str, str]:
    return {"label": version.label, "digest": version.digest, "uri": version.uri}


def _no_jobs(job: str) -> Problem:
    remedy = "Add job_url and job_status_url to the connection."
    return Problem(ProblemCode.CONFIG_MISMATCH, f"job {job}", "a receiver that runs jobs", "no job_url", remedy)
