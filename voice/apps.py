from django.apps import AppConfig


class VoiceConfig(AppConfig):
    name = "voice"

    def ready(self) -> None:
        from core.queue.periodic import periodic  # it imports models, which are loaded only now

        periodic("voice.tasks.sweep")
