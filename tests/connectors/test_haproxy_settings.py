"""What may be written for HAProxy, and how percents become weights."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from rollbackhub.common.errors import InvalidInput
from rollbackhub.connectors.haproxy import HaproxyConnector, HaproxyTarget
from rollbackhub.connectors.haproxy.weights import same_ratio, weights_of
from rollbackhub.connectors.mechanism import Share, VersionRef

SECRET = "hap-secret-eU8sF1"


def weighed(percents: list[int], counts: list[int]) -> list[list[int]]:
    """The weights by candidate."""
    servers = {f"c{place}": [f"s{place}-{number}" for number in range(count)] for place, count in enumerate(counts)}
    target = HaproxyTarget(backend="b", servers=servers)
    weights = weights_of(target, [Share(f"c{place}", VersionRef(f"v{place}"), percent) for place, percent in enumerate(percents)])
    return [[weights[name] for name in names] for names in servers.values()]


@pytest.mark.parametrize(
    ("percents", "counts", "expected"),
    [
        ([100, 0], [1, 1], [[100], [0]]),
        ([90, 10], [1, 1], [[90], [10]]),
        ([90, 10], [2, 1], [[45, 45], [10]]),
        ([90, 10], [1, 3], [[27], [1, 1, 1]]),
        ([100, 0], [3, 2], [[1, 1, 1], [0, 0]]),
        ([50, 50], [3, 1], [[1, 1, 1], [3]]),
    ],
)
def test_weights_give_the_percents_exactly_where_they_can(percents: list[int], counts: list[int], expected: list[list[int]]) -> None:
    assert weighed(percents, counts) == expected


def test_weights_are_never_far_from_the_percents() -> None:
    """Two candidates, each with at least one server for its percents: none without traffic that should have some, at most 256, nearer than one point."""
    for percent, first, second in product((1, 2, 5, 10, 25, 33, 49, 50), range(1, 6), range(1, 6)):
        weights = weighed([percent, 100 - percent], [first, second])
        flat = [weight for one in weights for weight in one]
        assert all(1 <= weight <= 256 for weight in flat)
        assert all(max(one) - min(one) <= 1 for one in weights)
        error = abs(sum(weights[0]) / sum(flat) - percent / 100)
        assert error < 0.01, (percent, first, second, error)


def test_weight_too_small_for_so_many_servers_gives_each_one_part() -> None:
    assert weighed([1, 99], [10, 1]) == [[1] * 10, [256]]


def test_same_ratio() -> None:
    assert same_ratio({"a": 1, "b": 0}, {"a": 100, "b": 0})
    assert same_ratio({"a": 3, "b": 1}, {"a": 75, "b": 25})
    assert not same_ratio({"a": 3, "b": 1}, {"a": 74, "b": 26})
    assert not same_ratio({"a": 0, "b": 0}, {"a": 100, "b": 0})
    assert not same_ratio({"a": 1}, {"a": 100, "b": 0})


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"sockets": {}},
        {"sockets": {"a": "/run/haproxy.sock"}},
        {"sockets": {"a": "unix:run/haproxy.sock"}},
        {"sockets": {"a": "http://127.0.0.1:80"}},
        {"sockets": {"a": "tcp:127.0.0.1"}},
        {"sockets": {"a": "tcp:127.0.0.1:70000"}},
        {"sockets": {"a b": "unix:/x"}},
        {"sockets": {"a": "unix:/x", "b": "unix:/x"}},
        {"sockets": {"a": "unix:/x", "b": "unix:/y"}, "state_file": "/var/state"},
        {"sockets": {"a": "unix:/x"}, "state_file": "var/state"},
        {"sockets": {"a": "unix:/x"}, "more": 1},
        {"sockets": {"a": "unix:/x"}, "password": SECRET},
        {"sockets": {"a": "unix:/x"}, "token": SECRET},
        {"sockets": {"a": f"tcp:admin:{SECRET}@127.0.0.1:9999"}},
        {"sockets": {"a": SECRET}},
    ],
)
def test_settings_that_make_no_sense_or_hold_a_secret_are_refused_and_not_repeated(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        HaproxyConnector.parse_settings(settings)
    assert SECRET not in str(caught.value) + str(caught.value.fields)


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"backend": "b", "servers": {}},
        {"backend": "b", "servers": {"c": []}},
        {"backend": "b", "servers": {"c": ["s"], "d": ["s"]}},
        {"backend": "b; shutdown sessions", "servers": {"c": ["s"]}},
        {"backend": "b", "servers": {"c": ["s\nset weight b/x 0"]}},
        {"backend": "b", "servers": {"c": ["s/t"]}},
        {"backend": "b", "servers": {"c": ["s"]}, "password": SECRET},
        {"backend": "ghp_abcdefghijklmnopqrstuvwxyz" + SECRET, "servers": {"c": ["s"]}},
    ],
)
def test_target_that_makes_no_sense_or_holds_a_secret_is_refused_and_not_repeated(target: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        HaproxyConnector.parse_target(target)
    assert SECRET not in str(caught.value) + str(caught.value.fields)


def test_several_processes_save_their_state_in_a_file_each() -> None:
    settings = HaproxyConnector.parse_settings({"sockets": {"a": "unix:/x", "b": "tcp:[::1]:99"}, "state_file": "/var/{process}.state"})
    assert [settings.state_file_of(process) for process in "ab"] == ["/var/a.state", "/var/b.state"]
