"""Ports for the servers of tests, where nothing else takes them."""

from __future__ import annotations

import os
import random
import socket

FIRST, EACH, WORKERS = 20_000, 1_500, 8
"""Above the ports of a lab that somebody runs beside the tests, and below 32768: the system gives the ports from there to outgoing connections, and one
of those would take a port that was found free."""

_place = random.randrange(EACH)
"""From where on this process looks, within its worker's range: two that are asked for before either is listened on are never the same."""


def free_port(*, size: int = 1) -> int:
    """The first of `size` free ports in a row, out of those that this pytest worker has to itself. None is given again before all others were."""
    global _place
    low = FIRST + _worker() % WORKERS * EACH
    for _ in range(EACH):
        base = low + (_place if _place + size <= EACH else 0)
        if all(_is_free(port) for port in range(base, base + size)):
            _place = base + size - low
            return base
        _place = base + 1 - low
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
