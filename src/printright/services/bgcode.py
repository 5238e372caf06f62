"""Binary G-code (.bgcode), version 1, as PrusaSlicer writes it: read into plain text, with what its metadata say.

    file   = "GCDE", version, checksum type; file metadata?, printer metadata, thumbnails, print metadata, slicer
             metadata, G-code+
    block  = type, compression, size, [compressed size]; parameters; data; [CRC-32 over all of it]

In this order and with nothing between or behind; every size is held against a limit before it is believed. Heatshrink
(the `bgcode` extra) gives at most 16 bytes for 17 bits, deflate is stopped at the size that the header promised.

Source: "Specifications" of libbgcode (Prusa Research). The library itself is AGPL, as are its bindings.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from printright.domain.estimate import PrintEstimate
from printright.errors import GcodeRefused, Misuse
from printright.services.meatpack import unpack
from printright.services.slicing import MAX_THUMBNAILS, estimate_of

MAGIC = b"GCDE"
MAX_BLOCK_BYTES = 16 << 20
MAX_TEXT_BYTES = 1 << 30
_FILE, _GCODE, _SLICER, _PRINTER, _PRINT, _THUMBNAIL = range(6)
# Where each type of block stands in the file.
_ORDER = {_FILE: 0, _PRINTER: 1, _THUMBNAIL: 2, _PRINT: 3, _SLICER: 4, _GCODE: 5}
_PARAMETERS = {_THUMBNAIL: struct.Struct("<HHH")}
_ENCODING = struct.Struct("<H")
_HINT = "export it again, or as plain G-code"


@dataclass(frozen=True)
class _Block:
    type: int
    parameters: tuple[int, ...]
    data: bytes


def read_bgcode(data: bytes) -> tuple[bytes, PrintEstimate]:
    """The plain G-code of a whole file, and what the slicer says of it.

    Raises GcodeRefused for a file that is not whole and in this form, Misuse where the `bgcode` extra is missing.
    """
    text: list[bytes] = []
    size = 0
    said: dict[str, str] = {}
    thumbnails: list[bytes] = []
    for block in _blocks(data):
        if block.type == _GCODE:
            text.append(_text(block))
            size += len(text[-1])
            if size > MAX_TEXT_BYTES:
                raise _broken(f"it has more than {MAX_TEXT_BYTES} bytes of G-code")
        elif block.type == _THUMBNAIL:
            thumbnails += [block.data] if len(thumbnails) < MAX_THUMBNAILS else []
        else:
            if block.parameters[0] != 0:
                raise _broken("its metadata are in an unknown encoding")
            for line in block.data.decode("utf-8", "replace").splitlines():
                name, separator, value = line.partition("=")
                if separator:
                    said.setdefault(name.strip().lower(), value.strip())
    if not text:
        raise _broken("it has no G-code")
    return b"".join(text), estimate_of(said, thumbnails)


def _blocks(data: bytes) -> Iterator[_Block]:
    if len(data) < 10 or data[:4] != MAGIC:
        raise _broken("it does not begin as binary G-code")
    version, checksum = struct.unpack_from("<IH", data, 4)
    if version != 1:
        raise _broken(f"it has version {version}, and 1 is what we know")
    if checksum not in (0, 1):
        raise _broken("it has an unknown kind of checksum")
    at, place = 10, -1
    while at < len(data):
        block, at = _block(data, at, bool(checksum))
        now = _ORDER[block.type]
        if now < place or (now == place and block.type not in (_THUMBNAIL, _GCODE)):
            raise _broken("its blocks are not in their order")
        place = now
        yield block


def _block(data: bytes, begin: int, checksum: bool) -> tuple[_Block, int]:
    """One block and where the next begins."""
    if begin + 8 > len(data):
        raise _broken("it ends inside of a block")
    kind, compression, size = struct.unpack_from("<HHI", data, begin)
    if kind not in _ORDER or compression > 3:
        raise _broken("it has a block of a kind that we do not know")
    at, packed_size = begin + 8, size
    if compression:
        if at + 4 > len(data):
            raise _broken("it ends inside of a block")
        (packed_size,) = struct.unpack_from("<I", data, at)
        at += 4
    if max(size, packed_size) > MAX_BLOCK_BYTES:
        raise _broken(f"a block has more than {MAX_BLOCK_BYTES} bytes")
    form = _PARAMETERS.get(kind, _ENCODING)
    end = at + form.size + packed_size
    if end + 4 * checksum > len(data):
        raise _broken("it ends inside of a block")
    if checksum and zlib.crc32(data[begin:end]) != int.from_bytes(data[end : end + 4], "little"):
        raise _broken("a block does not have the checksum that it says")
    content = _inflated(data[at + form.size : end], compression, size)
    return _Block(kind, form.unpack_from(data, at), content), end + 4 * checksum


def _inflated(packed: bytes, compression: int, size: int) -> bytes:
    if compression == 0:
        return packed
    if compression == 1:
        unpacker = zlib.decompressobj()
        try:
            content = unpacker.decompress(packed, size + 1)
        except zlib.error:
            raise _broken("a block is no valid deflate stream") from None
        if not unpacker.eof or unpacker.unused_data:
            raise _broken("a block has another size than it says")
    else:
        content = _heatshrunk(packed, 11 if compression == 2 else 12)
    if len(content) != size:
        raise _broken("a block has another size than it says")
    return content


def _heatshrunk(packed: bytes, window_bits: int) -> bytes:
    try:
        import heatshrink2
    except ImportError:
        raise Misuse(
            "reading this binary G-code needs the extra `bgcode`",
            hint="pip install 'printright[bgcode]', or export plain G-code",
        ) from None
    try:
        return bytes(heatshrink2.decompress(packed, window_sz2=window_bits, lookahead_sz2=4))
    except (RuntimeError, ValueError):
        raise _broken("a block is no valid heatshrink stream") from None


def _text(block: _Block) -> bytes:
    (encoding,) = block.parameters
    if encoding > 2:
        raise _broken("its G-code is in an unknown encoding")
    return unpack(block.data) if encoding else block.data


def _broken(what: str) -> GcodeRefused:
    return GcodeRefused(f"this is no binary G-code that we read: {what}", hint=_HINT)
