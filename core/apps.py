from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "core"

    def ready(self) -> None:
        from core.queue.periodic import periodic  # it imports models, which are loaded only now

        periodic("core.temporary.remove_left_over")
