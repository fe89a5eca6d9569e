"""The lab's Prometheus: staging's metrics through a real server are those of the lab's page, and the switches reach it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from rollbackhub.connectors.prometheus import NoData, PrometheusConnector, Reading
from rollbackhub.lab.metrics import MetricsMode
from rollbackhub.lab.parts.prometheus import SCRAPE_SECONDS, STALE_SECONDS
from rollbackhub.lab.world import LabWorld
from tests.lab.tiny_hub import running_hub
from tests.lab.worlds import eventually, is_alive, kill, running_world

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("lab_world")]

ALIAS = "smart-reasoner"
VERSIONS = {"claude-sonnet-4-5", "claude-sonnet-4-6"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabWorld]:
    with (
        running_hub() as hub,
        running_world(hub_url=hub.url, directory=tmp_path_factory.mktemp("lab"), requests_per_second=40, parts=("prometheus",)) as world,
    ):
        yield world


@pytest.fixture
def world(running: LabWorld) -> LabWorld:
    """With metrics as they should be, and read by Prometheus."""
    running.set_metrics_mode("staging", MetricsMode.NORMAL)
    # On a busy machine a gateway may have refused the first requests: they are there as those of no version.
    eventually(lambda: served(running).totals.get(ALIAS, {}).keys() >= VERSIONS, within=30, what="both versions' series")
    return running


def read(settings: dict[str, object]) -> Reading:
    connector = PrometheusConnector(PrometheusConnector.settings_type.model_validate(settings), timeout_seconds=3)
    return connector.read(environment="staging", alias=ALIAS)


def served(world: LabWorld) -> Reading:
    """By the server."""
    return read(next(found.settings for found in world.part_connections("staging") if found.connector == "prometheus"))


def shown(world: LabWorld) -> Reading:
    """By the page itself."""
    return read({"endpoint": world.metrics_url("staging")})


def counts(reading: Reading) -> dict[tuple[str, str, str], float]:
    """Every number of a reading."""
    found: dict[tuple[str, str, str], float] = {}
    for version, metrics in reading.totals[ALIAS].items():
        for name, value in metrics.as_dict().items():
            found |= {(version, name, bound): count for bound, count in (value if isinstance(value, dict) else {"": value}).items()}
    return found


def query(world: LabWorld, text: str) -> list[dict[str, object]]:
    """What the server itself says."""
    answer = httpx.get(f"http://127.0.0.1:{world.ports.prometheus}/api/v1/query", params={"query": text}, trust_env=False)
    found: list[dict[str, object]] = answer.json()["data"]["result"]
    return found


def test_totals_through_the_server_are_those_of_the_page_within_one_scrape(world: LabWorld) -> None:
    before = shown(world)
    looked = before.read_at.timestamp() + SCRAPE_SECONDS

    def scraped() -> bool:
        newest = served(world).newest_at
        return newest is not None and newest.timestamp() > looked

    eventually(scraped, what="a scrape after the page was read")
    through = served(world)
    after = shown(world)
    low, found, high = counts(before), counts(through), counts(after)
    assert low.keys() <= found.keys() <= high.keys()
    assert {key for key in low if not low[key] <= found[key] <= high[key]} == set()
    # The two readings of the page are not far apart, so this says something.
    requests = [key for key in high if key[1] == "requests"]
    assert 0 < sum(high[key] - low[key] for key in requests) < 0.5 * sum(high[key] for key in requests) + 60
    # By the server's own clock, too, it is no older than the connection allows.
    assert through.newest_at is not None
    assert through.source_now is not None
    assert (through.source_now - through.newest_at).total_seconds() < STALE_SECONDS


def test_labels_are_the_pages_own_and_the_targets_stay_with_other_ports(world: LabWorld) -> None:
    series = [found["metric"] for found in query(world, f'llm_requests_total{{alias="{ALIAS}"}}')]
    assert series
    for labels in series:
        assert isinstance(labels, dict)
        assert (labels["environment"], labels["job"], labels["instance"]) == ("staging", "lab", "staging")
        assert not [name for name in labels if name.startswith("exported_")]


@pytest.mark.parametrize(("mode", "up"), [(MetricsMode.DOWN, "0"), (MetricsMode.SILENT, "1")])
def test_switched_off_page_is_no_data_at_the_server_and_comes_back(world: LabWorld, mode: MetricsMode, up: str) -> None:
    assert world.set_metrics_mode("staging", mode)

    def has_data() -> bool:
        try:
            return bool(served(world).totals)
        except NoData:
            return False

    eventually(lambda: not has_data(), within=STALE_SECONDS + 10, what="no data")
    assert [found["value"][1] for found in query(world, "up")] == [up]  # type: ignore[index]
    assert world.set_metrics_mode("staging", MetricsMode.NORMAL)
    eventually(has_data, what="data again")


def test_killed_server_is_started_again_and_keeps_its_history(world: LabWorld) -> None:
    child = next(child for child in world.children if child.name == "prometheus")
    then = served(world)
    assert then.newest_at is not None
    kill(child)
    world.wait_ready()

    def scraped() -> bool:
        newest = served(world).newest_at
        return newest is not None and then.newest_at is not None and newest > then.newest_at

    eventually(scraped, what="a scrape")
    # What it has answered with is on its disk.
    past = httpx.get(
        f"http://127.0.0.1:{world.ports.prometheus}/api/v1/query",
        params={"query": f'sum(llm_requests_total{{alias="{ALIAS}"}})', "time": then.newest_at.timestamp()},
        trust_env=False,
    ).json()["data"]["result"]
    assert float(past[0]["value"][1]) == sum(metrics.requests for metrics in then.totals[ALIAS].values())


def test_stopped_world_leaves_no_server_and_its_data_below_its_own_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("stopped")
    with running_world(hub_url="http://127.0.0.1:9", directory=folder, parts=("prometheus",)) as world:
        assert query(world, "up"), "ready means that it scrapes, else the lab's first drill would find no baseline"
        pid = next(child.pid for child in world.children if child.name == "prometheus")
        assert pid is not None
        process = psutil.Process(pid)
        port = world.ports.prometheus
        assert {found.laddr.ip for found in process.net_connections("inet") if found.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
        started = time.monotonic()
    assert time.monotonic() - started < 8
    assert not is_alive(process)
    assert (folder / "parts" / "prometheus" / "wal").is_dir()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/-/ready", trust_env=False)
