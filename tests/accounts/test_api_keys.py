from accounts.access import Access
from accounts.api_keys import access_of_key
from accounts.models import Role
from accounts.services import create_api_key, revoke_api_key


def test_a_key_opens_its_workspace_with_its_role(workspace):
    _, secret = create_api_key(workspace=workspace, name="ci", role=Role.VIEWER)
    access = access_of_key(secret)
    assert isinstance(access, Access)
    assert (access.workspace, access.role) == (workspace, Role.VIEWER)


def test_a_key_is_stored_hashed_only(workspace):
    api_key, secret = create_api_key(workspace=workspace, name="ci")
    assert secret not in str(vars(api_key))


def test_a_revoked_key_opens_nothing(workspace):
    api_key, secret = create_api_key(workspace=workspace, name="ci")
    revoke_api_key(api_key=api_key)
    assert access_of_key(secret) is None
