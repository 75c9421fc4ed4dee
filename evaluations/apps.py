from django.apps import AppConfig


class EvaluationsConfig(AppConfig):
    name = "evaluations"

    def ready(self) -> None:
        # What follows imports models, which are loaded only now.
        from core.queue.periodic import periodic
        from core.queue.worker_health import shows_work
        from evaluations.models import Shard

        periodic("evaluations.tasks.sweep")
        shows_work(Shard.objects.latest_lease)
