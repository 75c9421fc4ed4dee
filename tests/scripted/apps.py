from django.apps import AppConfig


class ScriptedConfig(AppConfig):
    name = "tests.scripted"

    def ready(self):
        from providers.registry import KINDS  # models are loaded only now
        from tests.scripted.adapter import ScriptedAdapter

        KINDS["scripted"] = ScriptedAdapter
