"""What tests of pages share."""

from __future__ import annotations

import pytest

from tests.dashboard.world import World, make_world


@pytest.fixture
def world(db: None) -> World:
    """A small world."""
    return make_world()
