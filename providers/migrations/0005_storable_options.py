"""Rows whose JSON holds half a character or a NUL are repaired."""

from django.db import migrations

from core.repair import make_storable


class Migration(migrations.Migration):
    dependencies = [("providers", "0004_provider_throttle")]

    operations = [
        migrations.RunPython(make_storable("providers", "SpeechModel", "options", "languages"), migrations.RunPython.noop),
    ]
