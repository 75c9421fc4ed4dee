"""Every setting of the site, read from the environment; docs/operate.md documents each one."""

import warnings
from pathlib import Path
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static

from config import dotenv
from core import temporary

BASE_DIR = Path(__file__).resolve().parent.parent


def _bucket_origins(endpoint: str | None) -> list[str]:
    """Return the origins that a bucket's audio is served from, with the bucket in host name or path."""
    if endpoint is None:
        return ["https://*.amazonaws.com"]
    server = urlsplit(endpoint)
    return [f"{server.scheme}://{server.netloc}", f"{server.scheme}://*.{server.netloc}"]


env = environ.Env()
dotenv.read()  # `make demo` and `make serve` write a random SECRET_KEY to it

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY is not set. `make demo` and `make serve` write a random one to .env. Elsewhere put one into the "
        "environment, the same for every process of the site: python3 -c 'import secrets; print(secrets.token_hex(32))'"
    )
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    # Ours come before django_q: `manage.py qcluster` is ours, on top of its.
    "core",
    "accounts",
    "datasets",
    "providers",
    "evaluations",
    "gateway",
    "voice",
    "config.apps.ConfigConfig",
    "django_q",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "core.middleware.BrowserPolicyMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "core.middleware.StorableValuesMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.WorkspaceMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Database -----------------------------------------------------------------------------------

DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'earshot.sqlite3'}")}
DATABASES["default"].update(CONN_MAX_AGE=env.int("CONN_MAX_AGE", default=60), CONN_HEALTH_CHECKS=True)
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {"default": env.cache_url("CACHE_URL", default="locmemcache://")}

# --- Files --------------------------------------------------------------------------------------

MEDIA_ROOT = Path(env.str("MEDIA_ROOT", default=str(BASE_DIR / "media")))
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
FAVICON = "earshot/favicon.svg"
SERVESTATIC_USE_FINDERS = True  # static files are served from the apps, without a collect step

AWS_STORAGE_BUCKET_NAME = env.str("AWS_STORAGE_BUCKET_NAME", default="")
if AWS_STORAGE_BUCKET_NAME:
    AWS_S3_ENDPOINT_URL = env.str("AWS_S3_ENDPOINT_URL", default=None)
    AWS_S3_REGION_NAME = env.str("AWS_S3_REGION_NAME", default=None)
    AWS_QUERYSTRING_EXPIRE = 3600
    AWS_S3_FILE_OVERWRITE = False
    AWS_S3_SIGNATURE_VERSION = "s3v4"  # newer regions and other makers take no older one
    AWS_DEFAULT_ACL = None
    AWS_S3_MAX_MEMORY_SIZE = 1024 * 1024  # what is read beyond it goes through a temporary file
AUDIO_ORIGINS = _bucket_origins(AWS_S3_ENDPOINT_URL) if AWS_STORAGE_BUCKET_NAME else []  # where pages play audio from

STORAGES = {
    "default": {
        "BACKEND": (
            "storages.backends.s3.S3Storage"
            if AWS_STORAGE_BUCKET_NAME
            else "django.core.files.storage.FileSystemStorage"
        )
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# Uploads above 1 MB go to disk; `config/body_limits.py` limits their size.
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler", "core.temporary.UploadHandler"]
FILE_UPLOAD_TEMP_DIR = str(temporary.folder())
DATA_UPLOAD_MAX_NUMBER_FILES = 1000

# --- Audio --------------------------------------------------------------------------------------

MAX_AUDIO_MB = env.int("MAX_AUDIO_MB", default=200)
MAX_AUDIO_HOURS = env.float("MAX_AUDIO_HOURS", default=9.5)
MAX_IMPORT_MB = env.int("MAX_IMPORT_MB", default=20_000)  # an archive's size, packed and unpacked
MAX_IMPORT_FILES = env.int("MAX_IMPORT_FILES", default=100_000)

# --- Runs ---------------------------------------------------------------------------------------

PROVIDER_TIMEOUT_SECONDS = env.float("PROVIDER_TIMEOUT_SECONDS", default=60)  # of each step of a call
UPLOAD_CONCURRENCY = env.int("UPLOAD_CONCURRENCY", default=16)
BATCH_SHARD_SIZE = env.int("BATCH_SHARD_SIZE", default=2000)
BATCH_POLL_SECONDS = env.float("BATCH_POLL_SECONDS", default=30)
BATCH_DEADLINE_HOURS = env.float("BATCH_DEADLINE_HOURS", default=48)
DIRECT_SHARD_SIZE = env.int("DIRECT_SHARD_SIZE", default=500)
SLICE_SECONDS = env.int("SLICE_SECONDS", default=60)
CALL_TIMEOUT_SECONDS = env.float("CALL_TIMEOUT_SECONDS", default=300)  # for one call; short audio gets less
SHARD_LEASE_SECONDS = env.int("SHARD_LEASE_SECONDS", default=300)
SHARD_MAX_ATTEMPTS = env.int("SHARD_MAX_ATTEMPTS", default=5)
SWEEP_SECONDS = env.int("SWEEP_SECONDS", default=60)
ENGINE_PROCESSES = env.int("ENGINE_PROCESSES", default=0)  # 0: as many as the host has cores

# --- Gateway ------------------------------------------------------------------------------------

GATEWAY_MAX_AUDIO_MB = env.int("GATEWAY_MAX_AUDIO_MB", default=25)  # of one uploaded file
GATEWAY_REQUESTS_PER_MINUTE = env.int("GATEWAY_REQUESTS_PER_MINUTE", default=0)  # of a key without its own; 0: no limit
USAGE_LEASE_SECONDS = env.float("USAGE_LEASE_SECONDS", default=120)  # after which a dead process's calls are lost

# --- Credentials --------------------------------------------------------------------------------

CREDENTIAL_KEY = env.str("CREDENTIAL_KEY", default="")  # empty: derived from SECRET_KEY
# Tenants' base URLs (and webhooks) reach public addresses only, unless this is set.
ALLOW_PRIVATE_ADDRESSES = env.bool("ALLOW_PRIVATE_ADDRESSES", default=False)
if "WEBHOOK_ALLOW_PRIVATE" in env.ENVIRON:  # its former name
    warnings.warn("WEBHOOK_ALLOW_PRIVATE is now called ALLOW_PRIVATE_ADDRESSES. Rename it.", stacklevel=1)
    if "ALLOW_PRIVATE_ADDRESSES" not in env.ENVIRON:
        ALLOW_PRIVATE_ADDRESSES = environ.Env.parse_value(env.ENVIRON["WEBHOOK_ALLOW_PRIVATE"], bool)

GEMINI_API_KEY = env.str("GEMINI_API_KEY", default="")
GEMINI_BASE_URL = env.str("GEMINI_BASE_URL", default="")
OPENAI_API_KEY = env.str("OPENAI_API_KEY", default="")
OPENAI_BASE_URL = env.str("OPENAI_BASE_URL", default="")

# --- Realtime -----------------------------------------------------------------------------------

REALTIME_SESSIONS_PER_KEY = env.int("REALTIME_SESSIONS_PER_KEY", default=50)  # open at once
REALTIME_SESSION_MINUTES = env.int("REALTIME_SESSION_MINUTES", default=60)
REALTIME_IDLE_SECONDS = env.float("REALTIME_IDLE_SECONDS", default=600)  # without a frame from the client

# --- Queue --------------------------------------------------------------------------------------

Q_TIMEOUT = env.int("Q_TIMEOUT", default=600)
Q_RETRY = env.int("Q_RETRY", default=1800)
Q_CLUSTER = {
    "name": "earshot",
    "orm": "default",
    "workers": env.int("Q_WORKERS", default=2),
    "timeout": Q_TIMEOUT,
    "retry": Q_RETRY,
    "poll": 0.1,
    "queue_limit": 1,
    "bulk": 1,
    "ack_failures": True,
    "max_attempts": 1,
    "save_limit": -1,
    "catch_up": False,
    "recycle": 500,
    "label": "Queue",
}

# --- REST ---------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.api.authentication.ApiKeyAuthentication",
        "accounts.api.authentication.WorkspaceSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.api.permissions.RolePermission"],
    "DEFAULT_PAGINATION_CLASS": "core.api.pagination.CursorPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["core.api.parsers.JSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "core.api.parsers.LenientNegotiation",
    "EXCEPTION_HANDLER": "core.api.errors.problem_response",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Earshot",
    "DESCRIPTION": "Evaluation of speech models.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_PUBLIC": True,
    "ENUM_NAME_OVERRIDES": {
        "ImportStatus": "datasets.models.Import.Status",
        "ResultStatus": "evaluations.models.Result.Status",
        "RunStatus": "evaluations.choices.Status",
    },
}

API_DOCS = env.bool("API_DOCS", default=True)  # the schema and its pages, which need no key

# --- The rest -----------------------------------------------------------------------------------

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH = ["config.formats"]  # dates with the year first

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",  # earlier ones, until their owners sign in again
]
PASSWORD_RESET_TIMEOUT = 24 * 60 * 60  # seconds that a link of `manage.py password_link` is good for
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

# TLS ends at a proxy in front; HTTPS=1 turns on what makes sense only behind one.
HTTPS = env.bool("HTTPS", default=False)
SECURE_SSL_REDIRECT = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
# Both reach further than this site, and browsers do not soon forget them: only where they are asked for.
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS and env.bool("HSTS_SUBDOMAINS", default=False)
SECURE_HSTS_PRELOAD = HTTPS and env.bool("HSTS_PRELOAD", default=False)
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SESSION_COOKIE_HTTPONLY = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "django-q": {"handlers": ["console"], "level": "WARNING", "propagate": False},
        "httpx": {"level": "WARNING"},  # its INFO lines hold whole URLs
        "httpx2": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},  # what others answer, header by header
        "httpcore2": {"level": "WARNING"},
        "python_multipart": {"level": "ERROR"},  # its warnings hold bytes of what people upload
        "google_genai": {"level": "WARNING"},
    },
}

UNFOLD = {
    "SITE_TITLE": "Earshot",
    "SITE_HEADER": "Earshot",
    "SITE_SUBHEADER": "Evaluation of speech models",
    "SITE_SYMBOL": "hearing",
    "STYLES": [lambda request: static("earshot/site.css")],
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static(FAVICON)}],
    "LOGIN": {"form": "accounts.forms.LoginForm"},
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "accounts.workspaces.current_workspace_badge",
    "DASHBOARD_CALLBACK": "evaluations.dashboard.dashboard",
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": "config.navigation.navigation",
    },
}
