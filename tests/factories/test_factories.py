"""Factories make rows that the database accepts."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from factory.django import DjangoModelFactory

import tests.factories
from rollbackhub.rollbacks.enums import RollbackState
from tests.factories.executions import ExecutionFactory
from tests.factories.fixtures import Cast
from tests.factories.rollbacks import RollbackFactory

MADE_BY_DOMAIN = {
    "AuditPending",
    "AuditLeaf",
    "AuditTreeHead",
    "RunCell",
    "RunHistogram",
    "ProductionCell",
    "ProductionBucket",
    "FindingCell",
    "SearchDocument",
}
"""Written by triggers or the sequencer alone."""


def _factories() -> list[Any]:
    for module in pkgutil.iter_modules(tests.factories.__path__):
        importlib.import_module(f"tests.factories.{module.name}")
    return sorted(DjangoModelFactory.__subclasses__(), key=lambda found: found.__name__)


def test_factories_cover_every_model() -> None:
    made = {found._meta.model.__name__ for found in _factories()}
    models = {model.__name__ for model in apps.get_models() if model.__module__.split(".")[0] in ("rollbackhub", "drills", "incidents")}
    assert models - MADE_BY_DOMAIN - made == set()


@pytest.mark.parametrize("found", _factories(), ids=lambda found: found.__name__)
def test_factory_twice_makes_rows_that_keep_every_constraint(db: None, found: Any) -> None:
    first, second = found(), found()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    model = found._meta.model
    assert model.objects.filter(pk__in=[first.pk, second.pk]).count() == len({first.pk, second.pk})


@pytest.mark.parametrize("trait", ["running", "passed", "failed"])
def test_execution_factory_with_trait_is_accepted(db: None, trait: str) -> None:
    execution = ExecutionFactory(**{trait: True})
    execution.refresh_from_db()
    assert execution.started_at is not None


@pytest.mark.parametrize("state", RollbackState.values)
def test_rollback_factory_with_trait_is_accepted_in_that_state(db: None, state: str) -> None:
    rollback = RollbackFactory(**{"awaiting" if state == "awaiting_approval" else state: True}, parts=2)
    rollback.refresh_from_db()
    assert (rollback.state, rollback.parts.count()) == (state, 2)


def test_cast_has_each_role_once(cast: Cast) -> None:
    assert sorted(role for person in cast.everybody_but().values() for role in person.roles) == ["admin", "auditor", "leadership", "on_call", "platform_lead"]
    assert cast.stranger.roles == frozenset()
