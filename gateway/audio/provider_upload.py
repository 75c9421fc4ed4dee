"""Uploads audio to a provider's file store for one call, if it cannot be sent inline."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO

from django.conf import settings

from providers.adapters.base import AudioSource, FileStore, ProviderError, RemoteAudio, RemoteFile
from providers.reasons import Reason

logger = logging.getLogger(__name__)

PAUSE = 0.3  # seconds between two polls of a file that the provider is still processing


@asynccontextmanager
async def uploaded_to(store: FileStore, audio: AudioSource) -> AsyncIterator[RemoteAudio]:
    """Upload the audio on entry and delete it on exit. If the process is killed, the file is left to the provider's own
    expiry. Raises ProviderError."""
    name = f"gateway-{secrets.token_hex(16)}"
    with audio.open() as stream:
        putting = asyncio.ensure_future(asyncio.to_thread(_put, store, name, stream, audio))
        try:
            file = await _in_time(store, putting)
            yield RemoteAudio(file.uri, audio.mime_type)
        finally:
            stream.close()  # makes an upload that is still running fail
            await asyncio.gather(putting, return_exceptions=True)
            await asyncio.to_thread(_delete, store, name)


def _put(store: FileStore, name: str, stream: BinaryIO, audio: AudioSource) -> RemoteFile:
    return store.upload_file(name, stream, audio.size, audio.mime_type)


async def _in_time(store: FileStore, putting: asyncio.Future[RemoteFile]) -> RemoteFile:
    try:
        async with asyncio.timeout(settings.CALL_TIMEOUT_SECONDS):
            return await _active(store, await asyncio.shield(putting))
    except TimeoutError:
        message = "The provider did not take the audio in time."
        raise ProviderError(Reason.TIMEOUT, message, retryable=True) from None


async def _active(store: FileStore, file: RemoteFile) -> RemoteFile:
    """Wait until the provider has processed the file."""
    current: RemoteFile | None = file
    while current is not None and current.state == "processing":
        await asyncio.sleep(PAUSE)
        current = await asyncio.to_thread(store.get_file, file.name)
    if current is None:
        raise ProviderError(Reason.PROVIDER_ERROR, "The provider lost the audio after it was uploaded.", retryable=True)
    if current.state == "failed":
        raise ProviderError(Reason.FILE_REFUSED, "The provider could not process the audio.")
    return current


def _delete(store: FileStore, name: str) -> None:
    try:
        store.delete_file(name)
    except ProviderError as error:
        logger.warning("gateway: a file is left at a provider, which deletes it by itself (%s)", error.reason)
