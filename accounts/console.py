"""What commands share."""

from django.core.management.base import CommandError

from accounts.models import Workspace


def workspace_named(slug: str | None) -> Workspace:
    """The workspace `slug`; the first by name without one. Raises CommandError."""
    found = (Workspace.objects.filter(slug=slug) if slug else Workspace.objects.all()).first()
    if found is not None:
        return found
    known = ", ".join(Workspace.objects.values_list("slug", flat=True))
    if not known:
        raise CommandError("There is no workspace yet. Run manage.py setup.")
    raise CommandError(f"There is no workspace {slug!r}. There are: {known}.")
