"""`manage.py create_token`."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from knox.crypto import hash_token

from rollbackhub.accounts.models import ApiToken
from tests.factories.fixtures import Cast


def test_create_token_prints_it_alone_on_standard_output(cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("create_token", "--user", "lead", "--name", "ci", "--scopes", "read, drill", "--days", "30")
    said = capsys.readouterr()
    token = ApiToken.objects.get()
    assert hash_token(said.out.strip()) == token.digest
    assert (token.user, token.name, token.scopes) == (cast.lead, "ci", ["read", "drill"])
    assert said.out.strip() not in said.err
    assert "cannot be shown again" in said.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--user", "nobody", "--name", "ci", "--scopes", "read"], "no account nobody"),
        (["--user", "lead", "--name", "ci", "--scopes", "root"], "no scope root"),
        (["--user", "lead", "--name", "ci", "--scopes", ""], "at least one of"),
        (["--user", "lead", "--name", "", "--scopes", "read"], "name of 1 to 100"),
        (["--user", "lead", "--name", "ci", "--scopes", "read", "--days", "1000"], "1 to 366 days"),
    ],
)
def test_create_token_that_cannot_be_ends_with_a_sentence(cast: Cast, arguments: list[str], says: str) -> None:
    with pytest.raises(CommandError, match=says):
        call_command("create_token", *arguments)
    assert not ApiToken.objects.exists()
