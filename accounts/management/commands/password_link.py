"""Prints a link by which somebody sets their password: for a new account, or a forgotten password."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from accounts.password_links import password_link


class Command(BaseCommand):
    help = "Prints a link by which somebody sets their password: once, within a day."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['username']!r}.")
        if not user.is_active:
            raise CommandError(f"{user} is switched off, and could not sign in.")
        origins = (origin for origin in settings.CSRF_TRUSTED_ORIGINS if "*" not in origin)
        site = next(origins, "http://localhost:8000")
        self.stdout.write(site + password_link(user))
