"""Which workspace somebody is in, and workspaces that are switched off."""

import pytest
from django.test import Client

from accounts.models import Membership, Role, User, Workspace
from accounts.services import create_api_key

SWITCH = "/admin/accounts/workspace/switch/"


@pytest.fixture
def member_of_both(make_member, workspace, other_workspace):
    """An owner of `workspace` ("Speech") who is a viewer of `other_workspace` ("Rival")."""
    user = make_member(Role.OWNER)
    Membership.objects.create(user=user, workspace=other_workspace, role=Role.VIEWER)
    return user


@pytest.fixture(params=["workspace", "organization"])
def switched_off(request, workspace):
    """`workspace`, switched off by itself or with its organization."""
    row = workspace if request.param == "workspace" else workspace.organization
    row.is_active = False
    row.save()
    return workspace


def badge_of(client, page="/admin/password_change/"):
    environment = client.get(page).context["environment"]
    return environment and environment[0]


# --- Sessions in REST ---------------------------------------------------------------------------


def test_a_session_says_by_a_header_which_workspace_it_means(client, member_of_both):
    client.force_login(member_of_both)
    from datasets.models import Dataset

    Dataset.objects.create(workspace=Workspace.objects.get(slug="speech"), name="calls")
    for slug, names in [("speech", ["calls"]), ("rival", [])]:
        found = client.get("/api/v1/datasets/", headers={"X-Workspace": slug}).json()["results"]
        assert [dataset["name"] for dataset in found] == names


def test_a_role_is_that_of_the_workspace_that_was_asked_for(client, member_of_both):
    client.force_login(member_of_both)
    new = {"name": "calls", "task": "stt"}
    answers = {
        slug: client.post("/api/v1/datasets/", new, content_type="application/json", headers={"X-Workspace": slug})
        for slug in ("speech", "rival")
    }
    assert answers["speech"].status_code == 201
    assert answers["rival"].status_code == 403


def test_another_tenants_workspace_is_as_unknown_as_one_that_does_not_exist(client, make_member, other_workspace):
    client.force_login(make_member())
    answers = [client.get("/api/v1/runs/", headers={"X-Workspace": slug}) for slug in ("rival", "nowhere")]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json()["detail"].replace("rival", "") == answers[1].json()["detail"].replace("nowhere", "")


def test_a_session_without_a_csrf_token_changes_nothing(make_member):
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_member())
    response = client.post("/api/v1/datasets/", {"name": "x"}, content_type="application/json")
    assert response.status_code == 403
    assert "CSRF" in response.json()["detail"]
    assert client.get("/api/v1/datasets/").status_code == 200


def test_somebody_without_a_membership_is_told_so(client, db):
    client.force_login(User.objects.create_user("anna"))
    response = client.get("/api/v1/runs/")
    assert response.status_code == 403
    assert response.json()["detail"] == "You are not a member of any workspace."


# --- Switched off -------------------------------------------------------------------------------


def test_a_key_of_a_workspace_that_is_switched_off_is_answered_403(switched_off, api_with):
    _, secret = create_api_key(workspace=switched_off, name="ci")
    response = api_with(secret).get("/api/v1/runs/")
    assert response.status_code == 403
    assert response.json()["detail"] == "This workspace is switched off."


def test_a_session_in_a_workspace_that_is_switched_off_is_answered_403(client, make_member, switched_off):
    client.force_login(make_member())
    assert client.get("/api/v1/runs/").status_code == 403


@pytest.mark.parametrize("page", ["/admin/", "/admin/datasets/dataset/", "/admin/evaluations/run/"])
def test_the_admin_of_a_workspace_that_is_switched_off_says_so(client, make_member, switched_off, page):
    client.force_login(make_member(Role.OWNER))
    response = client.get(page)
    assert response.status_code == 403
    assert "is switched off" in response.content.decode()
    assert "Datasets" not in response.content.decode()


def test_a_superuser_can_switch_it_on_again(client, switched_off):
    client.force_login(User.objects.create_superuser("root"))
    assert client.get("/admin/").status_code == 200
    assert client.get(f"/admin/accounts/workspace/{switched_off.pk}/change/").status_code == 200
    assert client.get(f"/admin/accounts/organization/{switched_off.organization_id}/change/").status_code == 200
    assert client.get("/admin/datasets/dataset/").status_code == 403


# --- The admin's switch -------------------------------------------------------------------------


def test_somebody_without_a_membership_sees_a_page_that_says_so(client, db):
    client.force_login(User.objects.create_user("anna", is_staff=True))
    response = client.get("/admin/")
    assert response.status_code == 403
    assert "not a member of any workspace" in response.content.decode()
    assert client.post("/admin/logout/").status_code == 200


def test_a_switch_changes_what_the_admin_and_rest_show(client, member_of_both):
    client.force_login(member_of_both)
    assert badge_of(client) == "Rival"  # the first by name
    response = client.post(SWITCH, {"workspace": "speech"})
    assert response.headers["Location"] == "/admin/"
    assert badge_of(client) == "Speech"
    assert client.get("/admin/accounts/apikey/").status_code == 200
    client.post(SWITCH, {"workspace": "rival"})
    assert client.get("/admin/accounts/apikey/").status_code == 403


def test_the_switch_is_offered_to_those_with_several_workspaces_only(client, member_of_both, make_member):
    client.force_login(make_member(Role.VIEWER))
    assert "Switch workspace" not in client.get("/admin/password_change/").content.decode()
    client.force_login(member_of_both)
    assert "Switch workspace" in client.get("/admin/password_change/").content.decode()
    page = client.get(SWITCH).content.decode()
    assert "Go to Speech" in page
    assert "You are here" in page


def test_nobody_switches_to_a_workspace_that_is_not_theirs(client, make_member, other_workspace):
    client.force_login(make_member())
    answers = [client.post(SWITCH, {"workspace": slug}) for slug in ("rival", "nowhere", "")]
    assert all("There is no such workspace." in answer.content.decode() for answer in answers)
    assert badge_of(client) == "Speech"
    assert "Rival" not in answers[0].content.decode()


def test_switching_needs_a_csrf_token(member_of_both):
    client = Client(enforce_csrf_checks=True)
    client.force_login(member_of_both)
    assert client.post(SWITCH, {"workspace": "speech"}).status_code == 403


def test_a_link_cannot_switch(client, member_of_both):
    client.force_login(member_of_both)
    client.get(SWITCH, {"workspace": "speech"})
    assert badge_of(client) == "Rival"


def test_one_starts_in_a_workspace_that_is_not_switched_off(client, member_of_both, other_workspace):
    other_workspace.is_active = False
    other_workspace.save()
    client.force_login(member_of_both)
    assert badge_of(client) == "Speech"


def test_who_is_in_a_workspace_that_is_switched_off_is_shown_the_way_to_others(client, member_of_both, workspace):
    client.force_login(member_of_both)
    client.post(SWITCH, {"workspace": "speech"})
    workspace.is_active = False
    workspace.save()
    response = client.get("/admin/")
    assert response.status_code == 403
    assert "Go to Rival" in response.content.decode()
    client.post(SWITCH, {"workspace": "rival"})
    assert client.get("/admin/").status_code == 200


def test_the_name_of_a_workspace_is_shown_as_text(client, make_member, workspace, other_workspace):
    for each in (workspace, other_workspace):
        each.name = "<script>alert(1)</script>"
        each.save()
    user = make_member()
    Membership.objects.create(user=user, workspace=other_workspace, role=Role.VIEWER)
    client.force_login(user)
    assert "<script>alert" not in client.get(SWITCH).content.decode()
