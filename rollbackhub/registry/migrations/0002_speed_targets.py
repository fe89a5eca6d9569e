from django.db import migrations

# The chapter's table. A data set's target is set on the artefact.
SECONDS = {"prompt": 300, "model": 600, "agent_code": 1800, "eval_set": 900, "dataset": None}


def seed(apps, schema_editor):
    """Add what is missing; what an administrator has set stays."""
    targets = apps.get_model("registry", "SpeedTarget").objects.using(schema_editor.connection.alias)
    for change_type, seconds in SECONDS.items():
        targets.get_or_create(change_type=change_type, defaults={"seconds": seconds})


class Migration(migrations.Migration):
    dependencies = [("registry", "0001_initial")]

    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
