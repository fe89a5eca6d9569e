"""manage.py preflight: what it prints and how it exits."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command

from rollbackhub.readiness.domain import preflight
from rollbackhub.readiness.management.commands import preflight as command
from rollbackhub.readiness.models import PreflightRun
from tests.factories.routing import BAD, GOOD, RoutingPolicyFactory, candidate_id
from tests.readiness.fake_systems import Systems

pytestmark = pytest.mark.usefixtures("aliases")


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("preflight", *arguments, stdout=out, stderr=err)
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


def test_nothing_found_exits_0() -> None:
    code, out, err = run()
    assert (code, err) == (0, "")
    assert "staging: 3 paths checked, no open findings." in out


def test_findings_are_a_table_and_exit_1(systems: Systems) -> None:
    systems.routes["gateway-1"]["beta"] = {candidate_id(BAD): 60, candidate_id(GOOD): 40}
    code, out, _ = run("--environment", "staging")
    assert code == 1
    for word in ("Environment", "beta", "config_mismatch", "gateway gateway-1", "60 %", "1 open findings"):
        assert word in out


def test_findings_as_json(systems: Systems) -> None:
    systems.status["gateway-2"] = 403
    code, out, err = run("--json")
    report: dict[str, Any] = json.loads(out)
    assert (code, err) == (1, "")
    (found,) = report["findings"]
    assert (found["code"], found["alias"], found["subject"], found["environment"]) == ("permission_missing", None, "gateway gateway-2", "staging")
    assert report["runs"][0]["state"] == "incomplete"
    assert report["runs"][0]["paths"] == 3


def test_what_could_not_be_checked_exits_2(systems: Systems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "RUN_SECONDS", 0)
    code, _, err = run()
    assert code == 2
    assert "not checked: Gateway gateway-1: the run's time was over" in err


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_unknown_environment_exits_2_with_one_sentence(arguments: tuple[str, ...]) -> None:
    code, out, err = run("--environment", "moon", *arguments)
    assert code == 2
    message = json.loads(out)["error"]["message"] if arguments else err
    assert "There is no environment moon." in message


def test_other_environments_are_not_run() -> None:
    RoutingPolicyFactory(environment__slug="production")
    run("--environment", "staging")
    assert PreflightRun.objects.get(environment__slug="production").started_at is None


def test_it_waits_for_whoever_is_at_it_and_gives_up_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "WAIT_SECONDS", 0.3)
    preflight.make_runs()
    assert preflight.claim_run() is not None
    code, _, err = run()
    assert (code, err.strip()) == (2, "The preflight of staging did not end within 0.3 s.")
