"""Settles the calls of processes that died as lost."""

import logging

from django.utils import timezone

from gateway.models import UsageRecord
from gateway.usage.records import write
from gateway.usage.types import Outcome, Reservation, Settlement

logger = logging.getLogger(__name__)

AT_ONCE = 200


def settle_lost() -> int:
    """Settle all expired reservations as lost, at an unknown cost. Returns their number."""
    settled = 0
    while lost := list(UsageRecord.objects.lost(timezone.now())[:AT_ONCE]):
        settled += sum(map(bool, write([Settlement(_reservation(record), Outcome("lost")) for record in lost])))
    if settled:
        logger.warning("gateway: %s calls are given up for lost, as their process died", settled)
    return settled


def _reservation(record: UsageRecord) -> Reservation:
    return Reservation(record.pk, record.workspace_id, record.api_key_id, record.created_at, record.reserved_usd)
