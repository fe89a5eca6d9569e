"""Rollbacks as the rollbacks' own tests make them."""

from __future__ import annotations

from tests.rollbacks.conftest import _no_script, dataset, policy

__all__ = ["_no_script", "dataset", "policy"]
