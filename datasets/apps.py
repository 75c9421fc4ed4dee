from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    name = "datasets"

    def ready(self) -> None:
        # What follows imports models, which are loaded only now.
        from core.queue.periodic import periodic
        from core.queue.worker_health import shows_work
        from datasets.models import Import

        periodic("datasets.tasks.sweep")
        shows_work(Import.objects.latest_lease)
