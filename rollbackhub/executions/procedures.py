"""The built-in procedures: the chapter's rollback flag, as data. Step keys are part of the record; titles are for people."""

from __future__ import annotations

from typing import Any

_DRILL = ["drill", "rehearsal"]

WEIGHT_FLIP: list[dict[str, Any]] = [
    {"key": "preflight", "title": "Check the path", "action": "preflight", "segment": "setup"},
    {
        "key": "expose",
        "title": "Bring the candidate to its canary weight",
        "action": "set_weights",
        "params": {"to": "canary"},
        "segment": "setup",
        "kinds": _DRILL,
    },
    {"key": "expose_gateways", "title": "Gateways take the canary", "action": "await_gateways", "segment": "setup", "kinds": _DRILL},
    {"key": "expose_traffic", "title": "See traffic reach the candidate", "action": "await_traffic", "segment": "setup", "kinds": _DRILL},
    {"key": "flip", "title": "Flip the weights", "action": "set_weights", "params": {"to": "rolled_back"}, "segment": "execute", "starts_clock": True},
    {"key": "propagate", "title": "Gateways acknowledge", "action": "await_gateways", "segment": "propagate"},
    {"key": "drain", "title": "The bad version's traffic drains", "action": "await_drain", "segment": "drain"},
    {
        "key": "verify",
        "title": "Verify traffic, feedback and latency",
        "action": "verify",
        "params": {"consecutive": 3, "window_seconds": 5},
        "segment": "verify",
    },
    {"key": "restore", "title": "Put the weights back as they were", "action": "restore_before", "segment": "clean_up", "always": True, "kinds": _DRILL},
    {"key": "restore_gateways", "title": "Gateways take it back", "action": "await_gateways", "segment": "clean_up", "always": True, "kinds": _DRILL},
]
"""Route weight to 0 (prompt) or alias mapping with route weight shift (model)."""

BUILT_IN: list[dict[str, Any]] = [
    {"slug": "prompt-weight-flip", "name": "Prompt: route weight to 0", "change_type": "prompt", "steps": WEIGHT_FLIP},
    {"slug": "model-weight-flip", "name": "Model: route weight shift", "change_type": "model", "steps": WEIGHT_FLIP},
]
