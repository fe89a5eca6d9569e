"""A real Envoy, real model servers and real requests, with a tiny hub: what a drill will see."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from rollbackhub.common.config import LAB_PORTS
from rollbackhub.lab import world as world_module
from rollbackhub.lab.children import Child
from rollbackhub.lab.envoy import GatewayMode
from rollbackhub.lab.metrics import MetricsMode
from rollbackhub.lab.ports import PortTaken
from rollbackhub.lab.world import LabNotReady, LabWorld
from tests.lab.tiny_hub import TinyHub, lab_weights, running_hub
from tests.lab.worlds import eventually, growth, kill, reading, running_world, totals
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("lab_world")]

BAD, GOOD = "claude-sonnet-4-6", "claude-sonnet-4-5"
BAD_CLUSTER, GOOD_CLUSTER = f"anthropic:{BAD}:ap-south-1", f"anthropic:{GOOD}:ap-south-1"
RATE = 100.0


@pytest.fixture(scope="module")
def hub() -> Iterator[TinyHub]:
    with running_hub() as hub:
        yield hub


@pytest.fixture(scope="module")
def running(hub: TinyHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabWorld]:
    with running_world(hub_url=hub.url, directory=tmp_path_factory.mktemp("lab"), requests_per_second=RATE) as world:
        yield world


@pytest.fixture
def world(hub: TinyHub, running: LabWorld) -> LabWorld:
    """The world as the policy wants it, whatever the test before did."""
    running.set_metrics_mode("staging", MetricsMode.NORMAL)
    running.set_gateway_mode("staging", GatewayMode.FOLLOWING)
    number = hub.flip("smart-reasoner", lab_weights()["smart-reasoner"])
    eventually(lambda: hub.applied == number, what="the gateway's acknowledgement")
    running.wait_ready()
    return running


def shares(world: LabWorld, *, seconds: float = 3, alias: str = "smart-reasoner") -> dict[str, float]:
    grown = growth(world, seconds=seconds, alias=alias)
    return {version: count / sum(grown.values()) for version, count in grown.items()}


def admin(world: LabWorld, path: str) -> Any:
    return httpx.get(world.admin_url("staging") + path, trust_env=False).json()


def test_world_flip_reaches_the_served_shares(world: LabWorld, hub: TinyHub) -> None:
    assert shares(world)[BAD] == pytest.approx(0.25, abs=0.12)
    number = hub.flip("smart-reasoner", {BAD_CLUSTER: 0, GOOD_CLUSTER: 100})
    eventually(lambda: hub.applied == number, within=1, what="the acknowledgement")
    time.sleep(0.3)
    assert shares(world, seconds=1.5) == {GOOD: 1.0}


def test_world_flip_of_one_alias_leaves_the_other(world: LabWorld, hub: TinyHub) -> None:
    hub.flip("smart-reasoner", {BAD_CLUSTER: 0, GOOD_CLUSTER: 100})
    time.sleep(0.3)
    assert shares(world, alias="support-answer")["support-answer-v13"] == pytest.approx(0.10, abs=0.08)


def test_world_flip_is_acknowledged_within_milliseconds(world: LabWorld, hub: TinyHub) -> None:
    waits = []
    for weight in range(1, 11):
        started = time.perf_counter()
        number = hub.flip("smart-reasoner", {BAD_CLUSTER: weight, GOOD_CLUSTER: 100 - weight})
        eventually(lambda: hub.applied == hub.number == number, within=2)  # noqa: B023
        waits.append(time.perf_counter() - started)
    # 20 to 50 ms are Envoy's refresh_delay before it asks again; the rest is slack for a busy machine.
    assert sorted(waits)[len(waits) // 2] < 0.25


def test_world_rate_is_bounded_and_kept(world: LabWorld) -> None:
    started = time.monotonic()
    # Half of the requests are for each alias.
    sent = 2 * sum(growth(world, seconds=3).values())
    per_second = sent / (time.monotonic() - started)
    assert 0.6 * RATE <= per_second <= 1.1 * RATE


def test_world_versions_differ_in_feedback_and_latency(world: LabWorld) -> None:
    eventually(lambda: totals(world, name="llm_requests_total").get(BAD, 0) >= 60, within=20, what="60 requests at the bad version")
    text = reading(world)
    means: dict[str, float] = {}
    for version, rate, seconds in ((BAD, 0.30, 0.06), (GOOD, 0.02, 0.02)):
        requests = totals(world, name="llm_request_duration_seconds_count", text=text)[version]
        assert totals(world, name="llm_negative_feedback_total", text=text)[version] == pytest.approx(rate * requests, abs=1)
        means[version] = totals(world, name="llm_request_duration_seconds_sum", text=text)[version] / requests
        assert means[version] >= seconds * 0.9
    # What a busy machine adds, it adds to both at once.
    assert means[GOOD] < means[BAD]


def test_world_gateway_counts_what_the_traffic_generator_counts(world: LabWorld) -> None:
    eventually(lambda: totals(world, name="llm_requests_total").get(GOOD, 0) > 10)
    stats = admin(world, "/stats?format=json&filter=^cluster.anthropic_claude-sonnet-4-5_ap-south-1.upstream_rq_total$")["stats"]
    assert stats[0]["value"] > 0
    clusters = {status["name"]: status for status in admin(world, "/clusters?format=json")["cluster_statuses"]}
    assert GOOD_CLUSTER in clusters


def test_world_flag_moved_changes_shares_and_config_dump_and_back(world: LabWorld, hub: TinyHub) -> None:
    world.set_gateway_mode("staging", GatewayMode.OWN_TABLE)
    world.wait_ready()
    dump = admin(world, "/config_dump?mask=dynamic_route_configs,static_route_configs")["configs"][0]
    assert "dynamic_route_configs" not in dump
    routes = dump["static_route_configs"][0]["route_config"]["virtual_hosts"][0]["routes"]
    weights = {cluster["name"]: cluster["weight"] for cluster in routes[0]["route"]["weighted_clusters"]["clusters"]}
    assert weights == {BAD_CLUSTER: 60, GOOD_CLUSTER: 40}
    assert shares(world)[BAD] == pytest.approx(0.6, abs=0.15)

    asked = len(hub.requests)
    hub.flip("smart-reasoner", {BAD_CLUSTER: 0, GOOD_CLUSTER: 100})
    assert shares(world, seconds=1.5)[BAD] > 0.3, "a moved flag must not follow the hub"
    assert len(hub.requests) == asked

    world.set_gateway_mode("staging", GatewayMode.FOLLOWING)
    world.wait_ready()
    time.sleep(0.3)
    assert shares(world, seconds=1.5) == {GOOD: 1.0}


def test_world_bad_route_makes_the_gateway_refuse(world: LabWorld, hub: TinyHub) -> None:
    world.set_gateway_mode("staging", GatewayMode.CLUSTER_MISSING)
    eventually(lambda: hub.refused == hub.number, what="the refusal")
    world.wait_ready()
    assert hub.applied == 0
    # Over REST Envoy says nothing of why; only its log and its counters do.
    assert all("error_detail" not in request for request in hub.requests)
    stats = admin(world, "/stats?format=json&filter=rds.staging.update_rejected")["stats"]
    assert stats[0]["value"] >= 1
    assert "unknown weighted cluster" in (world.directory / "gateway-staging.log").read_text()
    eventually(lambda: totals(world, name="llm_requests_total", by="code").get("404", 0) > 0, what="a 404")


def test_world_metrics_modes_take_effect_and_survive_a_restart_of_the_traffic(world: LabWorld) -> None:
    assert world.set_metrics_mode("staging", MetricsMode.DOWN)
    assert httpx.get(world.metrics_url("staging"), trust_env=False).status_code == 503
    kill(world.traffic)
    eventually(lambda: answers(world.metrics_url("staging")) == 503, what="the metrics endpoint")
    assert world.set_metrics_mode("staging", MetricsMode.SILENT)
    answer = httpx.get(world.metrics_url("staging"), trust_env=False)
    assert answer.status_code == 200
    assert "llm_requests" not in answer.text


def test_world_killed_gateway_is_started_again_and_follows(world: LabWorld, hub: TinyHub) -> None:
    kill(world.gateways["staging"])
    world.wait_ready()
    number = hub.flip("smart-reasoner", {BAD_CLUSTER: 50, GOOD_CLUSTER: 50})
    eventually(lambda: hub.applied == number, what="the acknowledgement")
    assert shares(world)[BAD] == pytest.approx(0.5, abs=0.15)


def test_world_killed_model_server_is_started_again(world: LabWorld) -> None:
    kill(world.models[BAD])
    world.wait_ready()
    eventually(lambda: BAD in growth(world, seconds=0.3), what="traffic at the bad version")


def test_world_stopped_gateway_is_killed_rather_than_waited_for(tmp_path: Path) -> None:
    child = Child(name="stubborn", command=lambda: ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], folder=tmp_path)
    child.start()
    time.sleep(0.3)
    pid = child.pid
    started = time.monotonic()
    child.stop()
    assert time.monotonic() - started < 6
    assert pid is not None
    assert not psutil.pid_exists(pid)


def test_child_that_keeps_ending_is_started_slower_and_slower(tmp_path: Path) -> None:
    child = Child(name="short", command=lambda: ["/bin/false"], folder=tmp_path)
    child.start()
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        child.watch()
        time.sleep(0.02)
    child.stop()
    assert 2 <= child.restarts <= 4


def test_child_large_log_is_emptied_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollbackhub.lab.children.MOST_LOG_BYTES", 1000)
    child = Child(name="chatty", command=lambda: ["/bin/sh", "-c", "while :; do echo 0123456789; sleep 0.001; done"], folder=tmp_path)
    child.start()
    eventually(lambda: child.log.stat().st_size > 1000)
    child.keep_log_small()
    assert child.log.stat().st_size < 1000
    # It is written on from there, not from where it was.
    time.sleep(0.1)
    assert child.log.read_bytes().startswith(b"0123456789")
    child.stop()


def test_world_taken_port_is_named_with_the_variable(tmp_path: Path, hub: TinyHub) -> None:
    base = free_port(size=LAB_PORTS)
    with socket.create_server(("127.0.0.1", base + 11)), pytest.raises(PortTaken, match=rf"port {base + 11} .*admin interface.* LAB_BASE_PORT"):
        LabWorld(hub_url=hub.url, base_port=base, directory=tmp_path).start()


def test_world_part_that_does_not_come_up_is_named(tmp_path: Path, hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world_module, "_model_command", lambda **_: lambda: ["/bin/false"])
    with (
        LabWorld(hub_url=hub.url, base_port=free_port(size=LAB_PORTS), directory=tmp_path) as world,
        pytest.raises(LabNotReady, match=f"{GOOD}.*{tmp_path}"),
    ):
        world.wait_ready(timeout_seconds=0.5)


def test_world_stop_leaves_no_process_and_no_port(tmp_path: Path, hub: TinyHub) -> None:
    with running_world(hub_url=hub.url, directory=tmp_path) as world:
        pids = [child.pid for child in world.children]
        assert all(pids)
    assert not [pid for pid in pids if pid and psutil.pid_exists(pid)]
    with running_world(hub_url=hub.url, directory=tmp_path):
        pass


def test_world_unknown_environment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="elsewhere"):
        LabWorld(hub_url="http://127.0.0.1:1", base_port=20000, directory=tmp_path, environments=("elsewhere",))


def answers(url: str) -> int | None:
    try:
        return httpx.get(url, trust_env=False).status_code
    except httpx.TransportError:
        return None
