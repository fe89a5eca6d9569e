"""The HAProxy mechanism against real HAProxy processes with real servers behind them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rollbackhub.common.errors import RollbackHubError, TransientError, Unavailable
from rollbackhub.common.http_network import OutboundRefused
from rollbackhub.connectors.base import PermissionMissing, Promise, connector_type
from rollbackhub.connectors.haproxy import HaproxyConnector, HaproxyTarget
from rollbackhub.connectors.haproxy.runtime import Process
from rollbackhub.connectors.mechanism import Counted, Problem, ProblemCode, ProblemFound, Share, VersionRef
from tests.connectors.haproxy_server import Haproxy, Model, asking, haproxy
from tests.local.installation import wait_until
from tests.ports import free_port

NEW, OLD = "openai:new:eu", "openai:old:eu"
SERVERS = {NEW: ["n1"], OLD: ["o1"]}
TARGET = HaproxyTarget(backend="models", servers=SERVERS)


@pytest.fixture
def models() -> Iterator[dict[str, Model]]:
    """A server of the new version, and one of the old."""
    found = {name: Model(name) for name in ("n1", "o1")}
    for model in found.values():
        model.start()
    yield found
    for model in found.values():
        model.stop()


@pytest.fixture
def proxy(models: dict[str, Model]) -> Iterator[Haproxy]:
    """The new version has all the traffic."""
    with haproxy(models, first={"n1": 100}) as running:
        yield running


def shares(new: int, old: int) -> list[Share]:
    return [Share(NEW, VersionRef("v2"), new), Share(OLD, VersionRef("v1"), old)]


BEFORE, WANTED = shares(100, 0), shares(0, 100)


def connector(*sockets: str, timeout_seconds: float = 5, **settings: Any) -> HaproxyConnector:
    named = {f"edge-{position}": address for position, address in enumerate(sockets, start=1)}
    return HaproxyConnector(HaproxyConnector.parse_settings({"sockets": named, **settings}), timeout_seconds=timeout_seconds)


def look(mechanism: HaproxyConnector, target: HaproxyTarget = TARGET) -> list[Problem]:
    return mechanism.preflight(target=target, before=BEFORE, wanted=WANTED)


def flip(mechanism: HaproxyConnector, target: HaproxyTarget = TARGET, *, before: list[Share] = BEFORE, wanted: list[Share] = WANTED) -> Any:
    return mechanism.apply(target=target, before=before, wanted=wanted, key="e1:s1", reason="lead@x: wrong tone")


# What it does


def test_flip_under_traffic_loses_not_one_request(proxy: Haproxy) -> None:
    mechanism = connector(proxy.socket())
    assert look(mechanism) == []
    plan = mechanism.plan(target=TARGET, wanted=WANTED)
    assert [(change.subject, change.before, change.after) for change in plan] == [
        ("edge-1: models/n1", "weight 100", "weight 0"),
        ("edge-1: models/o1", "weight 0", "weight 100"),
    ]
    assert not mechanism.observe(target=TARGET, wanted=WANTED).reached
    with asking(proxy.port) as asked:
        wait_until(lambda: asked.answers["n1"] > 100, seconds=20, what="traffic")
        for _ in range(50):
            assert flip(mechanism).changed
            assert flip(mechanism, before=WANTED, wanted=BEFORE).changed
        assert flip(mechanism).changed
        n1, o1 = asked.answers["n1"], asked.answers["o1"]
        wait_until(lambda: asked.answers["o1"] > o1 + 300, seconds=20, what="traffic")
        assert asked.answers["n1"] - n1 <= 3, "more than what the three who ask had under way"
    assert asked.failures == []
    seen = mechanism.observe(target=TARGET, wanted=WANTED)
    assert seen.reached
    assert seen.values == {"edge-1": {"n1": {"weight": 0, "status": "UP"}, "o1": {"weight": 100, "status": "UP"}}}
    assert mechanism.plan(target=TARGET, wanted=WANTED) == []


def test_target_down_is_refused_and_not_one_request_is_lost(proxy: Haproxy, models: dict[str, Model]) -> None:
    models["o1"].stop()
    proxy.wait_for("o1", "DOWN")
    mechanism = connector(proxy.socket())
    with asking(proxy.port) as asked:
        wait_until(lambda: asked.answers["n1"] > 100, seconds=20, what="traffic")
        [problem] = look(mechanism)
        with pytest.raises(ProblemFound) as caught:
            flip(mechanism)
        so_far = asked.answers["n1"]
        wait_until(lambda: asked.answers["n1"] > so_far + 100, seconds=20, what="traffic")
    assert (problem.code, problem.found) == (ProblemCode.TARGET_RETIRED, "it is DOWN")
    assert caught.value.problem == problem
    assert asked.failures == []
    assert proxy.weights("n1", "o1") == [100, 0]


def test_haproxy_itself_would_take_the_weight_of_a_server_that_is_down_and_lose_requests(proxy: Haproxy, models: dict[str, Model]) -> None:
    """Why it is refused: what the test above shows would otherwise show nothing."""
    models["o1"].stop()
    proxy.wait_for("o1", "DOWN")
    assert proxy.ask("set weight models/o1 100; set weight models/n1 0") == ""
    with asking(proxy.port) as asked:
        wait_until(lambda: len(asked.failures) > 10, seconds=20, what="failures")
    assert set(asked.failures) == {"HTTP 503"}
    seen = connector(proxy.socket()).observe(target=TARGET, wanted=WANTED)
    assert not seen.reached
    assert seen.found == "edge-1 has no server of openai:old:eu up; server models/o1 of edge-1: it is DOWN"


def test_server_that_goes_down_or_is_taken_out_after_the_flip_is_named_when_observed(proxy: Haproxy, models: dict[str, Model]) -> None:
    mechanism = connector(proxy.socket())
    flip(mechanism)
    proxy.ask("set server models/o1 state maint")
    seen = mechanism.observe(target=TARGET, wanted=WANTED)
    assert not seen.reached
    assert seen.found == "edge-1 has no server of openai:old:eu up; server models/o1 of edge-1: it is MAINT"
    proxy.ask("set server models/o1 state ready")
    models["o1"].stop()
    proxy.wait_for("o1", "DOWN")
    assert "server models/o1 of edge-1: it is DOWN" in mechanism.observe(target=TARGET, wanted=WANTED).found
    assert "models/n1" not in mechanism.observe(target=TARGET, wanted=WANTED).found, "what has no weight is not looked for"


def test_one_server_of_two_that_is_not_up_is_named_while_the_other_serves() -> None:
    found = {name: Model(name) for name in ("n1", "o1", "o2")}
    for model in found.values():
        model.start()
    target = HaproxyTarget(backend="models", servers={NEW: ["n1"], OLD: ["o1", "o2"]})
    try:
        with haproxy(found, first={"n1": 100}) as proxy:
            mechanism = connector(proxy.socket())
            flip(mechanism, target)
            proxy.ask("set server models/o2 state maint")
            seen = mechanism.observe(target=target, wanted=WANTED)
            assert seen.reached
            assert seen.found == "models with n1=0 o1=50 o2=50 in edge-1; server models/o2 of edge-1: it is MAINT"
    finally:
        for model in found.values():
            model.stop()


@pytest.mark.parametrize("state", ["drain", "maint"])
def test_target_taken_out_by_an_operator_is_refused(proxy: Haproxy, state: str) -> None:
    proxy.ask(f"set server models/o1 state {state}")
    mechanism = connector(proxy.socket())
    [problem] = look(mechanism)
    assert problem.code == ProblemCode.TARGET_RETIRED
    assert state.upper() in problem.found
    with pytest.raises(ProblemFound):
        flip(mechanism)
    assert proxy.weights("n1", "o1") == [100, 0]


def test_target_without_a_check_is_refused_since_nobody_knows(models: dict[str, Model]) -> None:
    with haproxy(models, first={"n1": 100}, check="") as proxy:
        [problem] = look(connector(proxy.socket()))
        assert (problem.code, problem.found) == (ProblemCode.CONFIG_MISMATCH, "no health check of it")
        with pytest.raises(ProblemFound):
            flip(connector(proxy.socket()))
        assert proxy.weights("n1", "o1") == [100, 0]


def test_version_that_is_down_now_is_left_for_one_that_is_up(proxy: Haproxy, models: dict[str, Model]) -> None:
    models["n1"].stop()
    proxy.wait_for("n1", "DOWN")
    mechanism = connector(proxy.socket())
    assert look(mechanism) == []
    assert flip(mechanism).changed
    with asking(proxy.port) as asked:
        wait_until(lambda: asked.answers["o1"] > 50, seconds=20, what="traffic")
    assert asked.failures == []


def test_target_that_goes_down_while_weights_rise_puts_all_back(proxy: Haproxy, models: dict[str, Model], monkeypatch: pytest.MonkeyPatch) -> None:
    real = Process.set_weight

    def falls_down_then(self: Process, backend: str, server: str, weight: int) -> None:
        real(self, backend, server, weight)
        if server == "o1" and weight:
            models["o1"].stop()
            proxy.wait_for("o1", "DOWN")

    monkeypatch.setattr(Process, "set_weight", falls_down_then)
    with pytest.raises(ProblemFound) as caught:
        flip(connector(proxy.socket()))
    assert caught.value.problem.code == ProblemCode.TARGET_RETIRED
    assert proxy.weights("n1", "o1") == [100, 0]


def test_canary_shares_are_what_haproxy_really_gives(proxy: Haproxy) -> None:
    mechanism = connector(proxy.socket())
    wanted = shares(75, 25)
    flip(mechanism, wanted=wanted)
    assert mechanism.observe(target=TARGET, wanted=wanted).reached
    start = mechanism.read_requests(target=TARGET, shares=wanted)
    with asking(proxy.port) as asked:
        wait_until(lambda: asked.answers.total() > 400, seconds=20, what="traffic")
    assert asked.answers["o1"] / asked.answers.total() == pytest.approx(0.25, abs=0.02)
    wait_until(lambda: sum(one.active for one in mechanism.read_requests(target=TARGET, shares=wanted).values()) == 0, seconds=5, what="quiet")
    end = mechanism.read_requests(target=TARGET, shares=wanted)
    assert {label: end[label].requests - start[label].requests for label in end} == {"v2": asked.answers["n1"], "v1": asked.answers["o1"]}
    assert start == {"v1": Counted(0, 0), "v2": Counted(0, 0)}


def test_apply_twice_has_one_effect(proxy: Haproxy, monkeypatch: pytest.MonkeyPatch) -> None:
    mechanism = connector(proxy.socket())
    assert flip(mechanism).changed
    sent: list[str] = []
    real = Process.ask

    def noted(self: Process, command: str) -> str:
        sent.append(command)
        return real(self, command)

    monkeypatch.setattr(Process, "ask", noted)
    again = flip(mechanism)
    assert (again.changed, again.revision) == (False, "n1=0 o1=100")
    assert sent
    assert not any(command.startswith("set") for command in sent)


def _killed_after(mechanism: HaproxyConnector, sets: int) -> None:
    """Apply in a child process that dies when it has set so many weights."""
    child = os.fork()
    if child == 0:
        try:
            real, done = Process.set_weight, []

            def dies(self: Process, backend: str, server: str, weight: int) -> None:
                real(self, backend, server, weight)
                done.append(server)
                if len(done) == sets:
                    os.kill(os.getpid(), signal.SIGKILL)

            Process.set_weight = dies  # type: ignore[method-assign]
            flip(mechanism)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


@pytest.mark.parametrize(("sets", "left"), [(1, [100, 100]), (2, [0, 100])])
@pytest.mark.parametrize("scale", [100, 1])
def test_apply_killed_half_way_or_before_it_is_recorded_converges(models: dict[str, Model], sets: int, left: list[int], scale: int) -> None:
    """`scale`: the configuration may say weight 1 where the hub would say 100."""
    with haproxy(models, first={"n1": scale}) as proxy, asking(proxy.port) as asked:
        mechanism = connector(proxy.socket())
        assert look(mechanism) == []
        _killed_after(mechanism, sets)
        assert proxy.weights("n1", "o1") == [min(left[0], scale), left[1]]
        assert mechanism.observe(target=TARGET, wanted=WANTED).reached is (sets == 2)
        assert flip(mechanism).changed is (sets == 1)
        assert proxy.weights("n1", "o1") == [0, 100]
    assert asked.failures == []


def test_change_behind_our_back_is_shown_and_not_overwritten(proxy: Haproxy) -> None:
    mechanism = connector(proxy.socket())
    flip(mechanism)
    proxy.ask("set weight models/n1 40; set weight models/o1 60")
    seen = mechanism.observe(target=TARGET, wanted=WANTED)
    assert not seen.reached
    assert "n1=40 o1=60" in seen.found
    [problem] = look(mechanism)
    assert (problem.code, problem.found) == (ProblemCode.CONFIG_MISMATCH, "n1=40 o1=60")
    with pytest.raises(ProblemFound) as caught:
        flip(mechanism)
    assert caught.value.problem.code == ProblemCode.CONFIG_MISMATCH
    assert proxy.weights("n1", "o1") == [40, 60]


def test_weights_are_lost_by_a_restart_and_observed_unless_the_state_is_saved(proxy: Haproxy) -> None:
    plain, saving = connector(proxy.socket()), connector(proxy.socket(), state_file=f"{proxy.folder}/state")
    flip(plain)
    proxy.end()
    proxy.start_again()
    assert proxy.weights("n1", "o1") == [100, 0]
    assert not plain.observe(target=TARGET, wanted=WANTED).reached
    proxy.wait_for("o1", "UP")
    assert look(saving) == []
    flip(saving)
    proxy.end()
    proxy.start_again()
    assert proxy.weights("n1", "o1") == [0, 100]
    proxy.wait_for("o1", "UP")
    assert saving.observe(target=TARGET, wanted=WANTED).reached


def test_state_that_cannot_be_saved_is_found_beforehand_and_said_after(proxy: Haproxy) -> None:
    mechanism = connector(proxy.socket(), state_file=f"{proxy.folder}/not-there/state")
    [problem] = look(mechanism)
    assert problem.code == ProblemCode.PERMISSION_MISSING
    with pytest.raises(Unavailable) as caught:
        flip(mechanism)
    assert caught.value.code == "state_not_saved"
    assert "stand as wanted" in caught.value.message
    assert proxy.weights("n1", "o1") == [0, 100]


# What is not there


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (HaproxyTarget(backend="renamed", servers=SERVERS), "none of this name"),
        (HaproxyTarget(backend="models", servers={NEW: ["n1", "n2"], OLD: ["o1"]}), "no n2"),
    ],
)
def test_backend_or_server_missing_is_flag_moved(proxy: Haproxy, target: HaproxyTarget, found: str) -> None:
    mechanism = connector(proxy.socket())
    [problem] = look(mechanism, target)
    assert (problem.code, problem.found) == (ProblemCode.FLAG_MOVED, found)
    for act in (lambda: flip(mechanism, target), lambda: mechanism.plan(target=target, wanted=WANTED)):
        with pytest.raises(ProblemFound) as caught:
            act()
        assert caught.value.problem.code == ProblemCode.FLAG_MOVED
    seen = mechanism.observe(target=target, wanted=WANTED)
    assert not seen.reached
    assert found in seen.found
    assert proxy.weights("n1", "o1") == [100, 0]


def test_server_that_nobody_named_is_a_mismatch_while_it_takes_traffic(models: dict[str, Model]) -> None:
    target = HaproxyTarget(backend="models", servers={NEW: ["n1"], OLD: ["o1"]})
    with haproxy(models, first={"n1": 100}, extra=f"    server stray 127.0.0.1:{models['n1'].port} weight 10") as proxy:
        mechanism = connector(proxy.socket())
        [problem] = look(mechanism, target)
        assert (problem.code, problem.found) == (ProblemCode.CONFIG_MISMATCH, "stray with weight")
        with pytest.raises(ProblemFound):
            flip(mechanism, target)
        assert not mechanism.observe(target=target, wanted=BEFORE).reached
        proxy.ask("set weight models/stray 0")
        assert look(mechanism, target) == []


def test_candidate_without_servers_in_the_target_is_a_mismatch(proxy: Haproxy) -> None:
    wanted = [*shares(0, 50), Share("other", VersionRef("v0"), 50)]
    mechanism = connector(proxy.socket())
    [problem] = mechanism.preflight(target=TARGET, before=BEFORE, wanted=wanted)
    assert (problem.code, problem.subject) == (ProblemCode.CONFIG_MISMATCH, "candidate other")
    with pytest.raises(ProblemFound):
        flip(mechanism, wanted=wanted)
    assert proxy.weights("n1", "o1") == [100, 0]


def test_static_balancing_that_takes_no_weights_is_said_with_what_stands(models: dict[str, Model]) -> None:
    with haproxy(models, first={"n1": 100}, balance="static-rr") as proxy:
        with pytest.raises(Unavailable) as caught:
            flip(connector(proxy.socket()), wanted=shares(50, 50))
        assert "static LB algorithm" in caught.value.message
        assert "n1=100 o1=0" in caught.value.message
        assert proxy.weights("n1", "o1") == [100, 0]


# Who may


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may open every socket; so these tests are somebody else meanwhile."""
    if os.geteuid() != 0:
        pytest.skip("only root may become somebody else")
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_socket_that_we_may_not_open_is_permission_missing(proxy: Haproxy) -> None:
    mechanism = connector(proxy.socket())
    with as_nobody():
        [problem] = look(mechanism)
        assert problem.code == ProblemCode.PERMISSION_MISSING
        for act in (lambda: flip(mechanism), lambda: mechanism.observe(target=TARGET, wanted=WANTED)):
            with pytest.raises(PermissionMissing):
                act()
    assert proxy.weights("n1", "o1") == [100, 0]


@pytest.mark.parametrize("level", ["user", "operator"])
def test_socket_of_a_low_level_is_found_beforehand_and_refused(proxy: Haproxy, level: str) -> None:
    mechanism = connector(proxy.socket(level))
    [problem] = look(mechanism)
    assert (problem.code, problem.found) == (ProblemCode.PERMISSION_MISSING, f"level {level}")
    with pytest.raises(PermissionMissing):
        flip(mechanism)
    with pytest.raises(PermissionMissing, match="level admin"):
        Process("edge-1", proxy.socket(level), timeout_seconds=5).set_weight("models", "o1", 100)
    assert proxy.weights("n1", "o1") == [100, 0]
    assert not mechanism.observe(target=TARGET, wanted=WANTED).reached


def test_tcp_socket_works_and_only_where_it_may_be_called(proxy: Haproxy, settings: Any) -> None:
    mechanism = connector(f"tcp:127.0.0.1:{proxy.tcp_port}")
    assert look(mechanism) == []
    assert flip(mechanism).changed
    settings.CONFIG = settings.CONFIG.model_copy(update={"outbound_allowed_hosts": ["haproxy.example.com", "169.254.169.254"]})
    [problem] = look(mechanism)
    assert (problem.code, "OUTBOUND_ALLOWED_HOSTS" in problem.found) == (ProblemCode.PERMISSION_MISSING, True)
    for address in (f"tcp:127.0.0.1:{proxy.tcp_port}", "tcp:169.254.169.254:80"):
        with pytest.raises(OutboundRefused):
            flip(connector(address))


# When it does not answer


def everything(mechanism: HaproxyConnector) -> list[Callable[[], Any]]:
    return [
        lambda: flip(mechanism),
        lambda: mechanism.plan(target=TARGET, wanted=WANTED),
        lambda: mechanism.observe(target=TARGET, wanted=WANTED),
        lambda: mechanism.read_requests(target=TARGET, shares=WANTED),
    ]


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_process_down_is_unreachable_everywhere(proxy: Haproxy, kind: str) -> None:
    proxy.end()
    mechanism = connector(proxy.socket() if kind == "unix" else f"tcp:127.0.0.1:{free_port()}")
    [problem] = look(mechanism)
    assert problem.code == ProblemCode.UNREACHABLE
    for act in everything(mechanism):
        with pytest.raises(TransientError) as caught:
            act()
        assert caught.value.code == "unreachable"


def test_process_that_hangs_ends_in_time(proxy: Haproxy) -> None:
    mechanism = connector(proxy.socket(), timeout_seconds=0.3)
    proxy.process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    try:
        [problem] = look(mechanism)
        assert problem.code == ProblemCode.UNREACHABLE
        for act in everything(mechanism):
            with pytest.raises(TransientError) as caught:
                act()
            assert caught.value.code == "timeout"
        assert time.monotonic() - started < 3
    finally:
        proxy.process.send_signal(signal.SIGCONT)


# Several processes


def test_several_processes_all_change_and_those_that_differ_are_named(models: dict[str, Model], proxy: Haproxy) -> None:
    with haproxy(models, first={"n1": 100}) as second:
        mechanism = connector(proxy.socket(), second.socket())
        assert look(mechanism) == []
        flip(mechanism)
        assert [one.weights("n1", "o1") for one in (proxy, second)] == [[0, 100], [0, 100]]
        assert mechanism.observe(target=TARGET, wanted=WANTED).reached
        second.ask("set weight models/n1 100; set weight models/o1 0")
        seen = mechanism.observe(target=TARGET, wanted=WANTED)
        assert not seen.reached
        assert seen.found == "edge-2 has n1=100 o1=0"
        assert flip(mechanism).changed
        assert mechanism.observe(target=TARGET, wanted=WANTED).reached


def test_second_process_down_or_its_target_down_changes_nothing_in_the_first(models: dict[str, Model], proxy: Haproxy) -> None:
    with haproxy(models, first={"n1": 100}) as second:
        mechanism = connector(proxy.socket(), second.socket())
        second.ask("set server models/o1 state maint")
        assert [problem.code for problem in look(mechanism)] == [ProblemCode.TARGET_RETIRED]
        with pytest.raises(ProblemFound, match="edge-2"):
            flip(mechanism)
        second.end()
        assert [problem.code for problem in look(mechanism)] == [ProblemCode.UNREACHABLE]
        with pytest.raises(TransientError):
            flip(mechanism)
        assert proxy.weights("n1", "o1") == [100, 0]


def test_second_process_that_dies_half_way_is_said_and_a_retry_converges(models: dict[str, Model], proxy: Haproxy, monkeypatch: pytest.MonkeyPatch) -> None:
    with haproxy(models, first={"n1": 100}) as second, asking(proxy.port) as asked:
        mechanism = connector(proxy.socket(), second.socket())
        real = Process.set_weight

        def dies_first(self: Process, backend: str, server: str, weight: int) -> None:
            if self.name == "edge-2" and second.process.poll() is None:
                second.end()
            real(self, backend, server, weight)

        monkeypatch.setattr(Process, "set_weight", dies_first)
        with pytest.raises(RollbackHubError) as caught:
            flip(mechanism)
        assert isinstance(caught.value, TransientError)
        assert "edge-1: n1=100 o1=100; edge-2: n1=100 o1=0" in caught.value.message
        assert proxy.weights("n1", "o1") == [100, 100]
        monkeypatch.undo()
        second.start_again()
        second.wait_for("o1", "UP")
        assert flip(mechanism).changed
        assert [one.weights("n1", "o1") for one in (proxy, second)] == [[0, 100], [0, 100]]
    assert asked.failures == []


def test_connector_is_found_by_its_name() -> None:
    assert connector_type("haproxy") is HaproxyConnector
    assert (HaproxyConnector.promise, HaproxyConnector.weighted, HaproxyConnector.counts_requests) == (Promise.CONVERGENT, True, True)
    assert connector("unix:/run/x.sock").settle_seconds(target=TARGET) == 0
