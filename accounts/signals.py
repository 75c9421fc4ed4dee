"""Ends access when a user or membership is deleted, by whatever way: singly, in bulk or by cascade."""

from typing import Any

from django.db.models.signals import pre_delete
from django.dispatch import receiver

from accounts.models import Membership, User
from accounts.services import end_access


@receiver(pre_delete, sender=User)
def end_access_of_user(instance: User, **_: Any) -> None:
    end_access(user=instance, leaves=True)


@receiver(pre_delete, sender=Membership)
def end_access_of_member(instance: Membership, **_: Any) -> None:
    """End the member's access, except a superuser's, who stays an owner of every workspace."""
    end_access(user=instance.user, workspace=instance.workspace, leaves=not instance.user.is_superuser)
