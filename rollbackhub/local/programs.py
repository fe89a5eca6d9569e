"""Which programs make up RollbackHub on one machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rollbackhub.common.config import BASE_DIR, Config
from rollbackhub.local.child import Program

QUIET_ROOT = ("-W", "ignore:You're running the worker with superuser privileges")
"""Containers run everything as root; Celery's warning has ten lines and nothing to add to that."""
QUEUES = "executions,executions.resume,default"


def programs(config: Config) -> list[Program]:
    """The programs in the order of their start.

    What carries out executions is stopped first: else a drill that runs would see its gateways vanish, and say so. Interrupted, it
    goes on at the next start.
    """
    python = sys.executable
    manage = (python, str(BASE_DIR / "manage.py"))
    celery = (python, "-m", "celery", "--quiet", "-A", "rollbackhub", "--workdir", str(BASE_DIR))
    found = [
        Program("web", _web_command(config), stop_phase=2, grace_seconds=6),
        Program("sequencer", (*manage, "sequencer"), stop_phase=3),
        Program("sweeper", (*manage, "sweeper"), stop_phase=1),
        Program("housekeeper", (*manage, "housekeeper"), stop_phase=1),
        Program("worker", (python, *QUIET_ROOT, *celery[1:], "worker", *_worker_options(config)), stop_phase=1, grace_seconds=8),
        Program("beat", (*celery, "beat", "--loglevel", "WARNING", "--schedule", str(config.var / "beat-schedule"), "--pidfile", ""), stop_phase=1),
    ]
    if config.lab:
        found.append(Program("lab", (*manage, "lab"), stop_phase=2))
    return found


def _web_command(config: Config) -> tuple[str, ...]:
    options = ["--host", config.host, "--port", str(config.port), "--workers", "1", "--lifespan", "on", "--no-access-log", "--no-server-header"]
    # Held discovery requests are cut after 3 s; gateways ask again.
    options += ["--timeout-graceful-shutdown", "3", "--timeout-keep-alive", "75", "--log-level", "warning"]
    # Envoy names its own address in x-forwarded-for, which must not pass for the caller's; behind a reverse proxy say whom to trust.
    options.append("--proxy-headers" if os.environ.get("FORWARDED_ALLOW_IPS") else "--no-proxy-headers")
    return (sys.executable, "-m", "uvicorn", "rollbackhub.asgi:application", "--app-dir", str(BASE_DIR), *options)


def _worker_options(config: Config) -> list[str]:
    # A name that stays the same over restarts: the worker's own queue bears it. Two installations on one host differ by their port.
    return ["--pool", "prefork", "--concurrency", str(config.worker_concurrency), "-Q", QUEUES, "--hostname", f"worker-{config.port}@%h", "--loglevel", "INFO"]


def required_folders(config: Config) -> list[Path]:
    """Folders below ROLLBACKHUB_VAR that must exist."""
    return [config.var / "run", config.var / "log", config.var / "static"]
