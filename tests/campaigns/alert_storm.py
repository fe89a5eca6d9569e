"""`make bench-alerts`: a storm of alert posts with 20 fingerprints against a running hub, and one more while the broker is away for a minute.

PostgreSQL is as durable as in production (it waits for the disk at every commit). Prints the answer times, the incidents that were opened, and the
posts that were lost. Exit code 1 when anything was lost or doubled, or when the 99th percentile is above 100 ms with the broker up.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import django

from rollbackhub.local.embedded import OWNER_ROLE, Postgres, Valkey
from rollbackhub.local.with_servers import throwaway_folder

if TYPE_CHECKING:
    from tests.factories.fixtures import Cast
    from tests.integration.hub import Hub

GOAL_MILLISECONDS = 100.0
AWAY_SECONDS = 60.0


def main() -> int:
    """Run both storms; prints what they gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=8, help="connections that post at the same time")
    parser.add_argument("--away-seconds", type=float, default=AWAY_SECONDS)
    options = parser.parse_args()
    with throwaway_folder() as folder:
        postgres = Postgres(folder / "pg", folder / "s", folder / "postgres.log")
        valkey = Valkey(folder / "valkey", folder / "v", folder / "valkey.log")
        try:
            postgres.start()
            valkey.start()
            os.environ |= {"DATABASE_URL": postgres.url(), "DATABASE_OWNER_URL": postgres.url(OWNER_ROLE), "BROKER_URL": valkey.url}
            os.environ["ROLLBACKHUB_VAR"] = str(folder / "var")
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rollbackhub.settings")
            django.setup()
            return _storms(valkey, posts=options.posts, at_once=options.at_once, away_seconds=options.away_seconds)
        finally:
            valkey.stop()
            postgres.stop()


def _storms(valkey: Valkey, *, posts: int, at_once: int, away_seconds: float) -> int:
    from django.core.management import call_command

    from tests.factories.fixtures import make_cast
    from tests.integration.hub import Hub
    from tests.ports import free_port

    call_command("migrate", verbosity=0)
    cast = make_cast()
    environment = {name: os.environ[name] for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "BROKER_URL")}
    folder = Path(tempfile.mkdtemp(prefix="storm-"))
    hub = Hub(environment=environment, port=free_port(size=2), folder=folder / "var")
    try:
        hub.start()
        print(f"{posts} posts, {at_once} at once, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before", flush=True)
        problems = _storm(hub, cast, name="up", posts=posts, at_once=at_once, goal=GOAL_MILLISECONDS)
        problems += _storm(hub, cast, name="away", posts=posts, at_once=at_once, goal=math.inf, valkey=valkey, away_seconds=away_seconds)
    finally:
        hub.stop()
        shutil.rmtree(folder, ignore_errors=True)
    for problem in problems:
        print(f"NOT AS WANTED: {problem}")
    return 1 if problems else 0


def _storm(hub: Hub, cast: Cast, *, name: str, posts: int, at_once: int, goal: float, valkey: Valkey | None = None, away_seconds: float = 0) -> list[str]:
    from tests.alerts.storm import FINGERPRINTS, account_of, prepare, storm, wait_processed

    hook, path = prepare(cast, name=name)
    back: threading.Timer | None = None
    if valkey is not None:
        valkey.stop()
        back = threading.Timer(away_seconds, valkey.start)
        back.start()
    began = time.perf_counter()
    answers = asyncio.run(storm(f"{hub.url}{path}", name=name, posts=posts, at_once=at_once))
    wait_processed(hook)
    processed = time.perf_counter() - began
    found = account_of(hook, name=name)
    if back is not None:
        back.join()
    p50, p99, worst = answers.at(0.5), answers.at(0.99), answers.at(1)
    where = f"broker away for {away_seconds:.0f} s" if valkey is not None else "broker up"
    print(f"{where}: {posts / answers.took:.0f} posts/s; answers p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {worst:.1f} ms; statuses {answers.statuses}")
    lost = posts - found.seen
    print(
        f"  alerts {found.alerts}, incidents opened {found.incidents}, posts lost {lost}, counted {found.counted}, put aside {found.problems};"
        f" all worked on {processed - answers.took:.1f} s after the last answer",
        flush=True,
    )
    problems = [
        (answers.statuses != {202: posts}, f"answers were {answers.statuses}"),
        (lost != 0 or found.counted != posts or found.posts != posts or found.problems != 0, f"posts: {found}"),
        (found.alerts != FINGERPRINTS or found.fired != FINGERPRINTS or found.incidents != FINGERPRINTS, f"alerts and incidents: {found}"),
        (p99 > goal, f"p99 is {p99:.1f} ms, above {goal:.0f} ms"),
    ]
    return [f"{where}: {said}" for is_wrong, said in problems if is_wrong]


if __name__ == "__main__":
    sys.exit(main())
