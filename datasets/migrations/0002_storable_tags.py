"""Rows whose JSON holds half a character or a NUL are repaired."""

from django.db import migrations

from core.repair import make_storable


class Migration(migrations.Migration):
    dependencies = [("datasets", "0001_initial")]

    operations = [
        migrations.RunPython(make_storable("datasets", "Sample", "tags"), migrations.RunPython.noop),
        migrations.RunPython(make_storable("datasets", "ImportLine", "tags"), migrations.RunPython.noop),
    ]
