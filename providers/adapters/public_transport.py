"""httpx2's transports for addresses that somebody has entered: they look a name up when they connect, and connect to
public addresses alone. A name that led to the public network when it was entered may lead elsewhere by now."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import httpcore2
import httpx2

from providers.adapters.http import certificates, needs_proxy
from providers.addresses import AddressRefused, public_addresses

Options = Iterable[Any] | None


class _PublicBackend(httpcore2.NetworkBackend):
    def __init__(self, backend: httpcore2.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Options = None,
    ) -> httpcore2.NetworkStream:
        addresses = _looked_up(host, port)
        for address in addresses[:-1]:
            with suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):  # the next one may be reached
                return self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
        return self._backend.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)


class _AsyncPublicBackend(httpcore2.AsyncNetworkBackend):
    def __init__(self, backend: httpcore2.AsyncNetworkBackend) -> None:
        self._backend = backend

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Options = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await asyncio.to_thread(_looked_up, host, port)
        for address in addresses[:-1]:
            with suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):  # the next one may be reached
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
        return await self._backend.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)


def _looked_up(host: str, port: int) -> list[str]:
    try:
        return public_addresses(host, port)
    except AddressRefused as error:
        raise httpcore2.ConnectError(str(error)) from error


def transport_for(base_url: str, limits: httpx2.Limits, *, public_only: bool) -> httpx2.HTTPTransport | None:
    """What a `httpx2.Client` of `base_url` needs; None: its own. A proxy of the environment looks names up itself."""
    if not public_only or needs_proxy(base_url):
        return None
    transport = httpx2.HTTPTransport(verify=certificates(), limits=limits)
    transport._pool._network_backend = _PublicBackend(transport._pool._network_backend)
    return transport


def async_transport_for(base_url: str, limits: httpx2.Limits, *, public_only: bool) -> httpx2.AsyncHTTPTransport | None:
    """The same for a `httpx2.AsyncClient`."""
    if not public_only or needs_proxy(base_url):
        return None
    transport = httpx2.AsyncHTTPTransport(verify=certificates(), limits=limits)
    transport._pool._network_backend = _AsyncPublicBackend(transport._pool._network_backend)
    return transport
