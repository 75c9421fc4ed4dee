import pytest
from rest_framework.test import APIClient


@pytest.fixture
def api_with():
    """api_with(secret) -> a REST client that sends this key."""

    def client(secret):
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        return client

    return client
