"""manage.py rollback: exit codes, who asks, what is said where. (With a real gateway: tests/integration.)"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError

from rollbackhub.accounts.enums import Role
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import ExecutionState
from rollbackhub.executions.models import Execution
from rollbackhub.registry.models import Environment
from rollbackhub.rollbacks.management import principal
from rollbackhub.rollbacks.management.commands import rollback as module
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.accounts import UserFactory
from tests.factories.fixtures import Cast
from tests.rollbacks.conftest import BAD, GOOD, again, approve, ask, ends, reject, run, script, seed_production, service_of, weight_of

NOBODY = "ci-runner"
WHY = "Customers get wrong refunds, nobody answers"


@dataclass(frozen=True)
class Result:
    """What the command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


@pytest.fixture(autouse=True)
def _os_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operating system's user without an account, and no variable, whoever runs the tests."""
    monkeypatch.setattr(principal, "os_user", lambda: NOBODY)
    monkeypatch.delenv(principal.VARIABLE, raising=False)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What others do each time the command looks away; the last goes on for ever."""

    def plan(*acts: Callable[[], object]) -> None:
        waiting = list(acts)

        def sleep(seconds: float) -> None:
            (waiting.pop(0) if len(waiting) > 1 else waiting[0])()

        monkeypatch.setattr(clock, "sleep", sleep)

    return plan


def work() -> None:
    """The worker runs what there is."""
    run(Rollback.objects.get())


def nothing() -> None:
    """Nobody does anything."""


def command(*arguments: str, reason: str = "degraded feedback", account: str | None = "oncall") -> Result:
    """Run it, as a person with the reason unless told otherwise."""
    out, err = StringIO(), StringIO()
    extra = [*(["--reason", reason] if reason else []), *(["--as", account] if account else [])]
    try:
        call_command("rollback", *arguments, *extra, stdout=out, stderr=err, no_color=True)
    except SystemExit as ended:
        code = ended.code
    else:
        code = 0
    assert isinstance(code, int)
    return Result(code, out.getvalue(), err.getvalue())


# How it ends.


def test_restored_and_verified_is_0_with_one_json_object(policy: RoutingPolicy, cast: Cast, meanwhile: Any, capsys: pytest.CaptureFixture[str]) -> None:
    meanwhile(work)
    result = command("smart-reasoner", "--json")
    assert (result.code, result.json["state"], result.err) == (0, "verified", "")
    assert result.json["rollback_seconds"] is not None
    assert weight_of(policy) == 0
    rollback = Rollback.objects.get()
    assert (rollback.requested_via, rollback.requested_by, rollback.requested_by_label) == ("command", cast.on_call, f"Olga Call by command line ({NOBODY})")
    event = AuditEvent.objects.get(event="rollback.requested")
    assert (event.actor_kind, event.actor_user_id, event.actor_token_id) == ("person", cast.on_call.pk, "")
    assert capsys.readouterr() == ("", "")


def test_for_people_it_shows_the_steps_and_says_how_it_ended(policy: RoutingPolicy, cast: Cast, meanwhile: Any, capsys: pytest.CaptureFixture[str]) -> None:
    meanwhile(work)
    result = command("smart-reasoner")
    assert result.code == 0
    assert result.out.startswith("Restored and verified: Restored in ")
    shown = capsys.readouterr().err
    assert "Traffic drains" in shown
    assert "Put back" not in shown


def test_stopped_is_1_and_says_where_it_stands(policy: RoutingPolicy, cast: Cast, meanwhile: Any) -> None:
    script("drain", ends(Verdict.FAILED, "v2 still gets 3 of 40 requests."))
    meanwhile(work)
    result = command("smart-reasoner", "--json")
    assert (result.code, result.json["state"]) == (1, "partially_restored")
    assert "v2 still gets 3 of 40 requests." in result.json["outcome"]


def test_verification_that_failed_is_1(policy: RoutingPolicy, cast: Cast, meanwhile: Any) -> None:
    script("verify", ends(Verdict.FAILED))
    meanwhile(work)
    assert (command("smart-reasoner", "--json").code, Rollback.objects.get().state) == (1, "verification_failed")


def test_several_are_rolled_back_in_this_order(policy: RoutingPolicy, dataset: RoutingPolicy, cast: Cast, meanwhile: Any) -> None:
    meanwhile(work)
    result = command("answers-corpus", "smart-reasoner", "--bad-version", f"smart-reasoner={GOOD}", "--json", account="lead")
    assert (result.code, result.json["scope"]) == (0, "coordinated")
    assert [(part["alias"], part["bad_version"]) for part in result.json["parts"]] == [("answers-corpus", BAD), ("smart-reasoner", GOOD)]


@pytest.mark.parametrize("named", [GOOD, f"smart-reasoner={GOOD}"])
def test_bad_version_of_one_alias_may_stand_alone(named: str, policy: RoutingPolicy, cast: Cast, meanwhile: Any) -> None:
    meanwhile(work)
    assert command("smart-reasoner", "--bad-version", named, "--json").json["parts"][0]["bad_version"] == GOOD


def test_detection_is_written_down(policy: RoutingPolicy, cast: Cast, meanwhile: Any) -> None:
    meanwhile(work)
    detected = clock.now().isoformat()
    assert command("smart-reasoner", "--detected-at", detected, "--detected-by", "alert", "--json").code == 0
    rollback = Rollback.objects.get()
    assert rollback.detected_at is not None
    assert (rollback.detected_at.isoformat(), rollback.detected_by) == (detected, "alert")


# Approval.


def test_above_authority_is_3_and_says_who_may_approve_and_where(dataset: RoutingPolicy, cast: Cast, settings: Any) -> None:
    settings.PUBLIC_URL = "https://hub.example.org"
    result = command("answers-corpus", "--json")
    rollback = Rollback.objects.get()
    assert (result.code, result.json["state"]) == (3, "awaiting_approval")
    assert "Adam Key (admin), Lee Lead (lead), Vera Vice (leadership)" in result.err
    assert f"https://hub.example.org/rollbacks/{rollback.pk}/" in result.err
    assert not Execution.objects.exists()


def test_wait_follows_on_after_the_approval(dataset: RoutingPolicy, cast: Cast, meanwhile: Any) -> None:
    meanwhile(nothing, lambda: approve(Rollback.objects.get(), cast.lead), work)
    result = command("answers-corpus", "--wait", "60", "--json")
    assert (result.code, result.json["state"], result.json["authority"]["by"]) == (0, "verified", "lead")


def test_wait_that_is_over_is_3(dataset: RoutingPolicy, cast: Cast, meanwhile: Any) -> None:
    meanwhile(nothing)
    assert command("answers-corpus", "--wait", "0.05").code == 3
    assert Rollback.objects.get().state == "awaiting_approval"


def test_wait_that_ends_with_a_rejection_is_1(dataset: RoutingPolicy, cast: Cast, meanwhile: Any) -> None:
    meanwhile(lambda: reject(Rollback.objects.get(), cast.lead))
    result = command("answers-corpus", "--wait", "60")
    assert (result.code, result.out.startswith("Rejected: Rejected by Lee Lead")) == (1, True)


def test_strategic_waits_for_leadership(policy: RoutingPolicy, cast: Cast) -> None:
    assert command("smart-reasoner", "--strategic", account="lead").code == 3
    assert Rollback.objects.get().required_role == Role.LEADERSHIP


def test_break_glass_starts_it(dataset: RoutingPolicy, cast: Cast, meanwhile: Any) -> None:
    meanwhile(work)
    result = command("answers-corpus", "--break-glass", WHY, "--json")
    assert (result.code, result.json["authority"]["how"], result.json["authority"]["break_glass_reason"]) == (0, "break_glass", WHY)


# Who asks.


def test_account_named_goes_before_the_variable(policy: RoutingPolicy, cast: Cast, meanwhile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(principal.VARIABLE, "lead")
    meanwhile(work)
    command("smart-reasoner", account="leadership")
    assert Rollback.objects.get().requested_by == cast.leadership


def test_account_of_the_variable_goes_before_the_os_users(policy: RoutingPolicy, cast: Cast, meanwhile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    UserFactory(username=NOBODY, roles=[Role.ON_CALL])
    monkeypatch.setenv(principal.VARIABLE, "lead")
    meanwhile(work)
    command("smart-reasoner", account=None)
    assert Rollback.objects.get().requested_by == cast.lead


def test_account_of_the_os_user(policy: RoutingPolicy, cast: Cast, meanwhile: Any) -> None:
    own = UserFactory(username=NOBODY, roles=[Role.ON_CALL])
    meanwhile(work)
    assert command("smart-reasoner", account=None).code == 0
    assert Rollback.objects.get().requested_by == own


def test_account_in_the_lab_is_the_on_call_engineers_and_it_says_so(policy: RoutingPolicy, cast: Cast, meanwhile: Any) -> None:
    Environment.objects.update(is_lab=True)
    meanwhile(work)
    result = command("smart-reasoner", "--json", account=None)
    assert (result.code, result.json["state"]) == (0, "verified")
    assert "this is the lab, so oncall asks" in result.err
    assert Rollback.objects.get().requested_by == cast.on_call


def test_account_of_nobody_is_refused_outside_the_lab(policy: RoutingPolicy, cast: Cast) -> None:
    result = command("smart-reasoner", account=None)
    assert result.code == 2
    assert "--as USERNAME" in result.err
    assert not Rollback.objects.exists()


def test_account_that_is_not_active_is_refused(policy: RoutingPolicy, cast: Cast) -> None:
    UserFactory(username="gone", roles=[Role.ON_CALL], is_active=False)
    result = command("smart-reasoner", account="gone")
    assert (result.code, "not active" in result.err) == (2, True)


def test_service_account_asks_for_its_person(policy: RoutingPolicy, cast: Cast, meanwhile: Any) -> None:
    service_of(cast.on_call, Role.ON_CALL)
    meanwhile(work)
    assert command("smart-reasoner", account="oncall-bot").code == 0
    assert Rollback.objects.get().principal == cast.on_call


@pytest.mark.parametrize(("name", "code"), [("admin", 3), ("auditor", 2), ("stranger", 2)])
def test_account_without_the_authority(name: str, code: int, policy: RoutingPolicy, cast: Cast) -> None:
    assert command("smart-reasoner", account=name).code == code
    assert not Execution.objects.exists()


def test_label_of_a_very_long_name_is_cut_but_says_how_it_came(policy: RoutingPolicy, cast: Cast, meanwhile: Any) -> None:
    UserFactory(username="long", first_name="A" * 150, last_name="B" * 150, roles=[Role.ON_CALL])
    meanwhile(work)
    assert command("smart-reasoner", account="long").code == 0
    assert Rollback.objects.get().requested_by_label.endswith(f" by command line ({NOBODY})")


# Refusals.


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["moon"], "policy_not_found"),
        (["smart-reasoner", "--environment", "moon"], "environment_not_found"),
        (["smart-reasoner", "--environment", "staging"], "not_production"),
        (["smart-reasoner", "--bad-version", "v0"], "version_not_in_policy"),
        (["smart-reasoner", "answers-corpus", "--bad-version", GOOD], "which_alias"),
        (["smart-reasoner", "--bad-version", GOOD, "--bad-version", BAD], "which_version"),
        (["smart-reasoner", "smart-reasoner"], "alias_twice"),
        (["smart-reasoner", "--detected-at", "yesterday"], "detected_at_invalid"),
        (["smart-reasoner", "--detected-at", "2026-01-01T00:00:00"], "detected_at_invalid"),
        (["smart-reasoner", "--break-glass", "urgent"], "reason_missing"),
        (["smart-reasoner", "--as", "nobody"], "account_not_found"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_refused_is_2_with_the_reason(as_json: bool, arguments: list[str], code: str, policy: RoutingPolicy, dataset: RoutingPolicy, cast: Cast) -> None:
    seed_production("model", alias="smart-reasoner", environment="staging")
    account = None if "--as" in arguments else "oncall"
    result = command(*arguments, *(["--json"] if as_json else []), account=account)
    assert result.code == 2
    if as_json:
        assert (result.json["error"]["code"], result.err) == (code, "")
    else:
        assert (result.out, len(result.err.strip().splitlines())) == ("", 1)
    assert not Rollback.objects.exists()


def test_refused_without_a_reason(policy: RoutingPolicy, cast: Cast) -> None:
    result = command("smart-reasoner", "--json", reason="")
    assert (result.code, result.json["error"]["code"]) == (2, "reason_missing")


def test_refused_beside_another_points_to_it(policy: RoutingPolicy, cast: Cast, settings: Any) -> None:
    settings.PUBLIC_URL = "https://hub.example.org"
    first = ask(policy, account=cast.lead)
    result = command("smart-reasoner", "--json")
    assert (result.code, result.json["error"]["code"], result.json["error"]["rollback_id"]) == (2, "rollback_active", str(first.pk))
    assert f"See https://hub.example.org/rollbacks/{first.pk}/" in command("smart-reasoner").err


def test_refused_while_the_database_is_away(policy: RoutingPolicy, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(**values: Any) -> None:
        raise OperationalError("connection refused\nIs the server running?")

    monkeypatch.setattr(module, "choose_account", away)
    result = command("smart-reasoner", "--json")
    assert (result.code, result.json["error"]["code"]) == (2, "database")
    assert "connection refused. Is `make up` running?" in result.json["error"]["message"]


# Following.


def test_nobody_picks_it_up_is_said_once_and_it_is_not_cancelled(policy: RoutingPolicy, cast: Cast, meanwhile: Any) -> None:
    meanwhile(nothing, nothing, nothing, work)
    result = command("smart-reasoner", "--start-within", "0", "--json")
    assert (result.code, result.json["state"]) == (0, "verified")
    assert result.err.count("Nobody has picked it up for 0 s") == 1


def test_timeout_is_1_and_it_goes_on(policy: RoutingPolicy, cast: Cast, meanwhile: Any) -> None:
    meanwhile(nothing)
    result = command("smart-reasoner", "--timeout", "0.05", "--json")
    assert (result.code, result.json["state"]) == (1, "running")
    assert "Not at its end after 0.05 s; it goes on" in result.err
    rollback = Rollback.objects.get()
    execution = Execution.objects.get()
    assert (execution.state, execution.cancel_requested_at) == (ExecutionState.QUEUED, None)
    assert run(rollback).state == "verified"


def test_database_that_is_away_for_a_while_is_waited_for(policy: RoutingPolicy, cast: Cast, meanwhile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []

    def get_rollback(rollback_id: Any) -> Rollback:
        looks.append("look")
        if len(looks) in (2, 3):
            raise OperationalError("the connection is lost")
        return again(Rollback.objects.get(pk=rollback_id))

    class Connection:
        @staticmethod
        def close() -> None:
            looks.append("closed")

    monkeypatch.setattr(module, "get_rollback", get_rollback)
    monkeypatch.setattr(module, "connection", Connection)
    meanwhile(work)
    result = command("smart-reasoner", "--json")
    assert (result.code, result.json["state"]) == (0, "verified")
    assert result.err.count("The database does not answer (the connection is lost)") == 1
    assert "closed" in looks


def test_interrupted_it_goes_on_and_says_where(policy: RoutingPolicy, cast: Cast, meanwhile: Any) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    meanwhile(interrupt)
    result = command("smart-reasoner", "--json")
    assert (result.code, result.json["error"]["rollback_id"]) == (1, str(Rollback.objects.get().pk))
    assert Rollback.objects.get().state == "running"


# The plan.


def test_plan_shows_the_diff_the_authority_and_the_proof_and_changes_nothing(policy: RoutingPolicy, dataset: RoutingPolicy, cast: Cast) -> None:
    result = command("smart-reasoner", "answers-corpus", "--plan", reason="")
    assert (result.code, result.err) == (0, "")
    lines = [line.strip() for line in result.out.splitlines()]
    assert [line for line in lines if line.startswith(("-  ", "+  "))] == [
        "-        weight: 25",
        "+        weight: 0",
        "-        weight: 75",
        "+        weight: 100",
        "-        weight: 25",
        "+        weight: 0",
        "-        weight: 75",
        "+        weight: 100",
    ]
    assert result.out.count("Never drilled: this path has no proof.") == 2
    assert "Authority: Platform lead, by the rule for" in result.out
    assert "It waits for approval: Adam Key (admin), Lee Lead (lead), Vera Vice (leadership)." in result.out
    assert not Rollback.objects.exists()
    assert weight_of(policy) == 25


def test_plan_as_json_is_what_the_request_binds_to(policy: RoutingPolicy, cast: Cast) -> None:
    plan = command("smart-reasoner", "--plan", "--json", reason="").json
    assert (plan["authority"]["alone"], plan["aliases"]) == (True, ["smart-reasoner"])
    assert ask(policy, account=cast.on_call).plan_hash == plan["plan_hash"]


def test_plan_of_nothing_to_roll_back_is_2(policy: RoutingPolicy, cast: Cast, meanwhile: Any) -> None:
    meanwhile(work)
    command("smart-reasoner")
    result = command("smart-reasoner", "--plan", "--json")
    assert (result.code, result.json["error"]["code"]) == (2, "nothing_to_roll_back")
