"""Keeps a worker alive: starts `qcluster`, and starts it again when it dies or stalls."""

import logging
import subprocess
import time

from django.db import DatabaseError, connection

from core.processes import Restarts, kill, manage, start, stop
from core.queue.worker_health import StallDetector, Traces

logger = logging.getLogger(__name__)
LOOK_EVERY = 0.5  # seconds between two looks at the process
READ_EVERY = 5.0  # seconds between two looks at the database


class Worker:
    def __init__(self, patience: float) -> None:
        self.detector = StallDetector(patience)
        self.read_every = min(READ_EVERY, patience / 3)
        self.restarts = Restarts()
        self.process: subprocess.Popen[bytes] | None = None

    def keep_alive(self) -> None:
        """For ever."""
        while True:
            self.process = start(manage("qcluster"))
            self.detector.begin_again()
            why = self._wait_for_trouble(self.process)
            kill(self.process)  # a dead leader's workers would go on as orphans
            pause = self.restarts.next_pause()
            logger.error("The worker %s; starting it again in %.0f s.", why, pause)
            time.sleep(pause)

    def stop(self) -> None:
        if self.process is not None:
            stop(self.process)

    def _wait_for_trouble(self, process: subprocess.Popen[bytes]) -> str:
        next_read = time.monotonic() + self.read_every
        while process.poll() is None:
            if time.monotonic() >= next_read:
                if self._is_stalled():
                    return "stalled"
                next_read = time.monotonic() + self.read_every
            time.sleep(LOOK_EVERY)
        return f"ended by itself with code {process.returncode}"

    def _is_stalled(self) -> bool:
        try:
            return self.detector.is_stalled(Traces.read())
        except DatabaseError as error:
            # Nobody can work now; that is no reason to restart the worker.
            logger.error("The database does not answer: %s", error)
            connection.close()
            self.detector.begin_again()
            return False
