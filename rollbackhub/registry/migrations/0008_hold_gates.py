import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('actions', '0002_kind_and_gating'),
        ('registry', '0007_artefact_checks'),
    ]

    operations = [
        migrations.CreateModel(
            name='HoldGate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('action', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='hold_gates', to='actions.action')),
                ('hold', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='gates', to='registry.stabilityhold')),
            ],
            options={
                'ordering': ['hold', 'id'],
                'constraints': [models.UniqueConstraint(fields=('hold', 'action'), name='hold_gate_once')],
            },
        ),
    ]
