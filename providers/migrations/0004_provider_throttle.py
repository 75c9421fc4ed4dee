"""The row that holds calls back is called what the field calls it: a throttle with a back-off and a circuit breaker."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("providers", "0003_gates")]

    operations = [
        migrations.RenameModel("Gate", "ProviderThrottle"),
        migrations.RenameField("ProviderThrottle", "held_until", "backoff_until"),
        migrations.RenameField("ProviderThrottle", "holds", "backoffs"),
        migrations.RenameField("ProviderThrottle", "paused_until", "open_until"),
        migrations.RenameField("ProviderThrottle", "pauses", "openings"),
        migrations.RenameField("ProviderThrottle", "probe", "half_open_by"),
        migrations.AlterField(
            "ProviderThrottle",
            "provider",
            models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE,
                primary_key=True,
                related_name="throttle",
                serialize=False,
                to="providers.provider",
            ),
        ),
        migrations.AlterField(
            "ProviderThrottle",
            "openings",
            models.PositiveIntegerField(default=0, help_text="Of the circuit, in a row; 0: it is closed."),
        ),
        migrations.AlterField(
            "ProviderThrottle",
            "half_open_by",
            models.UUIDField(help_text="The holder of slots that makes the trial call.", null=True),
        ),
        migrations.AlterField(
            "ProviderThrottle",
            "reason",
            models.CharField(blank=True, help_text="Of the latest back-off or opening.", max_length=40),
        ),
    ]
