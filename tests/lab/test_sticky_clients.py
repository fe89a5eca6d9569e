"""Sessions that stick to a version: the weights say 0, and still it serves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from rollbackhub.lab.catalogue import SMART_REASONER, SUPPORT_ANSWER
from rollbackhub.lab.clients import CLIENTS, STICKY_SHARE, direct_to, simulated_clients
from rollbackhub.lab.ports import Ports
from rollbackhub.lab.world import LabWorld
from tests.lab.tiny_hub import TinyHub, running_hub
from tests.lab.worlds import eventually, growth, kill, running_world, totals

BAD, GOOD = "claude-sonnet-4-6", "claude-sonnet-4-5"
BAD_CLUSTER, GOOD_CLUSTER = f"anthropic:{BAD}:ap-south-1", f"anthropic:{GOOD}:ap-south-1"
V13, V12 = "prompts:support-answer-v13:ap-south-1", "prompts:support-answer-v12:ap-south-1"
STICKY = round(CLIENTS * STICKY_SHARE)


def test_clients_every_ten_in_a_row_show_the_share() -> None:
    sessions = [client.carries_session for client in simulated_clients()]
    assert sum(sessions) == STICKY == 30
    assert {sum(sessions[start : start + 10]) for start in range(0, CLIENTS, 10)} == {3}


def test_direct_model_goes_to_the_versions_own_server_with_its_cookie() -> None:
    route = direct_to(SMART_REASONER, Ports(20000))
    assert route(BAD) == ("http://127.0.0.1:20002/v1/chat/completions", ((b"cookie", b"lab_session=claude-sonnet-4-6"),))
    assert route(GOOD)[0] == "http://127.0.0.1:20001/v1/chat/completions"


def test_direct_prompt_names_its_version_also_one_that_somebody_registered() -> None:
    for label in ("support-answer-v13", "support-answer-v14"):
        url, headers = direct_to(SUPPORT_ANSWER, Ports(20000))(label)
        assert url == "http://127.0.0.1:20001/v1/chat/completions"
        assert dict(headers)[b"x-rollbackhub-version"] == label.encode()
        assert dict(headers)[b"x-rollbackhub-candidate"].startswith(b"prompts:")


@pytest.fixture(scope="module")
def hub() -> Iterator[TinyHub]:
    with running_hub() as hub:
        yield hub


@pytest.fixture(scope="module")
def running(hub: TinyHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabWorld]:
    with running_world(hub_url=hub.url, directory=tmp_path_factory.mktemp("lab"), requests_per_second=100) as world:
        yield world


@pytest.fixture
def world(hub: TinyHub, running: LabWorld) -> LabWorld:
    """Half of the traffic at the bad versions, no sessions."""
    assert running.set_sticky_clients("staging", False)
    flip(hub, "smart-reasoner", {BAD_CLUSTER: 50, GOOD_CLUSTER: 50})
    flip(hub, "support-answer", {V13: 50, V12: 50})
    return running


def flip(hub: TinyHub, alias: str, weights: dict[str, int]) -> None:
    number = hub.flip(alias, weights)
    eventually(lambda: hub.applied == number, what="the gateway's acknowledgement")


def pinned(world: LabWorld, alias: str = "smart-reasoner") -> dict[str, float]:
    return {version: count for version, count in totals(world, name="lab_sticky_clients", alias=alias).items() if count}


def gateway_requests(world: LabWorld, cluster: str) -> int:
    """What the gateway has sent to a cluster, by its own counter."""
    name = cluster.replace(":", "_")
    stats: Any = httpx.get(f"{world.admin_url('staging')}/stats?format=json&filter=^cluster.{name}.upstream_rq_total$", trust_env=False).json()["stats"]
    return int(stats[0]["value"])


def under_way(world: LabWorld, cluster: str) -> int:
    name = cluster.replace(":", "_")
    stats: Any = httpx.get(f"{world.admin_url('staging')}/stats?format=json&filter=^cluster.{name}.upstream_rq_active$", trust_env=False).json()["stats"]
    return int(stats[0]["value"])


@pytest.mark.slow
@pytest.mark.xdist_group("lab_world")
@pytest.mark.parametrize(
    ("alias", "bad", "clusters"),
    [("smart-reasoner", BAD, (BAD_CLUSTER, GOOD_CLUSTER)), ("support-answer", "support-answer-v13", (V13, V12))],
)
def test_pinned_clients_go_on_at_the_bad_version_after_its_weight_is_zero(
    world: LabWorld, hub: TinyHub, alias: str, bad: str, clusters: tuple[str, str]
) -> None:
    assert world.set_sticky_clients("staging", True)
    eventually(lambda: sum(pinned(world, alias).values()) == STICKY, within=60, what="every session")
    sessions = pinned(world, alias)[bad]
    share = sessions / CLIENTS
    assert 0.03 <= share <= 0.27

    flip(hub, alias, dict(zip(clusters, (0, 100), strict=True)))
    eventually(lambda: under_way(world, clusters[0]) == 0, what="the end of the requests under way")
    at_gateway = gateway_requests(world, clusters[0])
    grown = growth(world, seconds=4, alias=alias)
    assert gateway_requests(world, clusters[0]) == at_gateway, "the gateway sends nothing to the bad version"
    assert grown[bad] / sum(grown.values()) == pytest.approx(share, abs=0.06), "and still it serves its sessions"
    assert pinned(world, alias)[bad] == sessions

    assert world.set_sticky_clients("staging", False)
    assert pinned(world, alias) == {}
    # Those that were under way are answered.
    growth(world, seconds=0.5, alias=alias)
    assert bad not in growth(world, seconds=3, alias=alias)


@pytest.mark.slow
@pytest.mark.xdist_group("lab_world")
def test_sessions_that_begin_after_the_rollback_are_at_the_good_version(world: LabWorld, hub: TinyHub) -> None:
    flip(hub, "smart-reasoner", {BAD_CLUSTER: 0, GOOD_CLUSTER: 100})
    eventually(lambda: under_way(world, BAD_CLUSTER) == 0, what="the end of the requests under way")
    assert BAD not in growth(world, seconds=0.5)
    assert world.set_sticky_clients("staging", True)
    eventually(lambda: sum(pinned(world).values()) == STICKY, within=60, what="every session")
    assert pinned(world) == {GOOD: STICKY}


@pytest.mark.slow
@pytest.mark.xdist_group("lab_world")
def test_killed_traffic_process_begins_again_with_sessions_that_hold(world: LabWorld) -> None:
    assert world.set_sticky_clients("staging", True)
    kill(world.traffic)
    world.wait_ready()
    eventually(lambda: sum(pinned(world).values()) == STICKY, within=60, what="every session")


@pytest.mark.slow
@pytest.mark.xdist_group("lab_world")
def test_control_refuses_an_unknown_environment_and_changes_nothing(world: LabWorld) -> None:
    assert world.set_sticky_clients("staging", True)
    address = f"http://127.0.0.1:{world.ports.control}/sticky-clients"
    for body in ({"environments": ["nowhere"]}, {"environments": "staging"}, {}):
        assert httpx.put(address, json=body, trust_env=False).status_code == 400
    assert httpx.get(address, trust_env=False).json() == {"environments": ["staging"]}
    assert httpx.post(address, json={"environments": []}, trust_env=False).status_code == 404
