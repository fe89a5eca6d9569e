"""The lab's deployer as a process: what it takes, what it refuses, what survives, what it follows."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rollbackhub.common.config import BASE_DIR
from rollbackhub.lab.deployer.options import settings_from
from rollbackhub.lab.deployer.settings import DeployerSettings, Service
from tests.connectors.deploy_receiver import SECRET, Receiver, running_receiver, signed

WRONG = "whsec_d3Jvbmctc2VjcmV0LW9mLXRoZS10ZXN0cw=="
DEPLOY = {"type": "deploy", "service": "agent", "version": {"label": "v1"}}


@pytest.fixture(scope="module")
def deployer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    options = ["--deploy-seconds=0.1", "--service=agent=v2,v1", "--service=other=v2,v1", "--service=quick=v2,v1"]
    with running_receiver(tmp_path_factory.mktemp("deployer"), *options) as found:
        yield found


# Whom it believes


def test_message_is_refused_unless_it_is_signed_whole_and_of_now(deployer: Receiver) -> None:
    now = int(time.time())
    refused: list[dict[str, Any]] = [
        {"secret": WRONG},
        {"timestamp": now - 330},
        {"timestamp": now + 330},
        {"webhook_timestamp": "soon"},
        {"webhook_timestamp": "9" * 30},
        {"webhook_timestamp": str(now - 100)},
        {"webhook_id": "another"},
        {"webhook_id": ""},
        {"webhook_signature": ""},
        {"webhook_signature": "v1,"},
        {"webhook_signature": "v1,xyz v2,abc"},
        {"key": "k" * 201},
    ]
    for number, change in enumerate(refused):
        status, answer = deployer.post("/deploy", DEPLOY, **{"key": f"bad:{number}", **change})
        assert (status, answer) == (401, {"message": "The signature is not ours, or too old."}), change
    assert deployer.deployments("agent") == 0
    assert deployer.status("agent")["version"] == "v2"


def test_body_changed_on_the_way_is_refused(deployer: Receiver) -> None:
    headers = signed(json.dumps(DEPLOY).encode(), key="changed:1")
    assert deployer.send("/deploy", json.dumps(DEPLOY).replace("v1", "v2").encode(), headers)[0] == 401
    assert deployer.deployments("agent") == 0


def test_message_somewhat_late_with_two_signatures_is_taken(deployer: Receiver) -> None:
    body = b'{"type": "ping", "service": "agent", "version": {"label": "v1"}}'
    headers = signed(body, key="rotated", timestamp=int(time.time()) - 250)
    headers["webhook-signature"] = "v1,b2xk " + headers["webhook-signature"]
    assert deployer.send("/deploy", body, headers)[0] == 200


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b'"deploy"'])
def test_signed_nonsense_is_refused(deployer: Receiver, body: bytes) -> None:
    assert deployer.post("/deploy", body, key=f"nonsense:{len(body)}")[0] == 400


@pytest.mark.parametrize(
    ("path", "message", "status"),
    [
        ("/deploy", {"type": "job", "job": "rebaseline"}, 404),
        ("/jobs", DEPLOY, 404),
        ("/elsewhere", DEPLOY, 404),
        ("/deploy", {**DEPLOY, "service": "nobody"}, 404),
        ("/deploy", {**DEPLOY, "version": {"label": "v9"}}, 422),
        ("/deploy", {**DEPLOY, "version": {}}, 422),
        ("/deploy", {"type": "ping", "service": "agent", "version": {"label": "v9"}}, 422),
        ("/jobs", {"type": "job", "job": "retrain"}, 422),
    ],
)
def test_what_is_not_there_is_refused(deployer: Receiver, path: str, message: Any, status: int) -> None:
    found, answer = deployer.post(path, message, key=f"missing:{path}:{message}"[:200])
    assert found == status, answer
    assert (answer.get("code") == "unknown_version") is ("version" in message and status == 422)
    assert deployer.deployments("agent") == 0


def test_message_that_is_too_large_is_refused_and_others_are_still_answered(deployer: Receiver) -> None:
    assert deployer.post("/deploy", b"x", key="large", Content_Length="100001")[0] == 413
    assert deployer.get("/healthz")[0] == 200


# What it does once


def test_replayed_message_has_one_effect_also_when_many_arrive_at_once(deployer: Receiver) -> None:
    message = {**DEPLOY, "service": "other"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: deployer.post("/deploy", message, key="other:1"), range(24)))
    assert {status for status, _ in answers} == {202}
    assert {content["id"] for _, content in answers} == {"other:1"}
    assert deployer.deployments("other") == 1
    assert deployer.post("/deploy", {**message, "version": {"label": "v2"}}, key="other:1")[0] == 409
    assert deployer.status("other")["version"] == "v1"


def test_replay_of_an_older_message_does_not_bring_its_version_back(tmp_path: Path) -> None:
    with running_receiver(tmp_path, "--deploy-seconds=0.1", "--service=agent=v2,v1") as own:
        own.deploy("agent", "v1", key="1")
        own.deploy("agent", "v2", key="2")
        assert own.post("/deploy", DEPLOY, key="1") == (202, {"id": "1"})
        assert own.status("agent")["version"] == "v2"
        assert own.deployments("agent") == 2


def test_killed_after_the_effect_and_before_the_answer_was_kept_it_does_nothing_twice(tmp_path: Path) -> None:
    with running_receiver(tmp_path, "--deploy-seconds=0.1", "--service=agent=v2,v1") as own:
        own.deploy("agent", "v1", key="1")
        own.kill()
        # What is on the disk at that instant: the deployment, and no answer.
        shutil.rmtree(tmp_path / "answers")
        own.start()
        assert own.post("/deploy", DEPLOY, key="1")[0] == 202
        assert own.deployments("agent") == 1


def test_deployment_that_is_overtaken_gives_way(tmp_path: Path) -> None:
    with running_receiver(tmp_path, "--deploy-seconds=0.4", "--service=agent=v2,v1,v3") as own:
        own.post("/deploy", {**DEPLOY, "version": {"label": "v3"}}, key="1")
        time.sleep(0.1)
        assert own.post("/deploy", DEPLOY, key="2")[0] == 202
        shown: list[dict[str, Any]] = []
        own.wait(lambda: shown.append(own.status("agent")) or shown[-1]["state"] == "succeeded")  # type: ignore[func-returns-value]
        assert {status["version"] for status in shown} == {"v1"}, "the older one says no more"
        assert own.deployments("agent") == 2


def test_state_and_keys_survive_a_kill(tmp_path: Path) -> None:
    with running_receiver(tmp_path, "--deploy-seconds=0.1", "--service=agent=v2,v1") as own:
        own.deploy("agent", "v1", key="1")
        own.kill()
        own.start()
        assert own.status("agent")["version"] == "v1"
        assert own.post("/deploy", DEPLOY, key="1") == (202, {"id": "1"})
        assert own.deployments("agent") == 1


def test_killed_again_and_again_while_deploying_it_never_leaves_half_a_state(tmp_path: Path) -> None:
    with running_receiver(tmp_path, "--deploy-seconds=0.2", "--service=agent=v2,v1") as own:
        for number in range(4):
            own.post("/deploy", {**DEPLOY, "version": {"label": ("v1", "v2")[number % 2]}}, key=str(number))
            time.sleep(0.05 * number)
            own.kill()
            own.start()
            status = own.status("agent")
            assert status["version"] == ("v1", "v2")[number % 2]
            assert status["state"] in ("failed", "succeeded")
        assert own.deployments("agent") == 4


# How it starts


def test_it_starts_quickly_and_ends_when_asked(tmp_path: Path) -> None:
    own = Receiver(tmp_path, ["--service=agent=v2,v1"])
    # The best of three: another process may have the machine.
    times = []
    for _ in range(3):
        times.append(own.start())
        own.stop()
    assert min(times) < 3, times


def test_answers_take_no_longer_than_they_must(deployer: Receiver) -> None:
    def seconds() -> float:
        began = time.monotonic()
        deployer.get("/services/quick")
        return time.monotonic() - began

    assert min(seconds() for _ in range(10)) < 0.03, "not the 40 ms of a delayed acknowledgement"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "1", "--state", "x", "--signing", "env:NOT_SET_HERE_AT_ALL"], "There is no signing secret in NOT_SET_HERE_AT_ALL"),
        (["--port", "1", "--state", "x", "--signing", SECRET], "--signing is env:NAME or file:/PATH"),
        (["--port", "1", "--state", "x"], "--signing"),
        (['{"port": 1, "state": "x", "services": {}}'], "signing_file or signing_env is needed"),
    ],
)
def test_it_does_not_start_without_a_secret(arguments: list[str], says: str) -> None:
    ran = subprocess.run([sys.executable, "-m", "rollbackhub.lab.deployer", *arguments], cwd=BASE_DIR, capture_output=True, text=True, timeout=20, check=False)
    assert ran.returncode != 0
    assert says in ran.stderr


def test_settings_from_the_command_line_and_from_json_are_the_same() -> None:
    words = "--port 1 --state s --signing file:/s --service a=v2,v1 --index i=/t --evals /e --git file:///r.git --branch live --git-service g"
    found = settings_from(words.split())
    assert found == DeployerSettings(
        port=1,
        state="s",
        signing_file="/s",
        services={
            "a": Service(kind="hook", versions=["v2", "v1"], evals="/e"),
            "i": Service(kind="index", table="/t"),
            "g": Service(kind="git", repository="/r.git", branch="live", file="service.yaml"),
        },
    )
    assert settings_from([found.model_dump_json()]) == found


# What it follows


def _git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, timeout=20, check=True).stdout.strip()


def _commit(work: Path, content: str) -> str:
    (work / "service.yaml").write_text(content)
    _git(work, "add", "-A")
    _git(work, "commit", "-q", "-m", "change")
    _git(work, "push", "-q", "origin", "HEAD:main")
    return _git(work, "rev-parse", "HEAD")


def test_branch_is_followed_and_what_cannot_be_deployed_leaves_what_runs(tmp_path: Path) -> None:
    bare, work = tmp_path / "agent.git", tmp_path / "work"
    _git(tmp_path, "init", "-q", "--bare", "-b", "main", str(bare))
    _git(tmp_path, "clone", "-q", str(bare), str(work))
    with running_receiver(tmp_path / "state", "--git", f"file://{bare}", "--git-service", "agent") as own:
        assert own.status("agent")["version"] == ""
        first = _commit(work, "# pinned\nversion: v1 # good\n")
        own.wait(lambda: own.status("agent")["version"] == "v1")
        assert own.status("agent")["commit"] == first
        _commit(work, "version: v2\n")
        own.wait(lambda: own.status("agent")["version"] == "v2")
        _commit(work, "version: [\n")
        time.sleep(0.7)
        assert own.status("agent")["version"] == "v2"
        assert own.post("/deploy", DEPLOY, key="1")[0] == 422, "it is deployed by its branch"
        own.kill()
        own.start()
        assert own.status("agent")["version"] == "v2"
        _commit(work, "version: v1\n")
        own.wait(lambda: own.status("agent")["version"] == "v1")


def test_eval_set_of_a_branch_is_scored_as_the_branch_holds_it(tmp_path: Path) -> None:
    bare, work = tmp_path / "evals.git", tmp_path / "work"
    _git(tmp_path, "init", "-q", "--bare", "-b", "main", str(bare))
    _git(tmp_path, "clone", "-q", str(bare), str(work))
    case = {"question": "A refund, please", "expected": "refund"}
    (work / "cases.jsonl").write_text(json.dumps(case) + "\n" + json.dumps({**case, "expected": "other"}) + "\n")
    _commit(work, "version: v4\n")
    job = {"type": "job", "job": "rebaseline", "version": {"label": "v3"}, "parameters": {"alias": "evals", "environment": "staging"}}
    with running_receiver(tmp_path / "state", "--git", str(bare), "--git-service", "evals-staging") as own:

        def result_of(key: str) -> Any:
            assert own.post("/jobs", job, key=key)[0] == 202
            own.wait(lambda: own.get(f"/jobs/{key}")[1]["state"] != "running")
            return own.get(f"/jobs/{key}")[1]["result"]

        assert result_of("1") == {"version": "v4", "score": 0.5, "cases": 2}, "not what was asked for, but what is there: the hub sees the difference"
        (work / "cases.jsonl").write_text(json.dumps(case) + "\n")
        _commit(work, "version: v3\n")
        assert result_of("2") == {"version": "v3", "score": 1.0, "cases": 1}
        assert own.get("/services/evals-staging/baselines/v4")[1]["score"] == 0.5
