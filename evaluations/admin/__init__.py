"""The screens of runs and their results."""

from evaluations.admin.result import ResultAdmin
from evaluations.admin.run import RunAdmin

__all__ = ["ResultAdmin", "RunAdmin"]
