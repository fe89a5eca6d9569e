"""The built-in procedures, for an installation that has none. Later changes are new versions, never edits."""

import hashlib

import rfc8785
from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from rollbackhub.executions.procedures import GATEWAY_FLIPS


def seed(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    procedures = apps.get_model("executions", "Procedure").objects.using(schema_editor.connection.alias)
    versions = apps.get_model("executions", "ProcedureVersion").objects.using(schema_editor.connection.alias)
    for entry in GATEWAY_FLIPS:
        values = {"slug": entry["slug"], "name": entry["name"]}
        procedure, created = procedures.get_or_create(change_type=entry["change_type"], defaults=values)
        if created:
            digest = hashlib.sha256(rfc8785.dumps(entry["steps"])).hexdigest()
            versions.create(procedure=procedure, number=1, steps=entry["steps"], content_hash=digest)


class Migration(migrations.Migration):
    dependencies = [("executions", "0002_immutable_evidence")]

    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
