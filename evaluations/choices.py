"""States of runs and jobs."""

from django.db import models


class Status(models.TextChoices):
    """State of a run or a job."""

    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    COMPLETED_WITH_FAILURES = "completed_with_failures", "Completed with failures"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


UNFINISHED = [Status.PENDING, Status.RUNNING]
