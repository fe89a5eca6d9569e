"""What the page of an incident says: the answer, what to do next, its clock, and the timeline with notes as HTML."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.utils.safestring import SafeString

from incidents.domain.corrections import list_corrections
from incidents.domain.one_page import list_drills_of, list_findings_of
from incidents.domain.selectors import list_rollbacks_of
from incidents.domain.timeline import Line, Timeline
from incidents.domain.timeline_words import values_in_words
from incidents.enums import IncidentState, Matter, Severity
from incidents.models import Incident, IncidentCorrection
from incidents.rules import CLOSES_NOT_WHILE
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, may
from rollbackhub.alerts.domain.proposals import list_open_proposals
from rollbackhub.alerts.models import Proposal
from rollbackhub.common import clock
from rollbackhub.common.markdown import to_html
from rollbackhub.common.sentences import with_stop, without_stop
from rollbackhub.dashboard.looks import INCIDENTS, SEVERITIES, Look
from rollbackhub.dashboard.templatetags.hub import full_time
from rollbackhub.executions.models import Execution, Finding
from rollbackhub.registry.enums import EnvironmentKind
from rollbackhub.rollbacks.enums import STOPPED_STATES, RollbackState
from rollbackhub.rollbacks.models import Rollback

LINE_LOOKS = {
    "detected": Look("Noticed", "alert-triangle", "warn"),
    "event": Look("Recorded", "activity", "idle"),
    "step": Look("A step was done", "circle-check", "ok"),
    "note": Look("Note", "edit", "idle"),
}
FAILED_LINE = Look("A step did not pass", "circle-x", "bad")


@dataclass(frozen=True, slots=True)
class LineView:
    """A line of the timeline with its icon, and a note's text as HTML."""

    line: Line
    html: SafeString | None = None

    @property
    def look(self) -> Look:
        """What kind of line it is."""
        return FAILED_LINE if self.line.failed else LINE_LOOKS[self.line.kind]


@dataclass(frozen=True, slots=True)
class CorrectionView:
    """A correction in words."""

    correction: IncidentCorrection

    @property
    def before(self) -> str:
        """What stood there before."""
        return values_in_words(self.correction.before)

    @property
    def after(self) -> str:
        """What the person says."""
        return values_in_words(self.correction.value)


@dataclass(frozen=True, slots=True)
class Rights:
    """What the viewer may do with the incident as it stands."""

    respond: bool
    """Mend what it says: title, severity, what it is about, notes, corrections."""
    take: bool
    is_commander: bool
    declare_stable: bool
    close: bool
    reopen: bool
    roll_back: bool


class IncidentView:
    """An incident as its page shows it. Everything is fetched once, when it is first asked for."""

    def __init__(self, incident: Incident) -> None:
        self.incident = incident
        self.timeline = Timeline(incident)

    @cached_property
    def rollbacks(self) -> list[Rollback]:
        """In the order in which they were decided."""
        return list_rollbacks_of(self.incident)

    @cached_property
    def going_on(self) -> Rollback | None:
        """The newest rollback that has not ended."""
        return next((rollback for rollback in reversed(self.rollbacks) if rollback.state in CLOSES_NOT_WHILE), None)

    @cached_property
    def proposal(self) -> Proposal | None:
        """The oldest rollback that its alerts propose and nobody has decided about."""
        if self.incident.state != IncidentState.OPEN or self.going_on is not None:
            return None
        return list_open_proposals().filter(incident=self.incident).first()

    @cached_property
    def look(self) -> Look:
        """Its state."""
        return INCIDENTS[IncidentState(self.incident.state)]

    @cached_property
    def severity_look(self) -> Look:
        """How bad it is."""
        return SEVERITIES[Severity(self.incident.severity)]

    @cached_property
    def answer(self) -> str:
        """What is going on, in a sentence or two."""
        return answer_of(self.incident, rollbacks=self.rollbacks, going_on=self.going_on, proposal=self.proposal)

    @cached_property
    def aliases(self) -> list[Any]:
        """Whom it hurts, by name."""
        return list(self.incident.aliases.select_related("environment").order_by("alias"))

    @cached_property
    def versions(self) -> list[tuple[Any, bool]]:
        """What it is about, and whether a rollback says so."""
        taken_out = {part.bad_version_id for part in self.timeline.parts}
        return [(version, version.pk in taken_out) for version in self.timeline.versions]

    @cached_property
    def rollback_rows(self) -> list[tuple[Rollback, str]]:
        """Each with the names of its aliases."""
        names: dict[Any, list[str]] = {}
        for part in self.timeline.parts:
            names.setdefault(part.rollback_id, []).append(part.policy.alias)
        return [(rollback, ", ".join(names.get(rollback.pk, []))) for rollback in self.rollbacks]

    @cached_property
    def drills(self) -> list[Execution]:
        """The newest of its aliases."""
        return list_drills_of(self.incident)

    @cached_property
    def findings(self) -> list[Finding]:
        """What its rollbacks and these drills caught."""
        runs = [part.execution_id for part in self.timeline.parts if part.execution_id is not None]
        return list_findings_of([*runs, *(drill.pk for drill in self.drills)])

    @cached_property
    def corrections(self) -> list[IncidentCorrection]:
        """All of them."""
        return list_corrections(self.incident)

    @cached_property
    def standing(self) -> dict[str, CorrectionView]:
        """By matter, those that stand."""
        return {correction.matter: CorrectionView(correction) for correction in self.corrections if correction.ended_at is None}

    @cached_property
    def ended(self) -> list[CorrectionView]:
        """Those that stand no more."""
        return [CorrectionView(correction) for correction in self.corrections if correction.ended_at is not None]

    @cached_property
    def lines(self) -> list[LineView]:
        """The timeline."""
        return [LineView(line, to_html(line.note.text, first_heading=4) if line.note else None) for line in self.timeline.lines]

    @cached_property
    def summary(self) -> SafeString:
        """The summary as HTML."""
        return to_html(self.incident.summary, first_heading=3)

    @property
    def lasted(self) -> float | None:
        """Seconds from when it was noticed (else opened) until the harm was over; None while it is not known to be."""
        return clock.seconds_between(self._begun, self.incident.stable_at)

    @property
    def _begun(self) -> dt.datetime:
        return self.incident.detected_at or self.incident.opened_at

    @property
    def start_query(self) -> str:
        """The query string of the page that rolls its aliases back."""
        return "&".join(f"alias={policy.alias}" for policy in self.aliases)

    def rights(self, viewer: User) -> Rights:
        """What this person may do now."""
        state, respond = self.incident.state, may(user=viewer, capability=Capability.RESPOND)
        is_open, is_closed = state == IncidentState.OPEN, state == IncidentState.CLOSED
        return Rights(
            respond=respond,
            take=respond and not is_closed and self.incident.commander_id != viewer.pk and not viewer.is_service,
            is_commander=respond and not is_closed and self.incident.commander_id == viewer.pk,
            declare_stable=respond and is_open,
            close=respond and not is_closed and self.going_on is None,
            reopen=respond and not is_open,
            roll_back=self._can_be_rolled_back and may(user=viewer, capability=Capability.ROLL_BACK),
        )

    @property
    def _can_be_rolled_back(self) -> bool:
        production = self.incident.environment.kind == EnvironmentKind.PRODUCTION
        return production and self.incident.state == IncidentState.OPEN and self.going_on is None and bool(self.aliases)

    def next_act(self, rights: Rights) -> str:
        """The one thing to do next: `rollback` (look at the one that goes on), `proposal`, `roll_back`, `stable`, `close`; empty: nothing."""
        has_rolled_back = any(rollback.restored_at is not None for rollback in self.rollbacks)
        offers = (
            ("rollback", self.going_on is not None and self.incident.state != IncidentState.CLOSED),
            ("proposal", self.proposal is not None),
            ("roll_back", rights.roll_back and not has_rolled_back),
            ("stable", rights.declare_stable),
            ("close", rights.close),
        )
        return next((name for name, holds in offers if holds), "")

    @property
    def matters(self) -> list[Matter]:
        """What can be corrected."""
        return list(Matter)


def answer_of(incident: Incident, *, rollbacks: Sequence[Rollback], going_on: Rollback | None, proposal: Proposal | None = None) -> str:
    """What is going on with an incident, in words."""
    if incident.state == IncidentState.CLOSED:
        looked = f" {with_stop(incident.closed_reason)}" if incident.closed_reason else ""
        return f"Closed by {incident.closed_by_label or 'a person'}.{looked}"
    if incident.state == IncidentState.STABLE and incident.stable_at is not None:
        since = full_time(incident.stable_at)
        if incident.stable_by_label:
            return f"The harm is over since {since}, as {incident.stable_by_label} says: {with_stop(incident.stable_evidence)}"
        return f"The harm is over since {since}: the rollback was verified."
    if going_on is not None:
        if going_on.state == RollbackState.AWAITING_APPROVAL:
            return "Users are hurt, and the rollback waits for approval."
        if going_on.state in STOPPED_STATES:
            return f"Users may still be hurt: the rollback waits for a person ({going_on.get_state_display().lower()})."
        return f"It is being mended: {without_stop(going_on.get_state_display()).lower()}."
    if proposal is not None:
        return f"Users may be hurt. {proposal.detected_by} proposes to roll back {proposal.policy.alias}: the plan is prepared, and waits for a decision."
    if not rollbacks:
        return "Users may be hurt, and nobody has asked for a rollback yet."
    return "No rollback goes on, and none has shown that the harm is over."
