"""How often one caller may call.

The counts live in the process's memory on purpose: a throttle that asks Valkey or writes to PostgreSQL on each request would be one more thing that can
fail, or the load that it should keep away. Several web processes allow that many times more; an installation that needs a hard limit sets it at its proxy.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from rollbackhub.common.clock import monotonic

_REMEMBERED = 10_000


class Bucket:
    """Lets `burst` calls through at once, and `per_minute` in the long run, for each key (generic cell rate algorithm)."""

    def __init__(self, *, per_minute: float, burst: int) -> None:
        self.interval = 60 / per_minute
        self.burst = burst
        self._lock = threading.Lock()
        self._full_again_at: OrderedDict[str, float] = OrderedDict()

    def take(self, key: str) -> float:
        """Count one call. Seconds to wait until it would be allowed; 0 when it is."""
        present = monotonic()
        with self._lock:
            at = max(self._full_again_at.get(key, present), present)
            wait = at + self.interval - present - self.burst * self.interval
            if wait > 1e-9:
                return wait
            self._full_again_at[key] = at + self.interval
            self._full_again_at.move_to_end(key)
            while len(self._full_again_at) > _REMEMBERED:
                self._full_again_at.popitem(last=False)
            return 0

    def forget(self) -> None:
        """Start anew (tests)."""
        with self._lock:
            self._full_again_at.clear()


CALLERS = Bucket(per_minute=1200, burst=200)
"""Of one token, or of one person's sessions."""

STRANGERS = Bucket(per_minute=60, burst=60)
"""Refused sign-ins from one address. Whoever signs in rightly from there is not held up."""
