"""Rollbacks that run by themselves: only where a lead says so, only with valid proof, within limits; everything else waits for a person and says why."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from incidents.domain.summary import authority_in_words
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.alerts.domain.automation import judge_proposals, limit_automation, release_automation, stop_automation, turn_off, turn_on
from rollbackhub.alerts.models import Alert, AlertRule, AutoRollback, Proposal
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput
from rollbackhub.executions.models import Execution
from rollbackhub.registry.models import Version
from rollbackhub.rollbacks.domain.authority import missing_authority, set_rule
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Rollback
from tests.alerts.posts import BEGAN
from tests.executions.proofs import Proven
from tests.factories.accounts import RoleAssignmentFactory
from tests.factories.alerts import ProposalFactory
from tests.factories.fixtures import Cast
from tests.factories.routing import BAD
from tests.rollbacks.conftest import ask, service_of, token_actor

Fire = Callable[..., Alert]


@pytest.fixture
def bot(cast: Cast) -> User:
    """A service account of the on-call engineer."""
    return service_of(cast.on_call, Role.ON_CALL)


@pytest.fixture
def auto(proven: Proven, bot: User, cast: Cast) -> AutoRollback:
    """Turned on for smart-reasoner."""
    return turn_on(policy=proven.production, account=bot, per_day=1, reason="Nobody is awake at night.", user=cast.lead, actor=actor_of(cast.lead))


def judged(fire: Fire, fingerprint: str = "f1", **values: object) -> Proposal:
    """An alert fires, and it is judged whether its rollback runs by itself."""
    found = fire(fingerprint, **values).proposal
    judge_proposals()
    assert found is not None
    return Proposal.objects.select_related("rollback").get(pk=found.pk)


def test_proven_alias_rolls_back_by_itself_in_the_name_of_the_service_account(fire: Fire, rule: AlertRule, auto: AutoRollback, bot: User, cast: Cast) -> None:
    proposal = judged(fire)
    rollback = proposal.rollback
    assert rollback is not None
    by = f"automatic rollback ({bot.username})"
    assert (proposal.state, proposal.automatic, proposal.ended_by_label) == ("confirmed", True, by)
    assert (rollback.state, rollback.requested_by, rollback.principal, rollback.authorised_by) == (RollbackState.RUNNING, bot, cast.on_call, cast.on_call)
    assert (rollback.requested_by_label, rollback.requested_via, rollback.detected_at) == (by, "system", BEGAN)
    assert missing_authority(rollback, present_hash=rollback.plan_hash, required=rollback.required_role) is None
    actors = set(AuditEvent.objects.filter(subject_id=str(rollback.pk)).values_list("actor_kind", "actor_label"))
    assert actors == {("system", by)}
    assert authority_in_words(rollback).startswith("RollbackHub started it by itself, as it is turned on for the alias; Olga Call answers for it")
    assert judge_proposals() == 0


def test_off_by_default_it_only_proposes_and_says_nothing(fire: Fire, rule: AlertRule) -> None:
    proposal = judged(fire)
    assert (proposal.state, proposal.not_automatic, Rollback.objects.count()) == ("open", "", 0)


def left(proposal: Proposal, words: str) -> None:
    """It waits for a person, and says why, on the record too."""
    assert (proposal.state, proposal.automatic, Rollback.objects.count()) == ("open", False, 0)
    assert words in proposal.not_automatic
    recorded = AuditEvent.objects.get(event="proposal.left_to_people")
    assert (recorded.data["because"], recorded.data["incident"]) == (proposal.not_automatic, str(proposal.incident_id))


def test_stale_proof_is_left_to_people(fire: Fire, rule: AlertRule, auto: AutoRollback, proven: Proven) -> None:
    proven.connect("production", "prometheus", {"endpoint": "http://another/metrics", "requests": "llm_requests_total"})
    left(judged(fire), "proof is changed since it was proven")


def test_missing_proof_is_left_to_people(fire: Fire, rule: AlertRule, auto: AutoRollback) -> None:
    Execution.objects.update(verdict="inconclusive")
    left(judged(fire), "proof is never drilled")


def test_expired_proof_is_left_to_people(fire: Fire, rule: AlertRule, auto: AutoRollback) -> None:
    Execution.objects.update(finished_at=clock.now() - dt.timedelta(days=120))
    left(judged(fire), "proof is proven too long ago")


def test_higher_authority_is_left_to_people_even_when_the_account_had_it(fire: Fire, rule: AlertRule, auto: AutoRollback, bot: User, cast: Cast) -> None:
    for person in (bot, cast.on_call):
        RoleAssignmentFactory(user=person, role=Role.PLATFORM_LEAD)
    set_rule(subject="model", role="platform_lead", tell_next_after_seconds=300, expires_after_seconds=3600, actor=actor_of(cast.lead))
    left(judged(fire), "takes the role Platform lead")


def test_strategic_version_is_left_to_people(fire: Fire, rule: AlertRule, auto: AutoRollback) -> None:
    Version.objects.filter(label=BAD).update(is_strategic=True)
    left(judged(fire), "strategic")


@pytest.mark.parametrize("who", ["account", "person"])
def test_account_that_is_no_longer_active_is_left_to_people(fire: Fire, rule: AlertRule, auto: AutoRollback, bot: User, cast: Cast, who: str) -> None:
    person = bot if who == "account" else cast.on_call
    person.is_active = False
    person.save(update_fields=["is_active"])
    left(judged(fire), "is not active")


def test_account_whose_person_lost_the_role_is_left_to_people(fire: Fire, rule: AlertRule, auto: AutoRollback, cast: Cast) -> None:
    cast.on_call.role_assignments.all().delete()
    left(judged(fire), "may not roll back alone")


def test_alert_that_is_over_before_it_is_judged_is_left_to_people(fire: Fire, rule: AlertRule, auto: AutoRollback) -> None:
    fire()
    left(judged(fire, status="resolved", ended=BEGAN + dt.timedelta(minutes=1)), "over before anything was done")


def test_second_within_a_day_is_left_to_people(fire: Fire, rule: AlertRule, auto: AutoRollback, proven: Proven) -> None:
    ProposalFactory(policy=proven.production, confirmed=True, automatic=True, ended_at=clock.now() - dt.timedelta(hours=23))
    before = Rollback.objects.count()
    proposal = judged(fire)
    assert (proposal.state, Rollback.objects.count()) == ("open", before)
    assert "most for this alias" in proposal.not_automatic


def test_one_of_the_day_before_does_not_count(fire: Fire, rule: AlertRule, auto: AutoRollback, proven: Proven) -> None:
    ProposalFactory(policy=proven.production, confirmed=True, automatic=True, ended_at=clock.now() - dt.timedelta(hours=25))
    assert judged(fire).state == "confirmed"


def test_limit_of_all_aliases_is_kept(fire: Fire, rule: AlertRule, auto: AutoRollback, cast: Cast) -> None:
    limit_automation(per_day=1, reason="a quiet week", user=cast.lead, actor=actor_of(cast.lead))
    ProposalFactory(confirmed=True, automatic=True)
    proposal = judged(fire)
    assert proposal.state == "open"
    assert "most for all aliases" in proposal.not_automatic


def test_kill_switch_stops_at_once_and_its_release_does_not_catch_up(fire: Fire, rule: AlertRule, auto: AutoRollback, cast: Cast) -> None:
    stop_automation(reason="It flaps.", user=cast.on_call, actor=token_actor(cast.on_call))
    proposal = judged(fire)
    left(proposal, "kill switch")
    with pytest.raises(Conflict):
        stop_automation(reason="It flaps.", user=cast.on_call, actor=actor_of(cast.on_call))
    release_automation(reason="It no longer flaps.", user=cast.lead, actor=actor_of(cast.lead))
    assert judge_proposals() == 0
    proposal.refresh_from_db()
    assert proposal.state == "open"


def test_rollback_that_is_there_already_is_left_to_people(fire: Fire, rule: AlertRule, auto: AutoRollback, proven: Proven, cast: Cast) -> None:
    found = fire().proposal
    assert found is not None
    ask(proven.production, account=cast.on_call)
    judge_proposals()
    found.refresh_from_db()
    assert (found.state, found.automatic, Rollback.objects.count()) == ("open", False, 1)
    assert "A rollback of smart-reasoner is there already" in found.not_automatic


def test_request_that_is_refused_at_the_last_moment_is_left_to_people(fire: Fire, rule: AlertRule, auto: AutoRollback, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**values: Any) -> Rollback:
        raise Conflict("Somebody was faster.")

    monkeypatch.setattr("rollbackhub.alerts.domain.proposals.request_rollback", refused)
    left(judged(fire), "Somebody was faster.")


def test_turning_on_takes_a_lead_in_person_a_reason_and_a_service_account(proven: Proven, bot: User, cast: Cast) -> None:
    policy = proven.production
    for person in (cast.on_call, cast.admin, cast.auditor, cast.stranger, bot):
        with pytest.raises(Forbidden):
            turn_on(policy=policy, account=bot, per_day=1, reason="at night", user=person, actor=actor_of(person))
    with pytest.raises(Forbidden):
        turn_on(policy=policy, account=bot, per_day=1, reason="at night", user=cast.lead, actor=token_actor(cast.lead))
    for values, field in (
        ({"account": cast.on_call}, "account"),
        ({"account": service_of(cast.auditor, Role.ON_CALL)}, "account"),
        ({"per_day": 0}, "per_day"),
        ({"per_day": 25}, "per_day"),
        ({"reason": " "}, "reason"),
        ({"policy": proven.staging}, "alias"),
    ):
        with pytest.raises(InvalidInput) as caught:
            turn_on(**{"policy": policy, "account": bot, "per_day": 1, "reason": "at night", "user": cast.lead, "actor": actor_of(cast.lead), **values})  # type: ignore[arg-type]
        assert field in caught.value.fields
    assert not AutoRollback.objects.exists()


def test_turning_off_and_the_kill_switch_are_for_who_may_roll_back(auto: AutoRollback, proven: Proven, cast: Cast) -> None:
    for person in (cast.auditor, cast.stranger):
        with pytest.raises(Forbidden):
            turn_off(policy=proven.production, reason="enough", user=person, actor=actor_of(person))
        with pytest.raises(Forbidden):
            stop_automation(reason="enough", user=person, actor=actor_of(person))
    turn_off(policy=proven.production, reason="enough", user=cast.on_call, actor=actor_of(cast.on_call))
    with pytest.raises(Conflict):
        turn_off(policy=proven.production, reason="enough", user=cast.on_call, actor=actor_of(cast.on_call))
    stop_automation(reason="enough", user=cast.on_call, actor=actor_of(cast.on_call))
    for person in (cast.on_call, cast.admin):
        with pytest.raises(Forbidden):
            release_automation(reason="go on", user=person, actor=actor_of(person))
    with pytest.raises(Forbidden):
        limit_automation(per_day=5, reason="go on", user=cast.on_call, actor=actor_of(cast.on_call))
    recorded = list(AuditEvent.objects.filter(event__startswith="automation.").order_by("id").values_list("event", flat=True))
    assert recorded == ["automation.turned_on", "automation.turned_off", "automation.stopped"]
