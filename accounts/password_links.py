"""One-time links by which a user sets their password."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.contrib.auth.views import PasswordResetConfirmView
from django.http import HttpResponse
from django.urls import reverse, reverse_lazy
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from accounts.forms import NewPasswordForm
from accounts.models import User


class PasswordLinkTokens(PasswordResetTokenGenerator):
    """Makes link tokens that end after a day, once used, and when the user signs in or loses access."""

    key_salt = "accounts.password_links"

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        return f"{super()._make_hash_value(user, timestamp)}{user.session_epoch}{user.is_active}"


tokens = PasswordLinkTokens()


def password_link(user: User) -> str:
    """Return the path of a new link for `user`."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    return reverse("password_link", args=[uid, tokens.make_token(user)])


class PasswordLinkView(PasswordResetConfirmView):
    """Moves the token into the session at once, so that no visible address contains it."""

    template_name = "accounts/password_link.html"
    form_class = NewPasswordForm
    token_generator = tokens
    title = "Set your password"
    success_url = reverse_lazy("admin:login")

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, "Your password is set. Sign in with it.")
        return super().form_valid(form)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**admin.site.each_context(self.request), **super().get_context_data(**kwargs)}
