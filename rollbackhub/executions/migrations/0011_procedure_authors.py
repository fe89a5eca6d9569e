from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("executions", "0010_built_in_of_mechanisms")]

    operations = [
        migrations.AddField(
            model_name="procedureversion",
            name="author_label",
            field=models.CharField(blank=True, db_default="", editable=False, help_text="Who wrote it; empty: it came with RollbackHub", max_length=200),
        ),
        migrations.AddField(
            model_name="procedureversion",
            name="reason",
            field=models.CharField(blank=True, db_default="", editable=False, help_text="Why, as its author said", max_length=300),
        ),
    ]
