import django.db.models.functions.text
from django.db import migrations, models

# The table of Django's database cache (`createcachetable` would need the owner's role and a step of its own). Unlogged: a crash may empty it.
CACHE_TABLE = """
    CREATE UNLOGGED TABLE rollbackhub_cache (cache_key varchar(255) PRIMARY KEY, value text NOT NULL, expires timestamptz NOT NULL);
    CREATE INDEX rollbackhub_cache_expires ON rollbackhub_cache (expires);
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.AlterModelOptions(name="user", options={"verbose_name": "person", "verbose_name_plural": "people"}),
        migrations.AlterModelOptions(name="apitoken", options={"verbose_name": "API token"}),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.UniqueConstraint(
                django.db.models.functions.text.Lower("email"),
                condition=models.Q(("email", ""), _negated=True),
                name="user_email_once",
                violation_error_message="There is an account with this e-mail address already.",
            ),
        ),
        migrations.RunSQL(CACHE_TABLE, "DROP TABLE rollbackhub_cache"),
    ]
