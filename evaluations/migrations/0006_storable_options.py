"""Rows whose JSON holds half a character or a NUL are repaired."""

from django.db import migrations

from core.repair import make_storable


class Migration(migrations.Migration):
    dependencies = [("evaluations", "0005_timer_leaves")]

    operations = [
        migrations.RunPython(make_storable("evaluations", "Run", "options"), migrations.RunPython.noop),
    ]
