"""What people do with an incident: say how bad it is and what it is about, lead it, say that it is stable, close it, open it again."""

from __future__ import annotations

import datetime as dt
import hashlib
from uuid import UUID

from django.db import transaction

from incidents.domain.changes import OVER_NO_MORE, address_of, change_state, keep, locked, optional_text, required_text, wrong_state
from incidents.domain.selectors import get_incident, list_rollbacks_of
from incidents.enums import IncidentState, Severity, Source
from incidents.models import Incident
from incidents.rules import CLOSES_NOT_WHILE, LONGEST_TITLE
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.domain.notices import tell
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, may, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput
from rollbackhub.common.shown_text import require_shown
from rollbackhub.registry.models import Environment


def set_severity(*, incident_id: UUID, severity: Severity, account: User, actor: Actor, reason: str = "") -> Incident:
    """Say how bad it is, in any state: that is often known late. The same again changes nothing. Raises NotFound, Forbidden, InvalidInput."""
    require(user=account, capability=Capability.RESPOND)
    reason = optional_text(reason, field="reason")
    with transaction.atomic():
        incident = locked(incident_id)
        if incident.severity != severity:
            data = {"before": incident.severity, "after": severity, "reason": reason}
            keep(incident, actor=actor, event="incident.severity_set", data=data, severity=severity)
    return incident


def raise_severity(*, incident_id: UUID, to: Severity, actor: Actor, reason: str) -> Severity | None:
    """Say that it is worse than was known, for an alert that joins it. None, and nothing changes, when it is no worse, or a person has set it: theirs
    stands. Raises NotFound.
    """
    with transaction.atomic():
        incident = locked(incident_id)
        order = list(Severity)
        if order.index(to) >= order.index(Severity(incident.severity)) or _was_set_by_a_person(incident):
            return None
        keep(incident, actor=actor, event="incident.severity_set", data={"before": incident.severity, "after": to, "reason": reason}, severity=to)
        return to


def open_again_for(*, incident_id: UUID, since: dt.datetime, actor: Actor, reason: str) -> bool:
    """Open a stable incident again because an alert fires that began after it was stable; whether it did. Like what a person opens again, it becomes
    stable only by something newer. Raises NotFound.
    """
    with transaction.atomic():
        incident = locked(incident_id)
        if incident.state != IncidentState.STABLE or incident.stable_at is None or since <= incident.stable_at:
            return False
        _open_again(incident, actor=actor, reason=reason)
        return True


def _was_set_by_a_person(incident: Incident) -> bool:
    by_hand = AuditEvent.objects.filter(event="incident.severity_set", subject_type="incident", subject_id=str(incident.pk)).exclude(actor_kind="system")
    return incident.source == Source.PERSON or by_hand.exists()


def details_hash(incident: Incident) -> str:
    """Of the title and the summary as they stand: whoever changes them says what they had read."""
    return hashlib.sha256(f"{incident.title}\0{incident.summary}".encode()).hexdigest()


def change_details(*, incident_id: UUID, seen_hash: str, account: User, actor: Actor, title: str | None = None, summary: str | None = None) -> Incident:
    """Change the title or the summary, in any state; None leaves it. Old and new are audited.

    `seen_hash`: the `details_hash` of what was read. Raises NotFound, Forbidden, InvalidInput, and Conflict `details_moved`, with what stands there
    and its hash, when somebody else has written meanwhile: nothing is overwritten.
    """
    require(user=account, capability=Capability.RESPOND)
    wanted: dict[str, str] = {}
    if title is not None:
        wanted["title"] = require_shown(title, field="title")
        if not 3 <= len(wanted["title"]) <= LONGEST_TITLE:
            sentence = f"Say in 3 to {LONGEST_TITLE} characters what is wrong."
            raise InvalidInput(sentence, fields={"title": [sentence]})
    if summary is not None:
        wanted["summary"] = optional_text(summary, field="summary")
    with transaction.atomic():
        incident = locked(incident_id)
        fields = {name: value for name, value in wanted.items() if getattr(incident, name) != value}
        if fields and seen_hash != details_hash(incident):
            raise Conflict(
                "Somebody has changed the title or the summary since you began. Nothing of yours was saved yet: take over what you need, and save again.",
                code="details_moved",
                current_title=incident.title,
                current_summary=incident.summary,
                details_hash=details_hash(incident),
            )
        if fields:
            changes = {name: {"before": getattr(incident, name), "after": value} for name, value in fields.items()}
            keep(incident, actor=actor, event="incident.details_changed", data={"changes": changes}, **fields)
    return incident


def take_command(*, incident_id: UUID, account: User, actor: Actor, instead_of: User | None = None) -> Incident:
    """Lead the response, `instead_of` the person who was seen to do so (None: nobody). Who is relieved is told.

    Raises NotFound, Forbidden, InvalidInput (a service account), Conflict `commander_changed` (somebody else leads it meanwhile), `wrong_state`.
    """
    require(user=account, capability=Capability.RESPOND)
    _require_leader(account)
    with transaction.atomic():
        incident = _not_closed(incident_id, "nobody leads it any more")
        if incident.commander_id == account.pk:
            return incident
        if incident.commander_id != (instead_of.pk if instead_of else None):
            who = f"{_name(incident.commander)} leads it" if incident.commander else "nobody leads it any more"
            sentence = f"The command has changed since you looked: {who} now. Look again, then take it if you must."
            raise Conflict(sentence, code="commander_changed", commander=incident.commander.username if incident.commander else None)
        _set_commander(incident, account, actor=actor, how="taken")
    return incident


def hand_over_command(*, incident_id: UUID, to: User, account: User, actor: Actor) -> Incident:
    """Give the command to another person, who is told. By the commander.

    Raises NotFound, Forbidden `not_commander`, InvalidInput (who cannot lead it), Conflict `wrong_state`.
    """
    require(user=account, capability=Capability.RESPOND)
    _require_leader(to)
    with transaction.atomic():
        incident = _not_closed(incident_id, "nobody leads it any more")
        _require_commander(incident, account)
        if to.pk != account.pk:
            _set_commander(incident, to, actor=actor, how="handed_over")
    return incident


def give_up_command(*, incident_id: UUID, account: User, actor: Actor) -> Incident:
    """Lead it no longer; nobody does then. By the commander. Raises NotFound, Forbidden `not_commander`, Conflict `wrong_state`."""
    require(user=account, capability=Capability.RESPOND)
    with transaction.atomic():
        incident = _not_closed(incident_id, "nobody leads it any more")
        _require_commander(incident, account)
        _set_commander(incident, None, actor=actor, how="given_up")
    return incident


def declare_stable(*, incident_id: UUID, evidence: str, account: User, actor: Actor, at: dt.datetime | None = None) -> Incident:
    """Say that the harm is over where no rollback has shown it, and what says so. `at`: when it ceased; None: now.

    Raises NotFound, Forbidden, InvalidInput `evidence_missing`, `stable_at_invalid`, Conflict `wrong_state`.
    """
    require(user=account, capability=Capability.RESPOND)
    evidence = required_text(evidence, field="evidence", missing="Say what you have seen that shows that the harm is over.")
    with transaction.atomic():
        incident = locked(incident_id)
        if incident.state != IncidentState.OPEN:
            raise wrong_state(incident, "cannot become stable")
        now = clock.now()
        begun = min(instant for instant in (incident.opened_at, incident.detected_at) if instant is not None)
        if at is not None and not begun <= at <= now:
            sentence = f"It ceased between {begun:%Y-%m-%d %H:%M:%S} UTC, when it was noticed, and now."
            raise InvalidInput(sentence, code="stable_at_invalid", fields={"at": [sentence]})
        stable_at = at or now
        change_state(
            incident,
            IncidentState.STABLE,
            actor=actor,
            event="incident.stable",
            data={"stable_at": stable_at.isoformat(), "evidence": evidence},
            stable_at=stable_at,
            stable_by_label=actor.label,
            stable_evidence=evidence,
        )
    return incident


def close_incident(*, incident_id: UUID, account: User, actor: Actor, reason: str = "") -> Incident:
    """Close it: a person has looked at all of it. `reason`: what was looked at; needed where it is not stable.

    Raises NotFound, Forbidden, InvalidInput `reason_missing`, Conflict `wrong_state`, `rollback_running` (with the `rollback_id`, `url`).
    """
    require(user=account, capability=Capability.RESPOND)
    reason = optional_text(reason, field="reason")
    with transaction.atomic():
        # As those who follow rollbacks do: a rollback joins it before it is closed, or opens another.
        Environment.objects.select_for_update(no_key=True).get(pk=get_incident(incident_id).environment_id)
        incident = locked(incident_id)
        if incident.state == IncidentState.CLOSED:
            raise wrong_state(incident, "cannot be closed again")
        going_on = next((rollback for rollback in list_rollbacks_of(incident) if rollback.state in CLOSES_NOT_WHILE), None)
        if going_on is not None:
            raise Conflict(
                f"Its rollback of {going_on.decided_at:%Y-%m-%d %H:%M} UTC still goes on ({going_on.get_state_display().lower()})."
                " Close the incident when that has ended.",
                code="rollback_running",
                rollback_id=str(going_on.pk),
                url=f"/rollbacks/{going_on.pk}/",
            )
        if incident.state == IncidentState.OPEN and not reason:
            sentence = "Nothing has shown that the harm is over: say why it can be closed all the same."
            raise InvalidInput(sentence, code="reason_missing", fields={"reason": [sentence]})
        change_state(
            incident,
            IncidentState.CLOSED,
            actor=actor,
            event="incident.closed",
            data={"reason": reason},
            closed_at=clock.now(),
            closed_by_label=actor.label,
            closed_reason=reason,
        )
    return incident


def reopen_incident(*, incident_id: UUID, reason: str, account: User, actor: Actor) -> Incident:
    """Open a stable or closed incident again: it is not over. What rollbacks showed before does not count any more.

    Raises NotFound, Forbidden, InvalidInput `reason_missing`, Conflict `wrong_state`.
    """
    require(user=account, capability=Capability.RESPOND)
    reason = required_text(reason, field="reason", missing="Say why it is open again.")
    with transaction.atomic():
        incident = locked(incident_id)
        _open_again(incident, actor=actor, reason=reason)
    return incident


def can_lead(user: User) -> bool:
    """Whether this account can be a commander: an active person who may work on incidents."""
    return not user.is_service and may(user=user, capability=Capability.RESPOND)


def _open_again(incident: Incident, *, actor: Actor, reason: str) -> None:
    """Its commander is told, unless it is they who did it."""
    change_state(incident, IncidentState.OPEN, actor=actor, event="incident.reopened", data={"reason": reason}, reopened_at=clock.now(), **OVER_NO_MORE)
    if incident.commander is not None and incident.commander_id != actor.user_id:
        tell(
            people=[incident.commander],
            key=f"incident:{incident.pk}:reopened:{incident.reopened_at:%Y%m%d%H%M%S}",
            subject=f"Open again: {incident.title}",
            text=f"{actor.label}: {reason}",
            url=address_of(incident.pk),
        )


def _set_commander(incident: Incident, commander: User | None, *, actor: Actor, how: str) -> None:
    before = incident.commander
    data = {"before": before.username if before else None, "after": commander.username if commander else None, "how": how}
    names = {"before_name": _name(before) if before else "", "after_name": _name(commander) if commander else ""}
    keep(incident, actor=actor, event="incident.commander_changed", data=data | names, commander=commander)
    concerned = {"taken": before, "handed_over": commander}.get(how)
    if concerned is not None:
        said = f"{actor.label} has taken over the command of {incident.title}" if how == "taken" else f"You lead now: {incident.title}"
        tell(
            people=[concerned],
            key=f"incident:{incident.pk}:command:{clock.now():%Y%m%d%H%M%S%f}",
            subject=said,
            text=f"{actor.label} handed it over to you." if how == "handed_over" else "You do not lead it any longer.",
            url=address_of(incident.pk),
        )


def _not_closed(incident_id: UUID, sentence: str) -> Incident:
    incident = locked(incident_id)
    if incident.state == IncidentState.CLOSED:
        raise wrong_state(incident, sentence)
    return incident


def _require_leader(user: User) -> None:
    if not can_lead(user):
        sentence = f"{user.username} cannot lead it: a person who can sign in and may work on incidents does."
        raise InvalidInput(sentence, code="cannot_lead", fields={"commander": [sentence]})


def _require_commander(incident: Incident, account: User) -> None:
    if incident.commander_id != account.pk:
        who = f"{_name(incident.commander)} leads it" if incident.commander else "Nobody leads it"
        raise Forbidden(f"{who}. Only who leads an incident hands it over or gives it up; take the command first.", code="not_commander")


def _name(user: User) -> str:
    return actor_of(user).label
