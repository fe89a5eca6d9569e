"""A gating action holds the stability hold beyond its time, on every path; only a lead lets it go before it is done."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.test import Client

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.actions.domain.transitions import close_action, reopen_action
from rollbackhub.actions.enums import ActionKind, ActionState
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.postmortems.domain.actions import gate_late_holds, give_action, set_gating
from rollbackhub.postmortems.domain.drafting import draft_postmortem
from rollbackhub.postmortems.models import Postmortem, PostmortemAction
from rollbackhub.registry.domain.holds import describe_hold, gates_of, held_among, lift_hold, list_standing_holds, stands, start_hold
from rollbackhub.registry.domain.interlocks import list_interlocks
from rollbackhub.registry.models import Environment, HoldGate, StabilityHold, Version
from rollbackhub.releases.domain.transitions import create_release
from rollbackhub.routing.domain.transitions import append_revision, create_policy
from rollbackhub.routing.domain.yaml_io import import_policies
from rollbackhub.routing.models import Candidate, PolicyRevision, RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from tests.factories.accounts import ApiTokenFactory
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentRollbackFactory
from tests.factories.rollbacks import RollbackFactory
from tests.postmortems.conftest import RolledBack, who
from tests.rollbacks.conftest import ACTOR, BAD, GOOD, ask, candidates, fresh, reroute, run, seed_production, token_actor, weight_of

pytestmark = pytest.mark.django_db

FILE = """aliases:
  smart-reasoner:
    candidates:
      - {id: "anthropic:v2:ap-south-1", version_pin: v2, weight: 5}
      - {id: "anthropic:v1:ap-south-1", version_pin: v1, weight: 95}
"""


def hold_over(version: Version) -> None:
    """Its time has passed."""
    at = clock.now()
    StabilityHold.objects.filter(version=version).update(started_at=at - dt.timedelta(days=8), ends_at=at - dt.timedelta(seconds=1))


def give(postmortem: Postmortem, user: User, *, gating: bool = True, title: str = "Add the case to the eval set") -> PostmortemAction:
    due = clock.now().date() + dt.timedelta(days=9)
    return give_action(postmortem_id=postmortem.pk, title=title, owner=user, due_on=due, kind=ActionKind.PREVENT, is_gating=gating, **who(user))


@pytest.fixture
def postmortem(rolled_back: RolledBack, cast: Cast) -> Postmortem:
    return draft_postmortem(incident_id=rolled_back.incident.pk, **who(cast.on_call))


@pytest.fixture
def gated(rolled_back: RolledBack, postmortem: Postmortem, cast: Cast) -> PostmortemAction:
    """The hold's time is over, and an open action gates it."""
    link = give(postmortem, cast.on_call)
    hold_over(rolled_back.bad)
    return link


def by_revision(policy: RoutingPolicy) -> None:
    reroute(policy, bad=1)


def by_another_candidate(policy: RoutingPolicy) -> None:
    specs = [CandidateSpec("anthropic:new-name:eu-west-1", BAD, 1), CandidateSpec("anthropic:v1:ap-south-1", GOOD, 99)]
    append_revision(policy_id=policy.pk, expected_revision=fresh(policy).revision_number, candidates=specs, actor=ACTOR, reason="under another name")


def by_another_alias(policy: RoutingPolicy) -> None:
    create_policy(environment=policy.environment, alias="another", artefact=policy.artefact, candidates=candidates(100), actor=ACTOR, reason="another door")


def by_another_production(policy: RoutingPolicy) -> None:
    place = Environment.objects.create(slug="production-eu", name="Production EU", kind="production", releases_only=False)
    create_policy(environment=place, alias="smart-reasoner", artefact=policy.artefact, candidates=candidates(100), actor=ACTOR, reason="another door")


def by_file(policy: RoutingPolicy) -> None:
    import_policies(environment=policy.environment, text=FILE, actor=ACTOR, reason="from the repository")


def by_release(policy: RoutingPolicy) -> None:
    version = Version.objects.get(artefact=policy.artefact_id, label=BAD)
    create_release(policy=policy, to_version=version, account=User.objects.get(username="lead"), actor=ACTOR)


WAYS = [by_revision, by_another_candidate, by_another_alias, by_another_production, by_file, by_release]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_domain_refuses_weight_while_an_action_gates(way: Callable[[RoutingPolicy], None], rolled_back: RolledBack, gated: PostmortemAction) -> None:
    with pytest.raises(InvalidInput) as caught:
        way(rolled_back.policy)
    said = " ".join([caught.value.message, *(sentence for found in caught.value.fields.values() for sentence in found)])
    assert "under a stability hold until its gating action is closed (“Add the case to the eval set”)" in said
    assert weight_of(rolled_back.policy) == 0


@pytest.mark.parametrize("is_open", [True, False])
def test_database_refuses_it_even_to_a_hand_written_insert(is_open: bool, rolled_back: RolledBack, gated: PostmortemAction, cast: Cast) -> None:
    if not is_open:
        close_action(action_id=gated.action_id, actor=actor_of(cast.on_call), user=cast.on_call)

    def insert() -> None:
        with transaction.atomic():
            revision = PolicyRevision.objects.create(policy=rolled_back.policy, number=9, routing_number=99, reason="by hand", actor_label="psql")
            Candidate.objects.create(revision=revision, position=0, candidate_id="x", version=rolled_back.bad, weight=100)
            transaction.set_rollback(True)

    if is_open:
        with pytest.raises(IntegrityError, match="under a stability hold"):
            insert()
    else:
        insert()


def test_api_refuses_it_and_names_the_action(rolled_back: RolledBack, gated: PostmortemAction, cast: Cast) -> None:
    client = Client()
    token = ApiTokenFactory(user=cast.lead, scopes=["read", "route"])
    headers = {"Authorization": f"Token {token.plain}"}
    row = client.get("/api/v1/holds/", headers=headers).json()["results"][0]
    assert row["gating_actions"] == [str(gated.action_id)]
    assert "Add the case to the eval set" in row["sentence"]
    body = {
        "expected_revision": fresh(rolled_back.policy).revision_number,
        "candidates": [{"id": f"anthropic:{label}:ap-south-1", "version_pin": label, "weight": weight} for label, weight in ((BAD, 5), (GOOD, 95))],
        "reason": "try it",
    }
    answer = client.post("/api/v1/policies/production/smart-reasoner/revisions/", body, content_type="application/json", headers=headers)
    assert answer.status_code == 422, answer.content
    assert "stability hold" in answer.content.decode()


def test_pages_say_which_actions_gate(rolled_back: RolledBack, gated: PostmortemAction, cast: Cast) -> None:
    client = Client()
    client.force_login(cast.on_call)
    for address in ("/rollbacks/holds/", f"/rollbacks/{rolled_back.rollback.pk}/", f"/registry/versions/{rolled_back.bad.pk}/", f"/actions/{gated.action_id}/"):
        text = client.get(address).content.decode()
        assert "Add the case to the eval set" in text, address
    assert f"/actions/{gated.action_id}/" in client.get("/rollbacks/holds/").content.decode()
    assert "gating action" in client.get("/").content.decode()


def test_version_is_interlocked_as_long(rolled_back: RolledBack, gated: PostmortemAction, cast: Cast) -> None:
    reasons = [found for found in list_interlocks([rolled_back.bad])[rolled_back.bad.pk] if found.code == "stability_hold"]
    assert [(found.until, "Add the case to the eval set" in found.sentence) for found in reasons] == [(None, True)]
    with pytest.raises(DatabaseError, match="stability_hold"), transaction.atomic():
        Version.objects.filter(pk=rolled_back.bad.pk).update(lifecycle="retired")
    close_action(action_id=gated.action_id, actor=actor_of(cast.on_call), user=cast.on_call)
    assert "stability_hold" not in {found.code for found in list_interlocks([rolled_back.bad]).get(rolled_back.bad.pk, [])}


def test_hold_ends_with_the_last_gating_action_and_stands_again_when_one_is_reopened(
    rolled_back: RolledBack, postmortem: Postmortem, gated: PostmortemAction, cast: Cast
) -> None:
    second = give(postmortem, cast.on_call, title="Alert on it")
    hold = list_standing_holds().get()
    assert [gate.title for gate in gates_of(hold)] == ["Add the case to the eval set", "Alert on it"]
    assert "its gating actions are closed (“Add the case to the eval set”, “Alert on it”)" in describe_hold(hold)
    close_action(action_id=second.action_id, actor=actor_of(cast.on_call), user=cast.on_call)
    assert held_among([rolled_back.bad])
    close_action(action_id=gated.action_id, actor=actor_of(cast.on_call), user=cast.on_call)
    assert not held_among([rolled_back.bad])
    reopen_action(action_id=gated.action_id, reason="It was not.", actor=actor_of(cast.on_call), user=cast.on_call)
    assert held_among([rolled_back.bad])
    with pytest.raises(InvalidInput):
        reroute(rolled_back.policy, bad=1)
    close_action(action_id=gated.action_id, actor=actor_of(cast.on_call), user=cast.on_call)
    reroute(rolled_back.policy, bad=5)
    assert weight_of(rolled_back.policy) == 5


def test_closed_actions_do_not_shorten_the_holds_time(rolled_back: RolledBack, postmortem: Postmortem, cast: Cast) -> None:
    link = give(postmortem, cast.on_call)
    hold = list_standing_holds().get()
    assert f", and not before {hold.ends_at:%Y-%m-%d %H:%M} UTC" in describe_hold(hold)
    close_action(action_id=link.action_id, actor=actor_of(cast.on_call), user=cast.on_call)
    assert stands(StabilityHold.objects.get())


def test_action_that_does_not_gate_holds_nothing(rolled_back: RolledBack, postmortem: Postmortem, cast: Cast) -> None:
    link = give(postmortem, cast.on_call, gating=False)
    hold_over(rolled_back.bad)
    assert not list_standing_holds().exists()
    set_gating(postmortem_id=postmortem.pk, action_id=link.action_id, is_gating=True, reason="", **who(cast.on_call))
    assert list_standing_holds().exists(), "its version has not shipped since: the hold stands again"
    assert AuditEvent.objects.filter(event="hold.gated").count() == 1


def test_what_has_shipped_since_is_not_held_again(rolled_back: RolledBack, postmortem: Postmortem, cast: Cast) -> None:
    hold_over(rolled_back.bad)
    reroute(rolled_back.policy, bad=5)
    give(postmortem, cast.on_call)
    assert not HoldGate.objects.exists()
    reroute(rolled_back.policy, bad=6)


def test_staging_stays_free(rolled_back: RolledBack, gated: PostmortemAction) -> None:
    staging = seed_production("model", alias="smart-reasoner", environment="staging")
    reroute(staging, bad=90)
    assert weight_of(staging) == 90


def test_lead_may_lift_it_with_a_reason(rolled_back: RolledBack, gated: PostmortemAction, cast: Cast) -> None:
    hold = StabilityHold.objects.get()
    with pytest.raises(Forbidden):
        lift_hold(hold_id=hold.pk, user=cast.on_call, actor=actor_of(cast.on_call), reason="we are sure")
    lift_hold(hold_id=hold.pk, user=cast.lead, actor=actor_of(cast.lead), reason="The fault was elsewhere.")
    assert not list_standing_holds().exists()
    reroute(rolled_back.policy, bad=5)


@pytest.mark.parametrize("how", ["not_doing", "not_gating"])
def test_letting_it_go_before_it_is_done_is_a_leads_in_person_with_a_reason(how: str, postmortem: Postmortem, gated: PostmortemAction, cast: Cast) -> None:
    def let_go(user: User, *, reason: str = "The version never ships again.", by_token: bool = False) -> None:
        actor = token_actor(user) if by_token else actor_of(user)
        if how == "not_doing":
            close_action(action_id=gated.action_id, actor=actor, user=user, state=ActionState.NOT_DOING, reason=reason)
        else:
            set_gating(postmortem_id=postmortem.pk, action_id=gated.action_id, is_gating=False, reason=reason, account=user, actor=actor)

    for user, by_token, code in ((cast.on_call, False, "gate_is_a_leads"), (cast.admin, False, "gate_is_a_leads"), (cast.lead, True, "token_not_allowed")):
        with pytest.raises(Forbidden) as caught:
            let_go(user, by_token=by_token)
        assert caught.value.code == code
    with pytest.raises(InvalidInput):
        let_go(cast.lead, reason=" ")
    assert list_standing_holds().exists()
    let_go(cast.lead)
    assert not list_standing_holds().exists()


def test_gating_is_of_the_postmortems_own_open_actions(postmortem: Postmortem, gated: PostmortemAction, cast: Cast) -> None:
    with pytest.raises(NotFound):
        set_gating(postmortem_id=postmortem.pk, action_id=postmortem.pk, is_gating=True, reason="", **who(cast.on_call))
    close_action(action_id=gated.action_id, actor=actor_of(cast.on_call), user=cast.on_call)
    with pytest.raises(Conflict):
        set_gating(postmortem_id=postmortem.pk, action_id=gated.action_id, is_gating=True, reason="", **who(cast.on_call))


def test_hold_that_begins_later_in_the_incident_waits_too(rolled_back: RolledBack, postmortem: Postmortem, cast: Cast) -> None:
    link = give(postmortem, cast.on_call)
    again = RollbackFactory(verified=True, environment=rolled_back.policy.environment)
    IncidentRollbackFactory(rollback=again, incident=rolled_back.incident)
    version = again.parts.get().bad_version
    start_hold(version=version, rollback_id=again.pk, actor=ACTOR)
    assert gate_late_holds() == 1
    assert gate_late_holds() == 0
    hold_over(version)
    assert [gate.action_id for gate in gates_of(list_standing_holds().get(version=version))] == [link.action_id]


def test_another_incidents_hold_does_not_wait(rolled_back: RolledBack, postmortem: Postmortem, cast: Cast) -> None:
    elsewhere = RollbackFactory(verified=True, environment=rolled_back.policy.environment)
    start_hold(version=elsewhere.parts.get().bad_version, rollback_id=elsewhere.pk, actor=ACTOR)
    give(postmortem, cast.on_call)
    assert set(HoldGate.objects.values_list("hold__version", flat=True)) == {rolled_back.bad.pk}


def test_prolonged_hold_keeps_its_gates(rolled_back: RolledBack, gated: PostmortemAction, cast: Cast) -> None:
    close_action(action_id=gated.action_id, actor=actor_of(cast.on_call), user=cast.on_call)
    reroute(rolled_back.policy, bad=25)
    run(ask(fresh(rolled_back.policy), account=cast.on_call))
    reopen_action(action_id=gated.action_id, reason="It was not done.", actor=actor_of(cast.on_call), user=cast.on_call)
    assert StabilityHold.objects.count() == 1
    hold_over(rolled_back.bad)
    assert list_standing_holds().exists()
