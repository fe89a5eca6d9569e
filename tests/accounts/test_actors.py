"""What people are called."""

from __future__ import annotations

import pytest

from rollbackhub.accounts.domain.actors import actor_of, name_of
from rollbackhub.accounts.models import User


@pytest.mark.parametrize(
    ("names", "called"),
    [(("Olga", "Call"), "Olga Call"), (("Olga", ""), "Olga"), (("", ""), "oncall"), ((" ", " "), "oncall")],
)
def test_person_is_called_by_the_full_name_else_by_the_accounts(names: tuple[str, str], called: str) -> None:
    person = User(pk=1, username="oncall", first_name=names[0], last_name=names[1])
    assert (name_of(person), actor_of(person).label) == (called, called)
