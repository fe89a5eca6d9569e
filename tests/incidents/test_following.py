"""Every rollback opens an incident or joins one, and what it knows is filled in there, whoever keeps house and how often."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from django.db import OperationalError

from incidents.domain import summary as summary_module
from incidents.domain import transitions
from incidents.domain.selectors import get_incident, incident_of, list_incidents
from incidents.domain.summary import summary_of
from incidents.domain.transitions import follow_rollbacks, follow_what_was_missed
from incidents.enums import How, IncidentState
from incidents.models import Incident, IncidentRollback
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import NotFound
from rollbackhub.common.housekeeping import list_jobs
from rollbackhub.common.verdict import Verdict
from rollbackhub.rollbacks.domain.acts import close_rollback, correct_detection, undo_rollback
from rollbackhub.rollbacks.domain.approvals import expire_requests, withdraw_rollback
from rollbackhub.rollbacks.enums import AuthorisedBy, RollbackState
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import RoutingPolicy
from tests.databases import FreshDatabase
from tests.factories.fixtures import Cast, make_cast
from tests.factories.incidents import IncidentFactory, IncidentRollbackFactory
from tests.factories.rollbacks import RollbackFactory
from tests.rollbacks.conftest import again, approve, ask, ends, reject, run, script, seed_production
from tests.threads import at_once


def events(incident: Incident) -> list[str]:
    """The audit events of an incident, in their order."""
    return list(AuditEvent.objects.filter(subject_type="incident", subject_id=str(incident.pk)).order_by("id").values_list("event", flat=True))


def followed(rollback: Rollback) -> Incident:
    """The rollback's incident, after a turn of the housekeeper."""
    follow_rollbacks()
    incident = incident_of(rollback)
    assert incident is not None
    return get_incident(incident.pk)


def set_state(rollback: Rollback, state: RollbackState, **values: Any) -> None:
    """The rollback has changed; its number says so."""
    Rollback.objects.filter(pk=rollback.pk).update(state=state, number=rollback.number + 1, **values)
    rollback.refresh_from_db()


def test_housekeeper_follows_often_and_looks_at_all_now_and_then() -> None:
    every = {job.name: job.every_seconds for job in list_jobs()}
    assert every["incidents.follow_rollbacks"] == 0.5
    assert every["incidents.follow_what_was_missed"] == 60


def test_rollback_that_runs_through_leaves_a_stable_incident_with_everything_filled_in(policy: RoutingPolicy, cast: Cast) -> None:
    detected_at = clock.now() - dt.timedelta(minutes=3)
    rollback = ask(policy, account=cast.on_call, detected_at=detected_at, detected_by="negative feedback")
    incident = followed(rollback)
    assert (incident.state, incident.title, list(incident.aliases.all())) == ("open", "smart-reasoner in production: degraded feedback", [policy])
    assert (incident.detected_at, incident.detected_by, incident.opened_at) == (detected_at, "negative feedback", rollback.decided_at)
    rollback = run(rollback)
    incident = followed(rollback)
    assert (incident.state, incident.stable_at) == (IncidentState.STABLE, rollback.verified_at)
    assert (incident.decided_by, incident.authorised_by, incident.decided_at, incident.authorised_at) == (
        cast.on_call,
        cast.on_call,
        rollback.decided_at,
        rollback.authorised_at,
    )
    assert incident.authority == "Olga Call decided alone (On-call engineer decides, by the rule for model)."
    assert (incident.restored_at, incident.verified_at, incident.closed_at) == (rollback.restored_at, rollback.verified_at, None)
    assert (incident.exposure_basis, incident.outcome) == (rollback.exposure_basis, rollback.outcome)
    assert incident.outcome.endswith("and verified.")
    assert events(incident) == ["incident.opened", "incident.updated", "incident.updated", "incident.stable"]
    link = IncidentRollback.objects.get()
    assert (link.how, link.followed_number, link.followed_state) == (How.OPENED, rollback.number, RollbackState.VERIFIED)


def test_nothing_new_writes_nothing(policy: RoutingPolicy, cast: Cast, django_assert_num_queries: Any) -> None:
    incident = followed(run(ask(policy, account=cast.on_call)))
    before = AuditEvent.objects.count()
    with django_assert_num_queries(2):
        assert follow_rollbacks() == 0
    assert follow_what_was_missed() == 0
    assert (AuditEvent.objects.count(), Incident.objects.get()) == (before, incident)


def test_request_opens_an_incident_before_anybody_has_approved_it(dataset: RoutingPolicy, cast: Cast) -> None:
    rollback = ask(dataset, account=cast.on_call)
    incident = followed(rollback)
    assert (incident.state, incident.decided_by, incident.authorised_by) == ("open", cast.on_call, None)
    assert incident.authority == "Nobody has authorised it: Platform lead decides, by the rule for data set."
    approve(rollback, cast.lead)
    incident = followed(run(rollback))
    assert (incident.state, incident.authorised_by) == ("stable", cast.lead)
    assert incident.authority == "Lee Lead approved it (Platform lead decides, by the rule for data set)."


def test_break_glass_is_named_with_its_reason(dataset: RoutingPolicy, cast: Cast) -> None:
    rollback = ask(dataset, account=cast.on_call, break_glass_reason="Nobody answers the phone.")
    assert rollback.authorised_how == AuthorisedBy.BREAK_GLASS
    assert followed(rollback).authority == "Olga Call broke the glass (Platform lead decides, by the rule for data set): Nobody answers the phone."


@pytest.mark.parametrize("how", ["rejected", "withdrawn", "expired"])
def test_request_that_comes_to_nothing_leaves_the_incident_open(dataset: RoutingPolicy, cast: Cast, how: str) -> None:
    rollback = ask(dataset, account=cast.on_call)
    incident = followed(rollback)
    if how == "rejected":
        reject(rollback, cast.lead)
    elif how == "withdrawn":
        withdraw_rollback(rollback_id=rollback.pk, account=cast.on_call, actor=actor_of(cast.on_call), reason="a false alarm")
    else:
        Rollback.objects.filter(pk=rollback.pk).update(expires_at=clock.now() - dt.timedelta(seconds=1))
        expire_requests()
    assert again(rollback).state == how
    after = followed(rollback)
    assert (after, after.state, after.stable_at) == (incident, "open", None)
    assert "othing was changed" in after.outcome
    # The next one joins, and it is that one's decision that counts.
    second = run(ask(dataset, account=cast.lead, reason="now for real"))
    after = followed(second)
    assert (after, after.state, after.decided_by, after.decided_at) == (incident, "stable", cast.lead, second.decided_at)
    assert list(after.rollback_links.values_list("how", flat=True)) == [How.OPENED, How.JOINED]
    assert events(after)[-3:] == ["incident.joined", "incident.updated", "incident.stable"]


def test_second_alias_of_a_coordinated_rollback_joins_by_either(policy: RoutingPolicy, cast: Cast) -> None:
    prompt, other = seed_production("prompt", alias="support-prompt"), seed_production("prompt", alias="elsewhere")
    first = followed(run(ask(policy, account=cast.on_call)))
    apart = IncidentFactory(environment=other.environment, aliases=[other])
    assert apart != first
    both = followed(ask(prompt, other, account=cast.lead))
    assert both == apart
    assert sorted(both.aliases.values_list("alias", flat=True)) == ["elsewhere", "support-prompt"]
    assert list(first.aliases.all()) == [policy]


@pytest.mark.parametrize("why", ["closed", "old", "environment", "alias"])
def test_incident_that_does_not_fit_is_not_joined(policy: RoutingPolicy, cast: Cast, why: str) -> None:
    values: dict[str, Any] = {"environment": policy.environment, "aliases": [policy], "stable": True}
    if why == "closed":
        values |= {"closed": True, "stable": False}
    elif why == "old":
        values |= {"opened_at": clock.now() - dt.timedelta(days=7, minutes=1)}
    elif why == "environment":
        values |= {"aliases": [seed_production("model", alias="smart-reasoner", environment="staging")]}
        values |= {"environment": values["aliases"][0].environment}
    else:
        values |= {"aliases": [seed_production("model", alias="another")]}
    other = IncidentFactory(**values)
    incident = followed(ask(policy, account=cast.on_call))
    assert incident != other
    assert IncidentRollback.objects.get().how == How.OPENED


def test_stable_incident_is_joined_and_open_again_while_the_second_rollback_runs(policy: RoutingPolicy, cast: Cast) -> None:
    stable = IncidentFactory(environment=policy.environment, aliases=[policy], stable=True, opened_at=clock.now() - dt.timedelta(days=6))
    rollback = ask(policy, account=cast.on_call)
    incident = followed(rollback)
    assert (incident, incident.state, incident.stable_at) == (stable, "open", None)
    assert events(incident) == ["incident.joined", "incident.updated", "incident.reopened"]
    assert followed(run(rollback)).state == "stable"


def test_harm_that_comes_back_opens_a_stable_incident_again(policy: RoutingPolicy, cast: Cast) -> None:
    rollback = run(ask(policy, account=cast.on_call))
    assert followed(rollback).state == "stable"
    set_state(rollback, RollbackState.VERIFICATION_FAILED, outcome="12 requests reached v2.")
    incident = followed(rollback)
    assert (incident.state, incident.stable_at, incident.verified_at, incident.restored_at) == ("open", None, None, rollback.restored_at)
    assert events(incident)[-1] == "incident.reopened"
    set_state(rollback, RollbackState.VERIFIED)
    assert followed(rollback).state == "stable"


def test_closing_a_rollback_that_was_reopened_does_not_say_that_the_harm_is_over(policy: RoutingPolicy, cast: Cast) -> None:
    rollback = run(ask(policy, account=cast.on_call))
    set_state(rollback, RollbackState.VERIFICATION_FAILED)
    follow_rollbacks()
    close_rollback(rollback_id=rollback.pk, account=cast.lead, actor=actor_of(cast.lead), reason="given up")
    assert followed(rollback).state == "open"
    # Not even when something is corrected afterwards.
    detected = rollback.decided_at - dt.timedelta(minutes=1)
    correct_detection(rollback_id=rollback.pk, account=cast.lead, actor=actor_of(cast.lead), detected_at=detected, reason="the alert came earlier")
    assert follow_what_was_missed() == 1
    incident = Incident.objects.get()
    assert (incident.state, incident.detected_at) == ("open", detected)


@pytest.mark.parametrize("end", ["given up", "put back"])
def test_rollback_without_an_observed_end_leaves_the_incident_open(policy: RoutingPolicy, cast: Cast, end: str) -> None:
    script("propagate", ends(Verdict.FAILED, "1 of 2 gateways did not acknowledge."))
    rollback = run(ask(policy, account=cast.on_call))
    acts: dict[str, Any] = {"rollback_id": rollback.pk, "account": cast.lead, "actor": actor_of(cast.lead), "reason": "not like this"}
    if end == "given up":
        close_rollback(**acts)
    else:
        script("propagate", None)
        undo_rollback(**acts)
        assert run(rollback).state == RollbackState.UNDONE
    incident = followed(rollback)
    assert (incident.state, incident.stable_at, incident.restored_at, incident.verified_at) == ("open", None, None, None)


def test_later_rollback_of_the_alias_overtakes_one_that_was_put_back(policy: RoutingPolicy) -> None:
    undone = RollbackFactory(undone=True, environment=policy.environment, parts__policy=policy, decided_at=clock.now() - dt.timedelta(hours=1))
    verified = RollbackFactory(verified=True, environment=policy.environment, parts__policy=policy)
    incident = followed(verified)
    assert incident_of(undone) == incident
    assert (incident.state, incident.stable_at, incident.decided_by) == ("stable", verified.verified_at, undone.principal)


def test_one_alias_without_an_end_keeps_the_incident_open(policy: RoutingPolicy) -> None:
    first = RollbackFactory(verified=True, environment=policy.environment, parts__policy=policy, parts=2)
    incident = followed(first)
    assert incident.state == "stable"
    again_failing = RollbackFactory(partially_restored=True, environment=policy.environment, parts__policy=policy)
    assert followed(again_failing).state == "open"


def test_roll_forward_that_holds_makes_the_incident_stable(db: None) -> None:
    rollback = RollbackFactory(rolled_forward=True)
    incident = followed(rollback)
    assert (incident.state, incident.stable_at, incident.restored_at) == ("stable", rollback.closed_at, None)


def test_exposures_add_up_and_the_earliest_detection_counts(policy: RoutingPolicy) -> None:
    now = clock.now()
    values: dict[str, Any] = {"verified": True, "environment": policy.environment, "parts__policy": policy}
    RollbackFactory(
        **values, exposure_observed=3, exposure_estimated=40, exposure_basis="One.", detected_at=now - dt.timedelta(hours=1), detected_by="a person"
    )
    second = RollbackFactory(**values, exposure_observed=4, exposure_basis="Two.", detected_at=now - dt.timedelta(hours=2), detected_by="an alert")
    incident = followed(second)
    assert (incident.exposure_observed, incident.exposure_estimated, incident.exposure_basis) == (7, 40, "One. Two.")
    assert (incident.detected_by, incident.detected_at) == ("an alert", second.detected_at)


def test_closed_incident_takes_corrections_and_stays_closed(policy: RoutingPolicy, cast: Cast) -> None:
    rollback = run(ask(policy, account=cast.on_call))
    incident = followed(rollback)
    Incident.objects.filter(pk=incident.pk).update(state=IncidentState.CLOSED, closed_at=clock.now())
    set_state(rollback, RollbackState.VERIFICATION_FAILED, outcome="12 requests reached v2.")
    after = followed(rollback)
    assert (after, after.state, after.outcome) == (incident, "closed", "12 requests reached v2.")
    assert events(after)[-1] == "incident.updated"


def test_what_happened_while_nobody_kept_house_is_followed_later(db: None) -> None:
    old = RollbackFactory(verified=True)
    Rollback.objects.filter(pk=old.pk).update(created_at=clock.now() - dt.timedelta(days=30))
    assert follow_rollbacks() == 0
    assert follow_what_was_missed() == 1
    incident = incident_of(old)
    assert incident is not None
    assert incident.opened_at == old.decided_at


def test_long_reason_is_cut_in_the_title(db: None) -> None:
    title = followed(RollbackFactory(reason="x" * 900)).title
    assert (len(title), title[-1]) == (200, "…")


def test_one_that_cannot_be_followed_does_not_keep_the_others_from_it(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = RollbackFactory(), RollbackFactory()
    real = summary_of

    def summary(rollbacks: list[Rollback], **values: Any) -> dict[str, Any]:
        if rollbacks[0].pk == bad.pk:
            raise ZeroDivisionError
        return real(rollbacks, **values)

    monkeypatch.setattr(summary_module, "summary_of", summary)
    with pytest.raises(ExceptionGroup) as caught:
        follow_rollbacks()
    assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]
    assert str(bad.pk) in caught.value.exceptions[0].__notes__[0]
    assert (incident_of(bad), incident_of(good) is not None) == (None, True)


def test_database_that_is_gone_is_not_asked_a_hundred_times(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    RollbackFactory.create_batch(3)
    asked: list[object] = []

    def gone(rollback_id: object) -> None:
        asked.append(rollback_id)
        raise OperationalError("gone")

    monkeypatch.setattr(transitions, "_follow", gone)
    with pytest.raises(OperationalError):
        follow_rollbacks()
    assert len(asked) == 1


def test_housekeepers_at_once_open_one_incident_for_two_rollbacks_of_an_alias(fresh_database: FreshDatabase) -> None:
    cast = make_cast()
    for number in range(4):
        policy = seed_production("model", alias=f"alias-{number}")
        run(ask(policy, account=cast.on_call))
        RollbackFactory(verified=True, environment=policy.environment, parts__policy=policy)
        results = at_once(4, lambda _: follow_rollbacks())
        assert not [result for result in results if isinstance(result, Exception)]
        links = IncidentRollback.objects.filter(rollback__parts__policy=policy)
        assert (links.count(), len({link.incident_id for link in links})) == (2, 1)
        happened = [event for event in events(links[0].incident) if event in ("incident.opened", "incident.joined")]
        assert happened == ["incident.opened", "incident.joined"]
        assert links[0].incident.state == IncidentState.STABLE


def test_incidents_are_listed_with_a_fixed_number_of_queries(db: None, django_assert_num_queries: Any) -> None:
    for _ in range(3):
        IncidentRollbackFactory(rollback__verified=True)
    with django_assert_num_queries(3):
        shown = [(incident.environment.slug, [p.alias for p in incident.aliases.all()], len(incident.rollback_links.all())) for incident in list_incidents()]
    assert len(shown) == 3


def test_incidents_are_filtered_by_state_environment_and_alias(policy: RoutingPolicy) -> None:
    mine = IncidentFactory(environment=policy.environment, aliases=[policy], stable=True)
    IncidentFactory(environment=policy.environment)
    assert list(list_incidents(alias=policy.alias)) == [mine]
    assert list(list_incidents(state="stable")) == [mine]
    assert list_incidents(environment="production").count() == 2
    assert not list_incidents(environment="elsewhere").exists()


def test_incident_that_does_not_exist_is_not_found(db: None) -> None:
    with pytest.raises(NotFound):
        get_incident(uuid.uuid4())
