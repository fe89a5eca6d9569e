"""What docs/connectors tells people to copy works: the check of signatures, and the frame of the recipes with the connector against it."""

from __future__ import annotations

import ast
import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rollbackhub.common.config import BASE_DIR
from rollbackhub.connectors.mechanism import ProblemCode
from tests.connectors.deploy_receiver import SECRET, SIGNING, Receiver, signed
from tests.connectors.test_deploy import back, connector, look, seen
from tests.ports import free_port

DOCS = BASE_DIR / "docs" / "connectors"

SYSTEM = """
import os
from pathlib import Path
FOLDER = Path(os.environ["SYSTEM"])
class UnknownService(Exception): ...
class UnknownVersion(Exception): ...
def require(service, version):
    if service != "agent":
        raise UnknownService(service)
    if version["label"] not in ("v1", "v2"):
        raise UnknownVersion(version["label"])
def deploy(service, version, reason):
    with (FOLDER / "calls").open("a") as file:
        file.write(version["label"] + "\\n")
    if (FOLDER / "broken").exists():
        raise OSError("cannot deploy")
    (FOLDER / "now").write_text(version["label"])
def status(service):
    require(service, {"label": "v1"})
    return {"version": (FOLDER / "now").read_text(), "state": "succeeded"}
"""
"""A small system: a file says what runs, and each call is counted."""


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


def test_check_of_signatures_in_the_docs_takes_ours_and_no_other() -> None:
    [example] = blocks("deploy.md")
    names: dict[str, Any] = {}
    exec(compile(example, "deploy.md", "exec"), names)
    headers = http.client.HTTPMessage()
    for name, value in signed(b"body", key="k").items():
        headers[name.title()] = value
    check = names["is_signed"]
    assert check(headers, b"body", secret=SECRET)
    assert not check(headers, b"bodY", secret=SECRET)
    assert not check(headers, b"body", secret="whsec_b3RoZXI=")
    assert not check({**signed(b"body", key="k", timestamp=int(time.time()) - 301)}, b"body", secret=SECRET)
    assert not check({}, b"body", secret=SECRET)


def test_every_recipe_has_what_the_frame_calls() -> None:
    frame, *recipes = blocks("recipes.md")
    needed = set(re.findall(r"\bsystem\.(?!py\b)(\w+)", frame))
    assert needed == {"status", "require", "deploy", "UnknownService", "UnknownVersion"}
    assert len(recipes) == 5
    for recipe in recipes:
        defined = {node.name for node in ast.parse(recipe).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        assert needed <= defined


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """The frame as a process, over the small system."""
    monkeypatch.setenv(SIGNING, SECRET)
    (tmp_path / "hook.py").write_text(blocks("recipes.md")[0])
    (tmp_path / "signature.py").write_text(blocks("deploy.md")[0])
    (tmp_path / "system.py").write_text(SYSTEM)
    (tmp_path / "now").write_text("v2")
    (tmp_path / "calls").touch()
    port = free_port()
    own = {"HOOK_SECRET": SECRET, "HOOK_KEYS": str(tmp_path / "keys"), "HOOK_PORT": str(port), "SYSTEM": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "hook.py"], cwd=tmp_path, env={**os.environ, **own}, stderr=subprocess.DEVNULL)
    found = Receiver(tmp_path, port=port)

    def answers() -> bool:
        assert process.poll() is None
        try:
            return found.get("/services/agent")[0] == 200
        except OSError:
            return False

    try:
        found.wait(answers)
        yield found
    finally:
        process.kill()
        process.wait(10)


def calls(hook: Receiver) -> list[str]:
    return (hook.folder / "calls").read_text().split()


def test_frame_of_the_recipes_serves_the_connector(hook: Receiver) -> None:
    mechanism = connector(hook.address)
    assert look(mechanism, "agent") == []
    assert calls(hook) == [], "a ping does nothing"
    assert back(mechanism, "agent", key="e:1").changed
    assert seen(mechanism, "agent").reached
    (hook.folder / "now").write_text("v2")
    back(mechanism, "agent", key="e:1")
    assert calls(hook) == ["v1"], "the same key has one effect"
    assert not seen(mechanism, "agent").reached
    assert [problem.code for problem in look(mechanism, "agent", wanted="v0")] == [ProblemCode.TARGET_RETIRED]
    assert {problem.code for problem in look(mechanism, "other")} == {ProblemCode.FLAG_MOVED}
    assert hook.post("/deploy", {"type": "job", "job": "x"}, key="j")[0] == 400


def test_frame_of_the_recipes_refuses_others_and_tries_again_what_failed(hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    mechanism = connector(hook.address)
    (hook.folder / "broken").touch()
    with pytest.raises(Exception, match="the next try has the same key"):
        back(mechanism, "agent", key="e:1")
    (hook.folder / "broken").unlink()
    back(mechanism, "agent", key="e:1")
    assert seen(mechanism, "agent").reached
    monkeypatch.setenv(SIGNING, "whsec_b3RoZXI=")
    assert [problem.code for problem in look(mechanism, "agent", before="v1", wanted="v2")] == [ProblemCode.PERMISSION_MISSING]
