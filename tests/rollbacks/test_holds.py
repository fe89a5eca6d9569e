"""A version under hold gets no weight in production, whichever way it is tried; the rollback stands as it stood."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.test import Client
from rest_framework.test import APIClient

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.common.verdict import Verdict
from rollbackhub.registry.domain.holds import lift_hold, list_standing_holds, start_hold
from rollbackhub.registry.models import Environment, StabilityHold, Version
from rollbackhub.rollbacks.domain.proposal import Target
from rollbackhub.rollbacks.domain.roll_forward import SkippedGate, start_roll_forward
from rollbackhub.rollbacks.domain.transitions import request_rollback
from rollbackhub.rollbacks.enums import RollbackState, Via
from rollbackhub.rollbacks.models import Rollback, RollForward
from rollbackhub.routing.domain.transitions import append_revision, create_policy
from rollbackhub.routing.domain.yaml_io import import_policies
from rollbackhub.routing.models import Candidate, PolicyRevision, RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from tests.databases import FreshDatabase
from tests.factories.accounts import ApiTokenFactory
from tests.factories.fixtures import Cast
from tests.rollbacks.conftest import (
    ACTOR,
    BAD,
    GOOD,
    ask,
    candidates,
    ends,
    fresh,
    reroute,
    run,
    script,
    seed_production,
    service_of,
    token_actor,
    weight_of,
)
from tests.threads import at_once

FILE = """aliases:
  smart-reasoner:
    candidates:
      - {id: "anthropic:v2:ap-south-1", version_pin: v2, weight: 5}
      - {id: "anthropic:v1:ap-south-1", version_pin: v1, weight: 95}
"""


@pytest.fixture
def held(policy: RoutingPolicy, cast: Cast) -> Rollback:
    """smart-reasoner was rolled back and verified; v2 is under hold."""
    rollback = run(ask(policy, account=cast.on_call))
    assert rollback.state == RollbackState.VERIFIED
    return rollback


def bad_version(policy: RoutingPolicy) -> Version:
    return Version.objects.get(artefact=policy.artefact_id, label=BAD)


def append(policy: RoutingPolicy, cast: Cast) -> None:
    reroute(policy, bad=1)


def append_on_another_candidate(policy: RoutingPolicy, cast: Cast) -> None:
    specs = [CandidateSpec("anthropic:new-name:eu-west-1", BAD, 1), CandidateSpec("anthropic:v1:ap-south-1", GOOD, 99)]
    append_revision(policy_id=policy.pk, expected_revision=2, candidates=specs, actor=ACTOR, reason="under another name")


def new_alias(policy: RoutingPolicy, cast: Cast) -> None:
    create_policy(
        environment=policy.environment, alias="smart-reasoner-2", artefact=policy.artefact, candidates=candidates(100), actor=ACTOR, reason="another door"
    )


def new_alias_in_another_production(policy: RoutingPolicy, cast: Cast) -> None:
    place = Environment.objects.create(slug="production-eu", name="Production EU", kind="production", releases_only=False)
    create_policy(environment=place, alias="smart-reasoner", artefact=policy.artefact, candidates=candidates(100), actor=ACTOR, reason="another door")


def import_yaml(policy: RoutingPolicy, cast: Cast) -> None:
    import_policies(environment=policy.environment, text=FILE, actor=ACTOR, reason="from the repository")


def roll_forward_to_it(policy: RoutingPolicy, cast: Cast) -> None:
    start_roll_forward(
        target=Target(fresh(policy), bad_version=Version.objects.get(artefact=policy.artefact_id, label=GOOD)),
        fix_version=bad_version(policy),
        account=cast.lead,
        actor=actor_of(cast.lead),
        reason="it was fine after all",
        skipped_gates=[SkippedGate("canary", "Lee Lead", "it was fine after all")],
        via=Via.PAGE,
    )


DOMAIN = [append, append_on_another_candidate, new_alias, new_alias_in_another_production, import_yaml, roll_forward_to_it]


def unchanged(policy: RoutingPolicy, held: Rollback) -> None:
    """The rollback and the policies are as they were."""
    now = Rollback.objects.get(pk=held.pk)
    assert (now.state, now.number, now.restored_at) == (RollbackState.VERIFIED, held.number, held.restored_at)
    assert fresh(policy).revision_number == 2
    assert not Candidate.objects.filter(version=bad_version(policy), weight__gt=0, revision__number__gt=1).exists()
    assert not RollForward.objects.exists()
    assert list_standing_holds().count() == 1
    assert RoutingPolicy.objects.filter(artefact=policy.artefact).count() == 1


@pytest.mark.parametrize("way", DOMAIN, ids=lambda way: way.__name__)
def test_domain_refuses_weight_for_a_held_version(policy: RoutingPolicy, held: Rollback, cast: Cast, way: Callable[[RoutingPolicy, Cast], None]) -> None:
    with pytest.raises(InvalidInput) as caught:
        way(policy, cast)
    assert caught.value.code in ("version_held", "invalid_policy_file")
    assert "stability hold" in " ".join([caught.value.message, *(sentence for found in caught.value.fields.values() for sentence in found)])
    unchanged(policy, held)


@pytest.mark.parametrize("bad", [True, False])
def test_database_refuses_it_even_to_a_hand_written_insert(policy: RoutingPolicy, held: Rollback, bad: bool) -> None:
    def insert() -> None:
        with transaction.atomic():
            revision = PolicyRevision.objects.create(policy=policy, number=3, routing_number=99, reason="by hand", actor_label="psql")
            Candidate.objects.create(revision=revision, position=0, candidate_id="x", version=bad_version(policy), weight=100 if bad else 0)
            transaction.set_rollback(not bad)

    if bad:
        with pytest.raises(IntegrityError, match="under a stability hold"):
            insert()
    else:
        insert()
    unchanged(policy, held)


def test_database_refuses_to_raise_a_weight_that_is_written(policy: RoutingPolicy, held: Rollback) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        Candidate.objects.filter(revision__policy=policy, revision__number=2, version=bad_version(policy)).update(weight=10)
    unchanged(policy, held)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("name", ["on_call", "lead", "admin"])
def test_page_refuses_to_import_it(policy: RoutingPolicy, held: Rollback, cast: Cast, name: str) -> None:
    client = signed_in(getattr(cast, name))
    for confirm in ({}, {"confirm": "1"}):
        values = {"text": FILE, "reason": "from the repository", "seen": json.dumps({"smart-reasoner": 2})} | confirm
        answer = client.post("/routing/production/import/", values)
        assert answer.status_code == 422
        assert "stability hold" in answer.content.decode()
    unchanged(policy, held)


def by_token(user: User) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {ApiTokenFactory(user=user, scopes=['read', 'route', 'rollback']).plain}")
    return client


@pytest.mark.parametrize("name", ["on_call", "lead", "admin"])
def test_api_refuses_the_revision_and_the_file(policy: RoutingPolicy, held: Rollback, cast: Cast, name: str) -> None:
    client = by_token(getattr(cast, name))
    body = {"expected_revision": 2, "reason": "by hand", "candidates": [candidate.as_dict() for candidate in candidates(5)]}
    answer = client.post("/api/v1/policies/production/smart-reasoner/revisions/", body, format="json")
    assert (answer.status_code, answer.json()["code"]) == (422, "version_held")
    answer = client.post("/api/v1/policies/production/import/?reason=by+hand", FILE, content_type="application/yaml")
    assert answer.status_code == 422
    assert "stability hold" in answer.content.decode()
    unchanged(policy, held)


def test_rolling_back_to_a_held_version_is_refused_when_it_is_asked_for(policy: RoutingPolicy, held: Rollback, cast: Cast) -> None:
    """The other version turns out bad, too, and the only one to go back to is under hold: a lead has to lift it first."""
    good = Version.objects.get(artefact=policy.artefact_id, label=GOOD)
    with pytest.raises(InvalidInput, match="nothing to go back to") as refusal:
        ask_for(policy, good, cast.on_call)
    assert refusal.value.code == "target_held"
    assert "stability hold" in refusal.value.message
    assert (weight_of(policy), weight_of(policy, GOOD)) == (0, 100)
    assert Rollback.objects.count() == 1
    assert Rollback.objects.get(pk=held.pk).state == RollbackState.VERIFIED


def test_held_version_of_the_same_name_in_another_artefact_is_no_hindrance(policy: RoutingPolicy, cast: Cast) -> None:
    other = seed_production("prompt", alias="answer-prompt")
    Version.objects.create(artefact=other.artefact, label="v3", digest="sha256:v3")
    specs = [CandidateSpec("a:v3:x", "v3", 20), CandidateSpec("a:v2:x", BAD, 80), CandidateSpec("a:v1:x", GOOD, 0)]
    append_revision(policy_id=other.pk, expected_revision=1, candidates=specs, actor=ACTOR, reason="the next release")
    # v1 of the prompt is under hold; the model goes back to its own v1.
    start_hold(version=Version.objects.get(artefact=other.artefact, label=GOOD), rollback_id=Rollback().pk, actor=ACTOR)
    rollback = run(ask(other, policy, account=cast.lead))
    assert rollback.state == RollbackState.VERIFIED
    assert (weight_of(other, BAD), weight_of(policy, GOOD)) == (100, 100)


def test_hold_that_began_after_the_request_stops_the_flip(policy: RoutingPolicy, cast: Cast) -> None:
    rollback = ask(policy, account=cast.on_call)
    start_hold(version=Version.objects.get(artefact=policy.artefact_id, label=GOOD), rollback_id=rollback.pk, actor=ACTOR)
    rollback = run(rollback)
    assert rollback.state == RollbackState.NEEDS_HUMAN
    assert "stability hold" in rollback.outcome
    assert weight_of(policy) == 25


def ask_for(policy: RoutingPolicy, version: Version, account: User) -> Rollback:
    return request_rollback(
        targets=[Target(fresh(policy), bad_version=version)], account=account, actor=actor_of(account), reason="this one is bad, too", via=Via.PAGE
    )


def test_weight_of_zero_is_no_weight(policy: RoutingPolicy, held: Rollback) -> None:
    reroute(policy, bad=0)
    assert fresh(policy).revision_number == 3


def test_other_versions_ship_as_before(policy: RoutingPolicy, held: Rollback) -> None:
    Version.objects.create(artefact=policy.artefact, label="v3", digest="sha256:v3")
    specs = [CandidateSpec("anthropic:v3:ap-south-1", "v3", 50), CandidateSpec("anthropic:v1:ap-south-1", GOOD, 50)]
    append_revision(policy_id=policy.pk, expected_revision=2, candidates=specs, actor=ACTOR, reason="the next release")
    assert weight_of(policy, "v3") == 50


def test_staging_stays_free(policy: RoutingPolicy, held: Rollback) -> None:
    staging = seed_production("model", alias="smart-reasoner", environment="staging")
    reroute(staging, bad=90)
    assert (weight_of(staging), weight_of(policy)) == (90, 0)


# Lifting.


def hold_of(policy: RoutingPolicy) -> StabilityHold:
    return list_standing_holds().get(version=bad_version(policy))


def test_lifting_takes_a_lead_who_is_signed_in_and_a_reason(policy: RoutingPolicy, held: Rollback, cast: Cast) -> None:
    hold = hold_of(policy)
    for user in cast.everybody_but("lead", "leadership").values():
        with pytest.raises(Forbidden):
            lift_hold(hold_id=hold.pk, user=user, actor=actor_of(user), reason="it is fine")
    service = service_of(cast.lead, Role.PLATFORM_LEAD)
    for user, actor in ((cast.lead, token_actor(cast.lead)), (service, actor_of(service))):
        with pytest.raises((Forbidden, Conflict)) as caught:
            lift_hold(hold_id=hold.pk, user=user, actor=actor, reason="it is fine")
        assert caught.value.code == "token_not_allowed"
    for reason in ("", "  ", "x"):
        with pytest.raises(InvalidInput):
            lift_hold(hold_id=hold.pk, user=cast.lead, actor=actor_of(cast.lead), reason=reason)
    with pytest.raises(NotFound):
        lift_hold(hold_id=0, user=cast.lead, actor=actor_of(cast.lead), reason="it is fine")
    unchanged(policy, held)


@pytest.mark.parametrize("name", ["lead", "leadership"])
def test_lifted_hold_lets_the_version_ship_and_is_audited(policy: RoutingPolicy, held: Rollback, cast: Cast, name: str) -> None:
    user, hold = getattr(cast, name), hold_of(policy)
    lift_hold(hold_id=hold.pk, user=user, actor=actor_of(user), reason="the cause was the index")
    reroute(policy, bad=5)
    assert weight_of(policy) == 5
    lifted = AuditEvent.objects.get(event="hold.lifted")
    assert (lifted.data["reason"], lifted.actor_user_id) == ("the cause was the index", user.pk)
    with pytest.raises(Conflict) as caught:
        lift_hold(hold_id=hold.pk, user=user, actor=actor_of(user), reason="again")
    assert caught.value.code == "hold_over"


def test_hold_ends_by_itself_after_its_days(policy: RoutingPolicy, held: Rollback, cast: Cast) -> None:
    hold = hold_of(policy)
    assert hold.ends_at - hold.started_at == dt.timedelta(days=7)
    StabilityHold.objects.filter(pk=hold.pk).update(started_at=clock.now() - dt.timedelta(days=8), ends_at=clock.now() - dt.timedelta(seconds=1))
    reroute(policy, bad=5)
    assert weight_of(policy) == 5


def test_days_of_the_hold_are_the_artefacts(policy: RoutingPolicy, cast: Cast) -> None:
    type(policy.artefact).objects.filter(pk=policy.artefact_id).update(hold_days=30)
    run(ask(policy, account=cast.on_call))
    hold = hold_of(policy)
    assert hold.ends_at - hold.started_at == dt.timedelta(days=30)


def test_second_rollback_of_the_same_version_prolongs_the_hold_and_makes_no_second(policy: RoutingPolicy, cast: Cast) -> None:
    other = create_policy(environment=policy.environment, alias="second-door", artefact=policy.artefact, candidates=candidates(50), actor=ACTOR, reason="seed")
    run(ask(policy, account=cast.on_call))
    first = hold_of(policy)
    rollback = run(ask(other, account=cast.on_call))
    assert rollback.state == RollbackState.VERIFIED
    hold = hold_of(policy)
    assert (hold.pk, hold.rollback_id) == (first.pk, rollback.pk)
    assert hold.ends_at > first.ends_at


def test_rollback_that_stopped_before_restoration_holds_nothing(policy: RoutingPolicy, cast: Cast) -> None:
    script("preflight", ends(Verdict.FAILED))
    run(ask(policy, account=cast.on_call))
    assert not StabilityHold.objects.exists()


# At once.


def test_hold_and_revision_in_the_same_moment_are_never_both_after_each_other(fresh_database: FreshDatabase) -> None:
    """A revision that gives weight is written before the hold began, or it is refused."""
    rollback = Rollback().pk
    for number in range(8):
        policy = seed_production("model", alias=f"alias-{number}", bad=0)
        version = bad_version(policy)
        acts: list[Callable[[], object]] = [
            lambda version=version: start_hold(version=version, rollback_id=rollback, actor=ACTOR),  # type: ignore[misc]
            lambda policy=policy: reroute(policy, bad=5),  # type: ignore[misc]
        ]
        results = at_once(2, lambda index, acts=acts: acts[index]())  # type: ignore[misc]
        refused = [result for result in results if isinstance(result, Exception)]
        assert all(isinstance(error, InvalidInput | IntegrityError) for error in refused), refused
        hold = StabilityHold.objects.get(version=version)
        assert (weight_of(policy) == 0) == bool(refused)
        if not refused:
            assert PolicyRevision.objects.get(policy=policy, number=2).created_at <= hold.started_at
        with pytest.raises(InvalidInput):
            reroute(policy, bad=6)


@pytest.mark.parametrize("hold_first", [True, False])
def test_whoever_is_second_waits_for_the_first_to_commit(fresh_database: FreshDatabase, hold_first: bool) -> None:
    policy = seed_production("model", alias="smart-reasoner", bad=0)
    version = bad_version(policy)
    begun: list[str] = []
    ended: list[str] = []

    def hold() -> None:
        start_hold(version=version, rollback_id=Rollback().pk, actor=ACTOR)

    def revise() -> None:
        reroute(policy, bad=5)

    first, second = (hold, revise) if hold_first else (revise, hold)

    def act(index: int) -> None:
        if index == 0:
            with transaction.atomic():
                first()
                begun.append("first")
                clock.sleep(0.4)
                ended.append("first")
        else:
            while not begun:
                clock.sleep(0.005)
            try:
                second()
            finally:
                ended.append("second")

    results = at_once(2, act)
    assert ended == ["first", "second"]
    refused = [result for result in results if isinstance(result, Exception)]
    assert len(refused) == (1 if hold_first else 0)
    assert weight_of(policy) == (0 if hold_first else 5)
