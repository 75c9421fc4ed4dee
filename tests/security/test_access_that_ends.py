"""Whoever loses access has lost it everywhere, and does not get it back with the next change."""

import pytest
from django.contrib.auth import get_user
from django.test import Client

from accounts.access import access_of_user
from accounts.models import ApiKey, Membership, Role, User
from accounts.services import change_role, create_api_key, remove_member, update_user
from voice import client_secrets
from voice.models import ClientSecret
from voice.session_config import SessionRequest

USERS = "/admin/accounts/user/"


@pytest.fixture
def as_superuser(workspace):
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="pw"))
    return client


@pytest.fixture
def member(make_member):
    return make_member(Role.EVALUATOR)


def make_key(user, workspace, role=Role.EVALUATOR):
    return create_api_key(workspace=workspace, name="ci", role=role, created_by=user)[1]


def opens(api_with, secret):
    return api_with(secret).get("/api/v1/runs/").status_code == 200


def set_flags(as_superuser, user, *flags):
    fields = {"username": user.username, "email": "", "first_name": "", "last_name": ""}
    response = as_superuser.post(f"{USERS}{user.pk}/change/", fields | dict.fromkeys(flags, "on"))
    assert response.status_code == 302, response.content.decode()


DELETIONS = {
    "the page of one": lambda client, user: client.post(f"{USERS}{user.pk}/delete/", {"post": "yes"}),
    "the list's action": lambda client, user: client.post(
        USERS, {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"}
    ),
    "a query": lambda client, user: User.objects.filter(pk=user.pk).delete(),
}


@pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)
def test_keys_end_with_their_maker(as_superuser, member, workspace, api_with, delete):
    secret = make_key(member, workspace)
    assert opens(api_with, secret)
    delete(as_superuser, member)
    assert not User.objects.filter(pk=member.pk).exists()
    assert not opens(api_with, secret)
    assert ApiKey.objects.get().revoked_at is not None


def test_a_switched_off_persons_key_stays_shut_when_they_are_deleted(as_superuser, member, workspace, api_with):
    secret = make_key(member, workspace)
    User.objects.filter(pk=member.pk).update(is_active=False)  # by no service
    member.delete()
    assert not opens(api_with, secret)


def test_a_key_without_a_maker_opens_nothing_unless_it_is_a_service_key(member, workspace, api_with):
    secret = make_key(member, workspace)
    ApiKey.objects.update(created_by=None)
    assert not opens(api_with, secret)
    assert opens(api_with, create_api_key(workspace=workspace, name="service")[1])


def test_who_is_switched_on_again_has_neither_keys_nor_sessions_nor_client_secrets_of_before(
    as_superuser, member, workspace, api_with, client
):
    secret = make_key(member, workspace)
    client.force_login(member)
    client_secrets.make_for_member(access_of_user(member), SessionRequest("ga", "realtime"), 600)
    set_flags(as_superuser, member, "is_staff")
    set_flags(as_superuser, member, "is_staff", "is_active")
    assert not opens(api_with, secret)
    assert client.get("/admin/").status_code == 302
    assert not ClientSecret.objects.exists()
    client.force_login(User.objects.get(pk=member.pk))
    assert client.get("/admin/").status_code == 200


def test_who_changes_an_address_stays_signed_in_with_their_keys(as_superuser, member, workspace, api_with, client):
    secret = make_key(member, workspace)
    client.force_login(member)
    set_flags(as_superuser, member, "is_staff", "is_active")
    assert client.get("/admin/").status_code == 200
    assert opens(api_with, secret)


def test_a_superuser_no_more_keeps_what_their_memberships_allow(
    as_superuser, member, workspace, other_workspace, api_with, client
):
    User.objects.filter(pk=member.pk).update(is_superuser=True)
    member.refresh_from_db()
    elsewhere = make_key(member, other_workspace)
    too_high = make_key(member, workspace, Role.OWNER)
    allowed = make_key(member, workspace, Role.VIEWER)
    client.force_login(member)
    assert opens(api_with, elsewhere)
    set_flags(as_superuser, member, "is_staff", "is_active")
    assert [opens(api_with, each) for each in (elsewhere, too_high, allowed)] == [False, False, True]
    assert not get_user(client).is_authenticated


def test_a_key_may_never_more_than_its_maker_may_now(make_member, workspace, api_with):
    owner = make_member(Role.OWNER)
    secret = make_key(owner, workspace, Role.OWNER)
    assert api_with(secret).get("/api/v1/keys/").status_code == 200
    Membership.objects.update(role=Role.VIEWER)  # by no service
    assert api_with(secret).get("/api/v1/keys/").status_code == 403
    assert opens(api_with, secret)
    Membership.objects.all()._raw_delete("default")
    assert not opens(api_with, secret)


def test_a_lower_role_revokes_for_good(make_member, workspace, api_with):
    make_member(Role.OWNER)
    member = make_member(Role.EVALUATOR)
    secret = make_key(member, workspace)
    change_role(membership=member.memberships.get(), role=Role.VIEWER)
    change_role(membership=member.memberships.get(), role=Role.EVALUATOR)
    assert not opens(api_with, secret)


def test_who_is_put_out_of_one_workspace_keeps_their_keys_of_another(make_member, workspace, other_workspace, api_with):
    make_member(Role.OWNER)
    member = make_member(Role.EVALUATOR)
    Membership.objects.create(user=member, workspace=other_workspace, role=Role.EVALUATOR)
    here, there = make_key(member, workspace), make_key(member, other_workspace)
    remove_member(membership=member.memberships.get(workspace=workspace))
    assert [opens(api_with, each) for each in (here, there)] == [False, True]


def test_keys_end_with_a_membership_however_it_goes(member, workspace, api_with):
    secret = make_key(member, workspace)
    Membership.objects.filter(user=member).delete()
    Membership.objects.create(user=member, workspace=workspace, role=Role.OWNER)
    assert not opens(api_with, secret)


def test_a_workspace_takes_keys_and_client_secrets_with_it(member, workspace, api_with):
    secret = make_key(member, workspace)
    client_secrets.make_for_member(access_of_user(member), SessionRequest("ga", "realtime"), 600)
    workspace.delete()
    assert not opens(api_with, secret)
    assert not ClientSecret.objects.exists()


def test_a_stale_copy_of_a_person_does_not_bring_their_sessions_back(member, client):
    client.force_login(member)
    stale = User.objects.get(pk=member.pk)
    member.is_active = False
    update_user(user=member)
    stale.is_active = True
    update_user(user=stale)
    assert not get_user(client).is_authenticated
