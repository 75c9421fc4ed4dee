"""Addresses that somebody enters lead to the public network only, when they are entered and when they are called."""

import asyncio
import socket

import pytest

from core.errors import InvalidInput
from providers import addresses
from providers.adapters.base import ProviderConfig, ProviderError
from providers.adapters.gemini.adapter import GeminiAdapter
from providers.adapters.openai.adapter import OpenAICompatibleAdapter
from providers.addresses import check_public_url


@pytest.fixture(autouse=True)
def only_public(settings):
    settings.ALLOW_PRIVATE_ADDRESSES = False


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.1.2.3", "169.254.169.254", "192.0.0.9", "192.0.0.170", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
        *("[::1]", "[::127.0.0.1]", "[::ffff:127.0.0.1]", "[::ffff:0:10.0.0.1]", "[fec0::1]", "[fe80::1]", "[fd00::1]"),
        *("[64:ff9b::7f00:1]", "[64:ff9b:1::1]", "[2002:7f00:1::1]"),
    ],
)
def test_what_is_not_on_the_public_network_is_refused(host):
    with pytest.raises(InvalidInput, match="not on the public network"):
        check_public_url(f"http://{host}/v1")


@pytest.mark.parametrize("port", [1, 22, 25, 111, 1023])
def test_ports_of_system_services_are_refused(port):
    with pytest.raises(InvalidInput, match=f"Port {port} is a system service's"):
        check_public_url(f"http://8.8.8.8:{port}/v1")


@pytest.mark.parametrize("port", ["", ":80", ":443", ":8000"])
def test_other_ports_of_public_addresses_are_not(port):
    check_public_url(f"https://8.8.8.8{port}/v1")


@pytest.mark.parametrize(
    "url", ["http://8.8.8.8/v1\r\nHost: x", "http://8.8.8.8/ v1", "http://8.8.8.8/\x00", "\thttp://8.8.8.8"]
)
def test_an_address_holds_no_line_break_and_no_space(url):
    with pytest.raises(InvalidInput, match="control characters"):
        check_public_url(url)


REFUSED = r"^rebound.example is not called\. Its address is not on the public network\. ALLOW_PRIVATE_ADDRESSES=1"


@pytest.fixture
def rebound(monkeypatch):
    """A name that led to a public address when it was entered, and leads to a server on loopback now. Returns the
    server's port, and what connected to it."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.2)
    port = server.getsockname()[1]
    found = socket.getaddrinfo

    def lookup(host, *args, **options):
        return found("127.0.0.1" if host == "rebound.example" else host, *args, **options)

    monkeypatch.setattr(addresses.socket, "getaddrinfo", lookup)
    yield f"http://rebound.example:{port}", server
    server.close()


def nobody_came(server):
    with pytest.raises(TimeoutError):
        server.accept()
    return True


def test_a_name_that_leads_elsewhere_by_now_is_not_called_by_the_sdk_of_openai(rebound):
    url, server = rebound
    adapter = OpenAICompatibleAdapter(ProviderConfig("any", "any", url, "secret"))
    with pytest.raises(ProviderError, match=REFUSED) as refused:
        asyncio.run(adapter.list_models())
    assert (refused.value.reason, refused.value.retryable) == ("request_refused", False)
    assert nobody_came(server)


def test_a_name_that_leads_elsewhere_by_now_is_not_called_by_the_sdk_of_gemini(rebound):
    url, server = rebound
    adapter = GeminiAdapter(ProviderConfig("any", "any", url, "secret"))
    with pytest.raises(ProviderError, match=REFUSED) as refused:
        asyncio.run(adapter.list_models())
    assert (refused.value.reason, refused.value.retryable) == ("request_refused", False)
    assert nobody_came(server)
