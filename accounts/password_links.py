"""Links by which a person sets their password, once."""

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
    """A link is over once it was used, or its person has signed in or lost access meanwhile, and after a day."""

    key_salt = "accounts.password_links"

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        return f"{super()._make_hash_value(user, timestamp)}{user.session_epoch}{user.is_active}"


tokens = PasswordLinkTokens()


def password_link(user: User) -> str:
    """The path of a new link."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    return reverse("password_link", args=[uid, tokens.make_token(user)])


class PasswordLinkView(PasswordResetConfirmView):
    """The token goes into the session at once, so that no address with it is left to be seen."""

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
