"""Who starts what alone, who approves what: every role against every change type and scope, by rules that are written out here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

import pytest
from django.db import transaction

from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.errors import Forbidden, InvalidInput
from rollbackhub.registry.models import Version
from rollbackhub.rollbacks.domain.authority import set_rule
from rollbackhub.rollbacks.domain.proposal import Target, propose_rollback
from rollbackhub.rollbacks.enums import AuthoritySubject
from rollbackhub.rollbacks.models import Approval, AuthorityRule, Rollback
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.accounts import UserFactory
from tests.factories.fixtures import Cast
from tests.rollbacks.conftest import ACTOR, BAD, CHANGE_TYPES, approve, ask, fresh, reject, seed_production, service_of, token_actor

SCOPES = ("single", "coordinated", "strategic", "released as strategic")

# The chapter's rules, not the product's: on-call engineers prompt and model; platform leads the rest and what is coordinated;
# senior leadership what is strategic. A higher one may do what a lower one may. Auditors and strangers may nothing;
# administrators may ask, and approve for others, and decide nothing alone.
RANK = {"on_call": 1, "lead": 2, "leadership": 3, "admin": 0}
NEEDED = {"prompt": 1, "model": 1, "agent_code": 2, "eval_set": 2, "dataset": 2}
ROLE_OF_RANK = {1: "on_call", 2: "platform_lead", 3: "leadership"}


def needed(change_type: str, scope: str) -> int:
    """The rank that decides alone."""
    return {"single": NEEDED[change_type], "coordinated": max(2, NEEDED[change_type])}.get(scope, 3)


def expected_of_requester(name: str, change_type: str, scope: str) -> str:
    if name in ("auditor", "stranger"):
        return "forbidden"
    return "running" if RANK[name] >= needed(change_type, scope) else "awaiting_approval"


def expected_of_approver(name: str, change_type: str, scope: str) -> str:
    """Of somebody else's request."""
    if name in ("auditor", "stranger"):
        return "forbidden"
    return "running" if name == "admin" or RANK[name] >= needed(change_type, scope) else "not_an_approver"


class _Undone(Exception):
    pass


@contextmanager
def undone() -> Iterator[None]:
    """What is done inside did not happen."""
    try:
        with transaction.atomic():
            yield
            raise _Undone
    except _Undone:
        pass


@pytest.fixture(params=product(CHANGE_TYPES, SCOPES), ids=lambda param: " ".join(param))
def case(request: pytest.FixtureRequest, db: None) -> tuple[str, str, list[RoutingPolicy]]:
    """A change type, a scope, and the aliases of it."""
    change_type, scope = request.param
    policies = [seed_production(change_type, alias="first")]
    if scope == "coordinated":
        policies.append(seed_production(change_type, alias="second"))
    if scope == "released as strategic":
        Version.objects.filter(artefact=policies[0].artefact, label=BAD).update(is_strategic=True)
    return change_type, scope, policies


def asked(policies: list[RoutingPolicy], scope: str, account: User, actor: Actor | None = None) -> Rollback:
    return ask(*policies, account=account, actor=actor, strategic=scope == "strategic")


def outcome_of_asking(policies: list[RoutingPolicy], scope: str, account: User, actor: Actor | None = None) -> str:
    try:
        rollback = asked(policies, scope, account, actor)
    except Forbidden as refusal:
        assert not Rollback.objects.exists()
        return refusal.code
    assert (rollback.authorised_by is not None) == (rollback.state == "running")
    return rollback.state


def outcome_of_approving(rollback: Rollback, approver: User, actor: Actor | None = None) -> str:
    try:
        return approve(rollback, approver, actor=actor).state
    except Forbidden as refusal:
        assert not Approval.objects.exists()
        return refusal.code


def test_each_role_as_requester(case: tuple[str, str, list[RoutingPolicy]], cast: Cast) -> None:
    change_type, scope, policies = case
    for name, person in cast.everybody_but().items():
        with undone():
            assert outcome_of_asking(policies, scope, person) == expected_of_requester(name, change_type, scope), name
        with undone():
            # A token has its person's authority. What the token itself may do is the API's question.
            assert outcome_of_asking(policies, scope, person, token_actor(person)) == expected_of_requester(name, change_type, scope), f"{name} by token"
        proposal = propose_rollback(targets=[Target(fresh(policy)) for policy in policies], account=person, strategic=scope == "strategic")
        assert proposal.authority.role == ROLE_OF_RANK[needed(change_type, scope)]
        assert proposal.alone == (name in RANK and RANK[name] >= needed(change_type, scope))


def test_each_role_as_approver_of_somebody_elses_request(case: tuple[str, str, list[RoutingPolicy]], cast: Cast) -> None:
    change_type, scope, policies = case
    # Administrators may ask for anything and decide nothing alone, so every scope has a request that waits.
    requester = UserFactory(username="asks", roles=[Role.ADMIN])
    rollback = asked(policies, scope, requester)
    for name, person in cast.everybody_but().items():
        wanted = expected_of_approver(name, change_type, scope)
        with undone():
            assert outcome_of_approving(rollback, person) == wanted, name
        with undone():
            assert outcome_of_approving(rollback, person, token_actor(person)) == ("forbidden" if wanted == "forbidden" else "token_not_allowed"), name
        if wanted != "running":
            with undone(), pytest.raises(Forbidden):
                reject(rollback, person)
    may = {name for name in cast.everybody_but() if expected_of_approver(name, change_type, scope) == "running"}
    proposal = propose_rollback(targets=[Target(fresh(policy)) for policy in policies], account=requester, strategic=scope == "strategic")
    assert {person.username for person in proposal.approvers} == {getattr(cast, name).username for name in may}


def test_requester_and_all_their_accounts_approve_nothing(case: tuple[str, str, list[RoutingPolicy]], db: None) -> None:
    _, scope, policies = case
    # The highest roles there are, given after the request: nothing but being the requester stands against it.
    person = UserFactory(username="asks", roles=[Role.ADMIN])
    rollback = asked(policies, scope, person)
    for role in (Role.PLATFORM_LEAD, Role.LEADERSHIP):
        person.role_assignments.create(role=role)
    service = service_of(person, Role.ADMIN, Role.LEADERSHIP)
    assert outcome_of_approving(rollback, person) == "own_request"
    assert outcome_of_approving(rollback, person, token_actor(person)) == "token_not_allowed"
    assert outcome_of_approving(rollback, service) == "token_not_allowed"
    assert outcome_of_approving(rollback, service, token_actor(service)) == "token_not_allowed"


def test_person_approves_nothing_that_their_service_account_asked_for(case: tuple[str, str, list[RoutingPolicy]], db: None) -> None:
    _, scope, policies = case
    person = UserFactory(username="asks", roles=[Role.ADMIN])
    service = service_of(person, Role.ON_CALL)
    rollback = asked(policies, scope, service, token_actor(service))
    assert (rollback.state, rollback.principal) == ("awaiting_approval", person)
    person.role_assignments.create(role=Role.LEADERSHIP)
    assert outcome_of_approving(rollback, person) == "own_request"
    assert outcome_of_approving(rollback, service) == "token_not_allowed"


def test_service_account_of_somebody_without_a_role_starts_nothing(case: tuple[str, str, list[RoutingPolicy]], cast: Cast) -> None:
    _, scope, policies = case
    service = service_of(cast.stranger, Role.LEADERSHIP)
    assert outcome_of_asking(policies, scope, service) == "awaiting_approval"


def test_service_account_without_a_role_starts_nothing_for_its_lead(case: tuple[str, str, list[RoutingPolicy]], cast: Cast) -> None:
    _, scope, policies = case
    assert outcome_of_asking(policies, scope, service_of(cast.leadership)) == "forbidden"


# The table.


def change_table(subject: str, role: str) -> None:
    set_rule(subject=subject, role=role, tell_next_after_seconds=60, expires_after_seconds=600, actor=ACTOR)


@pytest.mark.parametrize("change_type", CHANGE_TYPES)
@pytest.mark.parametrize("role", ["on_call", "platform_lead", "leadership"])
def test_editing_a_row_changes_who_decides(db: None, cast: Cast, change_type: str, role: str) -> None:
    policy = seed_production(change_type)
    before = AuthorityRule.objects.get(subject=change_type)
    change_table(change_type, role)
    rank = {"on_call": 1, "platform_lead": 2, "leadership": 3}[role]
    for name in ("on_call", "lead", "leadership"):
        with undone():
            wanted = "running" if RANK[name] >= rank else "awaiting_approval"
            assert outcome_of_asking([policy], "single", getattr(cast, name)) == wanted
    waiting = asked([policy], "single", cast.admin)
    assert waiting.expires_at is not None
    assert waiting.tell_next_at is not None
    assert (waiting.tell_next_at - waiting.decided_at).total_seconds() == 60
    assert (waiting.expires_at - waiting.decided_at).total_seconds() == 600
    changed = AuditEvent.objects.get(event="authority.rule_changed")
    assert (changed.subject_id, changed.data["before"]["role"], changed.data["after"]["role"]) == (change_type, before.role, role)


def test_easing_the_row_of_coordinated_does_not_ease_the_change_type(cast: Cast, dataset: RoutingPolicy, policy: RoutingPolicy) -> None:
    change_table("coordinated", "on_call")
    with undone():
        assert outcome_of_asking([dataset, policy], "coordinated", cast.on_call) == "awaiting_approval"
    other = seed_production("prompt", alias="prompt")
    assert outcome_of_asking([other, policy], "coordinated", cast.on_call) == "running"


@pytest.mark.parametrize("subject", AuthoritySubject.values)
def test_missing_row_means_leadership(db: None, cast: Cast, subject: str) -> None:
    change_type = subject if subject in CHANGE_TYPES else "prompt"
    policies = [seed_production(change_type, alias="first")]
    if subject == "coordinated":
        policies.append(seed_production(change_type, alias="second"))
    AuthorityRule.objects.filter(subject=subject).delete()
    scope = "strategic" if subject == "strategic" else "single"
    for name, wanted in (("on_call", "awaiting_approval"), ("lead", "awaiting_approval"), ("leadership", "running")):
        with undone():
            assert outcome_of_asking(policies, scope, getattr(cast, name)) == wanted, name


def test_empty_table_means_leadership_for_everything(cast: Cast, policy: RoutingPolicy) -> None:
    AuthorityRule.objects.all().delete()
    waiting = asked([policy], "single", cast.lead)
    assert (waiting.state, waiting.required_role) == ("awaiting_approval", Role.LEADERSHIP)
    assert outcome_of_approving(waiting, UserFactory(roles=[Role.PLATFORM_LEAD])) == "not_an_approver"
    assert outcome_of_approving(waiting, cast.leadership) == "running"


@pytest.mark.parametrize(
    ("subject", "role", "tell", "expire"),
    [
        ("weather", "on_call", 60, 600),
        ("prompt", "auditor", 60, 600),
        ("prompt", "admin", 60, 600),
        ("prompt", "", 60, 600),
        ("prompt", "on_call", 0, 600),
        ("prompt", "on_call", 600, 600),
        ("prompt", "on_call", 60, 8 * 86_400),
    ],
)
def test_row_that_makes_no_sense_is_refused(db: None, subject: str, role: str, tell: int, expire: int) -> None:
    before = list(AuthorityRule.objects.order_by("pk").values())
    with pytest.raises(InvalidInput):
        set_rule(subject=subject, role=role, tell_next_after_seconds=tell, expires_after_seconds=expire, actor=ACTOR)
    assert list(AuthorityRule.objects.order_by("pk").values()) == before
    assert not AuditEvent.objects.filter(event="authority.rule_changed").exists()


def test_person_with_several_roles_has_the_highest(db: None, cast: Cast, dataset: RoutingPolicy) -> None:
    both = UserFactory(roles=[Role.AUDITOR, Role.ON_CALL, Role.PLATFORM_LEAD])
    assert outcome_of_asking([dataset], "single", both) == "running"
