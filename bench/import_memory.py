"""Memory and speed of an import: 50 and 5,000 one-second WAV files, each in a fresh worker process.

    python bench/import_memory.py

Prints the peak resident memory (VmHWM) of the worker and of the processes that decode for it. Works in a temporary
folder, on SQLite or on the database of BENCH_DATABASE_URL, which must be empty.
"""

import io
import json
import os
import subprocess
import sys
import tempfile
import time
import wave
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIZES = (50, 5000)
LIMIT_MB = 50


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SECRET_KEY"] = "only for this measurement"
        os.environ["MEDIA_ROOT"] = f"{folder}/media"
        os.environ["DATABASE_URL"] = os.environ.get("BENCH_DATABASE_URL", f"sqlite:///{folder}/bench.sqlite3")
        subprocess.run([sys.executable, ROOT / "manage.py", "migrate", "-v0"], check=True)
        found = {size: measure(size, Path(folder)) for size in SIZES}
    for size, result in found.items():
        print(
            f"{size:>5} files: {result['seconds']:.1f} s, {size / result['seconds']:.0f} files/s, "
            f"worker {result['worker_mb']:.0f} MB, decoders {', '.join(f'{mb:.0f}' for mb in result['decoders_mb'])} MB"
        )
    small, large = (found[size] for size in SIZES)
    growth = large["worker_mb"] - small["worker_mb"]
    decoders = max(large["decoders_mb"]) - max(small["decoders_mb"])
    print(f"worker grows by {growth:.1f} MB, a decoder by {decoders:.1f} MB; the limit is {LIMIT_MB} MB")
    sys.exit(growth >= LIMIT_MB or decoders >= LIMIT_MB)


def measure(size: int, folder: Path) -> dict:
    archive = folder / f"{size}.zip"
    make_archive(archive, size)
    done = subprocess.run([sys.executable, __file__, str(archive)], check=True, stdout=subprocess.PIPE, cwd=ROOT)
    return json.loads(done.stdout)


def make_archive(path: Path, size: int) -> None:
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


def work(archive: Path) -> None:
    """What a worker does, alone in a process: the import of one archive, to its end."""
    import django

    django.setup()
    from accounts.services import ensure_workspace
    from datasets import probe_pool
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
    assert (begun.status, begun.done, begun.bad) == ("completed", int(archive.stem), 0), begun.error
    assert dataset.samples.count() == int(archive.stem)
    decoders = [one._process.pid for one in probe_pool._current_pool().idle.queue if one is not None]
    result = {"seconds": seconds, "worker_mb": peak_mb("self"), "decoders_mb": [peak_mb(pid) for pid in decoders]}
    print(json.dumps(result))


def peak_mb(pid: object) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    work(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
