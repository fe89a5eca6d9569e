"""Proposed rollbacks: made by alerts, confirmed or dismissed by people, ended by the clock. Their only writer.

The plan is what the page “Roll back” would show, by the same function; confirming requests the rollback by the function that the page uses, too.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import QuerySet

from incidents.enums import Severity
from incidents.models import Incident
from rollbackhub.accounts.domain.notices import list_people_with, put_away, tell
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.alerts.enums import AlertState, ProposalState
from rollbackhub.alerts.models import Alert, Proposal
from rollbackhub.audit.actors import Actor, system_actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, NotFound
from rollbackhub.common.turns import each_of
from rollbackhub.rollbacks.domain.changes import address_of, clean_reason, require_person
from rollbackhub.rollbacks.domain.proposal import Proposal as RollbackProposal
from rollbackhub.rollbacks.domain.proposal import propose_rollback, targets_of
from rollbackhub.rollbacks.domain.proposal_report import proposal_report
from rollbackhub.rollbacks.domain.transitions import EARLIEST_DETECTION, find_active, refuse_unless_free, request_rollback
from rollbackhub.rollbacks.enums import Via
from rollbackhub.rollbacks.models import RollbackPart
from rollbackhub.rollbacks.rules import MAX_REASON
from rollbackhub.routing.models import RoutingPolicy

ALERTS = system_actor("alerts")
"""What acts when an alert comes in."""

LIVES = dt.timedelta(hours=24)
"""A proposal that nobody has decided about is of no use after this time: the next firing makes another."""
AT_ONCE = 100


def plan_now(policy: RoutingPolicy, *, account: User | None = None) -> RollbackProposal:
    """What rolling the alias back would mean now, for this account (None: for nobody in particular).

    Raises Conflict (something holds the alias), InvalidInput (not production, nothing to roll back or to go back to), NotFound (no procedure).
    """
    refuse_unless_free(policy)
    return propose_rollback(targets=targets_of([policy]), account=account or User(pk=0))


def propose(*, policy: RoutingPolicy, incident: Incident, alert: Alert, severity: Severity) -> tuple[Proposal, bool]:
    """Propose to roll the alias back, or join what is proposed there already; whether it made a proposal. In the open transaction.

    Raises what `plan_now` does.
    """
    found = plan_now(policy)
    now = clock.now()
    before = Proposal.objects.select_for_update(of=("self",)).filter(policy=policy, state=ProposalState.OPEN).first()
    same_harm = before is not None and before.incident_id == incident.pk
    if before is not None and same_harm and before.plan_hash == found.plan_hash:
        data = {"alert": str(alert.pk), "name": alert.name, "incident": str(before.incident_id)}
        record(event="proposal.joined", actor=ALERTS, subject_type="proposal", subject_id=before.pk, data=data)
        return before, False
    if before is not None:
        what = "What would be done has changed since" if same_harm else "Its incident is over"
        _end(before, to=ProposalState.SUPERSEDED, actor=ALERTS, because=f"{what}: a later alert proposes it anew.")
    proposal = Proposal.objects.create(
        policy=policy,
        incident=incident,
        plan=json.loads(json.dumps(proposal_report(found), cls=DjangoJSONEncoder)),
        plan_hash=found.plan_hash,
        detected_at=min(alert.starts_at, now),
        detected_by=alert.name,
        severity=severity,
        made_at=now,
        expires_at=now + LIVES,
    )
    content = found.parts[0].plan.content
    _record(
        "proposal.made",
        proposal,
        ALERTS,
        {
            "alert": str(alert.pk),
            "name": alert.name,
            "bad_version": content["bad_version"],
            "good_versions": content["good_versions"],
            "plan_hash": found.plan_hash,
        },
    )
    tell(
        people=list_people_with(Role.ON_CALL),
        key=_key(proposal),
        subject=f"Alert {alert.name}: roll back {policy.alias} in {policy.environment.slug}?"[:200],
        text=f"{_in_words(content)} The plan is prepared: look at it and confirm, or dismiss it.",
        url=url_of(proposal),
    )
    return proposal, True


def confirm_proposal(*, proposal_id: UUID, account: User, actor: Actor, via: Via, seen_plan_hash: str, reason: str = "", automatic: bool = False) -> Proposal:
    """Request the rollback that is proposed, with when and how it was noticed. Within one's authority it starts, else it waits for approval.

    `seen_plan_hash`: of the plan that was looked at. Raises Forbidden, NotFound, InvalidInput (nothing to go back to), Conflict (`proposal_ended`,
    `plan_changed`, `rollback_active`, `already_running`, `rejected_plan`).
    """
    require(user=account, capability=Capability.ROLL_BACK)
    with transaction.atomic():
        proposal = _locked_open(proposal_id)
        now = clock.now()
        refuse_unless_free(proposal.policy)
        rollback = request_rollback(
            targets=targets_of([proposal.policy]),
            account=account,
            actor=actor,
            reason=reason or reason_of(proposal),
            via=via,
            detected_at=proposal.detected_at if proposal.detected_at > now - EARLIEST_DETECTION else None,
            detected_by=proposal.detected_by,
            seen_plan_hash=seen_plan_hash,
        )
        proposal.rollback, proposal.automatic = rollback, automatic
        return _end(
            proposal,
            to=ProposalState.CONFIRMED,
            actor=actor,
            because="Confirmed by RollbackHub itself, as it is turned on for this alias." if automatic else "",
            data={"rollback": str(rollback.pk), "rollback_state": rollback.state, "automatic": automatic, "plan_hash": rollback.plan_hash},
        )


def dismiss_proposal(*, proposal_id: UUID, account: User, actor: Actor, reason: str) -> Proposal:
    """Say that it is not to be rolled back, and why. Raises Forbidden, NotFound, InvalidInput, Conflict `proposal_ended`."""
    require(user=account, capability=Capability.ROLL_BACK)
    require_person(account=account, actor=actor, doing="Dismissing a proposal")
    reason = clean_reason(reason)
    with transaction.atomic():
        return _end(_locked_open(proposal_id), to=ProposalState.DISMISSED, actor=actor, because=reason)


def leave_to_people(proposal: Proposal, *, because: str, actor: Actor) -> None:
    """Note why RollbackHub does not confirm a locked proposal by itself. In the open transaction."""
    proposal.not_automatic = because
    proposal.save(update_fields=["not_automatic"])
    _record("proposal.left_to_people", proposal, actor, {"because": because})


def settle_overtaken() -> int:
    """End open proposals whose alias a rollback holds by now: somebody asked for it another way. Safe to run twice at once. Returns how many."""
    held = RollbackPart.objects.filter(holds_alias=True).values("policy")
    due = Proposal.objects.filter(state=ProposalState.OPEN, policy__in=held).values_list("pk", flat=True)[:AT_ONCE]
    return each_of(list(due), _overtake, doing="while ending proposal")


def expire_proposals() -> int:
    """End proposals whose time is over. Safe to run twice at once. Returns how many."""
    due = Proposal.objects.filter(state=ProposalState.OPEN, expires_at__lte=clock.now()).values_list("pk", flat=True)[:AT_ONCE]
    return each_of(list(due), _expire, doing="while ending proposal")


def get_proposal(proposal_id: UUID) -> Proposal:
    """A proposal with its alias, incident and rollback. Raises NotFound. One query."""
    found = _proposals().filter(pk=proposal_id).first()
    if found is None:
        raise no_proposal()
    return found


def list_proposals(*, state: str = "", environment: str = "", alias: str = "") -> QuerySet[Proposal]:
    """Proposals, newest first."""
    found = _proposals().order_by("-made_at", "pk")
    wanted = {"state": state, "policy__environment__slug": environment, "policy__alias": alias}
    return found.filter(**{name: value for name, value in wanted.items() if value})


def list_open_proposals() -> QuerySet[Proposal]:
    """Those that wait for a decision, the oldest first."""
    return _proposals().filter(state=ProposalState.OPEN).order_by("made_at")


def reason_of(proposal: Proposal) -> str:
    """Why the rollback is asked for, in the words of the alert."""
    return f"Alert {proposal.detected_by}"[:MAX_REASON]


def still_fires(proposal: Proposal) -> bool:
    """Whether one of its alerts fires. One query."""
    return proposal.alerts.filter(state=AlertState.FIRING).exists()


def url_of(proposal: Proposal) -> str:
    """The path of its page."""
    return f"/alerts/proposals/{proposal.pk}/"


def no_proposal() -> NotFound:
    """What is said of a proposal that there is not."""
    return NotFound("There is no such proposal.", code="proposal_not_found")


def locked_proposal(proposal_id: UUID) -> Proposal | None:
    """The proposal, its row locked until the transaction ends; None when there is none or it has ended."""
    proposals = Proposal.objects.select_for_update(of=("self",)).select_related("policy__environment", "policy__artefact", "incident")
    return proposals.filter(pk=proposal_id, state=ProposalState.OPEN).first()


def _proposals() -> QuerySet[Proposal]:
    return Proposal.objects.select_related("policy__environment", "policy__artefact", "incident", "rollback")


def _locked_open(proposal_id: UUID) -> Proposal:
    proposal = locked_proposal(proposal_id)
    if proposal is not None:
        return proposal
    ended = get_proposal(proposal_id)
    where = f" by {ended.ended_by_label}" if ended.ended_by_label else ""
    raise Conflict(
        f"This proposal has ended: {ended.get_state_display().lower()}{where}. {ended.ended_because}".strip(),
        code="proposal_ended",
        state=ended.state,
        url=address_of(ended.rollback) if ended.rollback is not None else url_of(ended),
    )


def _overtake(proposal_id: UUID) -> int:
    with transaction.atomic():
        proposal = locked_proposal(proposal_id)
        active = find_active(proposal.policy) if proposal is not None else None
        if proposal is None or active is None:
            return 0
        because = f"A rollback of {proposal.policy.alias} was requested by {active.requested_by_label} meanwhile."
        _end(proposal, to=ProposalState.SUPERSEDED, actor=ALERTS, because=because, data={"rollback": str(active.pk)})
        return 1


def _expire(proposal_id: UUID) -> int:
    with transaction.atomic():
        proposal = locked_proposal(proposal_id)
        if proposal is None or proposal.expires_at > clock.now():
            return 0
        _end(proposal, to=ProposalState.EXPIRED, actor=ALERTS, because="Nobody decided in time. The next firing proposes it anew.")
        return 1


def _end(proposal: Proposal, *, to: ProposalState, actor: Actor, because: str, data: dict[str, Any] | None = None) -> Proposal:
    """The one change of state there is: an open, locked proposal ends."""
    proposal.state, proposal.ended_at, proposal.ended_by_label, proposal.ended_because = to, clock.now(), actor.label, because
    proposal.save()
    put_away([_key(proposal)])
    _record(f"proposal.{to.value}", proposal, actor, {"because": because, **(data or {})})
    return proposal


def _in_words(content: Mapping[str, Any]) -> str:
    return f"Takes out {content['bad_version']}, goes back to {', '.join(content['good_versions'])}."


def _key(proposal: Proposal) -> str:
    return f"proposal:{proposal.pk}"


def _record(event: str, proposal: Proposal, actor: Actor, data: dict[str, Any]) -> None:
    about = {"alias": proposal.policy.alias, "environment": proposal.policy.environment.slug, "incident": str(proposal.incident_id)}
    record(event=event, actor=actor, subject_type="proposal", subject_id=proposal.pk, data={**about, **data})
