"""The site's own settings, with what a test run needs different: files in a temporary folder, cheap passwords."""

import os
import tempfile

os.environ["ENV_FILE"] = os.devnull
os.environ["SECRET_KEY"] = "only for tests, and for nothing else at all"
os.environ.setdefault("MEDIA_ROOT", tempfile.mkdtemp(prefix="earshot-media-"))
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
    DATABASES["default"]["TEST"]["NAME"] = tempfile.mkdtemp(prefix="earshot-db-") + "/test.sqlite3"

INSTALLED_APPS += ["tests.scripted.apps.ScriptedConfig"]

if "BENCH_STORAGE_SECONDS" in os.environ:
    STORAGES["default"] = {"BACKEND": "bench.slow_storage.SlowStorage"}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
