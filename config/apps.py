from django.apps import AppConfig
from django.contrib import admin


class ConfigConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        from django_q.models import Failure, OrmQ, Schedule, Success  # models are loaded only now

        from config import checks  # noqa: F401  (registers the system checks)

        # The queue's rows are no screens of ours, and each request would ask for permissions on them.
        for model in (Failure, OrmQ, Schedule, Success):
            admin.site.unregister(model)
