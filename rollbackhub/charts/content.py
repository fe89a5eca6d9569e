"""A figure as JSON values: what pages, reviews and documents draw from."""

from __future__ import annotations

import json
from typing import Any

from plotly.graph_objects import Figure


def as_content(figure: Figure) -> dict[str, Any]:
    """The figure as JSON values, without plotly's own template: a theme is laid over it where it is drawn."""
    content = json.loads(figure.to_json() or "{}")
    content["layout"].pop("template", None)
    return dict(content)
