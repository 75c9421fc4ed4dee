"""Which addresses the site calls for a tenant: public ones, so that it opens nothing inside its own network."""

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from core.errors import InvalidInput


class AddressRefused(OSError):  # noqa: N818
    """The site does not call this address; `str(error)` says why."""


def check_public_url(url: str) -> None:
    """Raises InvalidInput unless `url` is http(s) and its host is, by all its addresses, on the public network.

    `ALLOW_PRIVATE_ADDRESSES` admits private and loopback addresses, too.
    """
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
    for address in _addresses(parts.hostname, port):
        if not _is_public(address):
            raise InvalidInput(f"{parts.hostname} is not on the public network. ALLOW_PRIVATE_ADDRESSES=1 admits it.")


def public_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for an address as `getaddrinfo` tells it, made when the connection is: a name that led to the public
    network when it was entered may lead elsewhere by now.

    Raises AddressRefused for what is not on the public network, unless `ALLOW_PRIVATE_ADDRESSES` is set.
    """
    family, kind, protocol, _, where = address
    if not settings.ALLOW_PRIVATE_ADDRESSES and not _is_public(where[0]):
        raise AddressRefused("Its address is not on the public network. ALLOW_PRIVATE_ADDRESSES=1 admits it.")
    return socket.socket(family, kind, protocol)


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
    return ip.is_global and not ip.is_multicast
