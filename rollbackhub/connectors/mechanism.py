"""What moves versions on a real system: `preflight`, `plan`, `apply`, `observe` (DESIGN.md §4.4, §4.5).

A mechanism knows one kind of system (its connection's settings) and acts on one thing there (the target: a registered model's alias, a file in a
repository, a table). Versions are found there by what the registry holds of them: label, digest and uri. Nothing here knows the hub's database.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rollbackhub.common.errors import RollbackHubError
from rollbackhub.connectors.base import Connector, Promise, SettingsT, parse_typed


class ProblemCode(enum.StrEnum):
    """What kind of thing is not as expected; the findings of DESIGN.md §2 that a mechanism can make."""

    CONFIG_MISMATCH = "config_mismatch"
    FLAG_MOVED = "flag_moved"
    TARGET_RETIRED = "target_retired"
    PERMISSION_MISSING = "permission_missing"
    UNREACHABLE = "unreachable"
    NOT_RESTORED = "not_restored"


@dataclass(frozen=True, slots=True)
class Problem:
    """Expected this, found that, do this. Texts for people; never a secret."""

    code: ProblemCode
    subject: str
    expected: str
    found: str
    remedy: str

    @property
    def in_words(self) -> str:
        """One sentence without its full stop."""
        return f"{self.subject}: expected {self.expected}, found {self.found.rstrip('.')}"


class ProblemFound(RollbackHubError):
    """What was asked cannot be done as things stand, and nothing was changed. A retry changes nothing."""

    code, status, title = "problem_found", 409, "A system is not as expected"

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.in_words}. {problem.remedy}", code=str(problem.code))
        self.problem = problem


@dataclass(frozen=True, slots=True)
class VersionRef:
    """What the registry holds of a version: its label, its digest and its address (either may be empty)."""

    label: str
    digest: str = ""
    uri: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """One candidate of an alias with its percent of the traffic."""

    candidate_id: str
    version: VersionRef
    weight: int


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a plan: what would change there, from what to what."""

    subject: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply` did. `changed` is false when everything stood as wanted already; `revision` names the state in the system's own words."""

    changed: bool
    revision: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """What stands there now. `reached`: it is what was wanted. `values`: what was read, as JSON, for the sample that is kept."""

    reached: bool
    expected: str
    found: str
    values: Mapping[str, Any] = field(default_factory=dict)
    failed: str = ""
    """Why the system will not get there any more by itself, in its words; empty while it may. Waiting longer changes nothing."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests that a version has been given since its system started, and those under way now."""

    requests: int
    active: int


class Consumer(BaseModel):
    """Something that uses the version and says which: an address that answers with JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(pattern=r"^https?://[^\s@]+$", max_length=500, examples=["https://agent.example.com/version"])
    field: str = Field(
        default="version",
        pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$",
        description="The answer's member that names the version",
        examples=["running.version"],
    )


class TargetSettings(BaseModel):
    """Base of what a mechanism acts on. Holds no secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    consumers: list[Consumer] = Field(default=[], max_length=50, description="What uses the version and says which one it uses")

    @property
    def subject(self) -> str:
        """What changes there, for people. Two targets with the same subject move the same thing."""
        raise NotImplementedError

    @field_validator("consumers")
    @classmethod
    def _once(cls, consumers: list[Consumer]) -> list[Consumer]:
        if len({consumer.url for consumer in consumers}) < len(consumers):
            raise ValueError("names an address twice")
        return consumers


TargetT = TypeVar("TargetT", bound=TargetSettings)


class Mechanism(Connector[SettingsT], Generic[SettingsT, TargetT]):
    """One way to move versions on a real system. A subclass with a `name` registers itself.

    `before`: the shares as the hub has them before it acts; `wanted`: those that it wants. For a mechanism that is not `weighted` exactly one share of
    each has 100 and the others 0. Every method may raise TransientError (worth a retry), PermissionMissing, SecretMissing, and ProblemFound.
    """

    promise: ClassVar[Promise]
    target_type: ClassVar[type[TargetSettings]]
    weighted: ClassVar[bool] = False
    """Traffic can be split between versions; else one version has all."""
    counts_requests: ClassVar[bool] = False
    """It counts requests by version, so that draining can be observed."""
    may_give_up: ClassVar[bool] = False
    """It takes its time to do what it was told, and `observe` says when that has failed for good."""
    shows_served: ClassVar[bool] = True
    """What `observe` reads is what is served (at the latest after `settle_seconds`); else only consumers show that."""

    def preflight(self, *, target: TargetT, before: Sequence[Share], wanted: Sequence[Share]) -> list[Problem]:
        """What stands in the way of `apply`, looked at without changing anything: everything that can be known beforehand.

        Among it: what serves now is `before`; each version that gets weight exists there and can serve; we may change it. A system that
        refuses us or cannot be reached is a Problem, too: nothing is raised here except SecretMissing.
        """
        raise NotImplementedError

    def plan(self, *, target: TargetT, wanted: Sequence[Share]) -> list[Change]:
        """What `apply` would change now, for people. Empty when everything stands as wanted."""
        raise NotImplementedError

    def apply(self, *, target: TargetT, before: Sequence[Share], wanted: Sequence[Share], key: str, reason: str) -> Applied:
        """Bring the system to `wanted`. Twice with the same key has one effect.

        Refuses with ProblemFound, having changed nothing, when what stands there is neither `before` nor `wanted` (somebody changed it
        behind our back) or a version is not there. `reason` says who and why: it is recorded in the system where the system can.
        """
        raise NotImplementedError

    def observe(self, *, target: TargetT, wanted: Sequence[Share]) -> Observation:
        """What stands there now, read anew; changes nothing."""
        raise NotImplementedError

    def settle_seconds(self, *, target: TargetT) -> float:
        """For how long after the change a consumer that nobody observes may still use the old version (caches). 0: it sees it at once."""
        return 0.0

    def served_names(self, *, target: TargetT, version: VersionRef) -> list[str]:
        """What a consumer may call this version in its answer: its label and digest, and what the system itself calls it."""
        return [name for name in (version.label, version.digest) if name]

    def read_requests(self, *, target: TargetT, shares: Sequence[Share]) -> Mapping[str, Counted]:
        """Requests by version label since the system started. Only where `counts_requests`."""
        raise NotImplementedError

    @classmethod
    def parse_target(cls, values: Mapping[str, Any]) -> Any:
        """The typed target from stored JSON. Raises InvalidInput with a sentence per field."""
        return parse_typed(cls.target_type, values, what=f"target of the {cls.name} connection", code="invalid_target", whole="target")


class JobState(enum.StrEnum):
    """Where a job that another system runs for us stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class JobReport:
    """What the system says of a job: `progress` in percent when it says so; `result` is its own JSON (which version it was done for …)."""

    state: JobState
    message: str = ""
    progress: float | None = None
    result: Mapping[str, Any] = field(default_factory=dict)


class RunsJobs:
    """A connector that has jobs run: re-baseline an eval set, rebuild an index."""

    jobs_promise: Promise

    def check_jobs(self, *, job: str) -> list[Problem]:
        """What stands in the way of starting this job, looked at without starting it."""
        raise NotImplementedError

    def start_job(self, *, job: str, version: VersionRef, parameters: Mapping[str, Any], key: str, reason: str) -> str:
        """Have the job started for this version; gives what the system calls it. The same key twice starts it once (by `jobs_promise`)."""
        raise NotImplementedError

    def read_job(self, *, job_id: str) -> JobReport:
        """Where it stands. Raises TransientError, PermissionMissing, and ProblemFound when the system knows no such job."""
        raise NotImplementedError


def serving(shares: Sequence[Share]) -> VersionRef:
    """The one version that has all the traffic, for mechanisms that are not weighted. Raises ValueError when there is none such."""
    found = [share.version for share in shares if share.weight > 0]
    if len(found) != 1:
        raise ValueError(f"Exactly one version must have the traffic, {len(found)} have.")
    return found[0]
