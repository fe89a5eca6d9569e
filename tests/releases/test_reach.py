"""What a release writes must reach what serves: a candidate that gateways do not have, and gateways that stay behind."""

from __future__ import annotations

import json

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict
from rollbackhub.registry.models import Connection
from rollbackhub.releases.domain.rehearsal import rehearse_release
from rollbackhub.releases.enums import ReleaseState
from rollbackhub.releases.models import Release
from rollbackhub.routing.models import Gateway, RoutingPolicy
from tests.common.servers import answers, http, tcp_server
from tests.releases.conftest import Stage


def gateway(policy: RoutingPolicy, *, applied: int, **values: object) -> Gateway:
    seen = {"applied_at": clock.now(), "last_seen_at": clock.now()}
    return Gateway.objects.create(environment=policy.environment, node_id=f"{policy.environment.slug}-1", applied_number=applied, **seen, **values)


def connect(policy: RoutingPolicy, url: str) -> None:
    settings = {"admins": {f"{policy.environment.slug}-1": url.removesuffix("/path?query=1")}}
    Connection.objects.update_or_create(environment=policy.environment, connector="envoy", defaults={"settings": settings})


def members(*clusters: str) -> bytes:
    """What Envoy's statistics say of these clusters."""
    names = [cluster.replace(":", "_") for cluster in clusters]
    stats = [{"name": f"cluster.{name}.membership_{kind}", "value": 1} for name in names for kind in ("total", "healthy")]
    return json.dumps({"stats": stats}).encode()


def revision(policy: RoutingPolicy) -> int:
    return RoutingPolicy.objects.get(pk=policy.pk).revision_number


def test_first_weight_for_a_candidate_that_a_gateway_does_not_have_is_refused_and_changes_nothing(stage: Stage) -> None:
    release = stage.release()
    with tcp_server(answers(http("200 OK", members("something:else:x")))) as server:
        connect(stage.production, server.url)
        stage.rehearsed(release)
        with pytest.raises(Conflict) as caught:
            stage.promote(release)
    assert caught.value.code == "cluster_missing"
    assert f"production-1 has no cluster {release.candidate_id}" in caught.value.message
    assert revision(stage.production) == 1
    assert Release.objects.get(pk=release.pk).state == ReleaseState.PLANNED


def test_rehearsal_of_a_candidate_that_staging_does_not_have_leaves_staging_as_it_was(stage: Stage) -> None:
    release = stage.release()
    with tcp_server(answers(http("200 OK", members("something:else:x")))) as server:
        connect(stage.staging, server.url)
        with pytest.raises(Conflict) as caught:
            rehearse_release(release_id=release.pk, account=stage.cast.on_call, actor=actor_of(stage.cast.on_call))
    assert caught.value.code == "cluster_missing"
    assert revision(stage.staging) == 1


def test_candidate_that_every_gateway_has_gets_its_first_weight(stage: Stage) -> None:
    release = stage.release()
    with tcp_server(answers(http("200 OK", members(release.candidate_id)))) as server:
        connect(stage.production, server.url)
        stage.rehearsed(release)
        stage.promote(release)
    assert revision(stage.production) == 2


def test_next_step_waits_until_gateways_have_taken_the_last_and_says_who_has_not(stage: Stage) -> None:
    release = stage.release()
    stage.rehearsed(release)
    stage.promote(release)
    behind = gateway(stage.production, applied=0, refused_number=2, refusal="route: unknown weighted cluster 'x'")
    with pytest.raises(Conflict) as caught:
        stage.promote(release)
    assert caught.value.code == "not_taken_yet"
    assert "1 of 1 live gateway does not serve it yet: production-1." in caught.value.message
    assert "unknown weighted cluster" in caught.value.message
    assert revision(stage.production) == 2
    Gateway.objects.filter(pk=behind.pk).update(applied_number=10**6, refused_number=None)
    stage.promote(release)
    assert revision(stage.production) == 3
