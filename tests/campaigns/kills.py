"""`make campaign-kills N=300`: kills a process N times at random points of running drills, and counts what was lost or doubled.

Runs under `rollbackhub.local.with_servers`, against real processes and a real Envoy. Exit code 1 when anything was lost or doubled.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import django

if TYPE_CHECKING:
    from tests.integration.hub import Staging

TARGETS = ("child", "main", "sweeper", "beat")
ALIASES = ("smart-reasoner", "support-answer")
END_WITHIN_SECONDS = 90


@dataclass
class Tally:
    """What the campaign has seen."""

    kills: Counter[str] = field(default_factory=Counter)
    resumes: list[float] = field(default_factory=list)
    drills: int = 0
    lost: list[UUID] = field(default_factory=list)
    doubled: list[UUID] = field(default_factory=list)
    not_passed: list[str] = field(default_factory=list)


def main() -> int:
    """Run the campaign; prints the tally."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rollbackhub.settings")
    django.setup()

    from django.core.management import call_command

    from tests.integration.hub import Staging, running_lab

    call_command("migrate", verbosity=0)
    environment = {name: os.environ[name] for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "BROKER_URL")}
    print(f"seed {options.seed}, {options.kills} kills", flush=True)
    tally = Tally()
    with running_lab(Staging, environment=environment, folder=Path(tempfile.mkdtemp(prefix="kills-"))) as staging:
        _campaign(staging, tally, kills=options.kills, choose=random.Random(options.seed))
        audit = _audit_verdict(staging)
    _report(tally, audit)
    return 1 if tally.lost or tally.doubled or tally.not_passed or audit[0] else 0


def _campaign(staging: Staging, tally: Tally, *, kills: int, choose: random.Random) -> None:
    from rollbackhub.common import clock
    from rollbackhub.executions.models import Execution

    running: dict[str, UUID] = {}
    while sum(tally.kills.values()) < kills or running:
        for alias, drill in list(running.items()):
            execution = Execution.objects.get(pk=drill)
            age = (clock.now() - execution.created_at).total_seconds()
            if not execution.is_active:
                _judge(execution, tally)
                del running[alias]
            elif age > END_WITHIN_SECONDS:
                tally.lost.append(drill)
                del running[alias]
        if sum(tally.kills.values()) >= kills:
            clock.sleep(0.1)
            continue
        for alias in ALIASES:
            if alias not in running:
                running[alias] = staging.drill(alias)
                tally.drills += 1
        clock.sleep(choose.uniform(0.02, 2.5))
        _kill(staging, tally, choose)
        if sum(tally.kills.values()) % 20 == 0:
            print(f"{sum(tally.kills.values())} kills, {tally.drills} drills", flush=True)


def _kill(staging: Staging, tally: Tally, choose: random.Random) -> None:
    """Kill one process; when that interrupts executions, wait until they are claimed again and note how long it took."""
    from rollbackhub.common import clock
    from rollbackhub.executions.enums import RUNNABLE_STATES
    from rollbackhub.executions.models import Execution

    hub = staging.hub
    target = choose.choice(TARGETS)
    process = {"main": hub.worker, "sweeper": hub.sweeper, "beat": hub.beat}.get(target)
    claims = {
        execution.pk: (int(execution.claimed_by.rpartition(":")[2]), execution.fence)
        for execution in Execution.objects.filter(state__in=RUNNABLE_STATES).exclude(claimed_by="")
    }
    if target == "child":
        # The process that holds a claim, wherever it is; without one, any of the pool.
        held = sorted({pid for pid, _ in claims.values()}) or hub.worker_children()
        victims = [choose.choice(held)] if held else []
    else:
        victims = [process.pid] if process and process.pid else []
    if not victims:
        return
    dead = {victims[0]}
    if target == "main":
        dead |= set(hub.worker_children())
    killed_at = clock.monotonic()
    try:
        os.kill(victims[0], signal.SIGKILL)
    except ProcessLookupError:
        return
    tally.kills[target] += 1
    waiting = {pk: fence for pk, (pid, fence) in claims.items() if pid in dead}
    deadline = clock.monotonic() + 30
    while waiting and clock.monotonic() < deadline:
        for execution in Execution.objects.filter(pk__in=list(waiting)):
            if execution.fence > waiting[execution.pk]:
                tally.resumes.append(clock.monotonic() - killed_at)
                del waiting[execution.pk]
            elif not execution.is_active:
                # It had ended before the kill reached it.
                del waiting[execution.pk]
        clock.sleep(0.02)


def _judge(execution: object, tally: Tally) -> None:
    from rollbackhub.executions.enums import StepState
    from rollbackhub.executions.models import Execution
    from rollbackhub.routing.models import PolicyRevision

    assert isinstance(execution, Execution)
    keys = list(PolicyRevision.objects.filter(effect_key__startswith=str(execution.pk)).order_by("number").values_list("effect_key", flat=True))
    done = list(execution.attempts.filter(state=StepState.DONE).values_list("key", flat=True))
    if keys != [f"{execution.pk}:flip", f"{execution.pk}:restore"] or len(done) != len(set(done)):
        tally.doubled.append(execution.pk)
    if execution.verdict != "passed":
        tally.not_passed.append(f"{execution.pk} {execution.state} {execution.verdict}: {execution.outcome}")


def _audit_verdict(staging: Staging) -> tuple[int, str]:
    result = subprocess.run([sys.executable, "manage.py", "verify_audit"], env=os.environ | staging.hub.environment, capture_output=True, text=True)
    return result.returncode, (result.stdout + result.stderr).strip()


def _report(tally: Tally, audit: tuple[int, str]) -> None:
    kills = ", ".join(f"{target} {count}" for target, count in sorted(tally.kills.items()))
    print(f"kills: {sum(tally.kills.values())} ({kills}); drills: {tally.drills}")
    print(f"lost: {len(tally.lost)}  doubled: {len(tally.doubled)}  not passed: {len(tally.not_passed)}")
    if len(tally.resumes) > 1:
        percentiles = statistics.quantiles(tally.resumes, n=100, method="inclusive")
        print(f"resume seconds ({len(tally.resumes)} interruptions): p50 {percentiles[49]:.2f}  p95 {percentiles[94]:.2f}  max {max(tally.resumes):.2f}")
    print(f"audit: {audit[1]}")
    for line in [*map(str, tally.lost), *map(str, tally.doubled), *tally.not_passed]:
        print(f"  {line}")


if __name__ == "__main__":
    sys.exit(main())
