"""`make up`, the real thing."""

from __future__ import annotations

import json
import re
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from rollbackhub.common.config import LAB_PORTS
from tests.databases import FreshDatabase
from tests.local.installation import Installation, wait_until
from tests.ports import free_port

NewInstallation = Callable[..., Installation]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def running(new_installation: NewInstallation) -> Iterator[Installation]:
    """One running installation for the tests that leave it running."""
    installation = new_installation()
    installation.start()
    yield installation
    installation.stop()


def _is_well(installation: Installation) -> bool:
    code, content, _ = installation.health()
    return code == 200 and content["status"] == "ok"


def _part_is_well(installation: Installation, part: str) -> bool:
    return bool(installation.health()[1].get("parts", {}).get(part, {}).get("status") == "ok")


def test_start_prints_people_once_and_the_address_in_one_line(running: Installation) -> None:
    said = running.said()
    assert said.count("RollbackHub is ready") == 1
    for name in ("oncall", "lead", "leadership", "auditor", "admin"):
        assert len(re.findall(rf"^\W+{name}\s", said, re.MULTILINE)) == 1, said


def test_manage_command_beside_it_finds_the_servers_by_itself(running: Installation) -> None:
    file = running.var / "run" / "servers.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    code = "from rollbackhub.accounts.models import User; print(sorted((u.username, u.is_superuser, *u.roles) for u in User.objects.all()))"
    found = eval(running.manage("shell", "-v0", "-c", code))
    assert found == [
        ("admin", True, "admin"),
        ("auditor", False, "auditor"),
        ("lead", False, "platform_lead"),
        ("leadership", False, "leadership"),
        ("oncall", False, "on_call"),
    ]


def test_passwords_are_nowhere_in_plain(running: Installation) -> None:
    passwords = re.findall(r"^\W+(?:oncall|admin)\s+\W+(\S{20})\s", running.said(), re.MULTILINE)
    assert len(passwords) == 2
    dump = running.manage("dumpdata", "accounts", "audit")
    assert not any(password in dump for password in passwords)


def test_health_names_every_part(running: Installation) -> None:
    wait_until(lambda: _is_well(running), seconds=60, what="well")
    _, content, seconds = running.health()
    assert set(content["parts"]) == {"database", "broker", "web", "worker", "beat", "sweeper", "housekeeper", "sequencer", "audit"}
    assert all(part["status"] == "ok" and part["sentence"].endswith(".") for part in content["parts"].values())
    assert content["parts"]["worker"]["seconds_since_heartbeat"] < 5
    assert content["parts"]["audit"]["unsequenced"] == 0
    assert seconds < 2


def test_worker_carries_out_its_canary(running: Installation) -> None:
    wait_until(lambda: running.health()[1]["parts"]["worker"].get("seconds_since_canary", 99) < 10, seconds=30, what="a canary")


def test_second_start_beside_it_is_refused_in_one_sentence(running: Installation) -> None:
    second = running.run_beside()
    assert second.returncode == 1
    assert second.stdout == ""
    assert second.stderr.count("\n") == 1
    assert f"(process {running.runner.pid if running.runner else 0}, port {running.port})" in second.stderr
    assert "ROLLBACKHUB_VAR" in second.stderr
    assert "PORT" in second.stderr
    assert running.health()[0] == 200


def test_start_on_its_port_is_refused_naming_the_variable(running: Installation, new_installation: NewInstallation) -> None:
    other = new_installation(PORT=str(running.port))
    refused = other.run_beside()
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Port {running.port} on 127.0.0.1 cannot be used (Address already in use): set PORT to a free one")
    assert refused.stderr.count("\n") == 1
    assert other.processes() == []


def test_start_with_a_lab_port_taken_is_refused_naming_the_variable(new_installation: NewInstallation) -> None:
    base = free_port(size=LAB_PORTS)
    with socket.create_server(("127.0.0.1", base + 11)):
        refused = new_installation(LAB="1", LAB_BASE_PORT=str(base)).run_beside()
    assert refused.returncode == 1
    assert f"port {base + 11}" in refused.stderr
    assert "LAB_BASE_PORT" in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("part", "words"), [("worker", ("celery", "worker")), ("beat", ("celery", "beat")), ("sweeper", ("sweeper",)), ("sequencer", ("sequencer",))]
)
def test_killed_program_is_named_by_health_and_started_again(running: Installation, part: str, words: tuple[str, ...]) -> None:
    wait_until(lambda: _part_is_well(running, part), seconds=60, what=f"{part} is well")
    victim = running.process(*words)
    below = victim.children(recursive=True)
    victim.kill()
    killed_at = time.monotonic()
    found = wait_until(
        lambda: [content["parts"][part]["sentence"] for _, content, _ in [running.health()] if content["parts"][part]["status"] != "ok"],
        seconds=15,
        what=f"/healthz says that {part} was killed",
    )
    assert time.monotonic() - killed_at < 15
    assert f"Process {victim.pid} on {socket.gethostname()} was killed by SIGKILL" in found[0]
    _, alive = psutil.wait_procs(below, timeout=5)
    assert alive == []
    wait_until(lambda: running.process(*words).pid != victim.pid if _has(running, words) else False, seconds=20, what="started again")


def _has(installation: Installation, words: tuple[str, ...]) -> bool:
    try:
        installation.process(*words)
    except AssertionError:
        return False
    return True


def test_killed_database_is_started_again(running: Installation) -> None:
    wait_until(lambda: _part_is_well(running, "database"), seconds=60, what="the database is well")
    running.process(str(running.var / "postgres"), "-D").kill()
    wait_until(lambda: "Postgres was killed by SIGKILL; starting it again." in running.said(), seconds=10, what="it is noticed")
    wait_until(lambda: running.health()[0] == 200, seconds=60, what="well again")


@pytest.mark.parametrize(("part", "word"), [("broker", "valkey"), ("database", "postgres")])
def test_health_answers_in_time_although_a_server_hangs(running: Installation, part: str, word: str) -> None:
    wait_until(lambda: _part_is_well(running, part), seconds=60, what=f"the {part} is well")
    server = next(
        found for found in running.processes() if found.name() == {"valkey": "valkey-server", "postgres": "postgres"}[word] and found.ppid() == _pid(running)
    )
    stopped = [server, *server.children(recursive=True)]
    for process in stopped:
        process.suspend()
    try:
        answers = [running.health() for _ in range(3)]
    finally:
        for process in stopped:
            process.resume()
    for code, content, seconds in answers:
        assert seconds < 2
        assert content["parts"][part]["status"] == "down"
        assert "not answer" in content["parts"][part]["sentence"]
        assert (code, content["status"]) == ((503, "down") if part == "database" else (200, "degraded"))
    wait_until(lambda: _part_is_well(running, part), seconds=30, what="well again")


def _pid(installation: Installation) -> int:
    assert installation.runner is not None
    return installation.runner.pid


def test_killed_runner_takes_all_with_it_and_the_next_start_goes_on(new_installation: NewInstallation) -> None:
    installation = new_installation()
    installation.start()
    installation.manage("shell", "-v0", "-c", "from rollbackhub.accounts.models import Team; Team.objects.create(slug='kept', name='Kept')")
    pool = installation.process("celery", "worker").children()
    assert pool
    assert installation.runner is not None
    installation.runner.kill()
    installation.runner.wait()
    # At once: the next start has to cope with servers that are still going down.
    installation.start()
    _, alive = psutil.wait_procs(pool, timeout=1)
    assert alive == []
    assert "The first people" not in installation.said()
    count = installation.manage("shell", "-v0", "-c", "from rollbackhub.accounts.models import Team; print(Team.objects.filter(slug='kept').count())")
    assert count.strip() == "1"
    leaders = [process for process in installation.processes() if "celery" in process.cmdline() and process.ppid() == _pid(installation)]
    assert len(leaders) == 2, leaders

    installation.runner.kill()
    installation.runner.wait()
    wait_until(lambda: not installation.processes(), seconds=15, what="every process has gone with the runner")


def test_stop_leaves_nothing(new_installation: NewInstallation, fresh_database: FreshDatabase) -> None:
    """And with servers of others it starts none, and leaves those running."""
    installation = new_installation(DATABASE_URL=fresh_database.url, DATABASE_OWNER_URL=fresh_database.owner_url, BROKER_URL=fresh_database.broker_url)
    installation.start()
    names = {process.name() for process in installation.processes()}
    assert not names & {"postgres", "valkey-server"}
    assert json.loads((installation.var / "run" / "servers.json").read_text())["database_url"] == fresh_database.url
    tree = psutil.Process(_pid(installation)).children(recursive=True)
    assert installation.stop() == 0
    _, alive = psutil.wait_procs(tree, timeout=1)
    assert alive == []
    assert installation.processes() == []
    assert not (installation.var / "run" / "servers.json").exists()
    assert not (installation.var / "run" / "processes.json").exists()
    assert installation.said().rstrip().endswith("Stopped.")


def test_interrupt_stops_embedded_servers_cleanly(new_installation: NewInstallation) -> None:
    installation = new_installation()
    installation.start()
    assert installation.runner is not None
    installation.runner.send_signal(signal.SIGINT)
    assert installation.runner.wait(60) == 0
    assert installation.processes() == []
    assert "database system is shut down" in (installation.var / "log" / "postgres.log").read_text()
    assert not (installation.var / "postgres" / "postmaster.pid").exists()
    assert not (installation.var / "valkey" / "valkey.pid").exists()
