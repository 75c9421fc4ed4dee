"""A lease that is kept while one long thing is done."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection

from evaluations.pipeline.leases import Lease, LeaseLost

NOTICE_SECONDS = 5.0  # how soon a cancelled run is noticed


class KeptLease:
    """Renewed by a thread, every third of its length at the latest."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self._lost = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def check(self) -> None:
        """Raises LeaseLost where it could not be renewed."""
        if self._lost.is_set():
            raise LeaseLost

    def _keep(self) -> None:
        try:
            period = min(NOTICE_SECONDS, settings.SHARD_LEASE_SECONDS / 3)
            while not self._done.wait(period) and self.lease.renew():
                pass
        finally:
            # Also where the database did not answer: the lease runs out, and somebody else takes it.
            if not self._done.is_set():
                self._lost.set()
            connection.close()


@contextmanager
def kept(lease: Lease) -> Iterator[KeptLease]:
    """Inside, `lease` is renewed as long as it can be."""
    keeper = KeptLease(lease)
    keeper._thread.start()
    try:
        yield keeper
    finally:
        keeper._done.set()
        keeper._thread.join()
