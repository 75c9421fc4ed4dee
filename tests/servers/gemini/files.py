"""The Files API: uploads in pieces, states, expiry, pages, deletion."""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Any

from tests.servers.gemini.errors import GoogleError, missing_file
from tests.servers.gemini.faults import Faults
from tests.servers.gemini.settings import Clock, Settings, timestamp

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


@dataclass
class StoredFile:
    id: str  # without "files/"
    display_name: str
    mime_type: str
    size: int
    sha256: str  # hex
    created: float
    expires: float
    active_at: float | None  # None: never
    content: bytes | None  # None: audio, of which only the hash is kept
    generated: bool = False
    failed: bool = False
    deleted_at: float | None = None

    def alive(self, at: float) -> bool:
        return at < self.expires and (self.deleted_at is None or at < self.deleted_at)

    def state(self, at: float) -> str:
        if self.active_at is None or at < self.active_at:
            return "PROCESSING"
        return "FAILED" if self.failed else "ACTIVE"

    def resource(self, at: float, base_url: str) -> dict[str, Any]:
        uri = f"{base_url}/v1beta/files/{self.id}"
        resource: dict[str, Any] = {
            "name": f"files/{self.id}",
            "mimeType": self.mime_type,
            "sizeBytes": str(self.size),
            "createTime": timestamp(self.created),
            "updateTime": timestamp(self.created),
            "expirationTime": timestamp(self.expires),
            "sha256Hash": base64.b64encode(self.sha256.encode()).decode(),
            "uri": uri,
            "state": self.state(at),
            "source": "GENERATED" if self.generated else "UPLOADED",
        }
        if self.display_name:
            resource["displayName"] = self.display_name
        if self.generated:
            resource["downloadUri"] = f"{uri}:download?alt=media"
        if resource["state"] == "FAILED":
            resource["error"] = {"code": 3, "message": "The file could not be processed."}
        return resource


@dataclass
class Upload:
    """A resumable upload between its start and its end."""

    id: str
    name: str  # chosen by the caller; may be empty
    display_name: str
    mime_type: str
    size: int  # told beforehand
    digest: Any = field(default_factory=hashlib.sha256)
    received: int = 0
    pieces: list[bytes] = field(default_factory=list)
    stored: StoredFile | None = None


class Files:
    def __init__(self, settings: Settings, clock: Clock, faults: Faults) -> None:
        self._settings = settings
        self._clock = clock
        self._faults = faults
        self._uploads: dict[str, Upload] = {}
        self._by_id: dict[str, StoredFile] = {}  # the latest of that name, deleted ones too
        self._bytes = 0  # of all that were not deleted
        self._count = 0
        self.ever: list[StoredFile] = []
        self.most_bytes = 0
        self.most_files = 0

    # uploads
    def start(self, metadata: dict[str, Any], mime_type: str, size: int) -> Upload:
        name = metadata.get("name", "").removeprefix("files/")
        if name and not _NAME.fullmatch(name):
            raise GoogleError(
                400,
                "* CreateFileRequest.file.name: File ID (name excluding 'files/') must be at most 40 characters of "
                "lowercase letters, digits and dashes, and cannot begin or end with a dash.\n",
            )
        if mime_type in self._settings.refused_mime_types:
            raise GoogleError(400, f"Unsupported MIME type: {mime_type}")
        if size > self._settings.max_file_bytes:
            raise GoogleError(400, "The file is too large.")
        if self._bytes + size > self._settings.max_project_bytes:  # expired files may still be counted
            self._bytes = sum(stored.size for stored in self.alive())
        if self._bytes + size > self._settings.max_project_bytes:
            raise GoogleError(429, "You have exceeded the file storage of this project.")
        self._refuse_taken(name)
        upload = Upload(
            secrets.token_urlsafe(16),
            name,
            metadata.get("displayName") or metadata.get("display_name") or "",
            mime_type,
            size,
        )
        self._uploads[upload.id] = upload
        return upload

    def find_upload(self, upload_id: str) -> Upload | None:
        return self._uploads.get(upload_id)

    def upload(self, upload_id: str) -> Upload:
        upload = self.find_upload(upload_id)
        if upload is None:
            raise GoogleError(404, "The upload was not found.")
        return upload

    def receive(self, upload: Upload, offset: int, piece: bytes, *, last: bool) -> None:
        """One piece. The last piece, sent again, is answered again."""
        if upload.stored is not None:
            return
        if offset != upload.received:
            raise GoogleError(400, f"Upload offset {offset} is not the {upload.received} bytes received so far.")
        upload.received += len(piece)
        upload.digest.update(piece)
        if not upload.mime_type.startswith("audio/"):
            upload.pieces.append(piece)
        if last:
            self._finish(upload)

    def _finish(self, upload: Upload) -> None:
        if upload.received != upload.size:
            raise GoogleError(400, f"Received {upload.received} bytes of {upload.size}.")
        self._refuse_taken(upload.name)  # two uploads of one name may have been started
        content = None if upload.mime_type.startswith("audio/") else b"".join(upload.pieces)
        upload.pieces.clear()
        upload.stored = self._add(
            upload.name or secrets.token_hex(6),
            upload.display_name,
            upload.mime_type,
            upload.received,
            upload.digest.hexdigest(),
            content,
        )

    def _refuse_taken(self, name: str) -> None:
        there = self._by_id.get(name)
        if there is not None and there.alive(self._clock.now()):
            raise GoogleError(409, "Requested entity already exists")

    def _add(
        self, file_id: str, display_name: str, mime_type: str, size: int, sha256: str, content: bytes | None
    ) -> StoredFile:
        now = self._clock.now()
        fault = self._faults.take("file", subject=f"{file_id} {display_name}")
        fate = fault.what if fault else ""
        lifetime = self._settings.file_lifetime_seconds
        if fault and fate == "expire":
            lifetime = fault.seconds or 0.0
        stored = StoredFile(
            file_id,
            display_name,
            mime_type,
            size,
            sha256,
            created=now,
            expires=now + lifetime,
            active_at=None if fate == "PROCESSING" else now + self._settings.file_processing_seconds,
            content=content,
            failed=fate == "FAILED",
        )
        self._keep(stored)
        return stored

    def add_generated(self, file_id: str, content: bytes, created: float) -> StoredFile:
        """A batch's result file."""
        stored = StoredFile(
            file_id,
            file_id,
            "application/jsonl",
            len(content),
            hashlib.sha256(content).hexdigest(),
            created=created,
            expires=created + self._settings.file_lifetime_seconds,
            active_at=created,
            content=content,
            generated=True,
        )
        self._keep(stored)
        return stored

    def _keep(self, stored: StoredFile) -> None:
        self._by_id[stored.id] = stored
        self.ever.append(stored)
        self._bytes += stored.size
        self._count += 1
        self.most_bytes = max(self.most_bytes, self._bytes)
        self.most_files = max(self.most_files, self._count)

    # the rest of the API
    def get(self, file_id: str) -> StoredFile:
        stored = self._by_id.get(file_id)
        if stored is None or not stored.alive(self._clock.now()):
            raise missing_file(file_id, self._settings.missing_file_status)
        return stored

    def at(self, file_id: str, moment: float) -> StoredFile | None:
        """The file as it was then; None where there was none."""
        stored = self._by_id.get(file_id)
        return stored if stored is not None and stored.alive(moment) else None

    def alive(self) -> list[StoredFile]:
        now = self._clock.now()
        return [stored for stored in self._by_id.values() if stored.alive(now)]

    def delete(self, file_id: str) -> None:
        stored = self.get(file_id)
        if stored.generated and not self._settings.result_files_can_be_deleted:
            raise GoogleError(
                400, "* DeleteFileRequest.name: File ID (name excluding 'files/') cannot be more than 40 characters.\n"
            )
        stored.deleted_at = self._clock.now()
        stored.content = None
        self._bytes -= stored.size
        self._count -= 1

    def download(self, file_id: str) -> bytes:
        stored = self.get(file_id)
        if not stored.generated or stored.content is None:
            raise GoogleError(400, f"File {file_id} cannot be downloaded: only generated files can.")
        return stored.content
