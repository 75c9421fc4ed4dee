"""What a run costs beside the model's own time: statements and milliseconds a sample, at 500 and at 5,000 samples.

    python -m bench.run_5000

One worker's code in this process, on a new SQLite database, against a model that answers at once. Statements are
counted by Django; BEGIN, COMMIT and SAVEPOINT are not counted.
"""

import time

from bench.measure import StatementCount, migrate, options, setup_django

setup_django()

from django.db import connection  # noqa: E402

from accounts.services import ensure_workspace  # noqa: E402
from evaluations.models import Result, Run  # noqa: E402
from evaluations.services import start_run  # noqa: E402
from tests.evaluations.delivery import deliver_all  # noqa: E402
from tests.scripted.data import make_dataset, make_model  # noqa: E402


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


def main(few, many):
    migrate()
    workspace = ensure_workspace(slug="bench", name="Bench")
    model = make_model(workspace, "instant", max_concurrency=16)
    measure(workspace, model, 50)  # warms up
    for samples in (few, many, few, many):
        measure(workspace, model, samples)


if __name__ == "__main__":
    chosen = options(__doc__, few=(500, 50), many=(5000, 100))
    main(chosen.few, chosen.many)
