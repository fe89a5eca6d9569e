"""The one confirmation, and the other ends of a proposal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from incidents.domain.transitions import follow_rollbacks
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import Notice, User
from rollbackhub.alerts.domain.processing import keep_proposals
from rollbackhub.alerts.domain.proposals import confirm_proposal, dismiss_proposal, plan_now
from rollbackhub.alerts.models import Alert, AlertRule, Proposal
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.rollbacks.domain.authority import set_rule
from rollbackhub.rollbacks.enums import RollbackState, Via
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.rollbacks.rules import MIN_REASON
from tests.alerts.posts import BEGAN
from tests.databases import FreshDatabase
from tests.executions.proofs import Proven, make_proven, spec
from tests.factories.alerts import ProposalFactory
from tests.factories.fixtures import Cast, make_cast
from tests.factories.rollbacks import StabilityHoldFactory
from tests.factories.routing import BAD, GOOD
from tests.rollbacks.conftest import ask, service_of, token_actor
from tests.threads import at_once

Fire = Callable[..., Alert]


@pytest.fixture
def proposal(fire: Fire, rule: AlertRule) -> Proposal:
    """What an alert has proposed."""
    found = fire().proposal
    assert found is not None
    return found


def confirm(proposal: Proposal, person: User, **values: Any) -> Proposal:
    """Confirm it on the page, the plan as it is now."""
    asked = {"account": User.objects.get(pk=person.pk), "actor": actor_of(person), "via": Via.PAGE, "seen_plan_hash": proposal.plan_hash}
    return confirm_proposal(proposal_id=proposal.pk, **{**asked, **values})


def again(proposal: Proposal) -> Proposal:
    """As the database has it."""
    return Proposal.objects.select_related("rollback").get(pk=proposal.pk)


def test_confirmation_requests_the_rollback_with_the_alert_as_its_detection(proposal: Proposal, cast: Cast) -> None:
    rollback = confirm(proposal, cast.on_call).rollback
    assert rollback is not None
    assert (rollback.state, rollback.requested_by, rollback.detected_at, rollback.detected_by) == (
        RollbackState.RUNNING,
        cast.on_call,
        BEGAN,
        "ReasonerFeedbackBad",
    )
    assert (rollback.plan_hash, rollback.reason, rollback.requested_via) == (proposal.plan_hash, "Alert ReasonerFeedbackBad", "page")
    found = again(proposal)
    assert (found.state, found.ended_by_label, found.automatic) == ("confirmed", "Olga Call", False)
    recorded = AuditEvent.objects.get(event="proposal.confirmed")
    assert (recorded.data["rollback"], recorded.data["incident"]) == (str(rollback.pk), str(proposal.incident_id))
    assert not Notice.objects.filter(key=f"proposal:{proposal.pk}", read_at=None).exists()


def test_rollback_joins_the_incident_of_the_alert(proposal: Proposal, cast: Cast) -> None:
    rollback = confirm(proposal, cast.on_call).rollback
    follow_rollbacks()
    assert rollback is not None
    assert rollback.incident_link.incident_id == proposal.incident_id


def test_second_confirmation_is_refused_and_leads_to_the_first(proposal: Proposal, cast: Cast) -> None:
    rollback = confirm(proposal, cast.on_call).rollback
    assert rollback is not None
    with pytest.raises(Conflict) as caught:
        confirm(proposal, cast.lead)
    assert (caught.value.code, caught.value.extra["url"]) == ("proposal_ended", f"/rollbacks/{rollback.pk}/")


def test_plan_that_has_changed_is_refused_and_the_new_one_can_be_confirmed(proposal: Proposal, proven: Proven, cast: Cast) -> None:
    proven.revise([spec(BAD, 50), spec(GOOD, 50)])
    with pytest.raises(Conflict) as caught:
        confirm(proposal, cast.on_call)
    assert caught.value.code == "plan_changed"
    assert again(proposal).state == "open"
    present = plan_now(proposal.policy, account=cast.on_call).plan_hash
    assert confirm(proposal, cast.on_call, seen_plan_hash=present).state == "confirmed"


def test_nothing_left_to_take_out_is_refused(proposal: Proposal, proven: Proven, cast: Cast) -> None:
    StabilityHoldFactory(version=proven.artefact.versions.get(label=GOOD))
    StabilityHoldFactory(version=proven.artefact.versions.get(label="claude-sonnet-4-0"))
    with pytest.raises(InvalidInput) as caught:
        confirm(proposal, cast.on_call)
    assert caught.value.code == "target_held"
    assert (again(proposal).state, Rollback.objects.count()) == ("open", 0)


def test_rollback_that_is_there_already_is_named(proposal: Proposal, proven: Proven, cast: Cast) -> None:
    other = ask(proven.production, account=cast.on_call)
    with pytest.raises(Conflict) as caught:
        confirm(proposal, cast.on_call)
    assert (caught.value.code, caught.value.extra["rollback_id"]) == ("rollback_active", str(other.pk))
    assert keep_proposals() == 1
    found = again(proposal)
    assert (found.state, "requested by Olga Call" in found.ended_because) == ("superseded", True)


@pytest.mark.parametrize("who", ["auditor", "stranger"])
def test_who_may_not_roll_back_neither_confirms_nor_dismisses(proposal: Proposal, cast: Cast, who: str) -> None:
    person = getattr(cast, who)
    with pytest.raises(Forbidden):
        confirm(proposal, person)
    with pytest.raises(Forbidden):
        dismiss_proposal(proposal_id=proposal.pk, account=person, actor=actor_of(person), reason="a false alarm")
    assert again(proposal).state == "open"


def test_above_ones_authority_it_asks_for_approval(proposal: Proposal, cast: Cast) -> None:
    set_rule(subject="model", role="platform_lead", tell_next_after_seconds=300, expires_after_seconds=3600, actor=actor_of(cast.lead))
    rollback = confirm(proposal, cast.on_call).rollback
    assert rollback is not None
    assert rollback.state == RollbackState.AWAITING_APPROVAL


def test_dismissal_takes_a_reason_and_a_person(proposal: Proposal, cast: Cast) -> None:
    with pytest.raises(InvalidInput):
        dismiss_proposal(proposal_id=proposal.pk, account=cast.on_call, actor=actor_of(cast.on_call), reason="x" * (MIN_REASON - 1))
    with pytest.raises(Forbidden):
        dismiss_proposal(proposal_id=proposal.pk, account=cast.on_call, actor=token_actor(cast.on_call), reason="a false alarm")
    bot = service_of(cast.on_call, *cast.on_call.roles)  # type: ignore[arg-type]
    with pytest.raises(Forbidden):
        dismiss_proposal(proposal_id=proposal.pk, account=bot, actor=actor_of(bot), reason="a false alarm")
    dismiss_proposal(proposal_id=proposal.pk, account=cast.on_call, actor=actor_of(cast.on_call), reason="A false alarm.")
    found = again(proposal)
    assert (found.state, found.ended_because, found.incident.state) == ("dismissed", "A false alarm.", "open")
    with pytest.raises(Conflict):
        confirm(proposal, cast.on_call)
    with pytest.raises(NotFound):
        confirm(ProposalFactory.build(plan_hash="x", policy=None, incident=None), cast.on_call)


def test_dismissed_proposal_is_made_anew_by_the_next_firing_only(proposal: Proposal, fire: Fire, cast: Cast) -> None:
    dismiss_proposal(proposal_id=proposal.pk, account=cast.on_call, actor=actor_of(cast.on_call), reason="A false alarm.")
    assert fire().proposal == proposal
    anew = fire(began=BEGAN + dt.timedelta(hours=2)).proposal
    assert anew is not None
    assert (anew == proposal, anew.state) == (False, "open")


def test_later_alert_with_another_plan_supersedes(proposal: Proposal, proven: Proven, fire: Fire) -> None:
    proven.revise([spec(BAD, 50), spec(GOOD, 50)])
    later = fire("f2").proposal
    assert later is not None
    assert (later.state, later.plan_hash == proposal.plan_hash) == ("open", False)
    assert again(proposal).state == "superseded"


def test_proposal_expires_when_nobody_decides(proposal: Proposal) -> None:
    assert keep_proposals() == 0
    Proposal.objects.filter(pk=proposal.pk).update(expires_at=clock.now())
    assert (keep_proposals(), keep_proposals()) == (1, 0)
    assert again(proposal).state == "expired"
    assert AuditEvent.objects.get(event="proposal.expired").data["incident"] == str(proposal.incident_id)


def test_detection_older_than_a_rollback_takes_is_left_out(proposal: Proposal, cast: Cast) -> None:
    Proposal.objects.filter(pk=proposal.pk).update(detected_at=clock.now() - dt.timedelta(days=91))
    rollback = confirm(proposal, cast.on_call).rollback
    assert rollback is not None
    assert (rollback.detected_at, rollback.detected_by) == (None, "ReasonerFeedbackBad")


def test_two_who_confirm_at_once_make_one_rollback(fresh_database: FreshDatabase) -> None:
    cast, proven = make_cast(), make_proven()
    plan = plan_now(proven.production)
    proposal = ProposalFactory(policy=proven.production, plan_hash=plan.plan_hash)
    refused: list[str] = []

    def press(number: int) -> None:
        try:
            confirm(proposal, (cast.on_call, cast.lead, cast.leadership)[number % 3])
        except Conflict as error:
            refused.append(error.code)

    at_once(6, press)
    assert Rollback.objects.count() == 1
    assert set(refused) == {"proposal_ended"}
    assert len(refused) == 5
