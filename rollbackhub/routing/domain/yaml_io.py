"""The policy file: `aliases: → candidates: → id / version_pin / weight`, read strictly and written in the same shape."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.db.models import F, QuerySet
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from rollbackhub.audit.actors import Actor
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.registry.domain.holds import describe_hold, list_standing_holds
from rollbackhub.registry.enums import EnvironmentKind, Lifecycle
from rollbackhub.registry.models import Environment, StabilityHold, Version
from rollbackhub.routing.domain.transitions import append_revision
from rollbackhub.routing.models import Candidate, PolicyRevision, RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec, problems_of

MAX_FILE_BYTES = 5_000_000
MAX_BRACKETS = 500
_CANDIDATE_KEYS = ("id", "version_pin", "weight")


@dataclass
class AliasSpec:
    """One alias of a policy file, with the lines where things stand (from 1)."""

    alias: str
    line: int
    candidates: list[CandidateSpec] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


class _Problems:
    """Collects what is wrong with a file, by line."""

    def __init__(self) -> None:
        self.by_line: dict[int, list[str]] = {}

    def add(self, line: int, sentence: str) -> None:
        self.by_line.setdefault(line, []).append(sentence)

    def refuse(self) -> None:
        """Raise InvalidInput with everything that was found, if anything was."""
        if not self.by_line:
            return
        fields = {f"line {line}": sentences for line, sentences in sorted(self.by_line.items())}
        first = min(self.by_line)
        count = sum(len(sentences) for sentences in self.by_line.values())
        more = f" ({count - 1} more below.)" if count > 1 else ""
        raise InvalidInput(
            f"The policy file was refused, nothing was changed. Line {first}: {self.by_line[first][0]}{more}", code="invalid_policy_file", fields=fields
        )


def parse_policies(text: str) -> list[AliasSpec]:
    """Read a policy file. Raises InvalidInput with every problem by line: syntax, unknown keys, weights, duplicates."""
    problems = _Problems()
    specs = _parse(text, problems)
    problems.refuse()
    return specs


@dataclass(frozen=True)
class PolicyChange:
    """What a policy file would change at one alias, or not (`before == after`)."""

    policy: RoutingPolicy
    before: list[CandidateSpec]
    after: list[CandidateSpec]


def plan_import(*, environment: Environment, text: str) -> list[PolicyChange]:
    """What `import_policies` would do now; changes nothing. Raises InvalidInput by line, as that does."""
    problems = _Problems()
    specs = _parse(text, problems)
    policies = {policy.alias: policy for policy in _policies_of(environment, specs)}
    _check_against_registry(specs, policies, environment, problems)
    problems.refuse()
    present = _present_candidates(policies.values())
    return [PolicyChange(policy=policies[spec.alias], before=present.get(policies[spec.alias].pk, []), after=spec.candidates) for spec in specs]


def import_policies(
    *, environment: Environment, text: str, actor: Actor, reason: str, expected_revisions: Mapping[str, int] | None = None
) -> list[PolicyRevision]:
    """Apply a policy file to an environment: a revision for each alias whose candidates differ from the present ones.

    Refused whole (InvalidInput by line) when anything is wrong, an alias or a version unknown included; then nothing is changed.
    With `expected_revisions` (number by alias, as a person has seen them) also refused, by Conflict `revision_moved`, when one has moved on.
    """
    problems = _Problems()
    specs = _parse(text, problems)
    with transaction.atomic():
        policies = {policy.alias: policy for policy in _policies_of(environment, specs).select_for_update(of=("self",))}
        _check_against_registry(specs, policies, environment, problems)
        problems.refuse()
        moved = [alias for alias, policy in policies.items() if expected_revisions is not None and expected_revisions.get(alias) != policy.revision_number]
        if moved:
            raise Conflict(
                f"Meanwhile somebody changed {', '.join(sorted(moved))}. Nothing was imported: look at the differences again.", code="revision_moved"
            )
        present = _present_candidates(policies.values())
        return [
            append_revision(policy_id=policy.pk, expected_revision=policy.revision_number, candidates=spec.candidates, actor=actor, reason=reason)
            for spec in specs
            for policy in [policies[spec.alias]]
            if present.get(policy.pk) != spec.candidates
        ]


def _policies_of(environment: Environment, specs: Sequence[AliasSpec]) -> QuerySet[RoutingPolicy]:
    """The policies that a file names, in the order in which they are locked."""
    policies = RoutingPolicy.objects.select_related("environment", "artefact").filter(environment=environment, alias__in=[spec.alias for spec in specs])
    return policies.order_by("pk")


def _present_candidates(policies: Iterable[RoutingPolicy]) -> dict[int, list[CandidateSpec]]:
    """What each policy says at present, by its id. One query."""
    found: dict[int, list[CandidateSpec]] = {}
    rows = Candidate.objects.filter(revision__policy__in=list(policies), revision__number=F("revision__policy__revision_number")).order_by("position")
    for policy_id, candidate_id, label, weight in rows.values_list("revision__policy_id", "candidate_id", "version__label", "weight"):
        found.setdefault(policy_id, []).append(CandidateSpec(candidate_id, label, weight))
    return found


def export_policies(*, environment: Environment, aliases: Sequence[str] | None = None) -> str:
    """The present policies of an environment (all, or these aliases) as a policy file. Two queries for any number of them."""
    policies = RoutingPolicy.objects.filter(environment=environment).order_by("alias")
    if aliases is not None:
        policies = policies.filter(alias__in=aliases)
    rows = (
        Candidate.objects.filter(revision__policy__in=policies, revision__number=F("revision__policy__revision_number"))
        .order_by("revision__policy__alias", "position")
        .values_list("revision__policy__alias", "candidate_id", "version__label", "weight")
    )
    found: dict[str, list[CandidateSpec]] = {policy.alias: [] for policy in policies}
    for alias, candidate_id, label, weight in rows:
        found[alias].append(CandidateSpec(candidate_id, label, weight))
    return dump_policies(found)


def dump_policies(policies: dict[str, Iterable[CandidateSpec]] | dict[str, list[CandidateSpec]]) -> str:
    """Candidates by alias, written as a policy file."""
    content = {"aliases": {alias: {"candidates": [candidate.as_dict() for candidate in candidates]} for alias, candidates in policies.items()}}
    stream = io.StringIO()
    writer = YAML()
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.width = 4096
    writer.dump(content, stream)
    return stream.getvalue()


def _parse(text: str, problems: _Problems) -> list[AliasSpec]:
    if len(text.encode()) > MAX_FILE_BYTES:
        problems.add(1, f"The file is larger than {MAX_FILE_BYTES // 1_000_000} MB.")
        return []
    if text.count("[") + text.count("{") > MAX_BRACKETS:
        # The shape needs none; thousands of nested ones cost seconds to read.
        problems.add(1, f"The file has more than {MAX_BRACKETS} brackets; write aliases and candidates in block style.")
        return []
    try:
        content = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.add(mark.line + 1 if mark else 1, f"This is not valid YAML: {error.problem or error.context}.")
        return []
    except (YAMLError, ValueError, RecursionError) as error:
        problems.add(1, f"This is not valid YAML: {str(error).splitlines()[0]}.")
        return []
    if not isinstance(content, CommentedMap):
        problems.add(1, "The file must start with the key aliases.")
        return []
    for key in content:
        if key != "aliases":
            problems.add(_line_of(content, key), f"Unknown key {key!r}; the only key at the top is aliases.")
    aliases = content.get("aliases")
    if not isinstance(aliases, CommentedMap) or not aliases:
        problems.add(_line_of(content, "aliases"), "aliases must map at least one alias to its candidates.")
        return []
    return [_parse_alias(str(alias), body, _line_of(aliases, alias), problems) for alias, body in aliases.items()]


def _parse_alias(alias: str, body: object, line: int, problems: _Problems) -> AliasSpec:
    spec = AliasSpec(alias=alias, line=line)
    if not isinstance(body, CommentedMap):
        problems.add(line, f"{alias} must have the key candidates.")
        return spec
    for key in body:
        if key != "candidates":
            problems.add(_line_of(body, key), f"Unknown key {key!r} in {alias}; the only key is candidates.")
    entries = body.get("candidates")
    if not isinstance(entries, CommentedSeq) or not entries:
        problems.add(_line_of(body, "candidates") if "candidates" in body else line, f"{alias} must have at least one candidate.")
        return spec
    complete = True
    for index, entry in enumerate(entries):
        entry_line = entries.lc.item(index)[0] + 1 if entries.lc.data else line
        candidate = _parse_candidate(entry, entry_line, problems)
        if candidate is None:
            complete = False
        else:
            spec.candidates.append(candidate)
            spec.lines.append(entry_line)
    if complete:
        for position, sentence in problems_of(spec.candidates):
            problems.add(line if position is None else spec.lines[position], sentence)
    return spec


def _parse_candidate(entry: object, line: int, problems: _Problems) -> CandidateSpec | None:
    if not isinstance(entry, CommentedMap):
        problems.add(line, "A candidate has the keys id, version_pin and weight.")
        return None
    before = len(problems.by_line.get(line, []))
    right = True
    for key in entry:
        if key not in _CANDIDATE_KEYS:
            problems.add(_line_of(entry, key), f"Unknown key {key!r}; a candidate has the keys id, version_pin and weight.")
            right = False
    for key in _CANDIDATE_KEYS:
        value = entry.get(key)
        if key not in entry:
            problems.add(line, f"The candidate has no {key}.")
            right = False
        elif key == "weight":
            if isinstance(value, bool) or not isinstance(value, int):
                problems.add(_line_of(entry, key), f"The weight must be a whole number from 0 to 100, it is {value!r}.")
                right = False
        elif not isinstance(value, str) or not value:
            problems.add(_line_of(entry, key), f"{key} must be a text, it is {value!r}.")
            right = False
    if not right or len(problems.by_line.get(line, [])) > before:
        return None
    return CandidateSpec(candidate_id=str(entry["id"]), version_pin=str(entry["version_pin"]), weight=int(entry["weight"]))


def _check_against_registry(specs: list[AliasSpec], policies: dict[str, RoutingPolicy], environment: Environment, problems: _Problems) -> None:
    known: dict[int, dict[str, Version]] = {}
    for version in Version.objects.filter(artefact__in={policy.artefact_id for policy in policies.values()}).only("artefact_id", "label", "lifecycle"):
        known.setdefault(version.artefact_id, {})[version.label] = version
    held: dict[int, StabilityHold] = {}
    if environment.kind == EnvironmentKind.PRODUCTION:
        held = {hold.version_id: hold for hold in list_standing_holds().filter(version__artefact__in=known)}
    for spec in specs:
        policy = policies.get(spec.alias)
        if policy is None:
            problems.add(spec.line, f"The alias {spec.alias} does not exist in {environment.slug}. Create it first.")
            continue
        versions = known.get(policy.artefact_id, {})
        for candidate, line in zip(spec.candidates, spec.lines, strict=True):
            found = versions.get(candidate.version_pin)
            if found is None:
                problems.add(line, f"The version {candidate.version_pin} is not registered for {policy.artefact.slug}. Register it first.")
            elif found.lifecycle == Lifecycle.RETIRED and candidate.weight > 0:
                problems.add(line, f"The version {candidate.version_pin} is retired and cannot serve traffic.")
            elif found.pk in held and candidate.weight > 0:
                problems.add(line, describe_hold(held[found.pk]))


def _line_of(node: CommentedMap, key: object) -> int:
    """The line (from 1) where a key stands."""
    if node.lc.data and key in node.lc.data:
        return int(node.lc.key(key)[0]) + 1
    return int(node.lc.line) + 1
