from django.db import migrations, models
from django.utils import timezone


def mark_service_keys(apps, schema_editor):
    """Until now an empty maker said that a command made the key."""
    keys = apps.get_model("accounts", "ApiKey").objects.using(schema_editor.connection.alias)
    keys.filter(created_by=None).update(is_service=True)


def revoke_keys_without_maker(apps, schema_editor):
    """Backwards: an empty maker would make them usable."""
    keys = apps.get_model("accounts", "ApiKey").objects.using(schema_editor.connection.alias)
    keys.filter(created_by=None, is_service=False, revoked_at=None).update(revoked_at=timezone.now())


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_requests_per_minute")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="session_epoch",
            field=models.PositiveIntegerField(
                default=0, editable=False, help_text="Sessions of an earlier epoch are over, for good."
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="is_service",
            field=models.BooleanField(
                default=False,
                editable=False,
                help_text="Belongs to no person: a command made it, or another service key.",
                verbose_name="service key",
            ),
        ),
        migrations.RunPython(mark_service_keys, revoke_keys_without_maker),
    ]
