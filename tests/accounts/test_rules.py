"""Who may do what: the whole table, for people and for tokens."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser

from rollbackhub.accounts.enums import Scope
from rollbackhub.accounts.rules import ROLES, Capability, may, require, require_valid_token
from rollbackhub.common.errors import Forbidden, InvalidInput
from tests.factories.accounts import ApiTokenFactory, UserFactory
from tests.factories.fixtures import Cast

MAY: dict[Capability, set[str]] = {
    Capability.VIEW: {"on_call", "lead", "leadership", "auditor", "admin"},
    Capability.DRILL: {"on_call", "lead", "admin"},
    Capability.ROUTE: {"on_call", "lead", "admin"},
    Capability.CONFIGURE: {"lead", "admin"},
    Capability.REGISTER: {"on_call", "lead", "admin"},
    Capability.RETIRE: {"lead", "admin"},
    Capability.RELEASE: {"on_call", "lead", "admin"},
    Capability.ROLL_BACK: {"on_call", "lead", "leadership", "admin"},
    Capability.RESPOND: {"on_call", "lead", "leadership", "admin"},
    Capability.APPROVE: {"on_call", "lead", "leadership", "admin"},
    Capability.LEAD: {"lead", "leadership"},
    Capability.AUDIT: {"auditor", "lead", "leadership", "admin"},
    Capability.ADMINISTER: {"admin"},
}


SIGNED_IN_ONLY = {Capability.ADMINISTER, Capability.APPROVE, Capability.LEAD}


@pytest.mark.parametrize("capability", Capability)
def test_may_of_each_person_is_the_table(cast: Cast, capability: Capability) -> None:
    assert {name for name, person in cast.everybody_but().items() if may(user=person, capability=capability)} == MAY[capability]


@pytest.mark.parametrize("capability", Capability)
def test_may_of_nobody_signed_in_is_nothing(capability: Capability) -> None:
    assert not may(user=AnonymousUser(), capability=capability)
    with pytest.raises(Forbidden, match="Sign in to"):
        require(user=AnonymousUser(), capability=capability)


@pytest.mark.parametrize("capability", Capability)
def test_may_of_inactive_administrator_is_nothing(cast: Cast, capability: Capability) -> None:
    cast.admin.is_active = False
    assert not may(user=cast.admin, capability=capability)


@pytest.mark.parametrize("capability", Capability)
def test_superuser_without_role_may_nothing(db: None, capability: Capability) -> None:
    assert not may(user=UserFactory(is_superuser=True, is_staff=True), capability=capability)


@pytest.mark.parametrize("capability", Capability)
def test_require_says_which_roles_are_needed(cast: Cast, capability: Capability) -> None:
    with pytest.raises(Forbidden) as refusal:
        require(user=cast.stranger, capability=capability)
    assert all(role.label in refusal.value.message for role in ROLES[capability])
    assert "administrator can grant it" in refusal.value.message


def test_require_of_who_may_passes(cast: Cast) -> None:
    for capability, names in MAY.items():
        for name in names:
            require(user=getattr(cast, name), capability=capability)


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        ([], set()),
        ([Scope.READ], {Capability.VIEW, Capability.AUDIT}),
        ([Scope.DRILL], {Capability.DRILL}),
        ([Scope.ROUTE], {Capability.ROUTE}),
        ([Scope.CONFIGURE], {Capability.CONFIGURE}),
        ([Scope.ROLLBACK], {Capability.ROLL_BACK}),
        ([Scope.RESPOND], {Capability.RESPOND}),
        ([Scope.REGISTER], {Capability.REGISTER, Capability.RETIRE}),
        ([Scope.RELEASE], {Capability.RELEASE}),
        (list(Scope), set(Capability) - SIGNED_IN_ONLY),
    ],
)
def test_token_of_administrator_may_what_its_scopes_say_and_never_administer(cast: Cast, scopes: list[Scope], allowed: set[Capability]) -> None:
    token = ApiTokenFactory(user=cast.admin, scopes=[scope.value for scope in scopes])
    assert {capability for capability in Capability if may(user=cast.admin, capability=capability, token=token)} == allowed


def test_token_never_has_more_rights_than_its_person(cast: Cast) -> None:
    for name, person in cast.everybody_but().items():
        token = ApiTokenFactory(user=person, scopes=Scope.values)
        allowed = {capability for capability in Capability if may(user=person, capability=capability, token=token)}
        assert allowed == {capability for capability in MAY if name in MAY[capability]} - SIGNED_IN_ONLY


def test_token_of_somebody_else_may_nothing(cast: Cast) -> None:
    token = ApiTokenFactory(user=cast.lead, scopes=Scope.values)
    with pytest.raises(Forbidden, match="somebody else"):
        require(user=cast.admin, capability=Capability.VIEW, token=token)


def test_require_with_missing_scope_names_it(cast: Cast) -> None:
    with pytest.raises(Forbidden, match="needs the scope drill; it has read"):
        require(user=cast.lead, capability=Capability.DRILL, token=ApiTokenFactory(user=cast.lead, scopes=["read"]))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["read", "administer"]}, "scopes"),
        ({"days": 0}, "days"),
        ({"days": 367}, "days"),
    ],
)
def test_token_that_cannot_be_issued_is_refused_per_field(changes: dict[str, object], field: str) -> None:
    values: dict[str, object] = {"name": "ci", "scopes": ["read"], "days": 90}
    with pytest.raises(InvalidInput) as refusal:
        require_valid_token(**(values | changes))  # type: ignore[arg-type]
    assert list(refusal.value.fields) == [field]


@pytest.mark.parametrize("days", [1, 366])
def test_token_at_the_edge_is_accepted(days: int) -> None:
    require_valid_token(name="ci", scopes=["read"], days=days)
