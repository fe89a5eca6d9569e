"""The built-in procedures: the chapter's rollbacks, as data. Step keys are part of the record; titles are for people."""

from __future__ import annotations

from typing import Any

Steps = list[dict[str, Any]]

_DRILL = ["drill", "rehearsal"]

WEIGHT_FLIP: Steps = [
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

_BALANCED = {
    "expose_gateways": "The load balancer takes the canary",
    "propagate": "Every load balancer shows the new weights",
    "restore_gateways": "The load balancer takes it back",
}

BALANCER_SHIFT: Steps = [{**step, "action": "await_observed", "title": _BALANCED[step["key"]]} if step["key"] in _BALANCED else step for step in WEIGHT_FLIP]
"""The same on a load balancer that is told, and read back."""


def switch(*, what: str, job: dict[str, Any] | None = None, job_title: str = "", job_again: bool = False) -> Steps:
    """Steps that bring `what` back to the version before, and with a `job` also what is built from it; `job_again`: also when it is put back."""
    steps: Steps = [
        {"key": "preflight", "title": "Check the path", "action": "preflight", "segment": "setup"},
        {"key": "expose", "title": f"Bring {what} to the version under test", "action": "set_weights", "params": {"to": "canary"}, "segment": "setup"},
        {"key": "expose_seen", "title": "See that it is there", "action": "await_observed", "params": {"settle": False}, "segment": "setup"},
        {"key": "flip", "title": f"Bring {what} back", "action": "set_weights", "params": {"to": "rolled_back"}, "segment": "execute", "starts_clock": True},
        {"key": "propagate", "title": "See that it is back everywhere", "action": "await_observed", "segment": "propagate"},
        {"key": "drain", "title": "Nobody uses the bad version any more", "action": "await_consumers", "segment": "drain"},
        {
            "key": "verify",
            "title": "Verify what is served",
            "action": "verify_served",
            "params": {"consecutive": 3, "window_seconds": 3},
            "segment": "verify",
        },
        {"key": "restore", "title": f"Put {what} back as it was", "action": "restore_before", "segment": "clean_up", "always": True},
        {
            "key": "restore_seen",
            "title": "See that it is as it was",
            "action": "await_observed",
            "params": {"settle": False},
            "segment": "clean_up",
            "always": True,
        },
    ]
    if job is not None:
        steps.insert(5, {"key": "job", "title": job_title, "action": "run_job", "params": {**job, "of": "rolled_back"}, "segment": "drain"})
        if job_again:
            again = {"key": "restore_job", "title": f"{job_title}, as it was", "action": "run_job", "params": {**job, "of": "before"}}
            steps.append({**again, "segment": "clean_up", "always": True})
    drilled = ("expose", "expose_seen", "restore", "restore_seen", "restore_job")
    return [{**step, "kinds": _DRILL} if step["key"] in drilled else step for step in steps]


ALIAS_SWITCH = switch(what="the alias")
REDEPLOY = switch(what="the service")
RESTORE_IN_GIT = switch(what="the content")
REVERT_EVAL_SET = switch(what="the eval set", job={"job": "rebaseline"}, job_title="Re-baseline against it")
RESTORE_TABLE = switch(what="the table", job={"job": "rebuild_index", "limit_seconds": 14400}, job_title="Rebuild the index from it", job_again=True)

GATEWAY_FLIPS: list[dict[str, Any]] = [
    {"slug": "prompt-weight-flip", "name": "Prompt: route weight to 0", "change_type": "prompt", "steps": WEIGHT_FLIP},
    {"slug": "model-weight-flip", "name": "Model: route weight shift", "change_type": "model", "steps": WEIGHT_FLIP},
]
"""Those of the gateways."""

OF_MECHANISMS: list[dict[str, Any]] = [
    {"slug": "prompt-alias", "name": "Prompt: registry's alias back", "change_type": "prompt", "connector": "mlflow", "steps": ALIAS_SWITCH},
    {"slug": "prompt-deploy", "name": "Prompt: redeploy the previous", "change_type": "prompt", "connector": "deploy", "steps": REDEPLOY},
    {"slug": "model-alias", "name": "Model: registry's alias back", "change_type": "model", "connector": "mlflow", "steps": ALIAS_SWITCH},
    {"slug": "model-balancer", "name": "Model: load balancer's weights", "change_type": "model", "connector": "haproxy", "steps": BALANCER_SHIFT},
    {"slug": "model-deploy", "name": "Model: redeploy the previous", "change_type": "model", "connector": "deploy", "steps": REDEPLOY},
    {"slug": "agent-code-git", "name": "Agent code: restore in Git", "change_type": "agent_code", "connector": "git", "steps": RESTORE_IN_GIT},
    {"slug": "agent-code-deploy", "name": "Agent code: redeploy the previous", "change_type": "agent_code", "connector": "deploy", "steps": REDEPLOY},
    {"slug": "eval-set-git", "name": "Eval set: revert and re-baseline", "change_type": "eval_set", "connector": "git", "steps": REVERT_EVAL_SET},
    {"slug": "dataset-delta", "name": "Data set: restore and rebuild", "change_type": "dataset", "connector": "delta", "steps": RESTORE_TABLE},
    {"slug": "dataset-deploy", "name": "Data set: previous version, rebuild", "change_type": "dataset", "connector": "deploy", "steps": RESTORE_TABLE},
]
"""Those of the mechanisms, by the connector that moves the alias."""

BUILT_IN = GATEWAY_FLIPS + OF_MECHANISMS
