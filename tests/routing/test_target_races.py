"""Several people bind aliases to one target at the same instant: one of them gets it."""

from __future__ import annotations

from rollbackhub.common.errors import Conflict
from rollbackhub.routing.domain.transitions import create_policy
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from tests.databases import FreshDatabase
from tests.factories.registry import ArtefactFactory, ConnectionFactory, EnvironmentFactory, VersionFactory
from tests.routing.conftest import ACTOR
from tests.threads import at_once

AT_ONCE = 6


def test_one_of_many_aliases_made_at_once_gets_the_target(fresh_database: FreshDatabase) -> None:
    environment = EnvironmentFactory(slug="staging", kind="staging")
    connection = ConnectionFactory(environment=environment, connector="delta", settings={"root": "/srv/tables"})
    artefact = ArtefactFactory(slug="articles", change_type="dataset")
    VersionFactory(artefact=artefact, label="v1")

    def make(number: int) -> RoutingPolicy:
        return create_policy(
            environment=environment,
            alias=f"articles-{number}",
            artefact=artefact,
            candidates=[CandidateSpec("delta:v1", "v1", 100)],
            actor=ACTOR,
            reason="seed",
            connection=connection,
            target={"table": "articles"},
        )

    results = at_once(AT_ONCE, make)
    refused = [result for result in results if isinstance(result, Exception)]
    assert all(isinstance(error, Conflict) and error.code == "target_taken" for error in refused), refused
    assert (len(refused), RoutingPolicy.objects.count()) == (AT_ONCE - 1, 1)
