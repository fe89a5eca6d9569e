"""Who did it: a person, an API token of a person, or a named part of the system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ActorKind = Literal["person", "token", "system"]


@dataclass(frozen=True, slots=True)
class Actor:
    """The author of an act. `user_id` is the person behind it (None for the system)."""

    kind: ActorKind
    label: str
    user_id: int | None = None
    token_id: str = ""


def system_actor(name: str) -> Actor:
    """A named part of RollbackHub, e.g. `system_actor("engine")`."""
    return Actor(kind="system", label=name)
