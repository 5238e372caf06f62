"""What only a licensed machine, the rights holder and whoever they show it to may know of a file.

Kept in a package's encrypted window "details" as canonical JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import rfc8785

from printright.domain.ids import Digest
from printright.errors import BadValue, PackageRefused

MAX_THUMBNAIL_BYTES = 1 << 20
MAX_DETAILS_BYTES = 4 << 20
_MAX_TEXT = {"file_name": 255, "material": 255, "notes": 65_536}


@dataclass(frozen=True, kw_only=True)
class Details:
    """What the rights holder says of a file. `thumbnail` is a PNG or empty; `estimated_time_s` is of one run."""

    file_name: str
    material: str = ""
    notes: str = ""
    estimated_time_s: int | None = None
    thumbnail: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        for name, limit in _MAX_TEXT.items():
            if len(getattr(self, name)) > limit:
                raise BadValue(f"{name} has more than {limit} characters")
        if not self.file_name or self.file_name in (".", "..") or set(self.file_name) & set("/\\\0\r\n"):
            raise BadValue(f"not a file name: {self.file_name!r}", hint="a name without folders")
        if self.estimated_time_s is not None and not 0 <= self.estimated_time_s < 1 << 32:
            raise BadValue(f"estimated_time_s is out of range: {self.estimated_time_s}")
        if len(self.thumbnail) > MAX_THUMBNAIL_BYTES:
            raise BadValue(f"the thumbnail has more than {MAX_THUMBNAIL_BYTES} bytes")


@dataclass(frozen=True, kw_only=True)
class FileDetails(Details):
    """`Details` and what was measured when the package was made.

    `salt` (32 random bytes) and `file_sha256` open the manifest's file commitment; `size_bytes` is the file's.
    """

    salt: bytes = field(repr=False)
    file_sha256: Digest
    size_bytes: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.salt) != 32 or len(self.file_sha256) != 32:
            raise BadValue("salt and file_sha256 have 32 bytes each")
        if not 0 <= self.size_bytes < 1 << 48:
            raise BadValue(f"size_bytes is out of range: {self.size_bytes}")

    def to_json(self) -> bytes:
        """Canonical JSON (RFC 8785); bytes in hexadecimal."""
        fields: dict[str, Any] = {
            "estimated_time_s": self.estimated_time_s,
            "file_name": self.file_name,
            "file_sha256": self.file_sha256.hex(),
            "material": self.material,
            "notes": self.notes,
            "salt": self.salt.hex(),
            "size_bytes": self.size_bytes,
            "thumbnail": self.thumbnail.hex(),
        }
        return rfc8785.dumps(fields)

    @classmethod
    def from_json(cls, data: bytes) -> FileDetails:
        """The inverse of `to_json`. Raises PackageRefused for anything else."""
        try:
            wire = msgspec.json.decode(data, type=_WireDetails)
            return cls(
                file_name=wire.file_name,
                material=wire.material,
                notes=wire.notes,
                estimated_time_s=wire.estimated_time_s,
                thumbnail=bytes.fromhex(wire.thumbnail),
                salt=bytes.fromhex(wire.salt),
                file_sha256=Digest(bytes.fromhex(wire.file_sha256)),
                size_bytes=wire.size_bytes,
            )
        except (msgspec.DecodeError, ValueError):
            raise PackageRefused("the package's details are not in the form we know") from None


class _WireDetails(msgspec.Struct, forbid_unknown_fields=True):
    estimated_time_s: int | None
    file_name: str
    file_sha256: str
    material: str
    notes: str
    salt: str
    size_bytes: int
    thumbnail: str
