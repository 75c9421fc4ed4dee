"""The access of a user or API key to a workspace, as REST, admin and gateway check it."""

from dataclasses import dataclass

from django.core.management.base import CommandError

from accounts.models import ApiKey, Membership, Role, User, Workspace


@dataclass(frozen=True)
class Access:
    """Somebody acting in one workspace with one role: a member by session, or an API key."""

    workspace: Workspace
    role: Role
    user: User | None = None
    api_key: ApiKey | None = None

    @property
    def api_key_id(self) -> int | None:
        return None if self.api_key is None else self.api_key.pk

    def may(self, role: Role) -> bool:
        """Return whether this access includes the rights of `role`."""
        return self.role.includes(role)


def access_of_user(user: User, slug: str | None = None) -> Access | None:
    """Return the access of a signed-in `user` to the workspace `slug`; without a slug to their first active one.

    None where the user has no such workspace: it is unknown or another tenant's, or they have none at all. A workspace
    that is switched off is returned too, so that the caller can say so (`Workspace.is_open`).
    A superuser is an owner everywhere.
    """
    workspaces = Workspace.objects.open_to(user).select_related("organization")
    workspace = (workspaces.usable_first() if slug is None else workspaces.filter(slug=slug)).first()
    if workspace is None:
        return None
    if user.is_superuser:
        return Access(workspace, Role.OWNER, user=user)
    membership = Membership.objects.filter(user=user, workspace=workspace).first()
    return Access(workspace, Role(membership.role), user=user) if membership else None


def workspace_named(slug: str | None) -> Workspace:
    """Return the workspace `slug`; without a slug the first by name. Raises CommandError."""
    found = (Workspace.objects.filter(slug=slug) if slug else Workspace.objects.all()).first()
    if found is not None:
        return found
    known = ", ".join(Workspace.objects.values_list("slug", flat=True))
    if not known:
        raise CommandError("There is no workspace yet. Run manage.py setup.")
    raise CommandError(f"There is no workspace {slug!r}. There are: {known}.")
