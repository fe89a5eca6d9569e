"""State on disk: JSON files that are exchanged whole, so that a killed process leaves the old one or the new one."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any


class Store:
    """A folder of JSON files by kind and name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.RLock()

    def read(self, kind: str, name: str) -> dict[str, Any] | None:
        """What was written last; None when nothing was."""
        try:
            content: dict[str, Any] = json.loads(self._path(kind, name).read_text())
        except FileNotFoundError:
            return None
        return content

    def write(self, kind: str, name: str, content: dict[str, Any]) -> None:
        """Exchange it whole."""
        path = self._path(kind, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.new")
        new.write_text(json.dumps(content))
        new.replace(path)

    def every(self, kind: str) -> list[dict[str, Any]]:
        """All of a kind."""
        return [json.loads(path.read_text()) for path in sorted((self.folder / kind).glob("*.json"))]

    def _path(self, kind: str, name: str) -> Path:
        # Names come from requests.
        return self.folder / kind / f"{hashlib.sha256(name.encode()).hexdigest()}.json"
