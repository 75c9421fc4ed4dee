"""What workers do. Each function may be delivered more than once, and more than once at the same time."""

from evaluations.pipeline.shards import work_on_shard
from evaluations.pipeline.sweep import sweep_if_due


def work_shard(shard_id: int) -> None:
    """Work on a shard for a slice of time, and queue it again if something is left to do."""
    work_on_shard(shard_id)


def sweep() -> None:
    """Take up what was left behind, once every SWEEP_SECONDS however often this is delivered."""
    sweep_if_due()
