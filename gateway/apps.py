from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "gateway"

    def ready(self) -> None:
        from core.queue.periodic import periodic  # it imports models, which are loaded only now

        periodic("gateway.tasks.sweep")
