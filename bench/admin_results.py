"""The admin's result list over 1,000,000 results on PostgreSQL, beside Django's default change list of the same table.

    python -m bench.admin_results

A new PostgreSQL from a wheel, rows by INSERT ... SELECT. Pages are asked for by Django's test client as a signed-in
evaluator: time is from request to rendered answer, the median of several. Django's list shows 100 rows, its default;
ours as many as it shows people.
"""

import statistics
import time

from bench.measure import StatementCount, migrate, options, postgresql, print_table, setup_django

setup_django(DATABASE_URL=postgresql(), LOG_LEVEL="ERROR")

from django.contrib import admin  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import setup_test_environment, teardown_test_environment  # noqa: E402
from django.urls import reverse  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.models import Membership, Role, User  # noqa: E402
from accounts.services import ensure_workspace  # noqa: E402
from evaluations.admin import ResultAdmin  # noqa: E402
from evaluations.models import Job, Result, Run, Score, Shard  # noqa: E402
from tests.scripted.data import make_dataset, make_model  # noqa: E402

RUNS, MODELS = 10, 2
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


def insert(results):
    """Make `results` rows over RUNS runs of MODELS models, completed and scored but for 1 in 50 that failed."""
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
    _insert_like(
        Result(
            workspace=workspace,
            run=run,
            job=job,
            shard=shard,
            attempts=1,
            calls=1,
            audio_seconds=4.0,
            cost_usd=0,
            finished_at=timezone.now(),
        ),
        f"FROM datasets_sample WHERE dataset_id = {dataset.pk}",
        sample_id="id",
        status="CASE WHEN id % 50 = 0 THEN 'failed' ELSE 'completed' END",
        reason="CASE WHEN id % 50 = 0 THEN 'timeout' ELSE '' END",
        hypothesis="CASE WHEN id % 50 = 0 THEN '' ELSE 'nobody nose what is said in clip ' || id END",
        latency="(id * 7919 % 1000) / 500.0",
    )
    _insert_like(
        Score(
            job=job,
            normalizer="basic",
            normalizer_version=1,
            reference_revision=1,
            reference_empty=False,
            deletions=0,
            insertions=0,
            reference_words=9,
            reference_characters=40,
        ),
        "FROM (SELECT id, sample_id * 31 % 8 AS e FROM evaluations_result "
        f"WHERE job_id = {job.pk} AND status = 'completed') AS completed",
        result_id="id",
        hits="9 - e",
        substitutions="e",
        character_errors="e * 4",
        wer="e / 9.0",
    )


def _insert_like(row, source, **expressions):
    """Insert a row for each of `source`, like `row` but for columns given as SQL: a new column has its default."""
    fields = [field for field in row._meta.local_concrete_fields if not field.primary_key]
    plain = [field for field in fields if field.column not in expressions]
    selected = [expressions.get(field.column, "%s").replace("% ", "%% ") for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {row._meta.db_table} ({', '.join(field.column for field in fields)}) "
            f"SELECT {', '.join(selected)} {source.replace('%', '%%')}",
            [field.get_db_prep_save(getattr(row, field.attname), connection) for field in plain],
        )


def get(client, address, asked):
    response = client.get(address, asked)
    assert response.status_code == 200, f"{address}: {response.status_code}"
    return response


def count_statements(client, address, asked):
    """(statements, rows shown) of a page; caches and plans are warm afterwards."""
    counter = StatementCount()
    with connection.execute_wrapper(counter):
        response = get(client, address, asked)
    rows = len(response.context["cl"].result_list)
    assert rows, f"{address} {asked} shows nothing"
    return counter.count, rows


def measure(client, pages, repeats):
    """Median seconds of each of `pages` by title; in turns, so that a busy moment is shared by all of them."""
    took = {title: [] for title in pages}
    for _ in range(repeats):
        for title, page in pages.items():
            started = time.perf_counter()
            get(client, *page)
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
        "one run, a search": (ours, {**of_run, "q": "clip 77"}),
        "one run, its middle page": (ours, {**of_run, "p": last // RUNS // 2}),
        "all runs, the middle page": (ours, {"p": last // 2}),
    }


def main(results, repeats, judged):
    migrate()
    started = time.perf_counter()
    user, run = insert(results)
    assert Result.objects.count() == results
    print(f"{results:,} results inserted in {time.perf_counter() - started:.0f} s")
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    pages = pages_of(run, results)
    setup_test_environment(debug=False)  # keeps what was rendered, for the count of rows
    counts = {title: count_statements(client, *page) for title, page in pages.items()}
    teardown_test_environment()
    seconds = measure(client, pages, repeats)
    print_table(
        ("page", "ms", "statements", "rows"),
        [(title, f"{1000 * seconds[title]:.0f}", *map(str, counts[title])) for title in pages],
    )
    print(f"{FIRST} / {DEFAULT} = {seconds[FIRST] / seconds[DEFAULT]:.2f} (at most 0.33)")
    assert max(statements for statements, _ in counts.values()) <= 12, "more than 12 statements"
    assert not judged or seconds[FIRST] <= seconds[DEFAULT] / 3, "more than a third of the default change list's time"


if __name__ == "__main__":
    chosen = options(__doc__, results=(1_000_000, 4_000), repeats=(9, 1))
    main(chosen.results, chosen.repeats, judged=not chosen.small)
