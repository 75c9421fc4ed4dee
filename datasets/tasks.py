"""The tasks of datasets that workers run."""

import logging

from datasets.importing.leases import claim_import
from datasets.importing.runner import work_slice
from datasets.services import resume_stale_imports

logger = logging.getLogger(__name__)


def sweep() -> None:
    """Queue imports again whose worker died."""
    if imports := resume_stale_imports():
        logger.info("sweep: %s imports queued again", imports)


def run_import(import_id: int) -> None:
    """Work on an import for a slice of time, unless another worker holds it."""
    if claim := claim_import(import_id):
        work_slice(claim)
