"""A folder that answers as late as an object store does."""

import os
import time

from django.core.files.storage import FileSystemStorage


class SlowStorage(FileSystemStorage):
    """Each opening of a file takes BENCH_STORAGE_SECONDS longer."""

    def _open(self, name, mode="rb"):
        time.sleep(float(os.environ["BENCH_STORAGE_SECONDS"]))
        return super()._open(name, mode)
