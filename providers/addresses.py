"""Which addresses the site calls for a tenant: public ones, so that it opens nothing inside its own network."""

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from core.errors import InvalidInput

# What Python calls global, or knows nothing of, and is none of the public network: translations of IPv4 addresses
# (NAT64, IPv4-compatible, SIIT), site-local addresses, and protocol assignments.
NOT_PUBLIC = [
    ipaddress.ip_network(network)
    for network in (
        *("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96", "fec0::/10"),
        "192.0.0.0/24",
    )
]
WEB_PORTS = {80, 443}
SYSTEM_PORTS = range(1, 1024)
REFUSED = "Its address is not on the public network. ALLOW_PRIVATE_ADDRESSES=1 admits it."


class AddressRefused(OSError):  # noqa: N818
    """The site does not call this address; `str(error)` says why."""


def check_public_url(url: str) -> None:
    """Raises InvalidInput unless `url` is http(s) and its host is, by all its addresses, on the public network.

    `ALLOW_PRIVATE_ADDRESSES` admits private and loopback addresses, too.
    """
    if any(letter <= " " or letter == "\x7f" for letter in url):
        raise InvalidInput("The URL must not hold spaces, line breaks or control characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidInput(f"This is not a URL: {error}.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput("The URL must begin with https:// or http:// and name a host.")
    if parts.username is not None or parts.password is not None:
        raise InvalidInput("The URL must not hold a user name or password.")
    if settings.ALLOW_PRIVATE_ADDRESSES:
        return
    if port is not None and not _is_open_port(port):
        raise InvalidInput(f"Port {port} is a system service's. Use 80, 443 or one above 1023.")
    for address in _addresses(parts.hostname, port):
        if not _is_public(address):
            raise InvalidInput(f"{parts.hostname} is not on the public network. ALLOW_PRIVATE_ADDRESSES=1 admits it.")


def public_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for an address as `getaddrinfo` tells it, made when the connection is: a name that led to the public
    network when it was entered may lead elsewhere by now.

    Raises AddressRefused for what is not on the public network, unless `ALLOW_PRIVATE_ADDRESSES` is set.
    """
    family, kind, protocol, _, where = address
    if not settings.ALLOW_PRIVATE_ADDRESSES and not (_is_public(where[0]) and _is_open_port(where[1])):
        raise AddressRefused(REFUSED)
    return socket.socket(family, kind, protocol)


def public_addresses(host: str, port: int) -> list[str]:
    """The addresses to connect to for `host`, looked up when the connection is made, as for `public_socket`.

    Raises AddressRefused where any of its addresses is not on the public network, unless `ALLOW_PRIVATE_ADDRESSES` is
    set: then `host` itself is the only one.
    """
    if settings.ALLOW_PRIVATE_ADDRESSES:
        return [host]
    try:
        addresses = _addresses(host, port)
    except InvalidInput as error:
        raise AddressRefused(error.message) from error
    if not _is_open_port(port) or not all(_is_public(address) for address in addresses):
        raise AddressRefused(f"{host} is not called. {REFUSED}")
    return addresses


def refused_address(error: BaseException | None) -> AddressRefused | None:
    """Why no connection was made, where that was refused here and `error` came of it."""
    while error is not None and not isinstance(error, AddressRefused):
        error = error.__cause__ or error.__context__
    return error


def _addresses(host: str, port: int | None) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InvalidInput(f"There is no host {host!r}.") from error
    return [str(address[0]) for *_, address in found]


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip.sixtofour or ip
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in NOT_PUBLIC)


def _is_open_port(port: int) -> bool:
    """Not one at which the hosts of a network have services other than the web's."""
    return port in WEB_PORTS or port not in SYSTEM_PORTS
