"""The built-in procedures of the mechanisms. Later changes are new versions, never edits."""

import hashlib

import rfc8785
from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from rollbackhub.executions.procedures import OF_MECHANISMS


def seed(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    procedures = apps.get_model("executions", "Procedure").objects.using(schema_editor.connection.alias)
    versions = apps.get_model("executions", "ProcedureVersion").objects.using(schema_editor.connection.alias)
    for entry in OF_MECHANISMS:
        if procedures.filter(slug=entry["slug"]).exists():
            continue
        procedure = procedures.create(slug=entry["slug"], name=entry["name"], change_type=entry["change_type"], connector=entry["connector"])
        versions.create(procedure=procedure, number=1, steps=entry["steps"], content_hash=hashlib.sha256(rfc8785.dumps(entry["steps"])).hexdigest())


class Migration(migrations.Migration):
    dependencies = [("executions", "0009_procedures_of_mechanisms")]

    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
