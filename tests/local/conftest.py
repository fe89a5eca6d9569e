"""Installations for tests, ended whatever happens."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.local.installation import Installation


@pytest.fixture(scope="module")
def new_installation() -> Iterator[Callable[..., Installation]]:
    """Makes installations in short folders (sockets need short addresses)."""
    with tempfile.TemporaryDirectory(prefix="rbt-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        made: list[Installation] = []

        def make(**variables: str) -> Installation:
            base = Path(folder) / str(len(made))
            base.mkdir()
            installation = Installation(var=base / "var", log=base / "log", variables=variables)
            made.append(installation)
            return installation

        yield make
        for installation in made:
            installation.clear()
