"""The zip container of a 3MF, read so that no two readers can see two different files in it.

    file              = item+ || central directory || [zip64 end || zip64 locator] || end, and nothing else
    item              = local header || data || [data descriptor]

Items cover the file from its first byte to the directory without gap or overlap. Local header, directory and
descriptor must say the same. Names are OPC part names (ECMA-376 Part 2), one spelling each. Only stored and deflated
items; no encryption, no disks, no comments, no links, no other names in extra fields. Zip64 is read where a 32-bit
field is full, as lib3mf writes it, and refused anywhere else.

Python's zipfile is made to read what it can, prepended data and differing headers included; what we check must be
what a slicer or lib3mf later reads, so that this reader takes one form only.

Source: PKWARE APPNOTE.TXT 6.3.10; ECMA-376 Part 2, annex C.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO

from printright.errors import ModelRefused
from printright.vault.secure_content.inflate import CHUNK, Limits, inflate

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s4B4H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_DESCRIPTOR, _UTF8 = 1 << 3, 1 << 11
# Compression level (bits 1 and 2), descriptor, UTF-8; bit 0 is encryption, 5 patches, 6 strong encryption, 13 masking.
_FLAGS = 0b110 | _DESCRIPTOR | _UTF8
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_ZIP64 = 0x0001
# Extra fields that give an item another name, target or key: AES, strong encryption, PKWARE and ASi Unix (links),
# Info-ZIP Unicode path.
_BAD_EXTRA = {0x9901, 0x0014, 0x0015, 0x0016, 0x0017, 0x0018, 0x0019, 0x000D, 0x756E, 0x7075}
_NAME = re.compile(r"[^\x00-\x1f\x7f\\:*?\"<>|]{1,512}")
_HIDDEN_DOTS = re.compile(r"%(2e|2f|5c|00)", re.IGNORECASE)
_PIECE = re.compile(r"/\[\d+\](\.last)?\.piece$", re.IGNORECASE)
_NESTED = (".zip", ".3mf", ".7z", ".rar", ".gz", ".xz", ".bz2", ".zst", ".tar", ".jar")
_Read = Callable[[int, int], bytes]
NESTED_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x1f\x8b", b"\xfd7zXZ\x00")


@dataclass(frozen=True)
class Item:
    """One part as directory and local header agree on it; offset from the start of the file, sizes in bytes."""

    name: str
    method: int
    crc: int
    packed_size: int
    size: int
    data_at: int


class Container:
    """The parts of one zip file, by name. The whole structure is checked when it is made, contents when they are read.

    Raises ModelRefused. Reads by position; the file stays the caller's.
    """

    def __init__(self, file: BinaryIO, limits: Limits | None = None) -> None:
        self._file, self.limits = file, limits or Limits()
        self._size = file.seek(0, os.SEEK_END)
        if self._size > self.limits.file_bytes:
            raise ModelRefused(f"the 3MF has more than {self.limits.file_bytes} bytes")
        items = list(_Directory(self._read, self._size, self.limits).items())
        total = sum(item.size for item in items)
        if total > self.limits.total_bytes:
            raise ModelRefused(f"the parts have {total} bytes, more than {self.limits.total_bytes}")
        # Folders are no parts (ECMA-376 Part 2, annex C).
        self.parts: Mapping[str, Item] = MappingProxyType({i.name: i for i in items if not i.name.endswith("/")})

    def stream(self, name: str) -> Iterator[bytes]:
        """A part's bytes in pieces; size and checksum must hold. What came before an error must be thrown away."""
        item = self.parts[name]
        raw = self._raw(item)
        pieces = raw if item.method == _STORED else inflate(raw, name, self.limits, item.size)
        crc = size = 0
        for piece in pieces:
            if not size and piece.startswith(NESTED_MAGIC):
                raise ModelRefused(f"{name} is an archive inside the archive")
            size += len(piece)
            crc = zlib.crc32(piece, crc)
            yield piece
        if size != item.size:
            raise ModelRefused(f"{name} has {size} bytes, not the {item.size} that its header says")
        if crc != item.crc:
            raise ModelRefused(f"{name} does not have the checksum that its header says")

    def read(self, name: str, max_bytes: int) -> bytes:
        """A small part. Raises ModelRefused where it is larger."""
        if self.parts[name].size > max_bytes:
            raise ModelRefused(f"{name} has more than {max_bytes} bytes")
        return b"".join(self.stream(name))

    def _raw(self, item: Item) -> Iterator[bytes]:
        at, end = item.data_at, item.data_at + item.packed_size
        while at < end:
            piece = self._read(at, min(CHUNK, end - at))
            at += len(piece)
            yield piece

    def _read(self, at: int, size: int) -> bytes:
        self._file.seek(at)
        data = self._file.read(size)
        if at < 0 or len(data) != size:
            raise ModelRefused("the 3MF ends in the middle of its zip structure")
        return data


class _Directory:
    """Reads the end records, the directory and the local headers, and holds them against each other."""

    def __init__(self, read: _Read, size: int, limits: Limits) -> None:
        self._read, self._limits = read, limits
        self.count, self.at, self.end = self._ends(size)
        if self.count > limits.parts:
            raise ModelRefused(f"the 3MF has {self.count} parts, more than {limits.parts}")

    def items(self) -> Iterator[Item]:
        headers = sorted(self._central(), key=lambda header: header.local_at)
        _refuse_doubles([header.name for header in headers])
        at = 0
        for header, following in zip(headers, [*headers[1:], None], strict=True):
            if header.local_at != at:
                raise ModelRefused(f"{header.name} does not begin where the item before it ends", hint=_GAP)
            limit = following.local_at if following else self.at
            item, at = self._local(header, limit)
            yield item
        if at != self.at:
            raise ModelRefused("there is data between the last item and the directory", hint=_GAP)

    def _ends(self, size: int) -> tuple[int, int, int]:
        """Number of items, begin and end of the directory."""
        if size < _END.size:
            raise ModelRefused("this is no 3MF: it is too short for a zip file")
        end_at = size - _END.size
        magic, disk, first_disk, here, count, length, at, comment = _END.unpack(self._read(end_at, _END.size))
        if magic != b"PK\x05\x06" or comment:
            raise ModelRefused(
                "this is no 3MF, or something follows the end of its zip structure", hint="trailing data and comments"
            )
        directory_end = end_at
        if count == _FULL16 or _FULL32 in (length, at):
            directory_end = end_at - _LOCATOR.size - _END64.size
            if directory_end < 0:
                raise ModelRefused("the zip64 end record is missing")
            magic, locator_disk, end64_at, disks = _LOCATOR.unpack(self._read(end_at - _LOCATOR.size, _LOCATOR.size))
            if (magic, locator_disk, end64_at, disks) != (b"PK\x06\x07", 0, directory_end, 1):
                raise ModelRefused("the zip64 locator does not lead to the zip64 end record before it")
            wide = _END64.unpack(self._read(directory_end, _END64.size))
            if wide[0] != b"PK\x06\x06" or wide[1] != _END64.size - 12:
                raise ModelRefused("the zip64 end record is not in the form we know")
            for narrow, full, value in (
                (here, _FULL16, wide[6]), (count, _FULL16, wide[7]), (length, _FULL32, wide[8]), (at, _FULL32, wide[9]),
            ):  # fmt: skip
                if narrow not in (full, value):
                    raise ModelRefused("the end record and the zip64 end record contradict each other")
            disk, first_disk, here, count, length, at = wide[4:]
        if disk or first_disk or here != count:
            raise ModelRefused("a zip of several disks is no 3MF")
        if at + length != directory_end:
            raise ModelRefused("the directory is not where the end record says", hint=_GAP)
        if length < count * _CENTRAL.size or length > count * (_CENTRAL.size + 3 * _FULL16):
            raise ModelRefused("the directory has another size than its items")
        return count, at, directory_end

    def _central(self) -> Iterator[_Header]:
        directory, at = self._read(self.at, self.end - self.at), 0
        for _ in range(self.count):
            if at + _CENTRAL.size > len(directory):
                raise ModelRefused("the directory ends in the middle of an entry")
            (
                magic, _, host, needed, needed_os, flags, method, _, _, crc, packed, size, name_length, extra_length,
                comment, disk, _, attributes, local_at,
            ) = _CENTRAL.unpack_from(directory, at)  # fmt: skip
            end = at + _CENTRAL.size + name_length + extra_length + comment
            if magic != b"PK\x01\x02" or end > len(directory):
                raise ModelRefused("an entry of the directory is not one")
            raw_name = directory[at + _CENTRAL.size : at + _CENTRAL.size + name_length]
            name = _part_name(raw_name, flags)
            if comment or disk not in (0, _FULL16):
                raise ModelRefused(f"{name} has a comment or is on another disk")
            if needed > 45 or needed_os not in (0, 3):
                raise ModelRefused(f"{name} needs features of zip that a 3MF has not")
            _refuse_method(name, flags, method)
            _refuse_link(name, host, attributes)
            extra = directory[end - comment - extra_length : end - comment]
            size, packed, local_at = _widen(name, extra, [size, packed, local_at])
            if disk:
                raise ModelRefused(f"{name} is on another disk")
            if size > self._limits.part_bytes:
                raise ModelRefused(f"{name} has {size} bytes, more than {self._limits.part_bytes}")
            if method == _STORED and size != packed:
                raise ModelRefused(f"{name} is stored, but in another size than its own")
            if name.endswith("/") and (size or packed > 2):
                raise ModelRefused(f"the folder {name} has content")
            yield _Header(name, raw_name, flags, method, crc, packed, size, local_at)
            at = end
        if at != len(directory):
            raise ModelRefused("the directory goes on behind its last entry")

    def _local(self, header: _Header, limit: int) -> tuple[Item, int]:
        """The item, and where it ends, which is at most `limit`."""
        name = header.name
        at = header.local_at
        if at + _LOCAL.size > limit:
            raise ModelRefused(f"{name} overlaps what follows it", hint=_GAP)
        magic, needed, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(
            self._read(at, _LOCAL.size)
        )
        data_at = at + _LOCAL.size + name_length + extra_length
        data_end = data_at + header.packed
        if magic != b"PK\x03\x04":
            raise ModelRefused(f"{name} has no local header where the directory says")
        if data_end > limit:
            raise ModelRefused(f"{name} overlaps what follows it", hint=_GAP)
        rest = self._read(at + _LOCAL.size, name_length + extra_length)
        if needed & 0xFF > 45 or (rest[:name_length], flags, method) != (header.raw_name, header.flags, header.method):
            raise ModelRefused(f"the local header of {name} says something else than the directory", hint=_TWO)
        size, packed = _widen(name, rest[name_length:], [size, packed])
        said, true = (crc, packed, size), (header.crc, header.packed, header.size)
        later = flags & _DESCRIPTOR
        if any(local not in ((0, central) if later else (central,)) for local, central in zip(said, true, strict=True)):
            raise ModelRefused(f"the local header of {name} says something else than the directory", hint=_TWO)
        item = Item(name, header.method, header.crc, header.packed, header.size, data_at)
        if not later:
            return item, data_end
        if limit - data_end > 24:
            raise ModelRefused(f"there is data behind {name}", hint=_GAP)
        tail = self._read(data_end, limit - data_end)
        forms = [struct.pack(form, *true) for form in ("<LLL", "<LQQ") if max(true) <= _FULL32]
        if tail not in [magic + form for form in forms for magic in (b"", b"PK\x07\x08")]:
            raise ModelRefused(f"the data descriptor of {name} says something else than the directory", hint=_TWO)
        return item, limit


@dataclass(frozen=True)
class _Header:
    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    local_at: int


_GAP = "items cover the file without gap or overlap; nothing stands before, between or behind them"
_TWO = "two readers would see two different files"


def _refuse_method(name: str, flags: int, method: int) -> None:
    if flags & 1:
        raise ModelRefused(f"{name} is encrypted by zip's own scheme", hint="3MF Secure Content is what we read")
    if flags & ~_FLAGS:
        raise ModelRefused(f"{name} has zip flags that a 3MF has not: {flags & ~_FLAGS:#x}")
    if method not in (_STORED, _DEFLATED):
        raise ModelRefused(f"{name} is compressed by method {method}", hint="a 3MF has stored and deflated parts")
    if method == _STORED and flags & _DESCRIPTOR:
        raise ModelRefused(f"{name} is stored without its size in front")


def _refuse_link(name: str, host: int, attributes: int) -> None:
    kind = attributes >> 28
    # Unix (3) and OS X (19) keep a file's kind in the upper bits: none, folder or regular file.
    if host in (3, 19) and kind not in (0, 0o4, 0o10):
        raise ModelRefused(f"{name} is a link or a device")


def _widen(name: str, extra: bytes, fields: list[int]) -> list[int]:
    """The fields with their zip64 values where they are full. Refuses extra fields that are broken or mean tricks."""
    found: bytes | None = None
    at = 0
    while at < len(extra):
        if at + 4 > len(extra):
            raise ModelRefused(f"the extra fields of {name} are broken")
        kind, length = struct.unpack_from("<HH", extra, at)
        if at + 4 + length > len(extra):
            raise ModelRefused(f"the extra fields of {name} are broken")
        if kind in _BAD_EXTRA:
            raise ModelRefused(f"{name} has an extra field {kind:#06x}, which gives it another name, target or key")
        if kind == _ZIP64:
            if found is not None:
                raise ModelRefused(f"{name} has two zip64 fields")
            found = extra[at + 4 : at + 4 + length]
        at += 4 + length
    full = [place for place, value in enumerate(fields) if value == _FULL32]
    if len(found or b"") != 8 * len(full) or (found is not None and not full):
        raise ModelRefused(f"the zip64 field of {name} does not fit its header")
    for place, value in zip(full, struct.unpack(f"<{len(full)}Q", found or b""), strict=True):
        fields[place] = value
    return fields


def _part_name(raw: bytes, flags: int) -> str:
    try:
        name = raw.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError:
        raise ModelRefused(f"a part's name is not in UTF-8: {raw[:60]!r}") from None
    refuse_name(name)
    return name


def refuse_name(name: str) -> None:
    """Refuse what is no OPC part name of ours: relative steps, absolute paths, drives, other spellings, archives."""
    segments = name.removesuffix("/").split("/")
    if (
        not _NAME.fullmatch(name)
        # Names are shown: no control sequences, no text that runs the other way.
        or not name.isprintable()
        or any(not segment or segment.endswith(".") or segment != segment.strip() for segment in segments)
        or _HIDDEN_DOTS.search(name)
        or _PIECE.search(f"/{name}")
    ):
        raise ModelRefused(f"not a name of a part: {name[:80]!r}", hint="no absolute paths, no dots, no backslashes")
    if name.lower().endswith(_NESTED):
        raise ModelRefused(f"{name} is an archive inside the archive")


def _refuse_doubles(names: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        same = name.removesuffix("/").casefold()
        if same in seen:
            raise ModelRefused(f"{name} is there twice, as {seen[same]}", hint="names differ by more than case")
        seen[same] = name
    for name in names:
        parts = name.removesuffix("/").casefold().split("/")
        for n in range(1, len(parts)):
            folder = seen.get("/".join(parts[:n]))
            if folder is not None and not folder.endswith("/"):
                raise ModelRefused(f"{folder} is a part and the folder of {name}")
