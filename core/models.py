"""The model of the queue's timers."""

from django.db import models


class Timer(models.Model):
    """When a periodic task is due next. It is claimed once in each period, however often the task is delivered."""

    name = models.CharField(max_length=40, primary_key=True)
    due_at = models.DateTimeField()

    class Meta:
        db_table = "evaluations_timer"  # it was created in that app

    def __str__(self) -> str:
        return self.name
