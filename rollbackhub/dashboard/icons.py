"""The icons that pages use, drawn from one small sprite.

To add one: write its Tabler name into ICONS and run `.venv/bin/python -m rollbackhub.dashboard.icons PATH/TO/@tabler/icons/icons/outline`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

SPRITE = Path(__file__).parent / "assets" / "icons.svg"

ICONS = (
    "activity", "alert-triangle", "archive", "arrow-back-up", "arrow-left", "arrow-right", "ban", "calendar", "calendar-due", "calendar-off", "calendar-x",
    "chart-bar", "check", "chevron-down", "chevron-right", "circle-check", "circle-dashed", "circle-x", "clipboard-check", "clock", "device-desktop",
    "download", "edit", "external-link", "eye-off", "file-code", "filter", "flask", "gauge", "git-compare", "hand-stop", "help", "history", "hourglass",
    "info-circle", "key", "link", "list-check", "loader-2", "lock", "login", "logout", "menu-2", "moon", "packages", "player-play", "player-stop", "plug",
    "progress", "refresh", "robot", "rotate-2", "route", "search", "server", "settings", "shield-check", "sun", "tag", "upload", "user", "user-exclamation",
    "versions", "wifi-off", "x",
)  # fmt: skip


def build_sprite(folder: Path) -> str:
    """The sprite of all icons, from Tabler's single files in a folder. Raises FileNotFoundError for a name that Tabler has not."""
    symbols = []
    for name in ICONS:
        inner = re.sub(r"^.*?<svg[^>]*>|</svg>.*$", "", (folder / f"{name}.svg").read_text(), flags=re.DOTALL)
        shapes = " ".join(line.strip() for line in inner.splitlines() if line.strip() and 'd="M0 0h24v24H0z"' not in line)
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{shapes}</symbol>')
    licence = "<!-- Tabler Icons, MIT licence, https://tabler.io/icons -->"
    return f'<svg xmlns="http://www.w3.org/2000/svg">\n{licence}\n' + "\n".join(symbols) + "\n</svg>\n"


if __name__ == "__main__":
    SPRITE.write_text(build_sprite(Path(sys.argv[1])))
