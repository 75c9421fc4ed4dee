"""People, members and workspaces in the admin."""

import pytest
from django.urls import reverse

from accounts.models import Membership, Organization, Role, User, Workspace
from accounts.services import LastOwner, create_api_key, remove_member
from tests.accounts.pages import form_of

MEMBERS = "/admin/accounts/membership/"


@pytest.fixture
def owner(make_member):
    return make_member(Role.OWNER)


@pytest.fixture
def as_owner(client, owner):
    client.force_login(owner)
    return client


@pytest.fixture
def as_superuser(client, workspace):
    client.force_login(User.objects.create_superuser("root", password="pw"))
    return client


def role_of(user, workspace):
    return Membership.objects.filter(user=user, workspace=workspace).values_list("role", flat=True).first()


@pytest.mark.parametrize("name", ["anna", "Anna@Example.com"])
def test_an_owner_adds_somebody_by_user_name_or_email_address(as_owner, workspace, name):
    anna = User.objects.create_user("anna", "anna@example.com", "pw")
    response = as_owner.post(f"{MEMBERS}add/", {"name": name, "role": Role.REVIEWER}, follow=True)
    assert "was added successfully" in response.content.decode()
    assert role_of(anna, workspace) == Role.REVIEWER


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nobody", "Nobody here has the user name or email address"),
        ("gone", "Nobody here has the user name or email address"),
        ("shared@example.com", "Several people have the email address"),
        ("owner-speech", "is a member already"),
    ],
)
def test_who_cannot_be_added_is_refused_with_the_reason(as_owner, name, problem):
    User.objects.create_user("gone", is_active=False)
    for username in ("one", "two"):
        User.objects.create_user(username, "shared@example.com")
    response = as_owner.post(f"{MEMBERS}add/", {"name": name, "role": Role.VIEWER})
    assert problem in response.content.decode()
    assert Membership.objects.count() == 1


def test_the_add_form_lists_no_people(as_owner):
    User.objects.create_user("somebody-elsewhere", "secret@example.com")
    page = as_owner.get(f"{MEMBERS}add/").content.decode()
    assert "somebody-elsewhere" not in page
    assert "secret@example.com" not in page


def test_a_member_stays_the_same_person_when_their_role_is_changed(as_owner, make_member, workspace):
    viewer = make_member(Role.VIEWER)
    membership = viewer.memberships.get()
    as_owner.post(f"{MEMBERS}{membership.pk}/change/", {"role": Role.EVALUATOR, "user": 1, "workspace": 1})
    membership.refresh_from_db()
    assert (membership.user, membership.workspace, membership.role) == (viewer, workspace, Role.EVALUATOR)


def test_the_last_owner_can_neither_step_down_nor_leave(as_owner, owner, workspace):
    membership = owner.memberships.get()
    page = as_owner.post(f"{MEMBERS}{membership.pk}/change/", {"role": Role.VIEWER}).content.decode()
    assert "A workspace needs an owner" in page
    assert as_owner.post(f"{MEMBERS}{membership.pk}/delete/", {"post": "yes"}).status_code == 403
    assert role_of(owner, workspace) == Role.OWNER
    with pytest.raises(LastOwner):
        remove_member(membership=membership)


def test_a_removed_members_keys_open_nothing_any_more(as_owner, make_member, workspace, api_with):
    evaluator = make_member(Role.EVALUATOR)
    _, secret = create_api_key(workspace=workspace, name="ci", created_by=evaluator)
    assert api_with(secret).get("/api/v1/runs/").status_code == 200
    as_owner.post(f"{MEMBERS}{evaluator.memberships.get().pk}/delete/", {"post": "yes"})
    assert role_of(evaluator, workspace) is None
    assert api_with(secret).get("/api/v1/runs/").status_code == 401


def test_keys_that_may_more_than_their_maker_are_revoked_with_the_role(as_owner, make_member, workspace, api_with):
    member = make_member(Role.EVALUATOR)
    _, strong = create_api_key(workspace=workspace, name="strong", role=Role.EVALUATOR, created_by=member)
    _, weak = create_api_key(workspace=workspace, name="weak", role=Role.VIEWER, created_by=member)
    as_owner.post(f"{MEMBERS}{member.memberships.get().pk}/change/", {"role": Role.VIEWER})
    assert api_with(strong).get("/api/v1/runs/").status_code == 401
    assert api_with(weak).get("/api/v1/runs/").status_code == 200


@pytest.mark.parametrize("role", [Role.EVALUATOR, Role.REVIEWER, Role.VIEWER])
def test_only_owners_see_members_and_keys(client, make_member, role):
    client.force_login(make_member(role))
    for address in (MEMBERS, f"{MEMBERS}add/", "/admin/accounts/apikey/", "/admin/accounts/apikey/add/"):
        assert client.get(address).status_code == 403
    page = client.get(reverse("admin:password_change")).content.decode()
    assert "Members" not in page
    assert "API keys" not in page


def test_an_owner_sees_neither_users_nor_workspaces(as_owner):
    for model in ("user", "workspace", "organization"):
        assert as_owner.get(f"/admin/accounts/{model}/").status_code == 403
    page = as_owner.get(MEMBERS).content.decode()
    assert ">Members<" in page
    assert ">Users<" not in page
    assert ">Workspaces<" not in page


def test_a_superuser_makes_a_person_who_may_then_sign_in(as_superuser, client):
    new = {"username": "anna", "email": "a@example.com", "usable_password": "true", "is_staff": "on"}
    passwords = {"password1": "correct horse battery", "password2": "correct horse battery"}
    assert as_superuser.post("/admin/accounts/user/add/", {**new, **passwords}).status_code == 302
    client.logout()
    assert client.login(username="anna", password="correct horse battery")


def test_the_form_for_a_new_person_lets_them_sign_in_unless_told_otherwise(as_superuser):
    assert form_of(as_superuser.get("/admin/accounts/user/add/"))["is_staff"] is True


def test_a_superuser_changes_a_password(as_superuser, make_member, client):
    member = make_member()
    passwords = {"usable_password": "true", "password1": "another good one", "password2": "another good one"}
    as_superuser.post(f"/admin/accounts/user/{member.pk}/password/", passwords)
    assert client.login(username=member.username, password="another good one")


def test_anybody_changes_their_own_password(client, make_member):
    member = make_member(Role.VIEWER)
    client.force_login(member)
    new = {"old_password": "pw", "new_password1": "another good one", "new_password2": "another good one"}
    assert client.post(reverse("admin:password_change"), new).status_code == 302
    assert client.login(username=member.username, password="another good one")


def test_a_superuser_makes_an_organization_with_a_workspace(as_superuser):
    as_superuser.post("/admin/accounts/organization/add/", {"name": "New", "is_active": "on"})
    organization = Organization.objects.get(name="New")
    new = {"name": "Calls", "slug": "calls", "organization": organization.pk, "is_active": "on"}
    as_superuser.post("/admin/accounts/workspace/add/", new)
    assert Workspace.objects.get(slug="calls").organization == organization


def test_nobody_without_staff_status_gets_into_the_admin(client, workspace):
    user = User.objects.create_user("anna", password="pw")
    Membership.objects.create(user=user, workspace=workspace, role=Role.OWNER)
    client.force_login(user)
    assert client.get("/admin/").headers["Location"].startswith("/admin/login/")


def test_who_signs_in_lands_on_the_dashboard(client, make_member):
    make_member(username="anna")
    response = client.post(reverse("admin:login"), {"username": "anna", "password": "pw"})
    assert response.headers["Location"] == reverse("admin:index")
