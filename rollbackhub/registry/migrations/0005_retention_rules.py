from django.db import migrations

DAYS = 90


def seed(apps, schema_editor):
    """A rule for each change type; environments that exist already go on as they were."""
    alias = schema_editor.connection.alias
    rules = apps.get_model("registry", "RetentionRule").objects.using(alias)
    for change_type in ("prompt", "model", "agent_code", "eval_set", "dataset"):
        rules.get_or_create(change_type=change_type, defaults={"days": DAYS})
    apps.get_model("registry", "Environment").objects.using(alias).update(releases_only=False)


class Migration(migrations.Migration):
    dependencies = [("registry", "0004_retention")]

    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
