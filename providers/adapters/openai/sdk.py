"""The openai SDK, imported by the first call that needs it: it takes 22 MB and a second, and the gateway passes most
calls on without it."""

import functools
import logging
from types import ModuleType


@functools.cache
def sdk() -> ModuleType:
    import openai as module

    # After its import, which follows a switch of its own: below this level its lines hold whole requests.
    logging.getLogger("openai").setLevel(logging.WARNING)
    return module
