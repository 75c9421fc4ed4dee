"""The one row that the ground floor keeps: when the workers sweep next."""

from django.db import models


class Timer(models.Model):
    """When a task that repeats itself is due next: one claim a period, however often it is delivered."""

    name = models.CharField(max_length=40, primary_key=True)
    due_at = models.DateTimeField()

    class Meta:
        db_table = "evaluations_timer"  # where it was made

    def __str__(self) -> str:
        return self.name
