"""A process of its own with a pool of engines: `python -m tests.servers.pool_user FOLDER REQUEST... `.

Asks for all requests (JSON) at once, with one slot in FOLDER, and prints the answers.
"""

import asyncio
import json
import sys
from contextlib import nullcontext
from pathlib import Path

from providers.engines.pool import EnginePool
from providers.engines.process import EngineSpec
from providers.engines.slots import Slots

SPEC = EngineSpec.of("tests.servers.bad_engine", {})


async def main(folder, requests):
    pool = EnginePool(Slots(1, Path(folder)))
    calls = (pool.ask(SPEC, nullcontext(json.loads(request)), time_limit=60) for request in requests)
    sys.stdout.write(json.dumps([header for header, _ in await asyncio.gather(*calls)]))
    pool.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
