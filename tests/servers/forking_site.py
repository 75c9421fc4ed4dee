"""A process that has engines, and then forks: both print the process ids of the engines that answer them."""

import asyncio
import os
import sys
from contextlib import nullcontext

import django

django.setup()

from providers.engines.pool import shared_pool  # noqa: E402
from providers.engines.process import EngineSpec  # noqa: E402

SPEC = EngineSpec.of("tests.servers.bad_engine", {})


def engine():
    answer, _ = asyncio.run(shared_pool().ask(SPEC, nullcontext({"do": "answer"}), time_limit=60))
    sys.stdout.write(f"{answer['process']}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    engine()
    child = os.fork()
    if child == 0:
        engine()
        shared_pool().close()
        os._exit(0)
    os.waitpid(child, 0)
    engine()
