"""Raw deflate (RFC 1951) into bounded memory: what a header promises is not believed, what comes out is counted."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from printright.errors import ModelRefused

CHUNK = 1 << 16


@dataclass(frozen=True)
class Limits:
    """What a 3MF may ask of its reader. Sizes in bytes; `ratio` is bytes out for each byte in.

    Meshes as XML shrink to a fifth or a twentieth, deflate can reach 1:1032. The first `ratio_free_bytes` of a part are
    not held to the ratio: a small part of blanks is no bomb.
    """

    file_bytes: int = 2 << 30
    parts: int = 4096
    part_bytes: int = 1 << 30
    total_bytes: int = 4 << 30
    ratio: int = 200
    ratio_free_bytes: int = 1 << 20


def inflate(chunks: Iterable[bytes], what: str, limits: Limits, max_bytes: int) -> Iterator[bytes]:
    """The plain bytes of one whole deflate stream, in pieces of at most CHUNK.

    Raises ModelRefused where the stream is broken, ends early, goes on behind its end, gives more than `max_bytes`, or
    swells beyond the ratio: while it is read, before the piece is handed out.
    """
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    taken = given = 0
    for chunk in chunks:
        if engine.eof and chunk:
            raise ModelRefused(f"{what} goes on behind the end of its compressed data")
        taken += len(chunk)
        pending = chunk
        while pending and not engine.eof:
            try:
                plain = engine.decompress(pending, CHUNK)
            except zlib.error:
                raise ModelRefused(f"{what} is no valid deflate stream") from None
            pending = engine.unconsumed_tail
            given += len(plain)
            if given > max_bytes:
                raise ModelRefused(f"{what} inflates to more than {max_bytes} bytes")
            if given > limits.ratio_free_bytes and given > taken * limits.ratio:
                raise ModelRefused(f"{what} swells by more than {limits.ratio}:1", hint="no model does; it is a bomb")
            if plain:
                yield plain
        if engine.unused_data:
            raise ModelRefused(f"{what} goes on behind the end of its compressed data")
    if not engine.eof:
        raise ModelRefused(f"{what} ends before its compressed data does")
