"""Imports of history as they are asked for and answered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from rollbackhub.accounts.domain.actors import name_of
from rollbackhub.analytics.domain.history_import import MAX_REASON, Preview
from rollbackhub.analytics.enums import RunKind
from rollbackhub.analytics.models import HistoryImport
from rollbackhub.api.fields import ApiSerializer, Choice, Instant


class ImportQuery(ApiSerializer):
    """Query parameters of an import."""

    dry_run = serializers.BooleanField(required=False, default=False, help_text="Only say what each row would do; nothing is written")
    file_name = serializers.CharField(max_length=200, required=False, default="history.csv", help_text="What the import is listed under")
    zone = serializers.CharField(
        max_length=64, required=False, default="", allow_blank=True, help_text="IANA name of the zone of times that name none, e.g. Asia/Kolkata"
    )
    note = serializers.CharField(max_length=300, required=False, default="", allow_blank=True, help_text="Where the file comes from")


class TakeBackRequest(ApiSerializer):
    """Why, for the record."""

    reason = serializers.CharField(max_length=MAX_REASON, help_text="Why, for the record")


class RowProblem(serializers.Serializer[Any]):
    """What is wrong with a row."""

    row = serializers.IntegerField(help_text="As a spreadsheet counts: the header is row 1")
    column = serializers.CharField(help_text="Empty: the row as a whole")
    sentence = serializers.CharField(help_text="What is wrong, and what to do")


class KindCount(serializers.Serializer[Any]):
    """How many runs of a kind."""

    kind = Choice(RunKind.choices)
    runs = serializers.IntegerField()


class HistoryImportRow(serializers.Serializer[Any]):
    """A file that was imported."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    file_name = serializers.CharField()
    sha256 = serializers.CharField()
    rows = serializers.IntegerField()
    note = serializers.CharField()
    imported_by = serializers.CharField()
    imported_at = Instant()


class HistoryPreview(serializers.Serializer[Any]):
    """What a file would bring in. Nothing was written."""

    rows = serializers.IntegerField()
    sha256 = serializers.CharField()
    importable = serializers.BooleanField(help_text="Whether the same file without dry_run would be taken")
    kinds = KindCount(many=True)
    problems = RowProblem(many=True)


class TakenBack(serializers.Serializer[Any]):
    """What was taken back."""

    id = serializers.UUIDField()
    file_name = serializers.CharField()
    rows = serializers.IntegerField(help_text="Runs that are counted no more")


def import_row(found: HistoryImport) -> dict[str, Any]:
    """What HistoryImportRow writes (who imported it selected: no query)."""
    return {
        "id": found.pk,
        "url": f"/api/v1/history-imports/{found.pk}/",
        "file_name": found.file_name,
        "sha256": found.digest,
        "rows": found.rows,
        "note": found.note,
        "imported_by": name_of(found.imported_by),
        "imported_at": found.imported_at,
    }


def preview_report(preview: Preview) -> dict[str, Any]:
    """What HistoryPreview writes; the command line prints the same."""
    return {
        "rows": len(preview.rows),
        "sha256": preview.digest,
        "importable": not preview.wrong,
        "kinds": [{"kind": str(kind), "runs": count} for kind, count in preview.counts.items()],
        "problems": preview.problems,
    }
