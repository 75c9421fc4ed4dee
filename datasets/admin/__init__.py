"""The screens of datasets, samples and imports."""

from datasets.admin.datasets import DatasetAdmin
from datasets.admin.imports import ImportAdmin
from datasets.admin.samples import SampleAdmin

__all__ = ["DatasetAdmin", "ImportAdmin", "SampleAdmin"]
