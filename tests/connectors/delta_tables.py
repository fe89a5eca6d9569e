"""Real Delta tables on disk for the tests, and other people who write to them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import arro3.core as arrow
from deltalake import DeltaTable, write_deltalake

from rollbackhub.connectors.mechanism import Share, VersionRef


@dataclass(frozen=True)
class Table:
    """A table `sets/train` under a root folder."""

    root: Path
    name: str = "sets/train"

    @property
    def folder(self) -> Path:
        return self.root / self.name

    def write(self, *ids: int, mode: Any = "append", **options: Any) -> int:
        """Somebody writes rows; gives the table version."""
        columns: dict[str, Any] = {
            "id": arrow.Array(list(ids), arrow.DataType.int64()),
            "part": arrow.Array([f"p {one % 2}%/é" for one in ids], arrow.DataType.string()),
        }
        write_deltalake(str(self.folder), arrow.Table.from_pydict(columns), mode=mode, **options)
        return self.open().version()

    def widen(self, identity: int) -> int:
        """Somebody adds a column."""
        columns: dict[str, Any] = {"id": arrow.Array([identity], arrow.DataType.int64()), "more": arrow.Array([1], arrow.DataType.int64())}
        write_deltalake(str(self.folder), arrow.Table.from_pydict(columns), mode="append", schema_mode="merge")
        return self.open().version()

    def open(self, version: int | None = None) -> DeltaTable:
        return DeltaTable(str(self.folder), version=version)

    def rows(self) -> list[int]:
        """What a reader of the newest version sees."""
        return sorted(one for batch in self.open().scan(columns=["id"]) for one in batch.column("id").to_pylist())

    def columns(self) -> list[str]:
        return [field.name for field in self.open().schema().fields]

    def keys(self) -> list[str]:
        """The keys that commits carry, newest first."""
        return [one["rollbackhub.key"] for one in self.open().history() if "rollbackhub.key" in one]

    def vacuum(self) -> int:
        """Somebody removes the files that the newest version does not need; gives how many."""
        return len(self.open().vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False))

    def log(self, version: int) -> Path:
        return self.folder / "_delta_log" / f"{version:020d}.json"

    def commit_by_hand(self, *actions: dict[str, Any]) -> int:
        """Another engine commits these actions."""
        version = self.open().version() + 1
        self.log(version).write_text("\n".join(json.dumps(action) for action in actions))
        return version

    def ref(self, number: int) -> VersionRef:
        return VersionRef(f"set-{number}", uri=f"delta:{self.name}@{number}")


def shares(version: VersionRef) -> list[Share]:
    """One version has all."""
    return [Share(candidate_id=f"c:{version.label}", version=version, weight=100)]
