"""What the pages of procedures say: steps in words, where a runbook stands, two versions side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollbackhub.common.errors import InvalidInput
from rollbackhub.dashboard.looks import Look
from rollbackhub.dashboard.plans import plan_yaml
from rollbackhub.dashboard.procedure_draft import ACTIONS, KINDS
from rollbackhub.dashboard.rollback_plan import step_in_words
from rollbackhub.executions.enums import ExecutionKind, Segment
from rollbackhub.executions.models import Procedure

NO_RUNBOOK = Look("No runbook", "circle-dashed", "idle")
UNREAD = Look("Not read yet", "hourglass", "idle")
LOST = Look("Cannot be read", "alert-triangle", "warn")
READ = Look("Was read", "circle-check", "ok")


@dataclass(frozen=True, slots=True)
class StepWords:
    """One step for people."""

    key: str
    sentence: str
    action: str
    does: str
    params: list[tuple[str, str]]
    segment: str
    runs_in: str
    """`drills only`, `rollbacks and drills` …; empty: in all."""
    notes: list[str]


def words_of(steps: Sequence[Mapping[str, Any]]) -> list[StepWords]:
    """Steps for people, also those whose parameters an action does not know any more."""
    found = []
    for step in steps:
        given = step.get("kinds")
        kinds = [kind.value for kind in KINDS] if given is None else [str(kind) for kind in given]
        notes = ["runs also after an earlier step failed"] if step.get("always") else []
        notes += ["starts the clock"] if step.get("starts_clock") else []
        found.append(
            StepWords(
                key=str(step["key"]),
                sentence=sentence_of(step),
                action=str(step["action"]),
                does=ACTIONS.get(str(step["action"]), ""),
                params=[(name, _value_words(value)) for name, value in (step.get("params") or {}).items()],
                segment=Segment(step["segment"]).label if step.get("segment") in Segment.values else str(step.get("segment")),
                runs_in="" if set(kinds) >= {kind.value for kind in KINDS} else f"{_listed([_plural(kind) for kind in kinds])} only",
                notes=notes,
            )
        )
    return found


def sentence_of(step: Mapping[str, Any]) -> str:
    """`step_in_words`; of a step that could not run any more, that."""
    try:
        return step_in_words(dict(step))
    except InvalidInput as error:
        return f"{step.get('title') or step.get('key')}: {error.message}"


def words_text(steps: Sequence[Mapping[str, Any]]) -> str:
    """The steps as lines of text, for a diff that people read."""
    lines = []
    for place, step in enumerate(words_of(steps), start=1):
        said = "; ".join(
            [step.segment, step.action, *(f"{name} {value}" for name, value in step.params), *([step.runs_in] if step.runs_in else []), *step.notes]
        )
        lines += [f"{place}. {step.sentence}", f"   {said}"]
    return "\n".join(lines)


def steps_yaml(steps: Sequence[Mapping[str, Any]]) -> str:
    """The steps as YAML."""
    return plan_yaml({"steps": [dict(step) for step in steps]})


def runbook_look(procedure: Procedure) -> Look:
    """Where its runbook stands."""
    if not procedure.runbook_url:
        return NO_RUNBOOK
    if procedure.runbook_problem:
        return LOST
    return READ if procedure.runbook_hash else UNREAD


def _value_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_value_words(entry)}" for name, entry in value.items())
    return str(value)


def _plural(kind: str) -> str:
    return f"{ExecutionKind(kind).label.lower()}s" if kind in ExecutionKind.values else kind


def _listed(words: Sequence[str]) -> str:
    if not words:
        return "nowhere"
    return " and ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])} and {words[-1]}"
