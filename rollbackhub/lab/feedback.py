"""Who is unhappy: a rate turned into single events, evenly, so that small windows are not noisy."""

from __future__ import annotations

from collections.abc import Hashable


class ErrorDiffusion:
    """Spreads events evenly: after n tries at rate r exactly round(n·r) of them were events, for every key by itself.

    A coin would do as well over a day; over the few dozen requests of a drill it would say 12 % where it means 2 %.
    """

    def __init__(self) -> None:
        self._carried: dict[Hashable, float] = {}

    def happens(self, *, key: Hashable, rate: float) -> bool:
        """Whether this try is an event. `rate` is from 0 to 1."""
        carried = self._carried.get(key, 0.5) + rate
        happened = carried >= 1
        self._carried[key] = carried - 1 if happened else carried
        return happened
