"""The tables of voice sessions go over to the app `voice`: renamed, with their rows, ids, indexes and content types."""

from django.db import migrations

MODELS = ["RealtimeTurn", "RealtimeSession", "VoicePipeline", "ClientSecret"]


def change_app(before, after):
    def change(apps, schema_editor):
        """Permissions and the history of changes refer to content types, which keep their ids."""
        content_types = apps.get_model("contenttypes", "ContentType").objects.using(schema_editor.connection.alias)
        names = [name.lower() for name in MODELS]
        content_types.filter(app_label=before, model__in=names).update(app_label=after)

    return change


class Migration(migrations.Migration):
    dependencies = [
        ("contenttypes", "0002_remove_content_type_name"),
        ("gateway", "0003_fewer_usage_indexes"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                *(migrations.AlterModelTable(name, f"voice_{name.lower()}") for name in MODELS),
                migrations.RunPython(change_app("gateway", "voice"), change_app("voice", "gateway")),
            ],
            state_operations=[migrations.DeleteModel(name) for name in MODELS],
        ),
    ]
