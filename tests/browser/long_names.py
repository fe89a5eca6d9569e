"""Things with the longest names that the database takes: pages must still fit the window."""

from __future__ import annotations

import datetime as dt

from rollbackhub.registry.models import Environment
from tests.dashboard.world import make_drill
from tests.factories.registry import ArtefactFactory, EnvironmentFactory, VersionFactory
from tests.factories.rollbacks import RollbackFactory, StabilityHoldFactory
from tests.factories.routing import BAD, GOOD, GatewayFactory, PolicyRevisionFactory, RoutingPolicyFactory

ALIAS = "an-alias-that-somebody-generated-from-a-template-and-never-looked-at-again-0123"
ARTEFACT = "x" * 50


def make_long_names(environment: Environment) -> dict[str, str]:
    """Add them; gives the addresses of their pages."""
    artefact = ArtefactFactory(slug=ARTEFACT, name="An artefact of the department of departmental affairs " * 2)
    policy = RoutingPolicyFactory(environment=environment, alias=ALIAS, artefact=artefact, revision={BAD: 25, GOOD: 75})
    labels = [letter * 120 for letter in "vw"]
    for label in labels:
        VersionFactory(artefact=artefact, label=label, digest="sha256:" + "f" * 64, changelog="word " * 200)
    PolicyRevisionFactory(policy=policy, weights={labels[0]: 25, labels[1]: 75}, reason="r" * 300, actor_label="A person with a name of some length")
    GatewayFactory(environment=environment, node_id="gateway-" + "z" * 100, refused_number=99, refusal="Unknown cluster " + "u" * 400)
    drill = make_drill(policy, ago=dt.timedelta(hours=5))
    production = EnvironmentFactory(slug="production")
    serving = RoutingPolicyFactory(environment=production, alias=ALIAS, artefact=artefact, revision={labels[0]: 25, labels[1]: 75})
    VersionFactory(artefact=artefact, label="u" * 120, digest="sha256:" + "e" * 64)
    other = RoutingPolicyFactory(environment=production, alias=ALIAS[:-4] + "9999", artefact=artefact)
    RollbackFactory(parts__policy=other, reason="reason" * 160)
    StabilityHoldFactory(version=VersionFactory(artefact=artefact, label="h" * 120, digest="sha256:" + "d" * 64))
    return {
        "long-rollback-start": f"/rollbacks/start/production/?alias={serving.alias}",
        "long-rollback-held": f"/rollbacks/start/production/?alias={other.alias}",
        "long-roll-forward": f"/rollbacks/forward/production/{serving.alias}/",
        "long-approvals": "/rollbacks/approvals/",
        "long-policy": f"/routing/{environment.slug}/aliases/{ALIAS}/",
        "long-gateways": f"/routing/{environment.slug}/",
        "long-artefact": f"/registry/artefacts/{ARTEFACT}/",
        "long-start": f"/drills/start/{environment.slug}/{ALIAS}/",
        "long-drill": f"/drills/{drill.pk}/",
    }
