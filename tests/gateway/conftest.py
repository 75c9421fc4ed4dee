import pytest

from tests.gateway.live import live_site


@pytest.fixture(scope="module")
def live(committed, tmp_path_factory):
    """A live site (see tests.gateway.live.Live) that the tests of a module share."""
    with live_site(tmp_path_factory.mktemp("site")) as site:
        yield site
