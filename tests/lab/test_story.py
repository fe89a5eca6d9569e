"""The story's own arithmetic, and where it refuses to be told. That it can be told, tests/integration/test_alert_story.py shows."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import call_command
from rich.console import Console

from incidents.domain.opening import open_incident
from incidents.enums import Severity, Source
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.alerts.domain.hooks import end_hook, hash_of
from rollbackhub.alerts.models import AlertHook, AlertRule
from rollbackhub.audit.actors import system_actor
from rollbackhub.common import clock
from rollbackhub.common.config import LAB_PORTS
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.executions.domain.proof import Proof
from rollbackhub.executions.enums import ProofState, Segment
from rollbackhub.lab.catalogue import ENVIRONMENTS
from rollbackhub.lab.domain.alerting import HOOK_NAME, ensure_alert_hook, part_of
from rollbackhub.lab.domain.seed import seed_lab
from rollbackhub.lab.enums import SwitchName
from rollbackhub.lab.ports import Ports
from rollbackhub.lab.story.report import Exposure, PathReport, as_json, restored_within, segments_told, table_of
from rollbackhub.lab.story.settling import find_stage, unproven
from rollbackhub.lab.story.stage import Stage
from rollbackhub.lab.story.teller import Pause, Teller, in_clock
from rollbackhub.lab.switches import set_switch
from rollbackhub.lab.world import LabWorld
from rollbackhub.registry.models import Artefact, Environment
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.accounts import UserFactory
from tests.ports import free_port

ACTOR = system_actor("test")
T0 = dt.datetime(2026, 11, 23, 1, 25, tzinfo=dt.UTC)


def at(seconds: float) -> dt.datetime:
    return T0 + dt.timedelta(seconds=seconds)


def test_simulated_minutes_stand_beside_what_was_measured_and_their_real_seconds_are_taken_out() -> None:
    rollback = Rollback(
        detected_at=at(40),
        decided_at=at(50),
        authorised_at=at(50.5),
        executed_at=at(51),
        propagated_at=at(121),
        drained_at=at(123),
        restored_at=at(123),
        verified_at=at(133),
    )
    pauses = [Pause(Segment.DECIDE, 540, 9, "where is it?"), Pause(Segment.PROPAGATE, 1440, 24, "which table?"), Pause(Segment.PROPAGATE, 540, 9, "who may?")]
    found = {told.segment: (round(told.measured, 3), told.simulated) for told in segments_told(rollback, began_at=T0, pauses=pauses)}
    assert found == {
        Segment.DETECT: (40, 0),
        Segment.DECIDE: (1, 540),
        Segment.AUTHORISE: (0.5, 0),
        Segment.EXECUTE: (0.5, 0),
        Segment.PROPAGATE: (37, 1980),
        Segment.DRAIN: (2, 0),
        Segment.VERIFY: (10, 0),
    }
    told = segments_told(rollback, began_at=T0, pauses=pauses)
    assert restored_within(told) == pytest.approx(0.5 + 0.5 + 37 + 1980 + 2)
    assert sum(segment.told for segment in told) == pytest.approx(133 - 42 + 2520)


def test_every_line_has_both_times_and_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    monkeypatch.setattr(clock, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    written: list[str] = []
    teller = Teller(compression=60, write=written.append)
    now[0] += 41
    teller.measured("The alert fires.")
    teller.pause(minutes=9, segment=Segment.DECIDE, sentence="where is the procedure?")
    teller.played("Confirmed.")
    assert written == [
        "0:00:41  0:00:41  MEASURED    The alert fires.",
        "0:00:41  0:00:41  SIMULATION  9 minutes: where is the procedure?",
        "0:09:41  0:00:50  PLAYED      Confirmed.",
    ]
    assert in_clock(3725.9) == "1:02:05"


def path(name: str, *, pauses: list[Pause]) -> PathReport:
    rollback = Rollback(detected_at=at(40), decided_at=at(50), authorised_at=at(50.5), executed_at=at(51), propagated_at=at(90), drained_at=at(92))
    rollback.restored_at, rollback.verified_at = at(92), at(100)
    segments = segments_told(rollback, began_at=T0, pauses=pauses)
    return PathReport(
        name=name,
        title="a title",
        proof="Never drilled.",
        segments=segments,
        exposure=Exposure(counted=1234, estimated=None, basis="", not_played=98765),
        findings=[],
        outcome="Restored.",
        restored_within=restored_within(segments),
        timeline_lines=20,
        hand_written_lines=0,
        addresses={},
        lines=[],
    )


def test_table_has_both_paths_with_what_was_measured_beside_what_is_only_told() -> None:
    paths = [path("undrilled", pauses=[Pause(Segment.PROPAGATE, 1980, 33, "which table?")]), path("drilled", pauses=[])]
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(table_of(paths))
    text = console.export_text()
    assert "SIMULATION" in text
    row = {line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:-1]] for line in text.splitlines() if line.count("│") == 8}
    assert row["Propagate"] == ["0:06.0", "33:00.0", "33:06.0", "0:39.0", "", "0:39.0"]
    assert row["Decided to restored"] == ["", "", "33:09.0", "", "", "0:42.0"]
    assert row["Exposed, counted by the hub"] == ["1,234", "", "", "1,234", "", ""]
    assert row["Exposed before, estimated"][0] == "not known"
    assert row["Not played, at that rate"][1] == "98,765"
    content = as_json(paths, compression=600)
    assert (content["simulation"], content["paths"][0]["restored_within_seconds"]) == (True, pytest.approx(1989))


@pytest.fixture
def people(db: None) -> dict[str, User]:
    return {"on_call": UserFactory(username="oncall", roles=[Role.ON_CALL]), "lead": UserFactory(username="lead", roles=[Role.PLATFORM_LEAD])}


@pytest.fixture
def world(people: dict[str, User], tmp_path: Path) -> LabWorld:
    """The lab's data with its hook; none of its processes."""
    world = LabWorld(hub_url="http://127.0.0.1:9", base_port=20000, directory=tmp_path, environments=ENVIRONMENTS, parts=("prometheus", "alertmanager"))
    seed_lab(world)
    assert ensure_alert_hook(world)
    return world


@pytest.fixture
def _answering(monkeypatch: pytest.MonkeyPatch) -> None:
    """As though the Alertmanager ran."""
    monkeypatch.setattr("rollbackhub.lab.story.settling.httpx.get", lambda *_, **__: type("Answer", (), {"status_code": 200}))


def _not_the_labs(_: LabWorld) -> None:
    Environment.objects.filter(slug="production").update(is_lab=False)


def _artefact_of_others(_: LabWorld) -> None:
    Artefact.objects.filter(slug="smart-reasoner").update(is_lab=False)


def _switch(_: LabWorld) -> None:
    set_switch(name=SwitchName.METRICS_DOWN, environment="staging", on=True, actor=ACTOR)


def _nobody(_: LabWorld) -> None:
    User.objects.filter(username="lead").update(is_active=False)


def _incident(_: LabWorld) -> None:
    policy = RoutingPolicy.objects.get(alias="smart-reasoner", environment__slug="production")
    open_incident(title="Users complain", environment=policy.environment, policies=[policy], severity=Severity.SEV2, source=Source.PERSON, actor=ACTOR)


@pytest.mark.usefixtures("_answering")
@pytest.mark.parametrize(
    ("done", "code", "says"),
    [
        (_not_the_labs, "not_the_labs", "The environment production is not the lab's."),
        (_artefact_of_others, "not_the_labs", "The artefact smart-reasoner is not the lab's."),
        (_switch, "switch_on", "metrics_down is on in staging"),
        (_nobody, "account_not_found", "Nobody active has the role Platform lead."),
        (_incident, "incident_open", "Somebody works on an incident of smart-reasoner"),
    ],
)
def test_story_is_refused_where_it_would_walk_over_something(world: LabWorld, done: Callable[[LabWorld], None], code: str, says: str) -> None:
    find_stage(ports=Ports(20000), on_call="", lead="")
    done(world)
    with pytest.raises(RollbackHubError) as refused:
        find_stage(ports=Ports(20000), on_call="", lead="")
    assert refused.value.code == code
    assert says in refused.value.message


@pytest.mark.usefixtures("_answering")
def test_lab_that_was_drilled_has_no_valid_proof_while_the_first_path_is_told_and_its_checks_are_put_back(
    world: LabWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = find_stage(ports=Ports(20000), on_call="", lead="")
    assert (stage.on_call.username, stage.lead.username) == ("oncall", "lead")
    monkeypatch.setattr(Stage, "proof", lambda _: Proof(ProofState.VALID))
    before = Artefact.objects.get(slug="smart-reasoner").checks
    assert before is not None
    lines: list[str] = []
    with unproven(stage, Teller(compression=60, write=lines.append)):
        changed = Artefact.objects.get(slug="smart-reasoner").checks
        assert changed is not None
        assert changed[0]["title"].endswith("(changed)")
        assert changed[1:] == before[1:]
    assert Artefact.objects.get(slug="smart-reasoner").checks == before
    assert "its proof is stale now" in lines[0]


def test_command_without_a_running_lab_exits_2_with_one_sentence_that_says_what_to_do(
    world: LabWorld, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not the usual ports: somebody may run a lab there beside the tests.
    monkeypatch.setattr("rollbackhub.lab.management.commands.tell_the_story.Ports", lambda base: Ports(free_port(size=LAB_PORTS)))
    with pytest.raises(SystemExit) as stopped:
        call_command("tell_the_story", "--json")
    assert stopped.value.code == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "no_alertmanager"
    assert "make up" in error["message"]


@pytest.mark.django_db
def test_command_without_the_labs_data_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        call_command("tell_the_story")
    assert stopped.value.code == 2
    assert "there is no environment staging" in capsys.readouterr().err


def test_hook_of_the_lab_is_made_once_and_stays_ended_when_somebody_ended_it(world: LabWorld, people: dict[str, User]) -> None:
    part = part_of(world)
    assert part is not None
    hook = AlertHook.objects.get(name=HOOK_NAME)
    assert hook.token_hash == hash_of(part.token())
    assert (hook.environment.slug, AlertRule.objects.filter(hook=hook).count()) == ("production", 2)
    assert ensure_alert_hook(world)
    assert AlertHook.objects.count() == 1
    end_hook(hook_id=hook.pk, actor=ACTOR, user=people["lead"])
    assert ensure_alert_hook(world)
    assert AlertHook.objects.count() == 1, "a person has ended it"


def test_hook_whose_token_is_lost_is_replaced(world: LabWorld) -> None:
    part = part_of(world)
    assert part is not None
    part.token_file.unlink()
    assert ensure_alert_hook(world)
    assert list(AlertHook.objects.order_by("created_at").values_list("is_active", flat=True)) == [False, True]


@pytest.mark.django_db
def test_hook_waits_for_somebody_who_may_set_it_up(tmp_path: Path) -> None:
    world = LabWorld(hub_url="http://127.0.0.1:9", base_port=20000, directory=tmp_path, environments=ENVIRONMENTS, parts=("prometheus", "alertmanager"))
    seed_lab(world)
    assert not ensure_alert_hook(world)
    UserFactory(roles=[Role.ADMIN])
    assert ensure_alert_hook(world)
