"""The two paths: the same bad canary, met by a team that never rehearsed the way back, and by one that has."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from incidents.domain.timeline import Timeline
from incidents.enums import IncidentState
from incidents.models import Incident
from rollbackhub.alerts.domain.proposals import confirm_proposal, url_of
from rollbackhub.alerts.enums import AlertState, ProposalState
from rollbackhub.alerts.models import Alert, Proposal
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import FindingCode, Segment
from rollbackhub.executions.models import Execution, Finding
from rollbackhub.lab.enums import SwitchName
from rollbackhub.lab.story.report import Exposure, PathReport, restored_within, segments_told
from rollbackhub.lab.story.stage import ALIAS, BAD, CANARY, GOOD, LOOK_SECONDS, Stage, StoryFailed
from rollbackhub.lab.story.teller import Teller
from rollbackhub.postmortems.models import Postmortem
from rollbackhub.rollbacks.domain.acts import retry_rollback
from rollbackhub.rollbacks.enums import STOPPED_STATES, RollbackState, Via
from rollbackhub.rollbacks.models import Rollback

ALERTED_WITHIN, STOPPED_WITHIN, VERIFIED_WITHIN, DRAFTED_WITHIN = 120.0, 120.0, 240.0, 60.0
"""Seconds after which something has gone wrong: the alert takes some 40, the verification as long as the lab's traffic makes it."""
RETRY_SECONDS = 5.0
FINDS_PROCEDURE, FINDS_FLAG, FINDS_PERMISSION, READS_PLAN = 9.0, 24.0, 9.0, 1.0
"""Minutes that people spend, as the chapter tells it; nobody measured them here."""


@dataclass
class _Path:
    """A path while it is told."""

    stage: Stage
    teller: Teller
    began_at: dt.datetime = field(default_factory=clock.now)
    not_played: float = 0.0
    _began: float = field(default_factory=clock.monotonic)
    _before: float = 0.0

    def begin(self) -> None:
        """The harm begins now: from here on the bad version's requests are counted."""
        self.began_at, self._began, self._before = clock.now(), clock.monotonic(), self.stage.bad_requests()

    def pause(self, *, minutes: float, segment: Segment, sentence: str) -> None:
        """Minutes in which the bad version serves on; what it would have served in all of them is reckoned, at its rate since the beginning."""
        passed = self.teller.pause(minutes=minutes, segment=segment, sentence=sentence)
        rate = max(0.0, self.stage.bad_requests() - self._before) / (clock.monotonic() - self._began)
        self.not_played += rate * max(0.0, passed.told - passed.real)

    def hear_the_alert(self) -> Proposal:
        """Wait until the real alert has become an incident with a proposed rollback."""
        policy = self.stage.policy("production")
        fired = Alert.objects.filter(policy=policy, state=AlertState.FIRING, starts_at__gte=self.began_at, proposal__state=ProposalState.OPEN)
        alert = self.stage.wait_for(
            lambda: fired.select_related("incident", "proposal").first(), within=ALERTED_WITHIN, what="the alert had fired and a rollback was proposed"
        )
        if alert.proposal is None or alert.incident is None:
            raise StoryFailed("The alert proposed a rollback without an incident.")
        self.teller.measured(f"Prometheus judged and Alertmanager posted {alert.name}: {alert.annotations.get('summary', '')}.")
        self.teller.measured(f"The hub opened an incident by itself: /incidents/{alert.incident.pk}/, and proposes the rollback: {url_of(alert.proposal)}")
        return alert.proposal

    def confirm(self, proposal: Proposal) -> Rollback:
        """The one confirmation."""
        person = self.stage.on_call
        confirmed = confirm_proposal(
            proposal_id=proposal.pk, account=person, actor=self.stage.acting(person), via=Via.COMMAND, seen_plan_hash=proposal.plan_hash
        )
        if confirmed.rollback is None:
            raise StoryFailed("The proposal was confirmed and has no rollback.")
        self.teller.played(f"{person.username} has looked at the plan and confirms, once: /rollbacks/{confirmed.rollback.pk}/")
        return confirmed.rollback

    def wait_state(self, rollback: Rollback, *states: RollbackState, within: float) -> Rollback:
        """Wait until the rollback is in one of these states."""
        found = Rollback.objects.filter(pk=rollback.pk, state__in=states)
        return self.stage.wait_for(found.first, within=within, what=f"the rollback was {' or '.join(state.label.lower() for state in states)}")

    def verified(self, rollback: Rollback) -> Rollback:
        """Wait until it is verified, and say how it went."""
        ended = self.wait_state(rollback, RollbackState.VERIFIED, within=VERIFIED_WITHIN)
        self.teller.measured(f"Restored and verified: {ended.outcome}")
        return ended

    def drafted(self, rollback: Rollback) -> tuple[Incident, Postmortem]:
        """Wait until the incident is stable and its postmortem drafted."""
        stable = Incident.objects.filter(rollback_links__rollback=rollback, state=IncidentState.STABLE)
        incident = self.stage.wait_for(stable.first, within=DRAFTED_WITHIN, what="the incident was stable")
        postmortem = self.stage.wait_for(Postmortem.objects.filter(incident=incident).first, within=DRAFTED_WITHIN, what="the postmortem was drafted")
        self.teller.measured(f"The incident is stable, and its postmortem is drafted with exposure and segments: /postmortems/{postmortem.pk}/")
        return incident, postmortem

    def report(self, *, name: str, title: str, proof: str, proposal: Proposal, rollback: Rollback, incident: Incident, postmortem: Postmortem) -> PathReport:
        """What is said of it at the end."""
        segments = segments_told(rollback, began_at=self.began_at, pauses=self.teller.pauses)
        lines = Timeline(incident).lines
        findings = Finding.objects.filter(execution__rollback_part__rollback=rollback).order_by("pk")
        return PathReport(
            name=name,
            title=title,
            proof=proof,
            segments=segments,
            exposure=Exposure(rollback.exposure_observed, rollback.exposure_estimated, rollback.exposure_basis, round(self.not_played)),
            findings=[f"{finding.get_code_display()}: {finding.subject}" for finding in findings],
            outcome=rollback.outcome,
            restored_within=restored_within(segments),
            timeline_lines=len(lines),
            hand_written_lines=sum(line.kind == "note" for line in lines),
            addresses={
                "incident": f"/incidents/{incident.pk}/",
                "proposal": url_of(proposal),
                "rollback": f"/rollbacks/{rollback.pk}/",
                "postmortem": f"/postmortems/{postmortem.pk}/",
            },
            lines=self.teller.lines,
        )


def tell_undrilled(stage: Stage, teller: Teller) -> PathReport:
    """The flag of production's gateway was renamed long ago, and nobody has drilled since. It is found at night. Raises StoryFailed."""
    path = _Path(stage, teller)
    proof = stage.proof().in_words
    teller.measured(f"The way back of {ALIAS} in production: {proof}")
    stage.route(CANARY, reason="The story: a canary that nobody has rehearsed to take back")
    path.begin()
    stage.switch(SwitchName.FLAG_MOVED, "production", on=True)
    teller.played(f"{BAD} goes into canary, {CANARY[BAD]} % by the hub. The gateway follows a renamed flag instead: a table of its own, 60 %.")
    proposal = path.hear_the_alert()
    path.pause(minutes=FINDS_PROCEDURE, segment=Segment.DECIDE, sentence="nobody has done this before: where is the procedure, and who may decide?")
    rollback = path.confirm(proposal)
    stopped = path.wait_state(rollback, *STOPPED_STATES, within=STOPPED_WITHIN)
    teller.measured(f"{stopped.get_state_display()}: {stopped.outcome}")
    for finding in Finding.objects.filter(execution__rollback_part__rollback=rollback, code=FindingCode.CONFIG_MISMATCH)[:1]:
        teller.measured(
            f"What a drill would have found: {finding.get_code_display().lower()}, {finding.subject}: wanted {finding.expected}; found {finding.found}"
        )
    path.pause(
        minutes=FINDS_FLAG, segment=Segment.PROPAGATE, sentence="the hub says 0 %, users still complain: which table does this gateway serve by, and why?"
    )
    path.pause(minutes=FINDS_PERMISSION, segment=Segment.PROPAGATE, sentence="the flag was renamed. Who may change it at this hour? Somebody is woken.")
    stage.switch(SwitchName.FLAG_MOVED, "production", on=False)
    teller.played("The flag is mended: the gateway asks the hub again.")
    _go_on(path, rollback)
    ended = path.verified(rollback)
    incident, postmortem = path.drafted(ended)
    return path.report(
        name="undrilled",
        title="The flag was renamed, and nobody had drilled",
        proof=proof,
        proposal=proposal,
        rollback=ended,
        incident=incident,
        postmortem=postmortem,
    )


def rehearse(stage: Stage, teller: Teller) -> None:
    """What the drilled team did on a quiet day: a drill that finds the renamed flag in staging, and one that passes. Raises StoryFailed."""
    stage.switch(SwitchName.FLAG_MOVED, "staging", on=True)
    try:
        found = stage.drill(note="The story: a quiet day, the flag was renamed")
    finally:
        stage.switch(SwitchName.FLAG_MOVED, "staging", on=False)
    mismatch = found.findings.filter(code=FindingCode.CONFIG_MISMATCH).first()
    if found.verdict != Verdict.FAILED or mismatch is None:
        raise StoryFailed(f"The drill did not find the renamed flag: {found.outcome}")
    teller.measured(f"A drill in staging fails, and serves nobody badly: {mismatch.get_code_display().lower()}, {mismatch.subject}. /drills/{found.pk}/")
    teller.played("The flag is mended, on a quiet day.")
    passed = stage.drill(note="The story: mended, and drilled again")
    if passed.verdict != Verdict.PASSED:
        raise StoryFailed(f"The second drill did not pass: {passed.outcome}")
    teller.measured(f"The next drill passes{_restored_in(passed)}. /drills/{passed.pk}/")


def tell_drilled(stage: Stage, teller: Teller) -> PathReport:
    """The same canary for a team whose last drill has passed. Raises StoryFailed."""
    path = _Path(stage, teller)
    proof = stage.proof().in_words
    teller.measured(f"The way back of {ALIAS} in production: {proof}")
    stage.route(CANARY, reason="The story: the same canary, with a rehearsed way back")
    path.begin()
    teller.played(f"{BAD} goes into canary, {CANARY[BAD]} %.")
    proposal = path.hear_the_alert()
    path.pause(minutes=READS_PLAN, segment=Segment.DECIDE, sentence="the on-call engineer opens the proposal: the plan, the proof, how long it took in drills.")
    ended = path.verified(path.confirm(proposal))
    incident, postmortem = path.drafted(ended)
    return path.report(
        name="drilled",
        title=f"Drilled: back to {GOOD} by one confirmation",
        proof=proof,
        proposal=proposal,
        rollback=ended,
        incident=incident,
        postmortem=postmortem,
    )


def _go_on(path: _Path, rollback: Rollback) -> None:
    """The hub goes on by itself when the gateway follows; where it does not, the engineer presses again."""
    person = path.stage.on_call
    deadline = clock.monotonic() + RETRY_SECONDS
    while Rollback.objects.get(pk=rollback.pk).state in STOPPED_STATES:
        if clock.monotonic() > deadline:
            try:
                retry_rollback(rollback_id=rollback.pk, account=person, actor=path.stage.acting(person))
            except Conflict:
                # It went on in this moment.
                continue
            path.teller.played(f"{person.username} tries the step again.")
            return
        clock.sleep(LOOK_SECONDS)
    path.teller.measured("The rollback goes on by itself: the gateway follows.")


def _restored_in(execution: Execution) -> str:
    return f": restored in {execution.rollback_seconds:.1f} s" if execution.rollback_seconds is not None else ""
