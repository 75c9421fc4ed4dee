"""The table of the workers' timer goes over to the app `core`, with its row and its content type."""

from django.db import migrations

SWEEP = {"evaluations": "evaluations.tasks.sweep", "core": "core.queue.periodic.sweep"}


def change_app(before, after):
    def change(apps, schema_editor):
        alias = schema_editor.connection.alias
        content_types = apps.get_model("contenttypes", "ContentType").objects.using(alias)
        content_types.filter(app_label=before, model="timer").update(app_label=after)
        timers = apps.get_model("evaluations", "Timer").objects.using(alias)
        timers.filter(name=SWEEP[before]).update(name=SWEEP[after])

    return change


class Migration(migrations.Migration):
    dependencies = [
        ("contenttypes", "0002_remove_content_type_name"),
        ("evaluations", "0004_computed_stage"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunPython(change_app("evaluations", "core"), change_app("core", "evaluations"))
            ],
            state_operations=[migrations.DeleteModel("Timer")],
        ),
    ]
