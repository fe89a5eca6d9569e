"""Aliases and gateways over the API."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from rollbackhub.common.clock import now
from rollbackhub.executions.models import Execution
from rollbackhub.routing.models import Gateway
from tests.api.openapi import CheckedClient
from tests.factories.drills import DrillFactory
from tests.factories.executions import ExecutionFactory
from tests.factories.registry import ArtefactFactory, EnvironmentFactory
from tests.factories.routing import BAD, GOOD, GatewayFactory, PolicyRevisionFactory, RoutingPolicyFactory

ALIAS = "/api/v1/aliases/staging/smart-reasoner/"


def _world() -> Any:
    policy = RoutingPolicyFactory(alias="smart-reasoner")
    PolicyRevisionFactory(policy=policy, routing_number=5, weights={BAD: 0, GOOD: 100}, reason="flip")
    GatewayFactory(environment=policy.environment, node_id="staging-gateway-1", applied_number=5)
    GatewayFactory(environment=policy.environment, node_id="staging-gateway-2", applied_number=4)
    GatewayFactory(environment=policy.environment, node_id="staging-gateway-3", applied_number=5, last_seen_at=now() - dt.timedelta(hours=1))
    return policy


def test_alias_detail_tells_candidates_gateways_runs_and_the_last_drill(db: None, on_call: CheckedClient) -> None:
    policy = _world()
    old = DrillFactory(execution__policy=policy, execution__failed=True).pk
    Execution.objects.filter(pk=old).update(created_at=now() - dt.timedelta(days=1))
    last = DrillFactory(execution__policy=policy, execution__passed=True)
    active = ExecutionFactory(policy=policy, kind="rollback", running=True)
    body = on_call.get(ALIAS).json()
    assert (body["revision"], body["reason"], body["artefact"], body["change_type"], body["target_seconds"]) == (
        2,
        "flip",
        "smart-reasoner-model",
        "model",
        600,
    )
    assert [(row["version_pin"], row["weight"]) for row in body["candidates"]] == [(BAD, 0), (GOOD, 100)]
    assert body["gateways"] == {
        "live": 2,
        "acknowledged": 1,
        "nodes": [{"node_id": "staging-gateway-1", "acknowledged": True}, {"node_id": "staging-gateway-2", "acknowledged": False}],
    }
    assert body["active"] == {"id": str(active.pk), "url": f"/api/v1/executions/{active.pk}/", "kind": "rollback", "state": "running"}
    assert (body["last_drill"]["id"], body["last_drill"]["verdict"], body["last_drill"]["rollback_seconds"]) == (str(last.pk), "passed", 12.5)
    assert on_call.get(body["revisions_url"]).json()["results"][0]["number"] == 2


def test_alias_detail_without_a_revision_gateway_or_drill(db: None, on_call: CheckedClient) -> None:
    RoutingPolicyFactory(alias="smart-reasoner", revision=False, artefact=ArtefactFactory(change_type="dataset"))
    body = on_call.get(ALIAS).json()
    assert (body["revision"], body["candidates"], body["changed_at"], body["active"], body["last_drill"]) == (0, [], None, None, None)
    assert body["target_seconds"] is None
    assert body["gateways"] == {"live": 0, "acknowledged": 0, "nodes": []}


def test_alias_detail_polled_with_its_etag_is_a_304_until_a_gateway_acknowledges(db: None, on_call: CheckedClient) -> None:
    _world()
    etag = on_call.get(ALIAS).headers["ETag"]
    Gateway.objects.update(last_seen_at=now())
    Gateway.objects.filter(node_id="staging-gateway-3").delete()
    assert on_call.get(ALIAS, HTTP_IF_NONE_MATCH=etag).status_code == 304
    Gateway.objects.filter(node_id="staging-gateway-2").update(applied_number=5)
    assert on_call.get(ALIAS, HTTP_IF_NONE_MATCH=etag).json()["gateways"]["acknowledged"] == 2


def test_alias_list_is_by_name_with_filters_and_pages(db: None, on_call: CheckedClient) -> None:
    production = EnvironmentFactory(slug="production")
    for alias in ("c", "a", "b"):
        RoutingPolicyFactory(alias=alias)
    RoutingPolicyFactory(alias="a", environment=production)
    RoutingPolicyFactory(alias="d", artefact=ArtefactFactory(change_type="prompt"))

    def found(**query: Any) -> list[tuple[str, str]]:
        rows: list[tuple[str, str]] = []
        url: str | None = "/api/v1/aliases/"
        while url:
            page = on_call.get(url, query if url == "/api/v1/aliases/" else None).json()
            rows += [(row["alias"], row["environment"]) for row in page["results"]]
            url = page["next"]
        return rows

    assert found(page_size=2) == [("a", "staging"), ("a", "production"), ("b", "staging"), ("c", "staging"), ("d", "staging")]
    assert found(environment="production") == [("a", "production")]
    assert found(alias="a") == [("a", "staging"), ("a", "production")]
    assert found(change_type="prompt") == [("d", "staging")]


@pytest.mark.parametrize("url", ["/api/v1/aliases/", "/api/v1/gateways/"])
def test_alias_and_gateway_lists_take_a_fixed_number_of_queries(url: str, db: None, on_call: CheckedClient, django_assert_num_queries: Any) -> None:
    on_call.get("/api/v1/me/")
    for turn in range(2):
        for number in range(4):
            policy = RoutingPolicyFactory(alias=f"alias-{turn}-{number}", environment=EnvironmentFactory(slug=f"staging-{turn}-{number}"))
            GatewayFactory(environment=policy.environment)
            DrillFactory(execution__policy=policy, execution__passed=True)
            ExecutionFactory(policy=policy, running=True)
        # The token, the roles, the page; for aliases: revisions, candidates, versions, gateways, active, last drills, targets.
        with django_assert_num_queries(10 if "aliases" in url else 3):
            assert len(on_call.get(url).json()["results"]) == 4 * (turn + 1)


def test_gateway_list_tells_what_is_served_and_refused(db: None, on_call: CheckedClient) -> None:
    policy = _world()
    GatewayFactory(
        environment=EnvironmentFactory(slug="production"), node_id="production-gateway-1", refused_number=3, refused_at=now(), refusal="no such cluster"
    )
    rows = {row["node_id"]: row for row in on_call.get("/api/v1/gateways/").json()["results"]}
    assert list(rows) == sorted(rows)
    assert [(rows[f"staging-gateway-{number}"]["live"], rows[f"staging-gateway-{number}"]["acknowledged"]) for number in (1, 2, 3)] == [
        (True, True),
        (True, False),
        (False, True),
    ]
    assert {row["wanted_number"] for row in rows.values() if row["environment"] == policy.environment.slug} == {5}
    assert (rows["production-gateway-1"]["refusal"], rows["production-gateway-1"]["wanted_number"]) == ("no such cluster", 0)
    assert [row["node_id"] for row in on_call.get("/api/v1/gateways/", {"environment": "production"}).json()["results"]] == ["production-gateway-1"]
