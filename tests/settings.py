"""The site's own settings, with what a test run needs different: files in a temporary folder, cheap passwords."""

import atexit
import os
import shutil
import tempfile

os.environ["ENV_FILE"] = os.devnull
os.environ["SECRET_KEY"] = "only for tests, and for nothing else at all"
if "TEST_FOLDER" not in os.environ:  # else: a process that a test run has started
    os.environ["TEST_FOLDER"] = tempfile.mkdtemp(prefix="earshot-test-")
    atexit.register(shutil.rmtree, os.environ["TEST_FOLDER"], ignore_errors=True)
# Each worker has its own database, whose ids are in the files' names; processes that it starts are told where it is.
_worker = os.environ.get("PYTEST_XDIST_WORKER", "")
if "MEDIA_ROOT" not in os.environ or os.environ.get("TEST_WORKER", "") != _worker:
    os.environ["MEDIA_ROOT"] = f"{os.environ['TEST_FOLDER']}/media{_worker}"
    os.environ["TEST_WORKER"] = _worker
os.environ.setdefault("ALLOW_PRIVATE_ADDRESSES", "1")  # the stand-ins of providers are on loopback
for name in (
    "GEMINI_API_KEY",
    "GEMINI_BASE_URL",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "AWS_STORAGE_BUCKET_NAME",
    "DEBUG",
    "CREDENTIAL_KEY",
):
    os.environ[name] = ""

from config.settings import *  # noqa: E402, F403
from config.settings import DATABASES, INSTALLED_APPS, STORAGES  # noqa: E402

DATABASES["default"]["CONN_MAX_AGE"] = 0
DATABASES["default"].setdefault("TEST", {})
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file, not memory: real qcluster processes work on the same database.
    DATABASES["default"]["TEST"]["NAME"] = os.environ["TEST_FOLDER"] + "/test.sqlite3"

INSTALLED_APPS += ["tests.scripted.apps.ScriptedConfig"]

if "BENCH_STORAGE_SECONDS" in os.environ:
    STORAGES["default"] = {"BACKEND": "bench.slow_storage.SlowStorage"}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
