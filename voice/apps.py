from django.apps import AppConfig


class VoiceConfig(AppConfig):
    name = "voice"

    def ready(self) -> None:
        from accounts.services import access_ended  # models are loaded by now
        from core.queue.periodic import periodic
        from voice.client_secrets import end_secrets

        periodic("voice.tasks.sweep")
        access_ended.connect(end_secrets)
