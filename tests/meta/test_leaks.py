"""The search for leaked secrets finds them, and knows every secret that the tests use."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

import pytest
from django.test import Client

from rollbackhub.audit.actors import system_actor
from rollbackhub.audit.domain.record import record
from tests import leaks

FOLDERS = ("connectors", "lab")
NAMES = ("SECRET", "TEST_SECRET", "TOKEN", "WRONG")


@pytest.fixture
def marker() -> str:
    secret = "leak-of-this-very-test-77c1"
    leaks.watch(secret)
    return secret


def taken() -> list[str]:
    """What was found so far, which is then forgotten: here it is wanted."""
    seen = [entry.split(" in ", 1)[1] for entry in leaks._found]
    leaks._found.clear()
    return seen


def test_secret_in_a_log_is_found(marker: str) -> None:
    logging.getLogger("rollbackhub.test").warning("The token is %s.", marker)
    assert taken() == ["the log of rollbackhub.test"]


@pytest.mark.django_db
def test_secret_in_an_audit_row_is_found(marker: str) -> None:
    record(event="test.leaked", actor=system_actor("test"), subject_type="test", subject_id="1", data={"note": marker})
    assert taken() == ["a row of AuditEvent"]


@pytest.mark.django_db
def test_secret_in_an_answer_is_found(marker: str, client: Client) -> None:
    response = client.get(f"/no-such-page/{marker}/")
    assert response.status_code == 404
    assert [where for where in taken() if where.startswith("the answer")] == [f"the answer to /no-such-page/{marker}/"]


def test_every_secret_of_the_connectors_tests_is_looked_for() -> None:
    missing = []
    for path in sorted(path for folder in FOLDERS for path in (Path(__file__).parents[1] / folder).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                named = [target.id for target in node.targets if isinstance(target, ast.Name) and target.id in NAMES]
                value = node.value.value.removeprefix("whsec_")
                if named and value not in leaks.SECRETS:
                    missing.append(f"{path.name}: {named[0]}")
    assert missing == []
