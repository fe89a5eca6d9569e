"""The continuous preflight against real Envoys: it names what is wrong, changes nothing, and takes it back when it is mended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from rollbackhub.executions.models import Execution
from rollbackhub.lab.enums import SwitchName
from rollbackhub.lab.envoy import bootstrap, envoy_command
from rollbackhub.lab.metrics import MetricsMode
from rollbackhub.lab.switches import SwitchFollower, set_switch
from rollbackhub.readiness.domain.preflight import Claim, claim_run, make_runs, run_preflight
from rollbackhub.readiness.models import PreflightFinding, PreflightRun
from rollbackhub.registry.models import Connection
from rollbackhub.routing.models import Gateway, PolicyRevision
from tests.integration.hub import ACTOR, Staging
from tests.lab.worlds import eventually


def preflight(staging: Staging) -> set[tuple[str, str | None, str]]:
    """Run one now; what is open after it, as (code, alias, subject)."""
    environment_id = staging.policy().environment_id
    make_runs()
    claims: list[Claim] = []

    def claimed() -> bool:
        """The hub's own housekeeper may be at it."""
        claim = claim_run(environment_id=environment_id)
        claims.extend([claim] if claim else [])
        return bool(claims)

    eventually(claimed, within=30, what="a claim")
    assert run_preflight(claims[0])
    rows = PreflightFinding.objects.filter(environment_id=environment_id, closed_at=None).select_related("policy")
    return {(row.code, row.policy.alias if row.policy else None, row.subject) for row in rows}


@contextmanager
def second_gateway(staging: Staging) -> Iterator[subprocess.Popen[bytes]]:
    """One more Envoy that follows the hub, known to the envoy connection."""
    world = staging.world
    admin, listener = world.ports.base + 41, world.ports.base + 42
    content = bootstrap(environment="staging", hub_url=world.hub_url, ports=world.ports)
    content["node"]["id"] = "staging-gateway-2"
    content["admin"]["address"]["socket_address"]["port_value"] = admin
    content["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] = listener
    path = world.directory / "gateway-2.json"
    path.write_text(json.dumps(content))
    connection = Connection.objects.get(environment__slug="staging", connector="envoy")
    process = subprocess.Popen(envoy_command(configuration=path), stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{admin}"
        Connection.objects.filter(pk=connection.pk).update(settings={"admins": {**connection.settings["admins"], "staging-gateway-2": address}})
        eventually(lambda: Gateway.objects.filter(node_id="staging-gateway-2", applied_number__gt=0).exists(), within=20, what="the second gateway")
        assert httpx.get(f"{address}/ready", trust_env=False).status_code == 200
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        Connection.objects.filter(pk=connection.pk).update(settings=connection.settings)
        Gateway.objects.filter(node_id="staging-gateway-2").delete()


@pytest.fixture
def calm(staging: Staging) -> Staging:
    """Nothing is wrong to begin with (series appear with the first traffic)."""
    staging.settle()
    staging.wait_gateways()
    eventually(lambda: preflight(staging) == set(), within=40, what="a preflight that finds nothing")
    return staging


def switch(staging: Staging, name: SwitchName, *, on: bool) -> None:
    """Turn one of the lab's switches, and have the lab follow it."""
    set_switch(name=name, environment="staging", on=on, actor=ACTOR)
    SwitchFollower(staging.world).follow()
    staging.world.wait_ready()
    if not on:
        staging.wait_gateways()


def test_moved_flag_is_named_without_acting_and_closes_by_itself(calm: Staging) -> None:
    before = (PolicyRevision.objects.count(), Execution.objects.count())
    switch(calm, SwitchName.FLAG_MOVED, on=True)
    try:
        found = preflight(calm)
        assert {("config_mismatch", alias, "gateway staging-gateway-1") for alias in ("smart-reasoner", "support-answer")} <= found
        mismatch = PreflightFinding.objects.get(closed_at=None, policy__alias="smart-reasoner")
        assert "claude-sonnet-4-6:ap-south-1 25 %" in mismatch.expected
        assert "claude-sonnet-4-6:ap-south-1 60 %" in mismatch.found
        assert "a table of its own" in mismatch.found
        # It asks the hub no more: that is told once it has been silent for long enough.
        moved = ("flag_moved", None, "gateway staging-gateway-1 and the hub")
        eventually(lambda: moved in preflight(calm), within=60, what="the silent gateway")
    finally:
        switch(calm, SwitchName.FLAG_MOVED, on=False)
    assert preflight(calm) == set()
    mismatch.refresh_from_db()
    assert mismatch.closed_at is not None
    assert (PolicyRevision.objects.count(), Execution.objects.count()) == before, "it looked and did not act"


def test_refused_routes_and_a_missing_cluster_of_the_target_are_named(calm: Staging) -> None:
    switch(calm, SwitchName.BAD_ROUTE, on=True)
    try:
        eventually(lambda: ("config_mismatch", None, "gateway staging-gateway-1 and its routes") in preflight(calm), within=30, what="the refusal")
        unreachable = PreflightFinding.objects.get(closed_at=None, code="unreachable", policy__alias="smart-reasoner")
        assert unreachable.found == "no cluster anthropic:claude-sonnet-4-5:ap-south-1"
    finally:
        switch(calm, SwitchName.BAD_ROUTE, on=False)
    assert preflight(calm) == set()


def test_killed_gateway_is_unreachable_and_the_other_is_still_compared(calm: Staging) -> None:
    with second_gateway(calm) as process:
        assert preflight(calm) == set()
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        switch(calm, SwitchName.FLAG_MOVED, on=True)
        try:
            found = preflight(calm)
        finally:
            switch(calm, SwitchName.FLAG_MOVED, on=False)
        assert ("unreachable", None, "gateway staging-gateway-2") in found
        assert ("config_mismatch", "smart-reasoner", "gateway staging-gateway-1") in found
        skipped = PreflightRun.objects.get(environment__slug="staging").skipped
        assert [line.partition(":")[0] for line in skipped] == ["Routes and clusters of gateway staging-gateway-2"]
        assert preflight(calm) == {("unreachable", None, "gateway staging-gateway-2")}
    assert preflight(calm) == set()


@pytest.mark.parametrize(("mode", "wanted"), [(MetricsMode.DOWN, "unreachable"), (MetricsMode.SILENT, "config_mismatch")])
def test_metrics_that_are_down_or_silent_are_named(mode: MetricsMode, wanted: str, calm: Staging) -> None:
    assert calm.world.set_metrics_mode("staging", mode)
    try:
        found = preflight(calm)
    finally:
        assert calm.world.set_metrics_mode("staging", MetricsMode.NORMAL)
    aliases = {None} if mode == MetricsMode.DOWN else {"smart-reasoner", "support-answer"}
    assert found == {(wanted, alias, "metrics endpoint") for alias in aliases}
    assert preflight(calm) == set()


def test_drill_beside_preflights_is_no_finding(calm: Staging) -> None:
    """A drill flips twice; whoever looks meanwhile sees policies and gateways agree."""
    drill = calm.drill()
    seen = []
    while Execution.objects.get(pk=drill).is_active:
        seen.append(preflight(calm))
    assert calm.wait_ended(drill).verdict == "passed"
    assert seen
    assert [found for found in seen if found] == []


def test_command_of_its_own_process_names_the_finding(calm: Staging) -> None:
    environment = os.environ | calm.hub.environment
    command = [sys.executable, "manage.py", "preflight", "--environment", "staging", "--json"]
    good = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90)
    assert good.returncode == 0, good.stdout + good.stderr
    assert json.loads(good.stdout)["findings"] == []
    assert calm.world.set_metrics_mode("staging", MetricsMode.DOWN)
    try:
        bad = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90)
    finally:
        assert calm.world.set_metrics_mode("staging", MetricsMode.NORMAL)
    assert bad.returncode == 1, bad.stdout + bad.stderr
    assert [finding["code"] for finding in json.loads(bad.stdout)["findings"]] == ["unreachable"]
