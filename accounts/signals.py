"""Access ends with what it came from, however that is deleted: one by one, in bulk, or with something else."""

from typing import Any

from django.db.models.signals import pre_delete
from django.dispatch import receiver

from accounts.models import Membership, User
from accounts.services import end_access


@receiver(pre_delete, sender=User)
def end_access_of_person(instance: User, **_: Any) -> None:
    end_access(user=instance, leaves=True)


@receiver(pre_delete, sender=Membership)
def end_access_of_member(instance: Membership, **_: Any) -> None:
    """A superuser stays an owner everywhere."""
    end_access(user=instance.user, workspace=instance.workspace, leaves=not instance.user.is_superuser)
