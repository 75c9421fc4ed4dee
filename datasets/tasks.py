"""What datasets do in the queue."""

from datasets.importing.leases import claim_import
from datasets.importing.runner import work_slice


def run_import(import_id: int) -> None:
    """Work a slice of an import, if nobody else does."""
    if claim := claim_import(import_id):
        work_slice(claim)
