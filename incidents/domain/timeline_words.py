"""The words of an incident's timeline: one table by the name of the audit event. Pure.

Names in braces are filled from the event's data and from what it is about (`alias`, `version`, `aliases`). An event that is not in the table is
shown under its readable name; None leaves it out, because another line says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from incidents.enums import Matter, Severity
from rollbackhub.audit.wording import readable
from rollbackhub.common.durations import in_words
from rollbackhub.common.sentences import in_utc
from rollbackhub.executions.enums import Segment, StepState

WORDS: dict[str, str | None] = {
    "incident.opened": "Incident opened: {title}",
    "incident.joined": "A rollback of {aliases} joined the incident",
    "incident.updated": None,
    "incident.stable": "Stable: the harm is over",
    "incident.reopened": "Open again",
    "incident.closed": "Closed",
    "incident.severity_set": "Severity {severity_before} → {severity_after}",
    "incident.details_changed": "Title or summary changed",
    "incident.commander_changed": "{command}",
    "incident.aliases_changed": "Affected aliases changed: {added_and_removed}",
    "incident.versions_changed": "Versions that it is about changed: {added_and_removed}",
    "incident.detection_named": "Noticed earlier than was known: {detected_by}",
    "incident.corrected": "{matter_label} corrected: {values_before} → {values_after}",
    "incident.correction_withdrawn": "Correction of the {matter_lower} withdrawn: {values_before} → {values_after}",
    "incident.noted": None,
    "incident.note_edited": None,
    "incident.note_withdrawn": None,
    "alert.fired": "Alert: {name}",
    "alert.resolved": "The alert {name} ended, which closes nothing",
    "proposal.made": "Proposed to roll back {alias}, with {bad_version} to be taken out",
    "proposal.joined": "The alert {name} belongs to the proposal, too",
    "proposal.left_to_people": "Left to people: it is not rolled back by itself",
    "proposal.confirmed": "The proposal was confirmed",
    "proposal.dismissed": "The proposal was dismissed",
    "proposal.superseded": "The proposal was superseded",
    "proposal.expired": "The proposal expired",
    "postmortem.drafted": "Postmortem drafted, to be published by {due_on}",
    "postmortem.overdue": "The postmortem was to be published by {due_on}, and is not",
    "postmortem.reopened": "The postmortem is open again, with the action “{action_title}”",
    "postmortem.section_written": None,
    "postmortem.factor_answered": None,
    "notification.delivered": "{team} was told by {channel}: {subject}",
    "notification.dead": "{team} could not be told by {channel}: {subject}",
    "release.created": "Release of {version} to {alias} planned",
    "release.step_taken": "{version} got {percent} % of {alias}",
    "release.went_live": "{version} went live at {alias}, with all of the traffic",
    "release.gate_bypassed": "A lead let {version} through its closed gate",
    "release.rehearsal_started": "The rollback of {version} was rehearsed in staging",
    "release.rolled_back": "The release of {version} counts as rolled back",
    "release.superseded": "The release of {version} was followed by another",
    "release.abandoned": "The release of {version} was given up",
    "rollback.requested": "Decided to roll back {aliases}",
    "rollback.escalated": "The next level was asked for approval",
    "rollback.next_level_told": "Nobody had decided: the next level was told, too",
    "rollback.approved": "Approved",
    "rollback.rejected": "Rejected",
    "rollback.withdrawn": "The request was withdrawn",
    "rollback.expired": "The request expired unapproved",
    "rollback.plan_changed": "The plan changed while it waited; who had looked at it looks again",
    "rollback.authorised": "Authorised",
    "rollback.glass_broken": "The glass was broken: started without approval",
    "rollback.authority_changed": "The authority that it needs has changed",
    "rollback.review_signed": "A lead signed the review of the break-glass",
    "rollback.turned_back": "Refused when it was to start",
    "rollback.started": "The rollback began",
    "rollback.restored": "Restored{took}",
    "rollback.restored_revoked": "Not restored after all: the bad version was seen to serve again",
    "rollback.verified": "Verified",
    "rollback.verified_again": "Verified again",
    "rollback.verification_failed": "Verification failed",
    "rollback.partially_restored": "Restored only in part",
    "rollback.needs_human": "Stopped: it needs a person",
    "rollback.resumed": "It goes on",
    "rollback.step_skipped": "A step was skipped",
    "rollback.stop_requested": "It was told to stop",
    "rollback.cancelled": "Stopped",
    "rollback.undo_requested": "It was told to put things back",
    "rollback.undoing": "Things are being put back",
    "rollback.undone": "Put back as before",
    "rollback.given_up": "Given up as it stood",
    "rollback.closed": "The rollback was closed",
    "rollback.reopened": "The rollback was opened again: the version was seen to serve",
    "rollback.rolling_forward": "A fix is shipped instead",
    "rollback.rolled_forward": "The fix holds",
    "rollback.exposure_reckoned": "Exposure reckoned: {exposure}",
    "rollback.detection_corrected": "The rollback's detection was corrected",
    "hold.started": "{version} is under a stability hold",
    "hold.lifted": "The stability hold on {version} was lifted",
    "hold.traffic_seen": "{version} was seen to get traffic although it is under hold",
    "execution.requested": None,
    "execution.started": None,
    "execution.resumed": "Another worker went on with it",
    "execution.retried": "The step that stopped was tried again",
    "execution.finished": None,
    "execution.needs_human": None,
    "execution.cancel_requested": None,
    "execution.cancelled": None,
    "execution.closed": None,
    "execution.stopped": None,
    "execution.step_skipped": None,
    "execution.undo_requested": None,
    "execution.refused": None,
}

STEPS: dict[str, str] = {
    Segment.EXECUTE: "Flipped",
    Segment.PROPAGATE: "Acknowledged",
    Segment.DRAIN: "Drained",
    Segment.VERIFY: "Verified by checks",
    Segment.CLEAN_UP: "Put back",
}
"""A step that is done, by its segment. Steps of other segments are shown only when they did not pass."""

UNSETTLED: dict[str, str] = {
    StepState.FAILED: "Did not pass",
    StepState.SKIPPED: "Skipped by a person",
    StepState.UNKNOWN: "Not known whether it had its effect",
    StepState.INTERRUPTED: "Interrupted",
}

_DETAILS = ("reason", "why", "evidence", "note", "outcome", "text")
"""Members of an event's data that say more, the first that is there."""


class _Filled(dict[str, Any]):
    """What a sentence may name; what is not there stays out of it."""

    def __missing__(self, key: str) -> str:
        return ""


def event_in_words(event: str, data: Mapping[str, Any], *, about: Mapping[str, Any] | None = None) -> str | None:
    """An event as a line of the timeline; None: another line says it. `about`: what the event's subject is called."""
    words = WORDS.get(event, readable(event))
    if words is None:
        return None
    said = words.format_map(_Filled({**_in_words(data), **(about or {})}))
    return said.strip().rstrip(":").rstrip() or readable(event)


def detail_of(data: Mapping[str, Any]) -> str:
    """What an event says besides: its reason, its evidence."""
    return next((str(data[name]) for name in _DETAILS if isinstance(data.get(name), str) and data[name].strip()), "")


def step_in_words(*, segment: str, state: str, alias: str, title: str) -> str | None:
    """A step of an execution as a line of the timeline; None: nobody has to read it."""
    if state == StepState.DONE:
        return f"{STEPS[segment]} at {alias}: {title}" if segment in STEPS else None
    return f"{UNSETTLED[state]} at {alias}: {title}" if state in UNSETTLED else None


def values_in_words(values: Mapping[str, Any]) -> str:
    """The columns of a correction as a person reads them."""
    if "impact" in values:
        return f"“{values['impact']}”" if values["impact"] else "nothing"
    if "detected_at" in values:
        at = values["detected_at"]
        return in_utc(str(at)) if at else "unknown"
    counted, estimated = values.get("exposure_observed"), values.get("exposure_estimated")
    if counted is None and estimated is None:
        return "unknown"
    said = [] if counted is None else [f"{counted:,} counted"]
    return ", ".join(said + ([] if estimated is None else [f"{estimated:,} estimated"]))


def _in_words(data: Mapping[str, Any]) -> dict[str, Any]:
    """The members of an event's data, lists joined, and what sentences name besides."""
    named = {name: ", ".join(str(entry) for entry in value) if isinstance(value, list) else value for name, value in data.items() if value is not None}
    before, after = data.get("before"), data.get("after")
    named["severity_before"], named["severity_after"] = _severity(before), _severity(after)
    named["command"] = _command(data)
    named["added_and_removed"] = _added_and_removed(data)
    matter = data.get("matter")
    if matter in Matter.values and isinstance(before, dict) and isinstance(after, dict):
        label = str(Matter(matter).label)
        named |= {"matter_label": label, "matter_lower": label.lower(), "values_before": values_in_words(before), "values_after": values_in_words(after)}
    seconds = data.get("rollback_seconds")
    named["took"] = f" in {in_words(float(seconds))}" if isinstance(seconds, int | float) else ""
    named["exposure"] = values_in_words(data) if "exposure_observed" in data or "exposure_estimated" in data else ""
    return named


def _severity(value: Any) -> str:
    return Severity(value).short if isinstance(value, str) and value in Severity.values else ""


def _command(data: Mapping[str, Any]) -> str:
    before, after = data.get("before_name") or "", data.get("after_name") or ""
    if not after:
        return f"{before} gave up the command" if before else "The command was given up"
    if not before:
        return f"{after} took the command"
    return f"{after} took over the command from {before}" if data.get("how") == "taken" else f"{before} handed the command over to {after}"


def _added_and_removed(data: Mapping[str, Any]) -> str:
    said = []
    for name, sign in (("added", "+"), ("removed", "-")):
        value = data.get(name)
        said += [f"{sign} {entry}" for entry in value] if isinstance(value, list) else []
    return ", ".join(said)
