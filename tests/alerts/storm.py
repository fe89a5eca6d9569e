"""A storm of alert posts against a hub that really runs: who posts, how many at once, and what came of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import httpx

from incidents.models import Incident
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.alerts.domain.hooks import make_hook
from rollbackhub.alerts.models import Alert, AlertHook, AlertPost, AlertRule, PostCount
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from tests.alerts.posts import am_alert, am_body
from tests.factories.accounts import TeamFactory
from tests.factories.alerts import AlertRuleFactory
from tests.factories.fixtures import Cast
from tests.factories.registry import EnvironmentFactory
from tests.factories.routing import RoutingPolicyFactory

FINGERPRINTS = 20


@dataclass
class Answers:
    """What the posts were answered."""

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    took: float = 0.0

    def at(self, share: float) -> float:
        """The answer time in milliseconds that this share of the posts did not exceed."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def prepare(cast: Cast, *, name: str) -> tuple[AlertHook, str]:
    """A hook, a rule that opens incidents, and an alias in production for each fingerprint. The hook and the path to post to."""
    production = EnvironmentFactory(slug="production")
    for number in range(FINGERPRINTS):
        RoutingPolicyFactory(environment=production, alias=f"{name}-{number}")
    AlertRule.objects.filter(alias_label="alias").first() or AlertRuleFactory(action="page_only")
    return make_hook(kind="alertmanager", name=name, environment=production, team=TeamFactory(), actor=actor_of(cast.lead), user=cast.lead)


async def storm(url: str, *, name: str, posts: int, at_once: int) -> Answers:
    """Post so many, a few at once, each with the next of the fingerprints. An answer that does not come is an error."""
    bodies = [am_body(am_alert(f"{name}-f{number}", alias=f"{name}-{number}")) for number in range(FINGERPRINTS)]
    answers = Answers()
    waiting = iter(range(posts))
    began = time.perf_counter()
    async with httpx.AsyncClient(trust_env=False, timeout=60, limits=httpx.Limits(max_connections=at_once)) as client:

        async def work() -> None:
            for number in waiting:
                sent = time.perf_counter()
                answer = await client.post(url, content=bodies[number % FINGERPRINTS], headers={"content-type": "application/json"})
                answers.seconds.append(time.perf_counter() - sent)
                answers.statuses[answer.status_code] = answers.statuses.get(answer.status_code, 0) + 1

        await asyncio.gather(*(work() for _ in range(at_once)))
    answers.took = time.perf_counter() - began
    return answers


def wait_processed(hook: AlertHook, *, timeout_seconds: float = 180) -> None:
    """Until the housekeeper has worked on every post of a hook."""
    deadline = clock.monotonic() + timeout_seconds
    while AlertPost.objects.filter(hook=hook, processed_at=None).exists() or Alert.objects.filter(hook=hook, to_do=True).exists():
        if clock.monotonic() > deadline:
            raise AssertionError(f"{AlertPost.objects.filter(hook=hook, processed_at=None).count()} posts are still waiting after {timeout_seconds} s")
        clock.sleep(0.1)


@dataclass(frozen=True)
class Account:
    """What the database says of a storm."""

    posts: int
    """Rows of posts."""
    seen: int
    """In how many posts the alerts stood."""
    counted: int
    """Posts that were counted as taken."""
    alerts: int
    incidents: int
    """Opened at the storm's aliases."""
    fired: int
    """Alerts that were acted on."""
    problems: int


def account_of(hook: AlertHook, *, name: str) -> Account:
    """Count them."""
    alerts = list(Alert.objects.filter(hook=hook))
    return Account(
        posts=AlertPost.objects.filter(hook=hook).count(),
        seen=sum(alert.times_seen for alert in alerts),
        counted=sum(PostCount.objects.filter(hook=hook, counted="taken").values_list("count", flat=True)),
        alerts=len(alerts),
        incidents=Incident.objects.filter(aliases__alias__startswith=f"{name}-").distinct().count(),
        fired=AuditEvent.objects.filter(event="alert.fired", subject_id__in=[str(alert.pk) for alert in alerts]).count(),
        problems=AlertPost.objects.filter(hook=hook).exclude(problem="").count(),
    )
