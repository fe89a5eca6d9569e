"""What moves an alias on a real system, for aliases that no gateway takes from the hub: their connection's mechanism, its target, and its shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollbackhub.common.errors import InvalidInput, RollbackHubError, TransientError
from rollbackhub.connectors.base import connector_type
from rollbackhub.connectors.mechanism import Mechanism, Problem, ProblemCode, ProblemFound, RunsJobs, Share, TargetSettings, VersionRef
from rollbackhub.executions.enums import FindingCode
from rollbackhub.executions.findings import FindingDraft
from rollbackhub.registry.models import Version
from rollbackhub.routing.rules import CandidateSpec


@dataclass(frozen=True, slots=True)
class BoundMechanism:
    """A mechanism with the target that it moves. `name`: its connection's, in words and samples."""

    name: str
    mechanism: Mechanism[Any, Any]
    target: TargetSettings
    artefact: str

    def shares(self, candidates: Iterable[CandidateSpec]) -> list[Share]:
        """These candidates with what the registry holds of their versions. One query."""
        specs = list(candidates)
        rows = Version.objects.filter(artefact__slug=self.artefact, label__in={spec.version_pin for spec in specs}).values_list("label", "digest", "uri")
        versions = {label: VersionRef(label, digest, uri) for label, digest, uri in rows}
        return [Share(spec.candidate_id, versions.get(spec.version_pin, VersionRef(spec.version_pin)), spec.weight) for spec in specs]

    def names_of(self, shares: Iterable[Share]) -> dict[str, str]:
        """What a consumer may call the versions that have weight here: name → label."""
        versions = [share.version for share in shares if share.weight > 0]
        return {name: version.label for version in versions for name in self.mechanism.served_names(target=self.target, version=version)}

    def unobserved(self) -> Problem | None:
        """Said when nothing shows what is served: then nothing could be verified."""
        if self.mechanism.shows_served or self.target.consumers:
            return None
        return Problem(
            code=ProblemCode.CONFIG_MISMATCH,
            subject=f"consumers of {self.name}",
            expected="an address that says which version runs",
            found="none",
            remedy="Add what uses the version to the alias's target as a consumer: what was written is not what runs.",
        )


def bind_mechanism(
    *, connector: str, name: str, settings: Mapping[str, Any], target: Mapping[str, Any], artefact: str, timeout_seconds: float
) -> BoundMechanism:
    """A mechanism from stored settings. Raises InvalidInput when the connector moves nothing, or settings or target are wrong."""
    kind = connector_type(connector)
    if not issubclass(kind, Mechanism):
        raise InvalidInput(f"The connector {connector} moves no versions. Choose a connection that does.", code="not_a_mechanism")
    return BoundMechanism(
        name=name, mechanism=kind(kind.parse_settings(settings), timeout_seconds=timeout_seconds), target=kind.parse_target(target), artefact=artefact
    )


def shares_traffic(plan: Mapping[str, Any]) -> bool:
    """Whether weights share an alias's traffic between versions (gateways, a weighted system), or one version serves at a time."""
    moved_by = plan.get("mechanism")
    return moved_by is None or bool(getattr(connector_type(moved_by["connector"]), "weighted", False))


def problems_of(moved_by: BoundMechanism, *, before: Sequence[Share], wanted: Sequence[Share]) -> list[Problem]:
    """What stands in the way of moving it, looked at without changing anything. A system that cannot be looked at is a problem, too."""
    unobserved = moved_by.unobserved()
    found = [unobserved] if unobserved else []
    try:
        return found + moved_by.mechanism.preflight(target=moved_by.target, before=before, wanted=wanted)
    except ProblemFound as error:
        return [*found, error.problem]
    except TransientError as error:
        remedy = "See whether the system runs and can be reached."
        return [*found, Problem(ProblemCode.UNREACHABLE, moved_by.name, "an answer", error.message, remedy)]
    except RollbackHubError as error:
        remedy = "Let RollbackHub read and change it, with the secret that its connection refers to."
        return [*found, Problem(ProblemCode.PERMISSION_MISSING, moved_by.name, "a system that lets RollbackHub act", error.message, remedy)]


@dataclass(frozen=True, slots=True)
class JobLook:
    """A job that a procedure has run, and who runs it (None: no such connection)."""

    job: str
    connection: str
    runner: RunsJobs | None


def job_problems(jobs: Iterable[JobLook], *, environment: str) -> list[Problem]:
    """What stands in the way of starting these jobs, looked at without starting them."""
    found: list[Problem] = []
    for look in jobs:
        if look.runner is None:
            wanted = f"a connection {look.connection} that runs {look.job}"
            problem = Problem(ProblemCode.CONFIG_MISMATCH, f"connections of {environment}", wanted, "none", "Add it, or mend the procedure's step.")
            found.append(problem)
            continue
        try:
            found += [problem for problem in look.runner.check_jobs(job=look.job) if problem not in found]
        except RollbackHubError as error:
            remedy = "See whether it runs, and whether the secret that its connection refers to is there."
            found.append(Problem(ProblemCode.UNREACHABLE, f"{look.job} at {look.connection}", "an answer", error.message, remedy))
    return found


def to_finding(problem: Problem) -> FindingDraft:
    """A connector's problem as a finding."""
    return FindingDraft(FindingCode(problem.code), problem.subject, problem.expected, problem.found, problem.remedy)
