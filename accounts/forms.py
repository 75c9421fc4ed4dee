"""Forms of the accounts admin."""

import logging
from typing import Any

from django import forms
from django.contrib.auth.forms import SetPasswordForm
from unfold.forms import AuthenticationForm
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from accounts.login_throttle import LoginAttempt, minutes
from accounts.models import ApiKey, Membership, Role, User, Workspace
from accounts.services import is_last_owner
from core.forms import ModelForm

logger = logging.getLogger(__name__)


class LoginForm(AuthenticationForm):
    """Limits the attempts to sign in, and logs those that fail."""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = self.cleaned_data
        account, password = cleaned.get("username"), cleaned.get("password")
        if not account or not password:
            return cleaned
        address = self.request.META.get("REMOTE_ADDR", "")
        attempt = LoginAttempt(account, address)
        if wait := attempt.wait():
            logger.warning("Too many attempts to sign in to %s from %s.", _loggable(account), address)
            raise forms.ValidationError(
                f"Too many attempts to sign in. Try again in {minutes(wait)}.", code="too_many_attempts"
            )
        try:
            super().clean()
        except forms.ValidationError:
            logger.warning("An attempt to sign in to %s from %s failed.", _loggable(account), address)
            raise
        attempt.succeed()
        return cleaned


class NewPasswordForm(SetPasswordForm):  # type: ignore[type-arg]  # generic in its stub only
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("new_password1", "new_password2"):
            self.fields[name].widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})


def _loggable(account: str) -> str:
    """Return the name for the log if it exists; another may be a password typed into the wrong field."""
    return repr(account) if User.objects.filter(username=account).exists() else "an unknown account"


class NewMemberForm(ModelForm[Membership]):
    """Adds a user by user name or email address. It never lists other tenants' users, and refuses them as if they did
    not exist."""

    workspace: Workspace  # set by the admin: the requester's
    finds_everybody = False  # set by the admin: True for superusers

    name = forms.CharField(
        label="User name or email address",
        widget=UnfoldAdminTextInputWidget,
        help_text="Of somebody in your organization, or of a new account. Administrators make accounts, and add people "
        "of other organizations.",
    )

    class Meta:
        model = Membership
        fields = ["role"]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"].strip()
        known_to = None if self.finds_everybody else self.workspace.organization
        people = list(User.objects.named(name, known_to=known_to)[:2])
        if not people:
            raise forms.ValidationError(f"Nobody here has the user name or email address {name!r}.")
        if len(people) > 1:
            raise forms.ValidationError(f"Several people have the email address {name!r}: give the user name.")
        if Membership.objects.for_workspace(self.workspace).filter(user=people[0]).exists():
            raise forms.ValidationError(f"{people[0]} is a member already: change their role instead.")
        self.instance.user = people[0]
        return name


class MemberForm(ModelForm[Membership]):
    class Meta:
        model = Membership
        fields = ["role"]

    def clean_role(self) -> str:
        role: str = self.cleaned_data["role"]
        if role != Role.OWNER and is_last_owner(self.instance):
            raise forms.ValidationError("A workspace needs an owner: make somebody else an owner first.")
        return role


class NewApiKeyForm(ModelForm[ApiKey]):
    """Offers the roles up to the creator's own."""

    role_of_maker = Role.VIEWER  # set by the admin: the requester's role

    class Meta:
        model = ApiKey
        fields = ["name", "role", "requests_per_minute"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        allowed = [role for role in Role if self.role_of_maker.includes(role)]
        self.fields["role"].choices = [(role.value, role.label) for role in allowed]  # type: ignore[attr-defined]
