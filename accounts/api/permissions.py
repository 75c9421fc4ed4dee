"""Checks the role of REST requests."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from accounts.access import Access
from accounts.models import Role


def access_of(request: Request) -> Access:
    """Return the request's access; only for views that have passed `RolePermission`."""
    access = request.auth
    assert isinstance(access, Access)  # noqa: S101
    return access


class RolePermission(BasePermission):
    """Reading needs a viewer; changing needs the view's `write_role`, an evaluator where it names none.

    A view may set `action_roles`, {action or method in lower case: role}, where its actions differ.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        access = request.auth
        if not isinstance(access, Access):
            return False
        needed = self.needed(request, view)
        self.message = f"This takes the role {needed.value} in this workspace; yours is {access.role.value}."
        return access.may(needed)

    @staticmethod
    def needed(request: Request, view: Any) -> Role:
        by_action: dict[str, Role] = getattr(view, "action_roles", {})
        action = getattr(view, "action", None) or (request.method or "").lower()
        if action in by_action:
            return by_action[action]
        if request.method in SAFE_METHODS:
            return Role.VIEWER
        write_role: Role = getattr(view, "write_role", Role.EVALUATOR)
        return write_role
