"""`manage.py readiness`: what it prints, and every exit code."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError

from rollbackhub.readiness.management.commands import readiness
from tests.dashboard.world import World, make_world
from tests.factories.fixtures import Cast
from tests.factories.readiness import PreflightRunFactory


@pytest.fixture
def world(cast: Cast) -> World:
    world = make_world()
    for environment in (world.production, world.staging):
        PreflightRunFactory(environment=environment)
    return world


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as end:
        call_command("readiness", *arguments)
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 0),
        (("smart-reasoner", "--fail-on", "at_risk"), 0),
        (("smart-reasoner", "--fail-on", "not_ready"), 0),
        (("legacy-classifier",), 0),
        (("legacy-classifier", "--fail-on", "not_ready"), 1),
        (("legacy-classifier", "--fail-on", "at_risk"), 1),
        (("smart-reasoner", "legacy-classifier", "--fail-on", "not_ready"), 1),
        (("--fail-on", "not_ready"), 1),
        (("nothing", "--fail-on", "not_ready"), 2),
        (("smart-reasoner", "nothing"), 2),
        (("--environment", "nowhere"), 2),
    ],
)
def test_exit_code_says_whether_a_ci_may_go_on(world: World, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int) -> None:
    assert run(capsys, *arguments)[0] == code


def test_at_risk_fails_only_when_it_is_asked_for(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.reasoner.artefact.versions.filter(label="claude-sonnet-4-5").update(digest="sha256:other")
    assert run(capsys, "smart-reasoner", "--fail-on", "not_ready")[0] == 0
    assert run(capsys, "smart-reasoner", "--fail-on", "at_risk")[0] == 1


def test_table_names_state_reason_and_remedy_the_worst_first(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys)
    assert out.index("legacy-classifier") < out.index("smart-reasoner")
    assert "Never drilled" in out
    assert "Add the alias to a staging environment" in out


def test_json_is_one_object_with_everything_and_whom_it_failed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = run(capsys, "--json", "--fail-on", "not_ready")
    content: dict[str, Any] = json.loads(out)
    assert err == ""
    assert {row["alias"]: row["state"] for row in content["aliases"]}["smart-reasoner"] == "ready"
    assert "legacy-classifier" in content["failed"]
    assert "smart-reasoner" not in content["failed"]


def test_json_of_a_refusal_has_its_code(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "nothing", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "policy_not_found")


def test_installation_without_aliases_cannot_tell(cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--fail-on", "not_ready")[0] == 2


def test_database_that_does_not_answer_cannot_tell(world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(policies: object) -> list[dict[str, Any]]:
        raise OperationalError("connection refused")

    monkeypatch.setattr(readiness, "report_readiness", gone)
    code, _, err = run(capsys, "smart-reasoner")
    assert (code, err.strip()) == (2, "The database does not answer: connection refused. Is `make up` running?")
