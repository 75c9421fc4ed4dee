"""Whom calls without an SDK reach: addresses that somebody has entered, and servers with a certificate."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from providers.adapters import http
from providers.adapters.base import ProviderConfig, ProviderError
from providers.adapters.http import call
from providers.adapters.openai import OpenAIAdapter, OpenAICompatibleAdapter
from providers.reasons import Reason
from tests.servers.byte_server import KEY, OK, send, server

# --- addresses that somebody has entered ----------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "2130706433"])
def test_what_somebody_has_entered_leads_nowhere_but_to_the_public_network(host, settings):
    settings.ALLOW_PRIVATE_ADDRESSES = False
    with pytest.raises(ProviderError) as caught:
        send("GET", f"http://{host}:9/", public_only=True)
    assert (caught.value.reason, caught.value.retryable) == (Reason.REQUEST_REFUSED, False)


def test_a_name_that_leads_into_the_sites_own_network_by_now_is_refused_with_the_reason(settings):
    with server([OK]) as served:
        url = served.url.replace("127.0.0.1", "localhost")
        settings.ALLOW_PRIVATE_ADDRESSES = False
        why = r"^localhost is not called\. Its address is not on the public network\. ALLOW_PRIVATE_ADDRESSES=1"
        with pytest.raises(ProviderError, match=why):
            send("GET", url, public_only=True)
        assert served.requests == []
        settings.ALLOW_PRIVATE_ADDRESSES = True
        assert send("GET", url, public_only=True).body == b"ok"


def test_an_address_of_the_environment_may_be_private(settings):
    settings.ALLOW_PRIVATE_ADDRESSES = False
    with server([OK]) as served:
        assert send("GET", served.url).body == b"ok"


def test_only_addresses_of_the_environment_are_called_wherever_they_lead(settings):
    settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "key", "http://127.0.0.1:9/v1"
    assert not OpenAIAdapter(ProviderConfig(kind="openai", name="o")).endpoint().public_only
    entered = ProviderConfig(kind="openai", name="o", base_url="http://127.0.0.1:9/v1", credential="key")
    assert OpenAIAdapter(entered).endpoint().public_only
    assert OpenAICompatibleAdapter(entered).endpoint().public_only


def test_a_connection_that_one_provider_may_use_is_none_for_another(settings):
    settings.ALLOW_PRIVATE_ADDRESSES = False
    with server([OK, OK], [OK]) as served:
        send("GET", served.url)
        with pytest.raises(ProviderError, match="is not called"):
            send("GET", served.url, public_only=True)
    assert [request for request in served.requests[1:] if request] == []


# --- certificates ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Of 127.0.0.1, signed by itself: the file, and a server's TLS with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    pem = serialization.Encoding.PEM
    file, private = folder / "certificate.pem", folder / "key.pem"
    file.write_bytes(signed.public_bytes(pem))
    private.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file, private)
    return file, tls


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate):
    with server([OK], tls=certificate[1]) as served, pytest.raises(ProviderError, match="Certificate"):
        send("GET", served.url)
    assert not any(served.requests)  # the key stays here


def test_certificates_are_those_that_openssl_is_told_of(monkeypatch, certificate):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    http.certificates.cache_clear()
    try:
        with server([OK], tls=certificate[1]) as served:
            answer = asyncio.run(call("GET", served.url, KEY, b"", public_only=False, step_seconds=30))
    finally:
        http.certificates.cache_clear()
    assert answer.body == b"ok"
