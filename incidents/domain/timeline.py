"""What happened in an incident, in order. It is computed from what was recorded anyway; nothing is written for it, so nothing can be missing.

It reads: the audit events of the incident, of its rollbacks with their executions, and of the releases that brought the bad version; the steps of
the executions (flip, acknowledgement, drain, verification with its verdict); the notes of people. Other parts of RollbackHub (alerts,
postmortems, notifications) are read, too, where their audit events say so: the subject is the incident (`subject_type="incident"`), or the data
name it (`data["incident"]`: its id as text). `data["url"]`, a path of ours, is then where the line leads to.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from django.db.models import Q
from django.db.models.fields.json import KeyTextTransform

from incidents.domain.selectors import list_parts_of
from incidents.domain.timeline_words import detail_of, event_in_words, step_in_words
from incidents.models import Incident, IncidentNote
from rollbackhub.audit.models import AuditEvent
from rollbackhub.executions.enums import StepState
from rollbackhub.executions.models import Execution, StepAttempt
from rollbackhub.registry.models import Version
from rollbackhub.releases.models import Release
from rollbackhub.rollbacks.models import RollbackPart, RollForward

LONGEST = 1000
"""Events and steps that are read at most, each the newest: an incident that has more of them is shown from there on, and says so."""

Kind = Literal["detected", "event", "step", "note"]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened."""

    at: dt.datetime
    kind: Kind
    words: str
    who: str
    """The actor's label; empty where nobody is named."""
    who_kind: str
    """person, token or system."""
    url: str = ""
    """Path of the page of what it is about; empty: the incident's own."""
    detail: str = ""
    event: str = ""
    """The audit event's name."""
    failed: bool = False
    """It did not go as it should."""
    note: IncidentNote | None = None


@dataclass
class Timeline:
    """The timeline of one incident with what it is made of. Everything is fetched once, when it is first asked for; ten queries in all."""

    incident: Incident
    limit: int = LONGEST
    is_whole: bool = field(default=True, init=False)
    """False: there is more than is shown. True once the lines were asked for and fit."""

    @cached_property
    def parts(self) -> list[RollbackPart]:
        """The aliases of its rollbacks."""
        return list_parts_of(self.incident)

    @cached_property
    def forwards(self) -> list[RollForward]:
        """The fixes that were shipped instead of its rollbacks."""
        return list(RollForward.objects.filter(rollback__incident_link__incident=self.incident).select_related("execution", "part__policy", "fix_version"))

    @cached_property
    def versions(self) -> list[Version]:
        """The versions that it is about: taken out by its rollbacks, and named by people."""
        found = {part.bad_version_id: part.bad_version for part in self.parts}
        found |= {version.pk: version for version in self.incident.versions.select_related("artefact")}
        return list(found.values())

    @cached_property
    def releases(self) -> list[Release]:
        """The releases that brought these versions to its aliases, the oldest first."""
        policies = [policy.pk for policy in self.incident.aliases.all()] + [part.policy_id for part in self.parts]
        found = Release.objects.filter(policy__in=policies, to_version__in=[version.pk for version in self.versions], started_at__isnull=False)
        return list(found.select_related("policy", "to_version").order_by("created_at", "pk"))

    @cached_property
    def notes(self) -> list[IncidentNote]:
        """What people wrote."""
        return list(self.incident.notes.order_by("about_at", "pk"))

    @cached_property
    def lines(self) -> list[Line]:
        """What happened, the earliest first."""
        found = [*self._detection(), *self._events(), *self._steps(), *(_line_of_note(note) for note in self.notes)]
        return sorted(found, key=lambda line: line.at)

    def _detection(self) -> list[Line]:
        incident = self.incident
        if incident.detected_at is None:
            return []
        return [Line(at=incident.detected_at, kind="detected", words=f"Noticed: {incident.detected_by}".rstrip(": "), who="", who_kind="person")]

    @cached_property
    def _executions(self) -> dict[str, tuple[Execution | None, dict[str, Any], str]]:
        """Each execution's id: the execution (None: of an earlier plan), what it is called, and its page."""
        found: dict[str, tuple[Execution | None, dict[str, Any], str]] = {}
        for part in self.parts:
            about, url = {"alias": part.policy.alias, "version": part.bad_version.label}, f"/rollbacks/{part.rollback_id}/"
            found |= {str(earlier): (None, about, url) for earlier in part.earlier_executions}
            if part.execution is not None:
                found[str(part.execution.pk)] = (part.execution, about, url)
        for forward in self.forwards:
            about = {"alias": forward.part.policy.alias, "version": forward.fix_version.label}
            found[str(forward.execution_id)] = (forward.execution, about, f"/rollbacks/{forward.rollback_id}/")
        return found

    @cached_property
    def _called(self) -> dict[tuple[str, str], tuple[dict[str, Any], str]]:
        """What each subject of events is called, and its page."""
        called: dict[tuple[str, str], tuple[dict[str, Any], str]] = {("incident", str(self.incident.pk)): ({}, "")}
        aliases: dict[str, list[str]] = {}
        for part in self.parts:
            aliases.setdefault(str(part.rollback_id), []).append(part.policy.alias)
        called |= {("rollback", pk): ({"aliases": ", ".join(names)}, f"/rollbacks/{pk}/") for pk, names in aliases.items()}
        called |= {("execution", pk): (about, url) for pk, (_, about, url) in self._executions.items()}
        for release in self.releases:
            called["release", str(release.pk)] = ({"alias": release.policy.alias, "version": release.to_version.label}, f"/releases/{release.pk}/")
        for part in self.parts:
            called["version", str(part.bad_version_id)] = ({"version": part.bad_version.label}, f"/rollbacks/{part.rollback_id}/")
        return called

    def _events(self) -> list[Line]:
        """Two queries: of what belongs to it, and of what names it."""
        by_type: dict[str, list[str]] = {}
        for subject_type, subject_id in self._called:
            by_type.setdefault(subject_type, []).append(subject_id)
        wanted = Q()
        for subject_type, ids in by_type.items():
            of_it = Q(subject_type=subject_type, subject_id__in=ids)
            wanted |= of_it & Q(event__in=("hold.started", "hold.lifted")) if subject_type == "version" else of_it
        own = self._newest(AuditEvent.objects.filter(wanted))
        named = self._newest(
            AuditEvent.objects.annotate(named=KeyTextTransform("incident", "data")).filter(data__has_key="incident", named=str(self.incident.pk))
        )
        events = {event.pk: event for event in (*own, *named)}
        return [line for event in sorted(events.values(), key=lambda event: event.pk) if (line := self._line_of(event)) is not None]

    def _line_of(self, event: AuditEvent) -> Line | None:
        if event.subject_type == "version" and event.data.get("rollback") not in {str(part.rollback_id) for part in self.parts}:
            return None
        about, url = self._called.get((event.subject_type, event.subject_id), ({}, ""))
        words = event_in_words(event.event, event.data, about=about)
        if words is None:
            return None
        return Line(
            at=event.at,
            kind="event",
            words=words,
            who=event.actor_label,
            who_kind=event.actor_kind,
            url=_own_path(event.data.get("url")) or url or _address_beside(event),
            detail=detail_of(event.data),
            event=event.event,
        )

    def _steps(self) -> list[Line]:
        """One query."""
        executions = {key: entry for key, entry in self._executions.items() if entry[0] is not None}
        attempts = StepAttempt.objects.filter(execution__in=list(executions)).exclude(state=StepState.STARTED).defer("result")
        return [line for attempt in self._newest(attempts) if (line := _line_of_step(attempt, *executions[str(attempt.execution_id)])) is not None]

    def _newest(self, found: Any) -> Sequence[Any]:
        rows = list(found.order_by("-pk")[: self.limit + 1])
        self.is_whole = self.is_whole and len(rows) <= self.limit
        return rows[: self.limit][::-1]


def _line_of_step(attempt: StepAttempt, execution: Execution | None, about: dict[str, Any], url: str) -> Line | None:
    steps = execution.plan["steps"] if execution is not None else []
    title = steps[attempt.position]["title"] if attempt.position < len(steps) else attempt.key
    words = step_in_words(segment=attempt.segment, state=attempt.state, alias=about["alias"], title=title)
    if words is None:
        return None
    return Line(
        at=attempt.ended_at or attempt.started_at,
        kind="step",
        words=words,
        who="engine",
        who_kind="system",
        url=url,
        detail=attempt.message,
        failed=attempt.state != StepState.DONE,
    )


def _line_of_note(note: IncidentNote) -> Line:
    return Line(at=note.about_at, kind="note", words="Note", who=note.author_label, who_kind="person", note=note)


def _own_path(url: object) -> str:
    """A path of ours that an event names; what leads elsewhere is left out."""
    return url if isinstance(url, str) and url.startswith("/") and not url.startswith(("//", "/\\")) else ""


def _address_beside(event: AuditEvent) -> str:
    """The page of a subject that is not the incident's: what can be told by its type."""
    pages = {"rollback": "/rollbacks/{}/", "release": "/releases/{}/", "action": "/actions/{}/"}
    return pages[event.subject_type].format(event.subject_id) if event.subject_type in pages else ""
