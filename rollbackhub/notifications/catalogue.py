"""What is told: audit events, their topics, and the words. One table.

Words are templates. `{about}` is what it happened to (`smart-reasoner in production`), `{who}` the event's actor; the other names are members of the
event's data. A line that names something which the event does not have is left out.
"""

from __future__ import annotations

import datetime as dt
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from zoneinfo import ZoneInfo

from incidents.enums import Severity
from rollbackhub.accounts.enums import Role
from rollbackhub.common.durations import in_words
from rollbackhub.notifications.enums import Topic


class Weight(StrEnum):
    """How a system that ranks messages ranks it."""

    INFO = "info"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Telling:
    """How one event is told."""

    topic: Topic
    subject: str
    what: tuple[str, ...]
    ask: str
    """What is asked of the reader, and of whom."""
    weight: Weight = Weight.INFO


URGENT = frozenset(
    {
        *(Topic.APPROVAL_WANTED, Topic.GLASS_BROKEN, Topic.PARTIALLY_RESTORED, Topic.VERIFICATION_FAILED, Topic.NEEDS_HUMAN),
        *(Topic.INCIDENT_OPENED, Topic.INCIDENT_REOPENED, Topic.ALERT_FIRED, Topic.PROPOSAL_MADE, Topic.TEST),
    }
)
"""Topics that quiet hours let through unless a team says otherwise."""

CHOOSABLE = tuple(topic for topic in Topic if topic != Topic.TEST)
"""Topics that rules are made for; a test goes to the channel that is tested."""

_WHY = "Why: {reason}"
_SAID = "{why}"
_NOTHING = "Nothing is asked of you."
_LOOK = "On-call: open the rollback and say how it goes on."

TELLINGS: dict[str, Telling] = {
    "rollback.requested": Telling(
        Topic.ROLLBACK_REQUESTED,
        "Rollback of {about} requested",
        ("{who} asked to roll back {about}.", _WHY, "To be taken out: {bad_versions}."),
        "Nothing yet. If it needs an approval, those who may give it are asked.",
    ),
    "rollback.escalated": Telling(
        Topic.APPROVAL_WANTED,
        "Approval wanted: rollback of {about}",
        ("A rollback of {about} waits for an approval by the role {role}.", "It expires at {expires_at}."),
        "Who has this role: look at the plan and approve or reject it. Until then the version keeps answering.",
        Weight.WARNING,
    ),
    "rollback.next_level_told": Telling(
        Topic.APPROVAL_WANTED,
        "Still no approval: rollback of {about}",
        ("Nobody has decided about the rollback of {about}; the next level is asked.",),
        "Leads: look at the plan and approve or reject it. Until then the version keeps answering.",
        Weight.WARNING,
    ),
    "rollback.authorised": Telling(
        Topic.ROLLBACK_AUTHORISED, "Rollback of {about} authorised", ("The rollback of {about} is authorised and starts.", "Authorised by: {by}."), _NOTHING
    ),
    "rollback.rejected": Telling(
        Topic.ROLLBACK_NOT_STARTED,
        "Rollback of {about} rejected",
        ("{who} rejected the rollback of {about}. Nothing was changed.", _WHY),
        "Who asked for it: ask again with another plan if it is still needed.",
    ),
    "rollback.expired": Telling(
        Topic.ROLLBACK_NOT_STARTED,
        "Rollback of {about} expired unapproved",
        ("Nobody approved the rollback of {about} in time. Nothing was changed.",),
        "Who asked for it: ask again if it is still needed.",
        Weight.WARNING,
    ),
    "rollback.withdrawn": Telling(
        Topic.ROLLBACK_NOT_STARTED, "Rollback of {about} withdrawn", ("The rollback of {about} was withdrawn by {who}. Nothing was changed.", _WHY), _NOTHING
    ),
    "rollback.glass_broken": Telling(
        Topic.GLASS_BROKEN,
        "Break-glass: rollback of {about} without approval",
        ("{who} rolls back {about} without approval.", _WHY),
        "Leads: look at it, and sign the review when it is over.",
        Weight.WARNING,
    ),
    "rollback.restored": Telling(
        Topic.ROLLBACK_RESTORED,
        "{about} is restored",
        ("Every live gateway serves the good version at {about}, and the bad one's traffic is gone.", "Decided to restored: {rollback_seconds}."),
        "Nothing yet: it is being verified.",
    ),
    "rollback.restored_revoked": Telling(
        Topic.PARTIALLY_RESTORED,
        "{about} is not restored after all",
        ("The bad version was seen to serve again at {about}.",),
        _LOOK,
        Weight.FAILURE,
    ),
    "rollback.verified": Telling(
        Topic.ROLLBACK_VERIFIED,
        "Rollback of {about} verified",
        ("{about} is restored and verified.", "Decided to restored: {rollback_seconds}."),
        "Owners of the version: it is under a stability hold. Find the cause before it ships again.",
    ),
    "rollback.verified_again": Telling(Topic.ROLLBACK_VERIFIED, "Rollback of {about} verified again", ("{about} is as the rollback left it.",), _NOTHING),
    "rollback.partially_restored": Telling(
        Topic.PARTIALLY_RESTORED,
        "{about} is only partially restored",
        ("The rollback of {about} did not reach everything.", _SAID, "Lagging: {lagging}."),
        _LOOK,
        Weight.FAILURE,
    ),
    "rollback.verification_failed": Telling(
        Topic.VERIFICATION_FAILED,
        "Rollback of {about} could not be verified",
        ("{about} was rolled back, but it is not shown that the harm is over.", _SAID),
        "On-call: look at the check, then verify again or look for another cause.",
        Weight.FAILURE,
    ),
    "rollback.reopened": Telling(
        Topic.VERIFICATION_FAILED,
        "{about} is no longer as the rollback left it",
        ("What was verified at {about} holds no more.",),
        _LOOK,
        Weight.FAILURE,
    ),
    "rollback.needs_human": Telling(
        Topic.NEEDS_HUMAN,
        "Rollback of {about} needs a person",
        ("The rollback of {about} has stopped and goes on only by a person.", _SAID),
        _LOOK,
        Weight.FAILURE,
    ),
    "planned_drill.failed": Telling(
        Topic.DRILL_FAILED,
        "Planned drill failed: {about}",
        ("A planned drill of {about} did not pass: it is not shown that the way back works.", _SAID),
        "The plan's owner: mend what it found and drill again.",
        Weight.WARNING,
    ),
    "planned_drill.missed": Telling(
        Topic.DRILL_MISSED, "Planned drill missed: {about}", ("A planned drill of {about} did not take place.", _SAID), "The plan's owner: drill it by hand."
    ),
    "hold.lifted": Telling(
        Topic.HOLD_LIFTED,
        "Hold on {about} lifted",
        ("{who} lifted the stability hold on {about} before its time: it may ship again.", _WHY),
        "Owners: make sure that the cause is mended before it ships.",
    ),
    "release.gate_bypassed": Telling(
        Topic.GATE_BYPASSED,
        "Release gate bypassed: {about}",
        ("{who} let a release of {about} through its closed gate.", _WHY, "Conditions that did not hold: {conditions}."),
        "Owners: watch its canary, and make up for what is missing.",
        Weight.WARNING,
    ),
    "incident.opened": Telling(
        Topic.INCIDENT_OPENED,
        "Incident: {title}",
        ("An incident of {about} was opened by {who}.", "Severity: {severity}."),
        "On-call: take the lead, and roll back if a version is to blame.",
        Weight.FAILURE,
    ),
    "incident.stable": Telling(
        Topic.INCIDENT_STABLE, "Incident is stable: {about}", ("The harm at {about} is over.",), "Who leads it: close it when all of it was looked at."
    ),
    "incident.reopened": Telling(
        Topic.INCIDENT_REOPENED, "Incident is open again: {about}", ("The harm at {about} is back.", _WHY), "On-call: look at it now.", Weight.FAILURE
    ),
    "incident.closed": Telling(
        Topic.INCIDENT_CLOSED, "Incident closed: {about}", ("The incident of {about} is closed by {who}.", _WHY), "Owners: write the postmortem if it has none."
    ),
    "alert.fired": Telling(
        Topic.ALERT_FIRED, "Alert: {about}", ("An alert fired at {about}: {name}.", "By the rule “{rule}”."), "On-call: look at the incident.", Weight.FAILURE
    ),
    "proposal.made": Telling(
        Topic.PROPOSAL_MADE,
        "Rollback proposed: {about}",
        ("An alert proposes to roll back {about}: {name}.", "To be taken out: {bad_version}.", "To go back to: {good_versions}."),
        "On-call: look at the prepared plan; one confirmation starts it.",
        Weight.FAILURE,
    ),
    "postmortem.published": Telling(
        Topic.POSTMORTEM_PUBLISHED, "Postmortem published: {about}", ("The postmortem of {about} is published.", "{title}"), "Read what it taught."
    ),
    "postmortem.overdue": Telling(
        Topic.POSTMORTEM_OVERDUE,
        "Postmortem overdue: {about}",
        ("The postmortem of {about} was to be published by {due_on}.", "{title}"),
        "Its author: finish it, or say by when.",
    ),
    "action.overdue": Telling(
        Topic.ACTION_OVERDUE, "Action overdue: {title}", ("“{title}” was to be done by {due_on}.", "Its owner: {owner}."), "The owner: do it, or say why not."
    ),
}


class Words(Mapping[str, str]):
    """An event's members as they are written into a template, instants by the clock of a zone."""

    def __init__(self, data: Mapping[str, object], *, about: str, who: str, zone: ZoneInfo) -> None:
        self._words = {name: _in_words(name, value, zone) for name, value in data.items()} | {"about": about, "who": who}

    def __getitem__(self, name: str) -> str:
        return self._words.get(name, "")

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def __len__(self) -> int:
        return len(self._words)


def fill(template: str, words: Words) -> str:
    """The template in words; empty when something that it names is not there."""
    named = [name for _, name, _, _ in string.Formatter().parse(template) if name]
    return template.format_map(words) if all(words[name] for name in named) else ""


def instant_in_words(at: dt.datetime, zone: ZoneInfo) -> str:
    """`2026-11-30 14:05 (Asia/Kolkata)`."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M} ({zone.key})"


_LABELS: Mapping[str, Mapping[str, str]] = {"role": dict(Role.choices), "severity": dict(Severity.choices)}


def _in_words(name: str, value: object, zone: ZoneInfo) -> str:
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, int | float):
        return in_words(float(value)) if name.endswith("_seconds") else str(value)
    if isinstance(value, list | tuple):
        return ", ".join(str(entry) for entry in value if isinstance(entry, str | int | float))
    if not isinstance(value, str):
        return ""
    if name.endswith("_at") and value:
        return instant_in_words(dt.datetime.fromisoformat(value), zone)
    return _LABELS.get(name, {}).get(value, value.strip())
