"""Fixtures that every room's tests share."""

from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import override_settings, setup_databases, teardown_databases
from rest_framework.test import APIClient

from accounts.models import Membership, Organization, Role, User, Workspace
from accounts.services import create_api_key
from tests.gateway.live import running_site
from tests.waiting import wait_for

HUMAN_SPEECH = Path(__file__).resolve().parent.parent.parent / "shared" / "audio"


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment, django_db_blocker, django_db_modify_db_settings):
    """The test database, also where no test that runs is marked with `django_db`: tests of a live site share one that
    is committed (see tests/gateway/conftest.py)."""
    with django_db_blocker.unblock():
        config = setup_databases(verbosity=0, interactive=False)
    yield
    with django_db_blocker.unblock():
        end_other_connections()
        teardown_databases(config, verbosity=0)


def end_other_connections():
    """Those of threads that live as long as their process. PostgreSQL drops no database that is in use."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture(scope="session", autouse=True)
def no_static_files():
    """Every new test client would look for all of them; browsers get them from servers that look for themselves."""
    with override_settings(SERVESTATIC_USE_FINDERS=False, SERVESTATIC_USE_STATIC_ROOT=False):
        yield


@pytest.fixture(scope="module")
def committed(django_db_setup, django_db_blocker):
    """The test database for a whole module, without transactions that are rolled back: another process sees what is
    written, and it is all gone afterwards. No id is given out again: a site that goes on has seen it."""
    with django_db_blocker.unblock():
        yield
        call_command("flush", interactive=False, verbosity=0, reset_sequences=False)


@pytest.fixture(scope="session")
def shared_site(django_db_setup, tmp_path_factory):
    """A live site with nothing in it (see tests.gateway.live.Site), for all tests of this process."""
    with running_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="module")
def live(committed, shared_site):
    """A workspace of the live site (see tests.gateway.live.Live) that the tests of a module share. No call of theirs is
    under way afterwards."""
    live = shared_site.fresh()
    yield live
    live.studio.reset()
    wait_for(lambda: not live.reserved().exists())


@pytest.fixture
def studio(live):
    """The provider behind the `studio/` models, as if started anew."""
    live.studio.reset()
    live.let_calls_through()
    return live.studio


@pytest.fixture
def workspace(db):
    organization = Organization.objects.create(name="Acme")
    return Workspace.objects.create(organization=organization, name="Speech", slug="speech")


@pytest.fixture
def other_workspace(db):
    organization = Organization.objects.create(name="Rival")
    return Workspace.objects.create(organization=organization, name="Rival", slug="rival")


@pytest.fixture
def make_member(workspace):
    """make_member(role, workspace=...) -> a staff user with that role."""

    def make(role=Role.EVALUATOR, workspace=workspace, username=None):
        user = User.objects.create_user(username or f"{role}-{workspace.slug}", password="pw", is_staff=True)
        Membership.objects.create(user=user, workspace=workspace, role=role)
        return user

    return make


@pytest.fixture
def api(workspace):
    """A REST client with an evaluator's key of `workspace`."""
    return _client(workspace)


@pytest.fixture
def other_api(other_workspace):
    """A REST client with an evaluator's key of another workspace."""
    return _client(other_workspace)


@pytest.fixture
def api_as(workspace):
    """api_as(role) -> a REST client with a key of that role."""
    return lambda role: _client(workspace, role)


def _client(workspace, role=Role.EVALUATOR):
    _, secret = create_api_key(workspace=workspace, name="test", role=role)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


@pytest.fixture
def api_with():
    """api_with(secret) -> a REST client that sends this key."""

    def client(secret):
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        return client

    return client


@pytest.fixture
def human_speech():
    """The folder of human speech clips with its manifest.csv."""
    if not HUMAN_SPEECH.exists():
        pytest.skip("the human speech clips (../shared/audio) are not on this machine")
    return HUMAN_SPEECH
