"""The actions that a procedure's steps can name, one a file. Each registers itself."""

from rollbackhub.executions.actions import (
    await_consumers,
    await_drain,
    await_gateways,
    await_observed,
    await_traffic,
    preflight,
    restore_before,
    run_job,
    set_weights,
    verify,
    verify_served,
)
from rollbackhub.executions.actions.base import Action, get_action, list_action_names, parse_params

__all__ = [
    "Action",
    "await_consumers",
    "await_drain",
    "await_gateways",
    "await_observed",
    "await_traffic",
    "get_action",
    "list_action_names",
    "parse_params",
    "preflight",
    "restore_before",
    "run_job",
    "set_weights",
    "verify",
    "verify_served",
]
