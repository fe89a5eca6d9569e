"""However the lab's process ends, nothing of it is left."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from rollbackhub.common.config import LAB_PORTS
from tests.lab.tiny_hub import running_hub
from tests.lab.worlds import eventually, is_alive
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("lab_world"), pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")]

SCRIPT = """
import sys, time
from pathlib import Path
from rollbackhub.lab.world import LabWorld
with LabWorld(hub_url=sys.argv[1], base_port=int(sys.argv[2]), directory=Path(sys.argv[3]), parts=("prometheus",)) as world:
    world.wait_ready(timeout_seconds=60)
    print("ready", *(child.pid for child in world.children), flush=True)
    time.sleep(600)
"""


def test_world_killed_with_sigkill_leaves_no_child(tmp_path: Path) -> None:
    with running_hub() as hub:
        base = free_port(size=LAB_PORTS)
        owner = subprocess.Popen([sys.executable, "-c", SCRIPT, hub.url, str(base), str(tmp_path)], stdout=subprocess.PIPE, text=True)
        try:
            assert owner.stdout is not None
            word, *pids = owner.stdout.readline().split()
            assert word == "ready"
            children = [psutil.Process(int(pid)) for pid in pids]
            assert len(children) == 5
            assert "prometheus" in [child.name() for child in children]
        finally:
            owner.send_signal(signal.SIGKILL)
            owner.communicate()
        eventually(lambda: not any(map(is_alive, children)), within=2, what="the children's end")
        # And the next lab can have the ports at once.
        again = subprocess.Popen([sys.executable, "-c", SCRIPT, hub.url, str(base), str(tmp_path)], stdout=subprocess.PIPE, text=True)
        try:
            assert again.stdout is not None
            assert again.stdout.readline().startswith("ready")
        finally:
            again.kill()
            again.communicate()


def test_child_whose_parent_is_gone_already_does_not_start(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "rollbackhub" / "lab" / "start_child.py"
    marker = tmp_path / "ran"
    ended = subprocess.run([sys.executable, "-I", "-S", script, "1", "/bin/sh", "-c", f"touch {marker}"], timeout=10, check=False)
    time.sleep(0.1)
    assert ended.returncode == 1
    assert not marker.exists()
