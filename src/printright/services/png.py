"""Pictures out of other people's files: taken apart, checked, and put together again without what a picture needs not.

A PNG may carry text, profiles, other programs' chunks and anything behind its end. What is kept here is the picture
(ISO/IEC 15948: IHDR, PLTE, tRNS, IDAT, IEND), so that it can be shown in a page without carrying a stranger's payload.
"""

from __future__ import annotations

import struct
import zlib

from printright.domain.estimate import PNG_SIGNATURE

MAX_SIDE = 2048
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def clean_png(data: bytes, limit_bytes: int) -> bytes:
    """The same picture with nothing else in it; empty where it is no whole PNG, too large, or its pixels do not fit."""
    if not data.startswith(PNG_SIGNATURE):
        return b""
    kept, pixels, size, at = [], [], None, len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data) or zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            return b""
        if (kind == b"IHDR") is not (size is None):
            return b""
        if kind == b"IHDR":
            size = _unpacked_size(data[at + 8 : end - 4])
        elif kind == b"IDAT":
            pixels.append(data[at + 8 : end - 4])
        if kind in _KEPT:
            kept.append(data[at:end])
        elif not kind[0] & 0x20:
            # A chunk that a reader must understand.
            return b""
        at = end
        if kind == b"IEND":
            break
    else:
        return b""
    if not size or not _unpacks_to(b"".join(pixels), size):
        return b""
    made = PNG_SIGNATURE + b"".join(kept)
    return made if len(made) <= limit_bytes else b""


def _unpacked_size(header: bytes) -> int:
    """Bytes of the picture's rows, each with its filter byte; 0 for a header that cannot be, or is interlaced."""
    if len(header) != 13:
        return 0
    width, height, depth, color, *rest = struct.unpack(">IIBBBBB", header)
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE) or color not in _SAMPLES or rest != [0, 0, 0]:
        return 0
    if depth not in (1, 2, 4, 8, 16):
        return 0
    return int(height * (1 + (width * depth * _SAMPLES[color] + 7) // 8))


def _unpacks_to(packed: bytes, size: int) -> bool:
    unpacker = zlib.decompressobj()
    try:
        return len(unpacker.decompress(packed, size + 1)) == size and unpacker.eof
    except zlib.error:
        return False
