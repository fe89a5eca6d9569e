"""The steps of a procedure as a person edits them: read from a form, changed by its buttons, drawn again, turned into steps. Nothing typed is lost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from rollbackhub.common.errors import InvalidInput
from rollbackhub.dashboard.yaml_fields import NoYaml, load_yaml
from rollbackhub.executions.actions import get_action, list_action_names
from rollbackhub.executions.domain.procedures import MAX_STEPS
from rollbackhub.executions.enums import ExecutionKind, Segment

KINDS = (ExecutionKind.DRILL, ExecutionKind.ROLLBACK, ExecutionKind.REHEARSAL)
LONGEST = 20_000
"""Characters of one field that are kept: more than any step may have, so that what was typed can be shown again."""

ACTIONS = {
    "await_consumers": "Wait until all that use the version say so",
    "await_drain": "Wait until the bad version has no traffic",
    "await_gateways": "Wait until every gateway acknowledges",
    "await_observed": "Wait until the system shows it",
    "await_traffic": "Wait until traffic reaches the candidate",
    "preflight": "Look before acting",
    "restore_before": "Put back what served before",
    "run_job": "Have a job run, and follow it",
    "set_weights": "Set what serves",
    "verify": "Verify traffic, feedback and latency",
    "verify_served": "Verify what is served",
}
"""What each action does, for the choice."""

PARAMS = {
    "consecutive": ("Looks in a row", "That must all be right."),
    "connection": ("Connection", "The connection of the environment that runs the job."),
    "feedback_margin": ("Margin of negative feedback", "By how much its share may be above the baseline: 0.05 is five points."),
    "interval_seconds": ("Seconds between looks", ""),
    "job": ("Job", "Its name in the system that runs it."),
    "latency_ratio": ("Latency against the baseline", "1.5: at most half as long again."),
    "limit_seconds": ("Limit in seconds", "After that the step has not passed."),
    "min_baseline_requests": ("Requests at the good versions", "So many make a baseline."),
    "min_requests": ("Requests needed", "Fewer prove nothing."),
    "no_data_limit": ("Looks without data", "After so many it gives up."),
    "of": ("For the version", "The one that is gone back to, or the one from before."),
    "parameters": ("Its parameters", "A line each, as name: value."),
    "settle": ("Wait for caches", "Whether consumers that nobody observes get the time that their caches last."),
    "to": ("What is to serve", ""),
    "versions": ("Whose metrics", "Of all that serve, or of the fix alone."),
    "window_seconds": ("Seconds that the looks span", "At least so long."),
}
"""Label and help of each parameter, by its name."""

CHOICES = {"to": {"canary": "Canary: bring the version under test to serve", "rolled_back": "Rolled back: the flip"}}
"""Of parameters whose type does not list them."""


@dataclass(slots=True)
class ParamInput:
    """One parameter as a field of the form."""

    name: str
    label: str
    help: str
    kind: str
    """`number`, `whole`, `choice`, `truth`, `mapping` or `text`."""
    value: str = ""
    choices: list[tuple[str, str]] = field(default_factory=list)
    default: str = ""
    limits: str = ""
    required: bool = False
    errors: list[str] = field(default_factory=list)


@dataclass(slots=True)
class DraftStep:
    """One step as it was typed."""

    key: str = ""
    title: str = ""
    action: str = ""
    segment: str = Segment.EXECUTE
    kinds: list[str] = field(default_factory=lambda: [kind.value for kind in KINDS])
    always: bool = False
    starts_clock: bool = False
    params: dict[str, str] = field(default_factory=dict)
    """As texts; an empty one is left to its default."""
    is_open: bool = False
    errors: dict[str, list[str]] = field(default_factory=dict)

    @property
    def inputs(self) -> list[ParamInput]:
        """The parameters of its action."""
        found = params_of(self.action)
        for entry in found:
            entry.value = self.params.get(entry.name, "")
            entry.errors = [
                sentence
                for where, sentences in self.errors.items()
                if where == f"params.{entry.name}" or where.startswith(f"params.{entry.name}.")
                for sentence in sentences
            ]
            if entry.kind in ("choice", "truth") and entry.value and entry.value not in dict(entry.choices):
                entry.choices = [*entry.choices, (entry.value, entry.value)]
        return found

    @property
    def other_errors(self) -> list[str]:
        """What belongs to no field that is drawn."""
        shown = {"key", "title", "action", "segment", "always", "starts_clock"}
        names = {entry.name for entry in params_of(self.action)}
        return [
            f"{where}: {sentence}" if where else sentence
            for where, sentences in self.errors.items()
            if where not in shown and where.split(".")[0] != "kinds" and not (where.startswith("params.") and where.split(".")[1] in names)
            for sentence in sentences
        ]

    @property
    def kind_errors(self) -> list[str]:
        """About the kinds in which it runs."""
        return [sentence for where, sentences in self.errors.items() if where.split(".")[0] == "kinds" for sentence in sentences]

    @property
    def actions(self) -> list[tuple[str, str]]:
        """What may be chosen, and what was sent although it may not."""
        found = [(name, f"{name}: {ACTIONS[name]}" if name in ACTIONS else name) for name in list_action_names()]
        return found if self.action in list_action_names() else [(self.action, self.action[:80] or "Choose an action"), *found]

    @property
    def segments(self) -> list[tuple[str, str]]:
        """As `actions`."""
        known = list(Segment.choices)
        return known if self.segment in Segment.values else [(self.segment, self.segment[:80] or "Choose a segment"), *known]

    @property
    def segment_word(self) -> str:
        """For people; what is none as it was sent."""
        return Segment(self.segment).label if self.segment in Segment.values else self.segment[:20]

    @property
    def kind_choices(self) -> list[tuple[str, str, bool]]:
        """Value, word, whether it is chosen."""
        return [(kind.value, f"{kind.label}s", kind.value in self.kinds) for kind in KINDS]

    def as_step(self) -> dict[str, Any]:
        """For the domain. What is not a number stays a text: the domain says what is wrong with it."""
        step: dict[str, Any] = {"key": self.key, "title": self.title, "action": self.action, "segment": self.segment}
        params = {entry.name: _typed(entry) for entry in self.inputs if entry.value.strip()}
        if params:
            step["params"] = params
        if set(self.kinds) != {kind.value for kind in KINDS}:
            step["kinds"] = list(self.kinds)
        if self.always:
            step["always"] = True
        if self.starts_clock:
            step["starts_clock"] = True
        return step


@dataclass(slots=True)
class Draft:
    """All steps of the form."""

    steps: list[DraftStep]
    general: list[str] = field(default_factory=list)
    """What is wrong with the whole."""

    def as_steps(self) -> list[dict[str, Any]]:
        """For the domain."""
        return [step.as_step() for step in self.steps]

    def press(self, button: str) -> None:
        """What a button of the form does: `add`, or `up`, `down`, `remove`, `show` with a step's place from 0 (`up:3`). Others do nothing."""
        name, _, place = button.partition(":")
        index = int(place) if place.isascii() and place.isdecimal() and len(place) < 4 else -1
        if name == "add" and len(self.steps) < MAX_STEPS:
            self.steps.append(DraftStep(is_open=True, action="preflight", segment=self.steps[-1].segment if self.steps else Segment.SETUP))
        if not 0 <= index < len(self.steps):
            return
        if name == "remove":
            del self.steps[index]
        elif name == "show":
            self.steps[index].is_open = True
        elif name in ("up", "down"):
            other = index + (1 if name == "down" else -1)
            if 0 <= other < len(self.steps):
                self.steps[index], self.steps[other] = self.steps[other], self.steps[index]

    def blame(self, fields: Mapping[str, Sequence[str]]) -> None:
        """Put the domain's sentences (`steps.2.params.limit_seconds`) where they belong."""
        for place, sentences in fields.items():
            head, _, rest = place.partition(".")
            index, _, where = rest.partition(".")
            if head == "steps" and index.isdecimal() and int(index) < len(self.steps):
                step = self.steps[int(index)]
                step.errors.setdefault(where, []).extend(sentences)
                step.is_open = True
            elif head == "steps":
                self.general.extend(sentences)


def draft_of(steps: Iterable[Mapping[str, Any]]) -> Draft:
    """From steps that are kept."""
    found = []
    for step in steps:
        kinds = step.get("kinds")
        found.append(
            DraftStep(
                key=str(step.get("key", "")),
                title=str(step.get("title", "")),
                action=str(step.get("action", "")),
                segment=str(step.get("segment", "")),
                kinds=[str(kind) for kind in kinds] if kinds is not None else [kind.value for kind in KINDS],
                always=bool(step.get("always")),
                starts_clock=bool(step.get("starts_clock")),
                params={name: _as_text(value) for name, value in (step.get("params") or {}).items()},
            )
        )
    return Draft(found)


def read_draft(posted: QueryDict) -> Draft:
    """From a form that was sent, whatever it holds."""
    total = posted.get("steps", "0")
    count = min(int(total), MAX_STEPS) if total.isascii() and total.isdecimal() and len(total) < 5 else 0
    return Draft([_read_step(posted, f"steps-{index}-") for index in range(count)])


def _read_step(posted: QueryDict, prefix: str) -> DraftStep:
    def text(name: str) -> str:
        return posted.get(prefix + name, "").replace("\x00", "")[:LONGEST]

    action = text("action").strip()
    return DraftStep(
        key=text("key").strip(),
        title=text("title").strip(),
        action=action,
        segment=text("segment").strip(),
        kinds=[kind[:40].replace("\x00", "") for kind in posted.getlist(f"{prefix}kinds")[:10]],
        always=prefix + "always" in posted,
        starts_clock=prefix + "starts_clock" in posted,
        params={entry.name: text(f"params-{entry.name}") for entry in params_of(action)},
    )


def params_of(action: str) -> list[ParamInput]:
    """The parameters that an action takes, from its types. Nothing for an action that there is not."""
    if action not in list_action_names():
        return []
    schema = get_action(action).params_type.model_json_schema()
    needed = schema.get("required", [])
    found = []
    for name, values in schema.get("properties", {}).items():
        label, said = PARAMS.get(name, (name.replace("_", " ").capitalize(), ""))
        choices = list(CHOICES.get(name, {}).items()) or [(str(value), str(value).replace("_", " ")) for value in values.get("enum", [])]
        kind = "choice" if choices else {"number": "number", "integer": "whole", "boolean": "truth", "object": "mapping"}.get(values.get("type", ""), "text")
        if kind == "truth":
            choices = [("true", "Yes"), ("false", "No")]
        default = "" if name in needed or kind == "mapping" else _as_text(values.get("default", ""))
        found.append(ParamInput(name, label, said, kind, choices=choices, default=default, limits=_limits(values), required=name in needed))
    return found


def _limits(values: Mapping[str, Any]) -> str:
    low = f"at least {values['minimum']:g}" if "minimum" in values else (f"more than {values['exclusiveMinimum']:g}" if "exclusiveMinimum" in values else "")
    high = f"at most {values['maximum']:,.0f}" if "maximum" in values else ""
    said = ", ".join(part for part in (low, high) if part)
    return f"{said[0].upper()}{said[1:]}." if said else ""


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "".join(f"{name}: {json.dumps(entry, ensure_ascii=False)}\n" for name, entry in value.items())
    return f"{value:g}" if isinstance(value, float) and value == float(f"{value:g}") else str(value)


def _typed(entry: ParamInput) -> Any:
    text = entry.value.strip()
    if entry.kind == "truth":
        return {"true": True, "false": False}.get(text, text)
    if entry.kind == "mapping":
        return _mapping(text)
    if entry.kind in ("number", "whole"):
        for kind in (int, float):
            try:
                return kind(text[:40])
            except ValueError:
                continue
    return text


def _mapping(text: str) -> Any:
    """As a mapping; as the text that it is when it is none: the domain refuses that."""
    try:
        return load_yaml(text)
    except NoYaml:
        return text


def blame_draft(draft: Draft, error: InvalidInput) -> None:
    """The error's sentences at their places; one without places is about the whole."""
    draft.blame(error.fields)
    if not error.fields:
        draft.general.append(error.message)
