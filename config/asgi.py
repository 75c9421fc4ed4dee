"""The ASGI application: `uvicorn config.asgi:application`."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Requests run in threads of their own here: a connection that is kept is never used again, and piles up with others.
os.environ.setdefault("CONN_MAX_AGE", "0")

application = get_asgi_application()
