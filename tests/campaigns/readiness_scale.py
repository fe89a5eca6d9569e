"""`make bench-readiness`: what 200 and 2,000 aliases of 5 versions cost, one after the other in the same run: seconds, ratio, queries.

One function a part; each gives (seconds, queries): the median of several runs. The aliases live in production, each with a year of weekly changes
of its readiness. Runs under `rollbackhub.local.with_servers`, in databases of its own. Exit code 1 when a part takes more queries for more aliases.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from rollbackhub.routing.models import RoutingPolicy
    from tests.readiness.fake_systems import Systems

SIZES = (200, 2000)
VERSIONS, WEEKS = 5, 52
Cost = tuple[float, int]


def main() -> int:
    """Measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs=2, default=SIZES)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rollbackhub.settings")
    django.setup()

    from django.conf import settings
    from django.core.management import call_command

    from tests.factories.fixtures import make_cast
    from tests.factories.registry import EnvironmentFactory
    from tests.readiness.fake_systems import running_systems
    from tests.readiness.fleet import make_fleet, prove

    call_command("migrate", verbosity=0)
    addresses = [f"127.0.0.{number}" for number in range(1, 20)]
    settings.CONFIG = settings.CONFIG.model_copy(update={"outbound_allowed_hosts": addresses})
    costs: dict[str, list[Cost]] = {}
    made = 0
    make_cast()
    production = EnvironmentFactory(slug="production")
    with running_systems() as systems:
        for size in options.sizes:
            policies = make_fleet(size - made, versions=VERSIONS, environment=production, begin=made)
            prove(policies)
            _make_history(policies)
            made = size
            systems.connect(production, "gateway-1", "gateway-2")
            for name, part in PARTS.items():
                costs.setdefault(name, []).append(part(systems))
                print(f"{size:>5} aliases: {name}", flush=True)
    print(f"\n{'part':<28}" + "".join(f"{f'{size:,} aliases':>16}{'queries':>9}" for size in options.sizes) + f"{'ratio':>8}")
    grown = False
    for name, (small, large) in costs.items():
        grown = grown or large[1] > small[1]
        print(f"{name:<28}" + "".join(f"{seconds:>14.3f} s{queries:>9}" for seconds, queries in (small, large)) + f"{large[0] / small[0]:>8.1f}")
    verdict = "QUERIES GROW WITH THE ALIASES" if grown else "Queries do not grow with the aliases."
    print(f"\n{VERSIONS} versions and {WEEKS} changes of readiness an alias, 2 gateways. {verdict}")
    return 1 if grown else 0


def _make_history(policies: Sequence[RoutingPolicy]) -> None:
    """A year in which each of these became ready and not ready again, week by week."""
    from rollbackhub.common.clock import now
    from rollbackhub.readiness.models import ReadinessChange

    ended, week = now(), dt.timedelta(weeks=1)
    changes = (
        ReadinessChange(
            policy=policy, at=ended - week * (ago + place / len(policies)), state="ready" if ago % 2 else "not_ready", rollbackable=bool(ago % 2), codes=[]
        )
        for ago in range(WEEKS)
        for place, policy in enumerate(policies)
    )
    ReadinessChange.objects.bulk_create(changes, batch_size=5000)


def _measured(act: Callable[[], object], *, runs: int) -> Cost:
    """Median of the seconds, and the most queries."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    seconds, queries = [], 0
    for _ in range(runs):
        with CaptureQueriesContext(connection) as captured:
            began = time.perf_counter()
            act()
            seconds.append(time.perf_counter() - began)
        queries = max(queries, len(captured))
    return statistics.median(seconds), queries


def preflight_run(systems: Systems) -> Cost:
    """The whole continuous preflight of one environment where all is right."""
    from rollbackhub.readiness.domain.preflight import claim_run, make_runs, run_preflight
    from rollbackhub.readiness.models import PreflightFinding
    from rollbackhub.registry.models import Environment

    make_runs()
    environment = Environment.objects.get(slug="production")

    def run() -> None:
        claim = claim_run(environment_id=environment.pk)
        assert claim is not None
        assert run_preflight(claim)

    cost = _measured(run, runs=3)
    assert not PreflightFinding.objects.filter(closed_at=None).exists(), PreflightFinding.objects.first()
    return cost


def compute(systems: Systems) -> Cost:
    """Judging every alias anew, of which none has changed (up to a thousand are judged together, so bigger fleets take whole batches)."""
    from rollbackhub.readiness.domain.compute import AT_ONCE, compute_readiness
    from rollbackhub.readiness.models import Readiness

    compute_readiness()
    seconds, queries = _measured(compute_readiness, runs=3)
    batches = -(-Readiness.objects.count() // AT_ONCE)
    return seconds, -(-queries // batches)


def board(systems: Systems) -> Cost:
    """Server time of the readiness board's page, signed in, with its first 25 aliases."""
    from django.test import Client

    from rollbackhub.accounts.models import User

    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(User.objects.get(username="lead"))
    assert client.get("/").status_code == 200
    return _measured(lambda: client.get("/"), runs=9)


PARTS: dict[str, Callable[[Systems], Cost]] = {"preflight run": preflight_run, "compute readiness (a batch)": compute, "board's page": board}
"""Every part by its name in the table."""


if __name__ == "__main__":
    sys.exit(main())
