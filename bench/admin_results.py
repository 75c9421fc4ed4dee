"""The admin's result list over 1,000,000 results on PostgreSQL, beside Django's default change list of the same table.

    python bench/admin_results.py [RESULTS]

A new PostgreSQL from a wheel, rows by INSERT ... SELECT. Pages are asked for by Django's test client as a signed-in
evaluator: time is from request to rendered answer, the median of several. Django's list shows 100 rows, its default;
ours as many as it shows people.
"""

import atexit
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["TEST_DATABASE"] = "postgresql"
os.environ["LOG_LEVEL"] = "ERROR"

import tests.plugins.database  # noqa: E402, F401  (starts the server and stops it at exit)

media = tempfile.mkdtemp(prefix="earshot-bench-")
atexit.register(shutil.rmtree, media, ignore_errors=True)
os.environ.update(DJANGO_SETTINGS_MODULE="tests.settings", MEDIA_ROOT=media)

import django  # noqa: E402

django.setup()

from django.contrib import admin  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import setup_test_environment, teardown_test_environment  # noqa: E402
from django.urls import reverse  # noqa: E402

from accounts.models import Membership, Role, User  # noqa: E402
from accounts.services import ensure_workspace  # noqa: E402
from evaluations.admin import ResultAdmin  # noqa: E402
from evaluations.models import Job, Result, Run, Shard  # noqa: E402
from tests.scripted.data import make_dataset, make_model  # noqa: E402

RUNS, MODELS, REPEATS = 10, 2, 9
DEFAULT, FIRST = "default change list", "first page"


class DefaultResult(Result):
    class Meta:
        proxy = True
        app_label = "evaluations"


@admin.register(DefaultResult)
class DefaultAdmin(admin.ModelAdmin):
    """What Django makes of the table by itself: it counts it, twice, and shows `str` of each row."""

    def has_view_permission(self, request, obj=None):
        return True

    def has_module_permission(self, request):
        return False  # in the side bar it would cost every page two statements


class StatementCount:
    def __init__(self):
        self.count = 0

    def __call__(self, execute, sql, params, many, context):
        self.count += 1
        return execute(sql, params, many, context)


def insert(results):
    """`results` rows over RUNS runs of MODELS models, completed and scored but for 1 in 50 that failed."""
    workspace = ensure_workspace(slug="bench", name="Bench")
    user = User.objects.create_user("bench", is_staff=True)
    Membership.objects.create(user=user, workspace=workspace, role=Role.EVALUATOR)
    samples = results // RUNS // MODELS
    dataset = make_dataset(workspace, samples=samples, reference="nobody knows what is said in this clip of speech")
    models = [make_model(workspace, f"model-{number}") for number in range(MODELS)]
    for number in range(RUNS):
        run = Run.objects.create(
            workspace=workspace,
            dataset=dataset,
            name=f"run {number}",
            status="completed_with_failures",
            normalizer="basic",
            normalizer_version=1,
        )
        for model in models:
            job = Job.objects.create(run=run, model=model, model_name=model.public_name, total=samples)
            _insert_job(workspace, run, job, Shard.objects.create(job=job, index=0), dataset)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return user, Run.objects.order_by("pk")[RUNS // 2]


def _insert_job(workspace, run, job, shard, dataset):
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # foreign keys are right, and are not checked
        cursor.execute(
            """
            INSERT INTO evaluations_result (workspace_id, run_id, job_id, shard_id, sample_id, status, reason, error,
                                            hypothesis, attempts, audio_seconds, latency, cost_usd, finished_at)
            SELECT %s, %s, %s, %s, id,
                   CASE WHEN id %% 50 = 0 THEN 'failed' ELSE 'completed' END,
                   CASE WHEN id %% 50 = 0 THEN 'timeout' ELSE '' END, '',
                   CASE WHEN id %% 50 = 0 THEN '' ELSE 'nobody nose what is said in clip ' || id END,
                   1, 4.0, (id * 7919 %% 1000) / 500.0, 0, now()
            FROM datasets_sample WHERE dataset_id = %s
            """,
            [workspace.pk, run.pk, job.pk, shard.pk, dataset.pk],
        )
        cursor.execute(
            """
            INSERT INTO evaluations_score (result_id, job_id, normalizer, normalizer_version, reference_revision,
                                           reference_empty, hits, substitutions, deletions, insertions,
                                           reference_words, character_errors, reference_characters, wer)
            SELECT id, job_id, 'basic', 1, 1, false, 9 - e, e, 0, 0, 9, e * 4, 40, e / 9.0
            FROM (SELECT id, job_id, sample_id * 31 %% 8 AS e FROM evaluations_result
                  WHERE job_id = %s AND status = 'completed') AS completed
            """,
            [job.pk],
        )


def count_statements(client, address, asked):
    """(statements, rows shown) of a page; caches and plans are warm afterwards."""
    counter = StatementCount()
    with connection.execute_wrapper(counter):
        response = client.get(address, asked)
    assert response.status_code == 200
    return counter.count, len(response.context["cl"].result_list)


def measure(client, pages):
    """Median seconds of each of `pages` by title; in turns, so that a busy moment is shared by all of them."""
    took = {title: [] for title in pages}
    for _ in range(REPEATS):
        for title, (address, asked) in pages.items():
            started = time.perf_counter()
            client.get(address, asked)
            took[title].append(time.perf_counter() - started)
    return {title: statistics.median(times) for title, times in took.items()}


def pages_of(run, results):
    ours = reverse("admin:evaluations_result_changelist")
    of_run, last = {"run": run.pk}, results // ResultAdmin.list_per_page
    wer = ResultAdmin.list_display.index("wer")
    return {
        DEFAULT: (reverse("admin:evaluations_defaultresult_changelist"), {}),
        FIRST: (ours, {}),
        "one run": (ours, of_run),
        "one run and model, failed": (ours, {**of_run, "model": "scripted/model-1", "status": "failed"}),
        "one run, worst WER first": (ours, {**of_run, "o": f"-{wer}"}),
        "one run, WER from 50%": (ours, {**of_run, "wer_from": 50}),
        "one run, a search": (ours, {**of_run, "q": "clip 777"}),
        "one run, its middle page": (ours, {**of_run, "p": last // RUNS // 2}),
        "all runs, the middle page": (ours, {"p": last // 2}),
    }


def main(results=1_000_000):
    call_command("migrate", verbosity=0)
    started = time.perf_counter()
    user, run = insert(results)
    print(f"{Result.objects.count():,} results inserted in {time.perf_counter() - started:.0f} s")
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    pages = pages_of(run, results)
    setup_test_environment(debug=False)  # keeps what was rendered, for the count of rows
    counts = {title: count_statements(client, *page) for title, page in pages.items()}
    teardown_test_environment()
    seconds = measure(client, pages)
    for title, (statements, rows) in counts.items():
        print(f"{title:<30} {1000 * seconds[title]:>8.0f} ms {statements:>4} statements {rows:>5} rows")
    print(f"{FIRST} / {DEFAULT} = {seconds[FIRST] / seconds[DEFAULT]:.2f} (at most 0.33)")
    assert max(statements for statements, _ in counts.values()) <= 12, "more than 12 statements"
    assert seconds[FIRST] <= seconds[DEFAULT] / 3, "more than a third of the default change list's time"


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
