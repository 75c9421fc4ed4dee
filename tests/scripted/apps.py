from django.apps import AppConfig

from providers.registry import KINDS


class ScriptedConfig(AppConfig):
    name = "tests.scripted"

    def ready(self):
        from tests.scripted.adapter import ScriptedAdapter

        KINDS["scripted"] = ScriptedAdapter
