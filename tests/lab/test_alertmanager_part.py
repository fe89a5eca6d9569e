"""The lab's Alertmanager: what the bad canary does in production is posted, and what an alert's end is worth."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from rollbackhub.common.config import LAB_PORTS
from rollbackhub.lab.catalogue import BAD_MODEL
from rollbackhub.lab.metrics import MetricsMode
from rollbackhub.lab.parts.alertmanager import HOOK, AlertmanagerPart
from rollbackhub.lab.world import LabWorld
from tests.lab.tiny_hub import running_hub
from tests.lab.worlds import eventually, kill
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("lab_world")]

TOKEN, OTHER_TOKEN = "a" * 43, "b" * 43
DEGRADED, UNMEASURED = "NegativeFeedbackAboveBaseline", "FeedbackNotMeasured"
FIRES_WITHIN, ENDS_WITHIN = 90, 90


class Receiver:
    """Stands in for the hub: keeps every post with its path."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, Any]]] = []
        posts = self.posts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                posts.append((self.path, body))
                self.send_response(202)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def alerts(self, *, name: str, status: str, since: int = 0, alias: str | None = "smart-reasoner") -> list[tuple[str, dict[str, Any]]]:
        """Path and alert, of posts from the number `since` on."""
        return [
            (path, alert)
            for path, body in self.posts[since:]
            for alert in body["alerts"]
            if alert["labels"]["alertname"] == name and alert["status"] == status and alert["labels"].get("alias") == alias
        ]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


@pytest.fixture(scope="module")
def world(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabWorld]:
    """Production with its Prometheus and its Alertmanager, which posts to the receiver."""
    folder = tmp_path_factory.mktemp("lab")
    with running_hub("production") as hub:
        environments = ("production",)
        world = LabWorld(
            hub_url=hub.url,
            base_port=free_port(size=LAB_PORTS),
            directory=folder,
            environments=environments,
            requests_per_second=60,
            parts=("prometheus", "alertmanager"),
        )
        assert world.missing_parts == {}
        part_of(world).hub_url = receiver.url
        part_of(world).keep_token(TOKEN)
        with world:
            world.wait_ready(timeout_seconds=60)
            yield world


def part_of(world: LabWorld) -> AlertmanagerPart:
    return next(part for part in world.parts if isinstance(part, AlertmanagerPart))


def active(world: LabWorld) -> list[str]:
    """Names of the alerts that the Alertmanager has now."""
    answer = httpx.get(f"{part_of(world).address}/api/v2/alerts", trust_env=False)
    return sorted({alert["labels"]["alertname"] for alert in answer.json()})


def test_bad_canary_is_posted_with_the_labels_by_which_the_hub_finds_its_alias(world: LabWorld, receiver: Receiver) -> None:
    eventually(lambda: receiver.alerts(name=DEGRADED, status="firing"), within=FIRES_WITHIN, what="the alert")
    path, alert = receiver.alerts(name=DEGRADED, status="firing")[0]
    assert path == f"{HOOK}{TOKEN}"
    labels = alert["labels"]
    assert (labels["environment"], labels["artefact_version"], labels["severity"]) == ("production", BAD_MODEL, "critical")
    assert "of what claude-sonnet-4-6 answers at smart-reasoner in production" in alert["annotations"]["summary"]
    assert {body["version"] for _, body in receiver.posts} == {"4"}
    # Another alias is another decision: one post each.
    assert all(len(body["alerts"]) == 1 for _, body in receiver.posts)


def test_page_that_dies_ends_the_alert_and_that_nobody_counts_is_posted_and_a_new_token_is_taken_up(world: LabWorld, receiver: Receiver) -> None:
    eventually(lambda: DEGRADED in active(world), within=FIRES_WITHIN, what="the alert")
    since = len(receiver.posts)
    assert world.set_metrics_mode("production", MetricsMode.DOWN)
    try:
        eventually(lambda: receiver.alerts(name=DEGRADED, status="resolved", since=since), within=ENDS_WITHIN, what="an end without a recovery")
        eventually(lambda: receiver.alerts(name=UNMEASURED, status="firing", since=since, alias=None), within=ENDS_WITHIN, what="that nobody counts")
        part_of(world).keep_token(OTHER_TOKEN)
        world.follow_parts()
        assert OTHER_TOKEN in part_of(world).configuration_file.read_text()
    finally:
        since = len(receiver.posts)
        assert world.set_metrics_mode("production", MetricsMode.NORMAL)
    eventually(lambda: receiver.alerts(name=DEGRADED, status="firing", since=since), within=FIRES_WITHIN, what="the alert again")
    assert {path for path, _ in receiver.alerts(name=DEGRADED, status="firing", since=since)} == {f"{HOOK}{OTHER_TOKEN}"}


def test_killed_alertmanager_is_started_again_and_told_again_what_fires(world: LabWorld) -> None:
    eventually(lambda: DEGRADED in active(world), within=FIRES_WITHIN, what="the alert")
    kill(next(child for child in world.children if child.name == "alertmanager"))
    world.wait_ready()
    eventually(lambda: DEGRADED in active(world), within=30, what="the alert in the new process")


def test_it_listens_on_loopback_alone_and_only_its_owner_reads_the_token(world: LabWorld) -> None:
    pid = next(child.pid for child in world.children if child.name == "alertmanager")
    listening = {found.laddr for found in psutil.Process(pid).net_connections("inet") if found.status == psutil.CONN_LISTEN}
    assert {(address.ip, address.port) for address in listening} == {("127.0.0.1", world.ports.alertmanager)}
    for path in (part_of(world).token_file, part_of(world).configuration_file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (part_of(world).folder / "alertmanager").is_dir()


def test_without_prometheus_beside_it_is_left_out_and_says_so(tmp_path: Path) -> None:
    world = LabWorld(hub_url="http://127.0.0.1:9", base_port=20000, directory=tmp_path, parts=("alertmanager",))
    assert (world.parts, world.missing_parts) == ([], {"alertmanager": "it needs the part prometheus beside it"})


def test_without_the_program_it_is_left_out_and_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollbackhub.lab.parts.alertmanager.shutil.which", lambda _: None)
    world = LabWorld(hub_url="http://127.0.0.1:9", base_port=20000, directory=tmp_path, parts=("alertmanager",))
    assert world.missing_parts["alertmanager"].endswith("(Debian: apt-get install prometheus-alertmanager)")


def test_without_a_token_nothing_is_posted(tmp_path: Path) -> None:
    world = LabWorld(hub_url="http://127.0.0.1:9", base_port=20000, directory=tmp_path, environments=("production",), parts=("prometheus", "alertmanager"))
    world.prepare()
    receivers = json.loads(part_of(world).configuration_file.read_text())["receivers"]
    assert receivers == [{"name": "nobody"}, {"name": "rollbackhub", "webhook_configs": []}]
