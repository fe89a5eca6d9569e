"""The actions that a procedure's steps can name, one a file. Each registers itself."""

from rollbackhub.executions.actions import await_drain, await_gateways, await_traffic, preflight, restore_before, set_weights, verify
from rollbackhub.executions.actions.base import Action, get_action, list_action_names, parse_params

__all__ = [
    "Action",
    "await_drain",
    "await_gateways",
    "await_traffic",
    "get_action",
    "list_action_names",
    "parse_params",
    "preflight",
    "restore_before",
    "set_weights",
    "verify",
]
