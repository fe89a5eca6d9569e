"""The checks that a drill's preflight and the continuous one share: what they say, in words."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.common.errors import RollbackHubError, TransientError
from rollbackhub.connectors.base import PermissionMissing
from rollbackhub.connectors.envoy import ClusterMembers, EnvoyConnector, ServedRoutes
from rollbackhub.executions.domain import path_checks
from rollbackhub.routing.models import Gateway
from rollbackhub.routing.rules import CandidateSpec
from rollbackhub.verification.specs import parse_checks
from tests.common.servers import answers, http, tcp_server

SERVED = ServedRoutes(weights={"alpha": {"a": 25, "b": 75}}, version="7")


def test_routes_as_the_policy_says_are_no_finding() -> None:
    assert path_checks.check_routes(node_id="g", alias="alpha", expected={"b": 75, "a": 25}, served=SERVED) == []


def test_other_weights_are_a_mismatch_and_a_table_of_its_own_is_said() -> None:
    (found,) = path_checks.check_routes(node_id="g", alias="alpha", expected={"a": 0, "b": 100}, served=SERVED)
    assert (found.code, found.in_words) == ("config_mismatch", "gateway g: expected b 100 %, found a 25 %, b 75 %")
    (found,) = path_checks.check_routes(node_id="g", alias="alpha", expected={"a": 100}, served=ServedRoutes(weights=SERVED.weights, version=None))
    assert found.found.endswith("(a table of its own, not the hub's)")


def test_alias_without_a_route_has_moved_and_the_list_of_others_is_short() -> None:
    weights = {f"alias-{number:02}": {"a": 100} for number in range(14)}
    (found,) = path_checks.check_routes(node_id="g", alias="alpha", expected={"a": 100}, served=ServedRoutes(weights=weights, version="7"))
    assert (found.code, found.expected) == ("flag_moved", "a route for alpha")
    assert found.found.endswith("alias-09 and 4 more")
    (found,) = path_checks.check_routes(node_id="g", alias="alpha", expected={"a": 100}, served=ServedRoutes(weights={}, version="7"))
    assert found.found == "routes for no alias at all"


def test_targets_that_are_retired_or_unknown() -> None:
    found = path_checks.check_targets(labels=["v1", "v2", "v3"], lifecycles={"v1": "superseded", "v2": "retired"})
    assert [(entry.code, entry.subject, entry.found) for entry in found] == [
        ("target_retired", "version v2", "retired"),
        ("target_retired", "version v3", "not registered"),
    ]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"a": ClusterMembers(hosts=2, serving=1), "b": ClusterMembers(hosts=1, serving=1)}, None),
        ({"a": ClusterMembers(hosts=1, serving=1)}, "no cluster b"),
        ({"a": ClusterMembers(hosts=1, serving=0), "b": ClusterMembers(hosts=0, serving=0)}, "1 failing host in a, no hosts in b"),
        ({"a": ClusterMembers(hosts=3, serving=0), "b": ClusterMembers(hosts=1, serving=1)}, "3 failing hosts in a"),
    ],
)
def test_clusters_of_the_targets(members: dict[str, ClusterMembers], words: str | None) -> None:
    targets = [CandidateSpec("a", "v1", 50), CandidateSpec("b", "v1", 50)]
    found = path_checks.check_clusters(node_id="g", targets=targets, members=members)
    assert [entry.found for entry in found] == ([words] if words else [])
    assert all((entry.code, entry.subject) == ("unreachable", "version v1 at gateway g") for entry in found)


def test_gateways_that_refused_are_behind_silent_or_not_observed() -> None:
    gateways = [
        Gateway(node_id="fine", applied_number=5),
        Gateway(node_id="refuses", applied_number=4, refused_number=5, refusal="no cluster"),
        Gateway(node_id="behind", applied_number=4),
    ]
    assert [entry.subject for entry in path_checks.check_refusals(gateways)] == ["gateway refuses and its routes"]
    assert [entry.subject for entry in path_checks.check_current(gateways=gateways, number=5)] == ["gateway behind and its revision"]
    assert [entry.subject for entry in path_checks.check_observed(gateways=gateways, nodes=["fine", "behind"])] == ["gateway refuses"]
    assert [entry.subject for entry in path_checks.check_asking(gateways=gateways, nodes=["fine", "silent"])] == ["gateway silent and the hub"]


@pytest.mark.parametrize(("error", "code"), [(TransientError("gone"), "unreachable"), (PermissionMissing("HTTP 403"), "permission_missing")])
def test_what_refuses_and_what_does_not_answer_are_told_apart(error: RollbackHubError, code: str) -> None:
    for found in (path_checks.gateway_failed(node_id="g", error=error), path_checks.metrics_failed(error)):
        assert (found.code, found.found) == (code, error.message)


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_admin_interface_that_refuses_is_a_missing_permission(status: str) -> None:
    with tcp_server(answers(http(status))) as server:
        connector = EnvoyConnector(EnvoyConnector.parse_settings({"admins": {"g": f"http://127.0.0.1:{server.port}"}}))
        with pytest.raises(PermissionMissing, match="HTTP 40"):
            connector.read_routes(node_id="g")


def test_members_of_clusters_with_colons_in_their_names() -> None:
    body = (
        b'{"stats":[{"name":"cluster.anthropic_x_eu.membership_total","value":3},{"name":"cluster.anthropic_x_eu.membership_healthy","value":1},'
        b'{"name":"cluster.anthropic_x_eu.membership_degraded","value":1},{"name":"cluster.other.membership_total","value":1},{"histograms":{}}]}'
    )
    with tcp_server(answers(http("200 OK", body))) as server:
        connector = EnvoyConnector(EnvoyConnector.parse_settings({"admins": {"g": f"http://127.0.0.1:{server.port}"}}))
        found = connector.read_members(node_id="g", clusters=["anthropic:x:eu", "anthropic:y:eu"])
        assert connector.read_members(node_id="g", clusters=[]) == {}
    assert found == {"anthropic:x:eu": ClusterMembers(hosts=3, serving=2)}
    assert b"membership_" in server.requests[0]
    assert len(server.requests) == 1


def test_probe_whose_host_is_not_allowed_any_more_is_found(settings: Any) -> None:
    checks = parse_checks(
        [{"kind": "probe", "key": "answer", "url": "http://gateway.example/health"}, {"kind": "traffic_share", "key": "traffic"}],
    )
    settings.CONFIG = settings.CONFIG.model_copy(update={"outbound_allowed_hosts": ["gateway.example"]})
    assert path_checks.check_probes(checks) == []
    settings.CONFIG = settings.CONFIG.model_copy(update={"outbound_allowed_hosts": ["127.0.0.1"]})
    (found,) = path_checks.check_probes(checks)
    assert (found.code, found.subject, found.expected) == ("config_mismatch", "probe answer", "an address that RollbackHub may call")
    assert found.found.startswith("RollbackHub may not call gateway.example")
