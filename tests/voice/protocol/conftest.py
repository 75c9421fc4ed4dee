import pytest

from tests.voice.protocol.talk import Talk


@pytest.fixture(params=["ga", "beta"])
def dialect(request):
    return request.param


@pytest.fixture
def talk(dialect):
    """A session with turn detection off, in each dialect."""
    talk = Talk(dialect)
    talk.by_hand()
    return talk


@pytest.fixture
def listening(dialect):
    """A session with server VAD, in each dialect."""
    return Talk(dialect)
