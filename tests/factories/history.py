"""Files of past runs that were imported."""

from __future__ import annotations

import hashlib

import factory
from factory.django import DjangoModelFactory

from rollbackhub.analytics.models import HistoryImport, ImportedRun
from tests.factories.accounts import UserFactory


class HistoryImportFactory(DjangoModelFactory):
    """A file of one row."""

    class Meta:
        model = HistoryImport

    file_name = factory.Sequence("history-{}.csv".format)
    digest = factory.LazyAttribute(lambda made: hashlib.sha256(made.file_name.encode()).hexdigest())
    rows = 1
    imported_by = factory.SubFactory(UserFactory)


class ImportedRunFactory(DjangoModelFactory):
    """Its next row."""

    class Meta:
        model = ImportedRun

    history_import = factory.SubFactory(HistoryImportFactory)
    row = factory.LazyAttribute(lambda run: run.history_import.runs.count() + 2)
    reference = factory.Sequence("INC-{}".format)
