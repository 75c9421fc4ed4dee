"""The core stands by itself."""

import subprocess
import sys

IMPURE = "asyncio django numpy providers selectors socket starlette"


def test_the_core_needs_no_loop_no_socket_and_no_django():
    program = "import sys, voice.protocol.dialects, voice.protocol.wire; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not set(IMPURE.split()) & set(modules)
