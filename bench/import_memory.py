"""Memory and speed of an import: 50 and 5,000 one-second WAV files, each in a fresh worker process.

    python -m bench.import_memory

Prints the peak resident memory of the worker and of the processes that decode for it. Works in a temporary folder, on
SQLite.
"""

import io
import os
import sys
import time
import wave
import zipfile
from pathlib import Path

from bench.measure import (
    children,
    in_new_process,
    migrate,
    options,
    peak_mb,
    setup_django,
    site_environment,
    temporary_folder,
)

LIMIT_MB = 50


def main(few, many, judged):
    environment = site_environment(temporary_folder())
    in_new_process(make_database, environment)
    found = {size: measure(size, environment) for size in sorted({few, many})}
    growth = found[many]["worker_mb"] - found[few]["worker_mb"]
    decoders = max(found[many]["decoders_mb"]) - max(found[few]["decoders_mb"])
    print(f"worker grows by {growth:.1f} MB, a decoder by {decoders:.1f} MB; the limit is {LIMIT_MB} MB")
    sys.exit(judged and (growth >= LIMIT_MB or decoders >= LIMIT_MB))


def make_database(environment):
    setup_django(**environment)
    migrate()


def measure(size, environment):
    archive = Path(temporary_folder(), f"{size}.zip")
    make_archive(archive, size)
    found = in_new_process(work, archive, size, environment)
    print(
        f"{size:>5} files: {found['seconds']:.1f} s, {size / found['seconds']:.0f} files/s, "
        f"worker {found['worker_mb']:.0f} MB, decoders {', '.join(f'{mb:.0f}' for mb in found['decoders_mb'])} MB",
        flush=True,
    )
    return found


def make_archive(path, size):
    """One-second files of noise, all different."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number in range(size):
            out = io.BytesIO()
            with wave.open(out, "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(16000)
                file.writeframes(os.urandom(32000))
            archive.writestr(f"{number:05}.wav", out.getvalue())


def work(archive, size, environment):
    """What a worker does, alone in a process: the import of one archive, to its end."""
    setup_django(**environment)
    from accounts.services import ensure_workspace
    from datasets.models import Import
    from datasets.services import create_dataset, start_import
    from datasets.tasks import run_import

    dataset = create_dataset(workspace=ensure_workspace(slug="bench", name="Bench"), name=archive.stem)
    with archive.open("rb") as file:
        begun = start_import(dataset=dataset, file=file, filename=archive.name)
    started = time.monotonic()
    while Import.objects.unfinished().filter(pk=begun.pk).exists():
        run_import(begun.pk)
    seconds = time.monotonic() - started
    begun.refresh_from_db()
    assert (begun.status, begun.done, begun.bad) == ("completed", size, 0), begun.error
    assert dataset.samples.count() == size
    decoders = [peak_mb(pid) for pid in children(os.getpid())]
    assert decoders, "nothing has decoded"
    return {"seconds": seconds, "worker_mb": peak_mb(os.getpid()), "decoders_mb": decoders}


if __name__ == "__main__":
    chosen = options(__doc__, few=(50, 10), many=(5000, 10))
    main(chosen.few, chosen.many, judged=not chosen.small)
