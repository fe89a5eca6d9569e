"""The chapter's authority table, for an installation that has none; approvals and evidence that never change."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from rollbackhub.common.append_only import RefuseChanges

CHAPTER = (
    ("prompt", "on_call"),
    ("model", "on_call"),
    ("agent_code", "platform_lead"),
    ("eval_set", "platform_lead"),
    ("dataset", "platform_lead"),
    ("coordinated", "platform_lead"),
    ("strategic", "leadership"),
)


def seed(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    rules = apps.get_model("rollbacks", "AuthorityRule").objects.using(schema_editor.connection.alias)
    for subject, role in CHAPTER:
        rules.get_or_create(subject=subject, defaults={"role": role})


class Migration(migrations.Migration):
    dependencies = [("rollbacks", "0001_initial")]

    operations = [
        migrations.RunPython(seed, migrations.RunPython.noop),
        RefuseChanges(model_name="Approval"),
        RefuseChanges(model_name="HeldTraffic"),
    ]
