"""Rollbacks as the rollbacks' own tests make them."""

from __future__ import annotations

from tests.rollbacks.conftest import _no_script, dataset, policy, scripted_actions

__all__ = ["_no_script", "dataset", "policy", "scripted_actions"]
