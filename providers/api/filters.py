from django.db.models import QuerySet
from django_filters import rest_framework as filters

from providers.models import SpeechModel


class SpeechModelFilter(filters.FilterSet):
    task = filters.ChoiceFilter(choices=[("stt", "stt"), ("tts", "tts")], method="for_task")

    def for_task(self, models: QuerySet[SpeechModel], name: str, task: str) -> QuerySet[SpeechModel]:
        return models.filter(**{"speech_to_text" if task == "stt" else "text_to_speech": True})
