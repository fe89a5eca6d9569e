"""`manage.py lab` beside a real hub: seeds, gateways that follow, the first drill, switches, and its end."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from rollbackhub.common.config import LAB_PORTS
from rollbackhub.executions.models import Execution
from rollbackhub.lab.models import LabSwitch
from rollbackhub.registry.models import Connection
from rollbackhub.routing.models import Gateway, RoutingState
from tests.databases import FreshDatabase
from tests.lab.worlds import eventually, is_alive
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("lab_world")]

ROOT = Path(__file__).resolve().parents[2]
MANAGE = [sys.executable, str(ROOT / "manage.py")]


@pytest.fixture
def base_port() -> int:
    return free_port(size=LAB_PORTS)


@pytest.fixture
def environment(fresh_database: FreshDatabase, base_port: int) -> Iterator[dict[str, str]]:
    """The environment of a running hub."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    environment = fresh_database.env | {"PORT": str(port), "LAB_BASE_PORT": str(base_port), "LAB_REQUESTS_PER_SECOND": "40"}
    command = ["uvicorn", "rollbackhub.asgi:application", "--port", str(port), "--no-proxy-headers", "--log-level", "warning"]
    hub = subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, env=environment)
    try:
        yield environment
    finally:
        hub.kill()
        hub.wait()


@pytest.fixture
def lab(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    lab = subprocess.Popen([*MANAGE, "lab"], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        yield lab
    finally:
        lab.kill()
        # Shown when the test fails.
        sys.stderr.write(lab.communicate()[1])


def has_acknowledged(environment: str) -> bool:
    state = RoutingState.objects.filter(environment__slug=environment).first()
    gateway = Gateway.objects.filter(node_id=f"{environment}-gateway-1").first()
    return state is not None and gateway is not None and gateway.applied_number == state.number > 0


def served_version(port: int, alias: str) -> str:
    question = {"model": alias, "messages": [{"role": "user", "content": "hello"}]}
    return httpx.post(f"http://127.0.0.1:{port}/{alias}/v1/chat/completions", json=question, trust_env=False).headers["x-served-version"]


def test_lab_first_start_seeds_serves_drills_and_follows_switches(lab: subprocess.Popen[str], environment: dict[str, str], base_port: int) -> None:
    eventually(lambda: has_acknowledged("staging") and has_acknowledged("production"), within=40, what="the acknowledgements")
    # It waits for the model servers as well.
    eventually(lambda: Execution.objects.filter(kind="drill", requested_by_label="lab").count() == 1, within=30, what="the first drill")
    assert served_version(base_port + 20, "support-answer") in ("support-answer-v12", "support-answer-v13")
    assert served_version(base_port + 10, "smart-reasoner") in ("claude-sonnet-4-5", "claude-sonnet-4-6")

    switched = subprocess.run([*MANAGE, "lab_switch", "metrics_down", "on"], env=environment, timeout=60, capture_output=True, text=True, check=False)
    assert switched.returncode == 0, switched.stderr
    assert "metrics_down in staging is on." in switched.stdout
    assert LabSwitch.objects.get().applied_at is not None
    assert httpx.get(f"http://127.0.0.1:{base_port}/metrics/staging", trust_env=False).status_code == 503

    sticky = [*MANAGE, "lab_switch", "sticky_clients", "on", "--environment", "production"]
    switched = subprocess.run(sticky, env=environment, timeout=60, capture_output=True, text=True, check=False)
    assert switched.returncode == 0, switched.stderr
    page = f"http://127.0.0.1:{base_port}/metrics/production"
    eventually(lambda: 'lab_sticky_clients{alias="smart-reasoner"' in httpx.get(page, trust_env=False).text, what="the first sessions")

    # Both ways of reading metrics are in use where the program is there.
    assert shutil.which("prometheus"), "the Debian package prometheus is needed: make install-dev"
    metrics = {found.environment.slug: found.settings for found in Connection.objects.filter(connector="prometheus")}
    assert metrics["production"] == {"endpoint": page}
    server = metrics["staging"]["server"]
    assert server == f"http://127.0.0.1:{base_port + 35}"
    assert httpx.get(f"{server}/-/ready", trust_env=False).status_code == 200

    children = psutil.Process(lab.pid).children(recursive=True)
    # More where the machine has the programs of its parts.
    assert len(children) >= 5
    lab.send_signal(signal.SIGTERM)
    assert lab.wait(10) == 0
    eventually(lambda: not any(map(is_alive, children)), within=2, what=f"the end of {children}")


def test_lab_killed_with_sigkill_leaves_no_child(lab: subprocess.Popen[str]) -> None:
    eventually(lambda: has_acknowledged("staging"), within=40, what="the acknowledgement")
    children = psutil.Process(lab.pid).children(recursive=True)
    assert children
    lab.kill()
    lab.wait()
    eventually(lambda: not any(map(is_alive, children)), within=2, what=f"the end of {children}")


def test_lab_taken_port_ends_with_one_sentence(tmp_path: Path, base_port: int, fresh_database: FreshDatabase) -> None:
    with socket.create_server(("127.0.0.1", base_port + 2)):
        ended = subprocess.run(
            [*MANAGE, "lab"], env=fresh_database.env | {"LAB_BASE_PORT": str(base_port)}, timeout=60, capture_output=True, text=True, check=False
        )
    assert ended.returncode == 1
    assert "LAB_BASE_PORT" in ended.stderr
    assert str(base_port + 2) in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
