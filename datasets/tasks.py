"""What datasets do in the queue."""

import logging

from datasets.importing.leases import claim_import
from datasets.importing.runner import work_slice
from datasets.services import resume_stale_imports

logger = logging.getLogger(__name__)


def sweep() -> None:
    """Take up imports that workers that died have left behind."""
    if imports := resume_stale_imports():
        logger.info("sweep: %s imports queued again", imports)


def run_import(import_id: int) -> None:
    """Work a slice of an import, if nobody else does."""
    if claim := claim_import(import_id):
        work_slice(claim)
