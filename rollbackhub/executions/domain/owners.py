"""Who an execution belongs to. The engine lies below rollbacks and drills and does not know them; an owner registers itself for a kind.

The owner is asked before the first step, and told of every change of state in the transaction that makes it: what a rollback
says of itself and what its execution says never differ. Locks are taken in one order: the execution's row, then the owner's.
"""

from __future__ import annotations

from rollbackhub.executions.enums import REHEARSES, ExecutionKind
from rollbackhub.executions.models import Execution


class ExecutionOwner:
    """What an owner may say and hear. The defaults: nothing against it, nothing to do."""

    def refusal(self, execution: Execution) -> str | None:
        """Why the execution may not start after all, asked just before its first step. None: it may."""
        return None

    def state_changed(self, execution: Execution, *, before: str) -> None:
        """The execution has gone from `before` to its state; the transaction is open and the execution's row locked."""

    def restored(self, execution: Execution) -> None:
        """It was observed that traffic is restored; the transaction is open and the execution's row locked."""

    def revoked(self, execution: Execution) -> None:
        """The bad version was seen to serve after all: what was restored is not; the transaction is open and the execution's row locked."""

    def reference(self, execution: Execution) -> str:
        """What people call it, for the reasons of policy revisions: `Drill 1a2b3c4d`."""
        return f"{execution.get_kind_display()} {str(execution.pk)[:8]}"

    def address(self, execution: Execution) -> str:
        """The path of the page where a person follows it."""
        # A rehearsal is a drill that a release asked for: it runs, stops and reads the same.
        return f"/{'drills' if execution.kind in REHEARSES else execution.kind + 's'}/{execution.pk}/"


_owners: dict[str, ExecutionOwner] = {}


def register_owner(kind: ExecutionKind, owner: ExecutionOwner) -> None:
    """Once for each kind, when the owner's app is ready."""
    _owners[kind] = owner


def owner_of(execution: Execution) -> ExecutionOwner:
    """The owner of the execution's kind."""
    return _owners.get(execution.kind) or ExecutionOwner()
