from django.apps import AppConfig
from django.contrib import admin


class ConfigConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        from django_q.models import Failure, OrmQ, Schedule, Success  # models are loaded only now

        from config import checks  # noqa: F401  (registers the system checks)

        # Hide the queue's tables from the admin; each request would also check permissions on them.
        for model in (Failure, OrmQ, Schedule, Success):
            admin.site.unregister(model)
