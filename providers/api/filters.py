from django.db.models import QuerySet
from django_filters import rest_framework as filters

from providers.models import SpeechModel


class SpeechModelFilter(filters.FilterSet):
    task = filters.ChoiceFilter(choices=[(task, task) for task in SpeechModel.TASK_FIELDS], method="for_task")

    def for_task(self, models: QuerySet[SpeechModel], name: str, task: str) -> QuerySet[SpeechModel]:
        return models.filter(**{SpeechModel.TASK_FIELDS[task]: True})
