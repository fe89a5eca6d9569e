"""Ports for the servers of tests, where nothing else takes them."""

from __future__ import annotations

import os
import random
import socket

FIRST, EACH, WORKERS = 16_000, 2_000, 8
"""Below 32768: the system gives the ports from there to outgoing connections, and one of those would take a port that was found free."""


def free_port(*, size: int = 1) -> int:
    """The first of `size` free ports in a row, out of those that this pytest worker has to itself."""
    low = FIRST + _worker() % WORKERS * EACH
    for base in random.sample(range(low, low + EACH - size), EACH - size):
        if all(_is_free(port) for port in range(base, base + size)):
            return base
    raise AssertionError(f"{size} ports in a row are not free between {low} and {low + EACH}")


def _worker() -> int:
    return int("".join(filter(str.isdigit, os.environ.get("PYTEST_XDIST_WORKER", ""))) or 0)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
