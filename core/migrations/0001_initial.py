"""The table is there already: migration 0001 of `evaluations` makes it, and 0005 lets go of it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [("evaluations", "0005_timer_leaves")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="Timer",
                    fields=[
                        ("name", models.CharField(max_length=40, primary_key=True, serialize=False)),
                        ("due_at", models.DateTimeField()),
                    ],
                    options={"db_table": "evaluations_timer"},
                ),
            ],
        ),
    ]
