"""What the processes say, line by line, each with the name of who said it."""

from __future__ import annotations

import os
import sys
from typing import TextIO

COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
LONGEST_LINE = 16_384
"""Bytes. A longer line is printed in pieces."""


class Printer:
    """Prints lines with a prefix as wide as the longest name, in a colour per name when the terminal shows colours."""

    def __init__(self, *, names: list[str], stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._width = max(map(len, names), default=0)
        self._colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)} if self._shows_colours() else {}

    def line(self, name: str, text: str) -> None:
        """Print one line; a reader that has gone away is no reason to stop."""
        prefix = f"{name:<{self._width}} |"
        if name in self._colours:
            prefix = f"\x1b[{self._colours[name]}m{prefix}\x1b[0m"
        self.plain(f"{prefix} {text}")

    def plain(self, text: str) -> None:
        """Print a line of the runner's own."""
        try:
            print(text, file=self._stream, flush=True)
        except (BrokenPipeError, ValueError):
            self._stream = open(os.devnull, "w")  # noqa: SIM115

    def _shows_colours(self) -> bool:
        return self._stream.isatty() and "NO_COLOR" not in os.environ


class LineBuffer:
    """Cuts what comes out of a pipe into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        return [self._text(line) for line in lines]

    def flush(self) -> list[str]:
        """What came without an end of line."""
        rest, self._rest = self._rest, b""
        return [self._text(rest)] if rest else []

    @staticmethod
    def _text(line: bytes) -> str:
        return line.decode(errors="replace").rstrip("\r")
