import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import setup_databases, teardown_databases

from tests.gateway.live import live_site


@pytest.fixture(scope="session")
def database(django_db_setup, django_db_blocker):
    """pytest-django makes the test database only where a test asks for its transaction, which these do without."""
    with django_db_blocker.unblock():
        made_here = []
        if connection.settings_dict["NAME"] != connection.creation._get_test_db_name():
            made_here = setup_databases(verbosity=0, interactive=False, aliases=["default"])
        yield
        teardown_databases(made_here, verbosity=0)


@pytest.fixture(scope="module")
def committed(database, django_db_blocker):
    """The test database for a whole module, without transactions that are rolled back: another process sees what is
    written, and it is all gone afterwards."""
    with django_db_blocker.unblock():
        yield
        call_command("flush", interactive=False, verbosity=0)


@pytest.fixture(scope="module")
def live(committed, tmp_path_factory):
    """A live site (see tests.gateway.live.Live) that the tests of a module share."""
    with live_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def studio(live):
    """The provider behind the `studio/` models, as if started anew."""
    live.studio.reset()
    live.let_calls_through()
    return live.studio
