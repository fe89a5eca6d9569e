"""The fixed cast: one person per role, and one who has none. Who may do a thing is tried with each of them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import pytest

from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from tests.factories.accounts import UserFactory


@dataclass(frozen=True)
class Cast:
    """People; all sign in with tests.factories.accounts.PASSWORD."""

    on_call: User
    lead: User
    leadership: User
    auditor: User
    admin: User
    stranger: User
    """Has an account and no role."""

    def everybody_but(self, *names: str) -> dict[str, User]:
        """The others, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in names}


@pytest.fixture
def cast(db: None) -> Cast:
    """One person per role, and the stranger."""
    return make_cast()


def make_cast() -> Cast:
    """The cast, in whatever database is current (for tests with a `fresh_database`)."""
    return Cast(
        on_call=UserFactory(username="oncall", first_name="Olga", last_name="Call", roles=[Role.ON_CALL]),
        lead=UserFactory(username="lead", first_name="Lee", last_name="Lead", roles=[Role.PLATFORM_LEAD]),
        leadership=UserFactory(username="leadership", first_name="Vera", last_name="Vice", roles=[Role.LEADERSHIP]),
        auditor=UserFactory(username="auditor", first_name="Audra", last_name="Book", roles=[Role.AUDITOR]),
        admin=UserFactory(username="admin", first_name="Adam", last_name="Key", roles=[Role.ADMIN]),
        stranger=UserFactory(username="stranger", first_name="Nobody", last_name="Knows"),
    )
