"""What the pages of releases show and what people may send there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms

from rollbackhub.accounts.domain.actors import name_of
from rollbackhub.accounts.models import User
from rollbackhub.common.errors import InvalidInput
from rollbackhub.common.sentences import counted
from rollbackhub.dashboard.drill_page import Answer, digest_of
from rollbackhub.dashboard.looks import RELEASES, Look
from rollbackhub.dashboard.plans import weights_yaml
from rollbackhub.executions.domain.path import paths_of
from rollbackhub.executions.models import Execution
from rollbackhub.registry.models import Version
from rollbackhub.releases.domain.gate import Condition, Gate, check_gate
from rollbackhub.releases.domain.planning import next_percent, path_after_first_step, step_candidates
from rollbackhub.releases.domain.reach import lagging
from rollbackhub.releases.domain.rehearsal import why_not_rehearsed
from rollbackhub.releases.domain.selectors import rehearsals_of, rollback_of, weights_now
from rollbackhub.releases.enums import OPEN_STATES, ReleaseState
from rollbackhub.releases.models import Release, ReleaseStep
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.rules import CandidateSpec

CONDITIONS = {
    "target_retained": "What it goes back to is kept",
    "target_reachable": "What it goes back to can be reached",
    "procedure_present": "There is a rollback procedure",
    "rehearsed": "The rollback was rehearsed",
    "authority_known": "It is known who decides to roll back",
}
"""What each of the gate's conditions asks."""


class ReleaseFilterForm(forms.Form):
    """Which releases a list shows; all of it stands in the address."""

    alias = forms.CharField(required=False, max_length=80, label="Alias contains", widget=forms.TextInput(attrs={"class": "form-control"}))
    state = forms.ChoiceField(required=False, label="State", choices=[("", "Any"), *ReleaseState.choices], widget=forms.Select(attrs={"class": "form-select"}))
    environment = forms.ChoiceField(required=False, label="Environment", widget=forms.Select(attrs={"class": "form-select"}))
    bypassed = forms.ChoiceField(
        required=False, label="Gate", choices=[("", "Any"), ("1", "Bypassed only")], widget=forms.Select(attrs={"class": "form-select"})
    )

    def __init__(self, *args: Any, environments: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["environment"].choices = [("", "Any"), *environments]  # type: ignore[attr-defined]

    def wanted(self) -> dict[str, Any]:
        """The filter that an address asks for; what cannot be read in it is left out."""
        self.is_valid()
        values = {name: self.cleaned_data.get(name, "") for name in ("alias", "state", "environment")}
        return {**values, "bypassed": bool(self.cleaned_data.get("bypassed"))}


class StartReleaseForm(forms.Form):
    """Which version, in which steps, why."""

    to_version = forms.ModelChoiceField(
        queryset=Version.objects.none(), to_field_name="label", label="Version", empty_label=None, widget=forms.Select(attrs={"class": "form-select"})
    )
    steps = forms.CharField(
        max_length=120,
        label="Canary steps, in percent of the traffic",
        help_text="Rising whole numbers that end with 100.",
        widget=forms.TextInput(attrs={"class": "form-control", "inputmode": "numeric", "autocomplete": "off"}),
    )
    candidate_id = forms.CharField(
        required=False,
        max_length=160,
        label="Candidate (optional)",
        help_text="provider:model:region. Empty: like that of the version before.",
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", "spellcheck": "false"}),
    )
    note = forms.CharField(
        required=False,
        max_length=300,
        label="Note (optional)",
        widget=forms.TextInput(attrs={"class": "form-control", "placeholder": "Why this release, for the record"}),
    )
    idempotency_key = forms.CharField(required=False, max_length=120, widget=forms.HiddenInput)

    def __init__(self, *args: Any, versions: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["to_version"].queryset = versions  # type: ignore[attr-defined]

    def clean_steps(self) -> list[int]:
        """Numbers; what they may be the domain says."""
        return read_steps(str(self.cleaned_data["steps"]))


def read_steps(text: str) -> list[int]:
    """`5, 25, 50, 100` as numbers. Raises ValidationError."""
    pieces = [piece.strip().removesuffix("%").strip() for piece in text.replace(";", ",").split(",") if piece.strip()]
    if not pieces or not all(piece.isascii() and piece.isdigit() and len(piece) <= 3 for piece in pieces):
        raise forms.ValidationError("Write whole numbers with commas between them, e.g. 5, 25, 50, 100.")
    return [int(piece) for piece in pieces]


@dataclass(frozen=True, slots=True)
class ConditionView:
    """One of the gate's conditions, for people."""

    title: str
    holds: bool
    sentence: str
    evidence: Mapping[str, Any]
    remedy: str
    url: str

    @property
    def look(self) -> Look:
        """Holds, or does not."""
        return Look("Holds", "circle-check", "ok") if self.holds else Look("Does not hold", "circle-x", "bad")


def condition_views(conditions: Sequence[Mapping[str, Any]]) -> list[ConditionView]:
    """The conditions of a gate's answer, as it is kept."""
    return [
        ConditionView(CONDITIONS.get(found["code"], found["code"]), found["holds"], found["sentence"], found["evidence"], found["remedy"], found["url"])
        for found in conditions
    ]


def gate_views(gate: Gate) -> list[ConditionView]:
    """The conditions of a gate that was asked now."""
    return condition_views([condition.as_dict() for condition in gate.conditions])


@dataclass(frozen=True, slots=True)
class StepView:
    """One canary step: taken, next, or still to come."""

    number: int
    percent: int
    taken: ReleaseStep | None
    is_next: bool

    @property
    def look(self) -> Look:
        """Taken, next or to come."""
        if self.taken is not None:
            return Look("Taken", "circle-check", "ok")
        return Look("Next", "player-play", "busy") if self.is_next else Look("To come", "circle-dashed", "idle")


@dataclass(frozen=True, slots=True)
class ReleaseView:
    """A release with everything that its page says, read at one instant. `gate` is None once it has begun or ended."""

    release: Release
    gate: Gate | None
    weights: list[dict[str, Any]]
    steps: list[StepView]
    rehearsals: list[Execution]
    last_step: ReleaseStep | None
    rollback: Rollback | None
    goes_back_to: list[Version]
    """What a rollback would go back to now, or went back to."""
    lagging: str
    """Why the weights do not serve everywhere yet; empty when they do."""
    no_rehearsal: str = ""
    """Why a rehearsal would be refused now; empty when nothing is known to stand in its way, or none is missing."""

    @property
    def is_open(self) -> bool:
        """Whether it may still go on."""
        return self.release.state in OPEN_STATES

    @property
    def weight(self) -> int:
        """Percent of the traffic that the new version has now."""
        return sum(candidate["weight"] for candidate in self.weights if candidate["version_pin"] == self.release.to_version.label)

    @property
    def percent(self) -> int | None:
        """Percent at the step that comes next."""
        return next_percent(self.release) if self.is_open else None

    @property
    def conditions(self) -> list[ConditionView]:
        """The gate's conditions: now, or as they were when the first weight was given."""
        return gate_views(self.gate) if self.gate is not None else condition_views(self.release.gate_answer.get("conditions", []))

    @property
    def bypassed_conditions(self) -> list[ConditionView]:
        """What did not hold when a lead let it pass."""
        return condition_views(self.release.bypassed_conditions)

    @property
    def missing(self) -> list[Condition]:
        """The conditions that do not hold now."""
        return self.gate.missing if self.gate is not None else []

    @property
    def rehearsal_running(self) -> Execution | None:
        """The rehearsal that has not ended."""
        return next((execution for execution in self.rehearsals if execution.is_active), None)

    @property
    def may_promote(self) -> bool:
        """Whether the next step can be taken as far as the release itself says."""
        return self.percent is not None and (self.gate is None or self.gate.open)

    @property
    def wants_rehearsal(self) -> bool:
        """Whether a rehearsal is missing and none runs: it can be made up for after a bypass, too."""
        return any(condition.code == "rehearsed" for condition in self.missing) and self.rehearsal_running is None

    @property
    def may_bypass(self) -> bool:
        """Whether there is something for a lead to bypass."""
        return bool(self.missing) and not self.release.bypassed_at

    @property
    def may_abandon(self) -> bool:
        """Whether it can be given up: without traffic."""
        return self.is_open and not self.weight

    @property
    def may_roll_back(self) -> bool:
        """Whether there is traffic to take back."""
        return bool(self.weight) and self.release.state in (ReleaseState.ROLLING_OUT, ReleaseState.LIVE)

    @property
    def change(self) -> tuple[str, str] | None:
        """The weights before and after the next step as YAML; None when there is none, or it cannot be said."""
        return None if self.percent is None else step_change(self.release, self.weights, percent=self.percent)

    @property
    def answer(self) -> Answer:
        """How far it is, in words."""
        return Answer(_words(self), _look(self))

    @property
    def digest(self) -> str:
        """Equal while nothing that the live part shows has changed."""
        release = self.release
        state = {
            "state": [release.state, release.next_step, str(release.bypassed_at), release.end_reason, release.policy.revision_number],
            "gate": [(condition.code, condition.holds, condition.sentence) for condition in self.gate.conditions] if self.gate else [],
            "no_rehearsal": self.no_rehearsal,
            "rehearsals": [(str(execution.pk), execution.state, execution.verdict) for execution in self.rehearsals],
        }
        return digest_of(state)

    @property
    def stands(self) -> str:
        """What the buttons and dialogs outside the live part depend on."""
        acts = [self.may_promote, self.wants_rehearsal, self.no_rehearsal, self.may_bypass, self.may_abandon]
        return f"{self.release.state}.{self.release.next_step}." + "".join(str(int(bool(may))) for may in acts)


def look_at(release: Release) -> ReleaseView:
    """Read everything that its page says. The gate is asked while it is planned; afterwards its answer is kept."""
    taken = {step.number: step for step in release.taken_steps.select_related("revision").order_by("number")}
    going = release.state in OPEN_STATES
    steps = [StepView(number, percent, taken.get(number), going and number == release.next_step) for number, percent in enumerate(release.steps)]
    rollback = rollback_of(release) if release.state == ReleaseState.ROLLED_BACK else None
    view = ReleaseView(
        release=release,
        gate=check_gate(release) if release.state == ReleaseState.PLANNED else None,
        weights=weights_now(release),
        steps=[dataclasses.replace(step, number=step.number + 1) for step in steps],
        rehearsals=[rehearsal.execution for rehearsal in rehearsals_of(release)],
        last_step=taken[max(taken)] if taken else None,
        rollback=rollback,
        goes_back_to=_goes_back_to(release, rollback),
        lagging=lagging(release.policy) if release.state in (ReleaseState.ROLLING_OUT, ReleaseState.LIVE) else "",
    )
    return dataclasses.replace(view, no_rehearsal=why_not_rehearsed(release)) if view.wants_rehearsal else view


def _goes_back_to(release: Release, rollback: Rollback | None) -> list[Version]:
    """The versions that a rollback of this one would bring back: those of the policy, not what the release meant."""
    if rollback is not None:
        part = rollback.parts.filter(policy_id=release.policy_id).first()
        labels = part.plan["good_versions"] if part is not None else []
        return list(Version.objects.filter(artefact_id=release.policy.artefact_id, label__in=labels)) or [release.from_version]
    if release.state == ReleaseState.PLANNED:
        try:
            return path_after_first_step(release).targets or [release.from_version]
        except InvalidInput:
            # The gate says what is wrong with the policy.
            return [release.from_version]
    found = paths_of([release.policy], bad_versions={release.policy_id: release.to_version})[release.policy_id]
    return found.targets or [release.from_version]


def step_change(release: Release, weights: Sequence[Mapping[str, Any]], *, percent: int) -> tuple[str, str] | None:
    """The policy now and at this step, as YAML. None when the weights stand in its way; promoting says what does."""
    now = [CandidateSpec.from_dict(dict(values)) for values in weights]
    try:
        then = step_candidates(release, now, percent=percent)
    except InvalidInput:
        return None
    alias = release.policy.alias
    return weights_yaml(alias, [candidate.as_dict() for candidate in now]), weights_yaml(alias, [candidate.as_dict() for candidate in then])


def _is_or_are(number: int) -> str:
    return "is" if number == 1 else "are"


def _name_of(person: User | None) -> str:
    return name_of(person) if person is not None else "a lead"


def _look(view: ReleaseView) -> Look:
    if view.release.state == ReleaseState.PLANNED and view.gate is not None:
        if view.gate.passes:
            return Look("The gate is open", "circle-check", "ok")
        if view.gate.bypassed:
            return Look("The gate was bypassed", "alert-triangle", "warn")
        return Look("The gate is closed", "hand-stop", "warn")
    return RELEASES[ReleaseState(view.release.state)]


def _words(view: ReleaseView) -> str:
    release, label = view.release, view.release.to_version.label
    state = ReleaseState(release.state)
    if state == ReleaseState.PLANNED and view.gate is not None:
        if view.gate.passes:
            return f"Not begun: everything that the gate asks for holds, so {label} may get its first {view.percent} %."
        total, missing = len(view.gate.conditions), len(view.missing)
        closed = f"{missing} of {total} conditions of the gate {'does' if missing == 1 else 'do'} not hold"
        if view.gate.bypassed:
            return f"Not begun: {closed}, but {_name_of(release.bypassed_by)} let it pass, so {label} may get its first {view.percent} %."
        return f"Not begun: {closed}, so {label} may get no traffic yet."
    if state == ReleaseState.ROLLING_OUT:
        said = (
            f"{label} has {view.weight} % of the traffic: {release.next_step} of {counted(len(release.steps), 'step')} {_is_or_are(release.next_step)} taken."
        )
        if view.lagging:
            said = f"{label} is to have {view.weight} %, and that is not served everywhere. {view.lagging}"
        if view.last_step is not None and view.weight != view.last_step.percent:
            said += f" The last step gave it {view.last_step.percent} %: somebody changed the weights since."
        return said
    if state == ReleaseState.LIVE:
        if view.weight == 100:
            return f"Every step is written, but not served everywhere. {view.lagging}" if view.lagging else f"All the way: {label} has all of the traffic."
        return f"Every step was taken; {label} has {view.weight} % of the traffic now."
    if state == ReleaseState.SUPERSEDED:
        return "It went all the way; a later release has taken its place."
    if state == ReleaseState.ROLLED_BACK:
        return f"It was rolled back to {', '.join(version.label for version in view.goes_back_to)}."
    return f"It was abandoned: {label} got no traffic by it."
