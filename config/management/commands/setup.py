"""Prepares a new installation; repeating it changes nothing."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from accounts.models import Role, User
from accounts.services import create_api_key, ensure_admin, ensure_workspace
from providers.services import ensure_catalogue

WORKSPACE = "default"
ADMIN = "admin"


class Command(BaseCommand):
    help = "Migrates the database and makes the default workspace, its providers and models, and the admin user."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--admin-password", help="Set the admin user's password to this.")
        parser.add_argument("--api-key", action="store_true", help="Make an API key, printed as the last line.")
        parser.add_argument("--role", choices=Role.values, help="What the API key may do (evaluator, unless given).")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["role"] and not options["api_key"]:
            raise CommandError("--role is the role of an API key: give --api-key, too.")
        if options["admin_password"] is not None:
            _check_password(options["admin_password"])
        call_command("migrate", verbosity=0)
        workspace = ensure_workspace(slug=WORKSPACE, name="Default")
        ensure_catalogue(workspace=workspace)
        admin = ensure_admin(workspace=workspace, username=ADMIN, password=options["admin_password"])
        self.stdout.write(f"Ready: workspace {workspace.slug}, user {admin.username}.")
        if not admin.has_usable_password():
            self.stdout.write(f"{admin.username} has no password yet: manage.py changepassword {admin.username}")
        if options["api_key"]:
            role = Role(options["role"] or Role.EVALUATOR)
            _, secret = create_api_key(workspace=workspace, name=f"setup ({role})", role=role, created_by=admin)
            self.stdout.write(secret)


def _check_password(password: str) -> None:
    try:
        validate_password(password, User(username=ADMIN))
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from error
