"""Databases of earlier versions are migrated with all their rows, and back again."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import connection, connections, models
from django.db.migrations.executor import MigrationExecutor

# The leaves of the graph in the last version that had its voice tables in the gateway.
BEFORE = [
    ("accounts", "0002_requests_per_minute"),
    ("datasets", "0001_initial"),
    ("evaluations", "0004_computed_stage"),
    ("gateway", "0003_fewer_usage_indexes"),
    ("providers", "0003_gates"),
]
APPS = {"accounts", "datasets", "evaluations", "gateway", "providers", "voice"}
RENAMED = {
    "providers_gate": "providers_providerthrottle",
    "gateway_keyallowance": "gateway_ratebucket",
    "gateway_clientsecret": "voice_clientsecret",
    "gateway_realtimesession": "voice_realtimesession",
    "gateway_realtimeturn": "voice_realtimeturn",
    "gateway_voicepipeline": "voice_voicepipeline",
}
RENAMED_COLUMNS = {
    "held_until": "backoff_until",
    "holds": "backoffs",
    "paused_until": "open_until",
    "pauses": "openings",
    "probe": "half_open_by",
}
MOMENT = datetime(2026, 11, 21, 12, tzinfo=UTC)
VALUES = {  # what the tables' constraints ask for
    ("Budget", "api_key"): None,
    ("RealtimeSession", "end"): "client",
    ("Result", "status"): "completed",
    ("UsageRecord", "state"): "settled",
    ("UsageRecord", "result"): "success",
}


@pytest.fixture
def database(tmp_path, django_db_setup, django_db_blocker):
    """An empty database of the kind that the tests run on."""
    name = str(tmp_path / "old.sqlite3") if connection.vendor == "sqlite" else f"old_{uuid4().hex}"
    with django_db_blocker.unblock():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {name}")
        connections.databases["old"] = {**connections.databases["default"], "NAME": name}
        yield connections["old"]
        connections["old"].close()
        del connections.databases["old"]
        del connections["old"]
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(f"DROP DATABASE {name}")
        connection.close()


def migrate(database, targets=None):
    executor = MigrationExecutor(database)
    executor.migrate(targets or executor.loader.graph.leaf_nodes())


def value_of(model, field, number, rows):
    """Something that a column can hold, other for each row."""
    known = VALUES.get((model.__name__, field.name), ...)
    if known is not ...:
        return known
    if field.is_relation:
        return rows[field.related_model._meta.label][number]
    if field.choices:
        return field.choices[0][0]
    if isinstance(field, models.BooleanField):
        return number == 0
    if isinstance(field, models.DateTimeField):
        return MOMENT
    kinds = {
        models.DateField: date(2026, 11, 21),
        models.DecimalField: Decimal(number + 1),
        models.UUIDField: uuid4(),
        models.JSONField: {"number": number},
        models.FloatField: number + 0.5,
        models.IntegerField: number + 1,
        models.BinaryField: b"\x00\x01",
    }
    for kind, value in kinds.items():
        if isinstance(field, kind):
            return value
    return f"{field.name}-{number}"[: field.max_length]


def fill(apps):
    """Two rows in each table of ours. {model's label: rows}."""
    rows, left = {}, [model for model in apps.get_models() if model._meta.app_label in APPS]
    while left:
        model = next(
            model
            for model in left
            if all(
                field.related_model._meta.label in rows
                for field in model._meta.concrete_fields
                if field.is_relation and field.related_model not in (model, None)
            )
        )
        left.remove(model)
        made = []
        for number in range(2):
            fields = [
                field
                for field in model._meta.concrete_fields
                if not isinstance(field, models.AutoField) and field.related_model is not model
            ]
            values = {field.name: value_of(model, field, number, rows) for field in fields}
            made.append(model.objects.using("old").create(**values))
        rows[model._meta.label] = made
    return rows


def contents(database, tables):
    """{table: its rows as dictionaries, in order}."""
    found = {}
    with database.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT * FROM {table} ORDER BY 1")
            names = [column.name if hasattr(column, "name") else column[0] for column in cursor.description]
            found[table] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return found


def as_renamed(before):
    renamed = {}
    for table, rows in before.items():
        change = RENAMED_COLUMNS if table == "providers_gate" else {}
        renamed[RENAMED.get(table, table)] = [{change.get(name, name): row[name] for name in row} for row in rows]
    return renamed


def test_a_database_of_the_version_before_keeps_every_row_and_goes_back(database):
    migrate(database, BEFORE)
    apps = MigrationExecutor(database).loader.project_state(BEFORE).apps
    rows = fill(apps)
    content_types = apps.get_model("contenttypes", "ContentType").objects.using("old")
    pipelines = content_types.create(app_label="gateway", model="voicepipeline")
    assert len(rows) > 25
    tables = [made[0]._meta.db_table for made in rows.values()]
    before = contents(database, tables)

    migrate(database)
    after = contents(database, [RENAMED.get(table, table) for table in tables])
    for table, kept in as_renamed(before).items():
        assert [{name: row[name] for name in kept[0]} for row in after[table]] == kept, table
    assert content_types.get(pk=pipelines.pk).app_label == "voice"

    migrate(database, [*BEFORE, ("voice", None)])
    assert contents(database, tables) == before
    assert content_types.get(pk=pipelines.pk).app_label == "gateway"


def test_keys_without_a_maker_become_service_keys_and_others_are_revoked_on_the_way_back(database):
    migrate(database, BEFORE)
    old = MigrationExecutor(database).loader.project_state(BEFORE).apps
    organization = old.get_model("accounts", "Organization").objects.using("old").create(name="Acme")
    workspace = old.get_model("accounts", "Workspace").objects.using("old").create(organization=organization)
    user = old.get_model("accounts", "User").objects.using("old").create(username="anna")
    for prefix, maker in (("command", None), ("person", user)):
        old.get_model("accounts", "ApiKey").objects.using("old").create(
            workspace=workspace, prefix=prefix, key_hash=prefix, created_by=maker
        )

    def keys():
        return {row["prefix"]: row for row in contents(database, ["accounts_apikey"])["accounts_apikey"]}

    migrate(database)
    assert {prefix: bool(row["is_service"]) for prefix, row in keys().items()} == {"command": True, "person": False}
    with database.cursor() as cursor:
        cursor.execute("UPDATE accounts_apikey SET created_by_id = NULL")
    migrate(database, [*BEFORE, ("voice", None)])
    assert {prefix: row["revoked_at"] is not None for prefix, row in keys().items()} == {
        "command": False,
        "person": True,
    }


def test_options_that_no_page_could_show_are_repaired(database):
    if connection.vendor == "postgresql":
        pytest.skip("PostgreSQL has never taken such rows")
    migrate(database, BEFORE)
    old = MigrationExecutor(database).loader.project_state(BEFORE).apps
    [model, other] = fill(old)["providers.SpeechModel"]
    model.options = {"prompt": "half \ud83d a letter", "\udc00": ["\0", 1]}
    model.save()
    migrate(database)

    with database.cursor() as cursor:
        cursor.execute("SELECT options FROM providers_speechmodel ORDER BY id")
        repaired, untouched = (json.loads(options) for (options,) in cursor.fetchall())
    assert repaired == {"prompt": "half ? a letter", "?": ["", 1]}
    assert untouched == other.options
