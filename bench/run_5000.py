"""What a run costs beside the model's own time: statements and milliseconds a sample, at 500 and at 5,000 samples.

    python bench/run_5000.py

One worker's code in this process, on a new SQLite database, against a model that answers at once. Statements are
counted by Django; BEGIN, COMMIT and SAVEPOINT are not counted.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
folder = tempfile.mkdtemp(prefix="earshot-bench-")
os.environ.update(
    DJANGO_SETTINGS_MODULE="tests.settings",
    DATABASE_URL=os.environ.get("BENCH_DATABASE_URL", f"sqlite:///{folder}/bench.sqlite3"),
    LOG_LEVEL="WARNING",
)

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from accounts.services import ensure_workspace  # noqa: E402
from evaluations.models import Result, Run  # noqa: E402
from evaluations.services import start_run  # noqa: E402
from tests.evaluations.delivery import deliver_all  # noqa: E402
from tests.scripted.data import make_dataset, make_model  # noqa: E402


class StatementCount:
    """Counts what is executed inside, without keeping it."""

    def __init__(self):
        self.count = 0

    def __call__(self, execute, sql, params, many, context):
        self.count += not sql.startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK"))
        return execute(sql, params, many, context)


def measure(workspace, model, samples):
    dataset = make_dataset(workspace, samples=samples, name=f"{samples} samples {time.time()}")
    counter = StatementCount()
    with connection.execute_wrapper(counter):
        started = time.perf_counter()
        run = start_run(dataset=dataset, models=[model])
        begun = time.perf_counter()
        deliver_all()
        ended = time.perf_counter()
    assert Run.objects.get(pk=run.pk).status == "completed"
    assert Result.objects.filter(run=run, status="completed").count() == samples
    print(
        f"{samples:>6} samples: {counter.count / samples:.3f} statements a result, "
        f"{1000 * (ended - begun) / samples:.2f} ms a sample, start {1000 * (begun - started):.0f} ms in all"
    )


def main():
    call_command("migrate", verbosity=0)
    workspace = ensure_workspace(slug="bench", name="Bench")
    model = make_model(workspace, "instant", max_concurrency=16)
    measure(workspace, model, 50)  # warms up
    for samples in (500, 5000, 500, 5000):
        measure(workspace, model, samples)


if __name__ == "__main__":
    main()
