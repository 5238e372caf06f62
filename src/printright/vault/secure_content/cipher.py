"""Encrypted parts: the cipher file format (3MF Secure Content 1.0.3, appendix D) around one AES-256-GCM message.

    part   = header || ciphertext                                                       little endian
    header = "%3McF" || version 0, 0 || 0 || length of the header (4 bytes) || reserved

The tag is in the key store. A part authenticates as a whole or not at all: `authenticate` reads it once and gives
nothing; only then is `plain` to be called, which checks again and inflates what the key's holder made.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from printright.errors import ModelRefused
from printright.vault.secure_content.inflate import Limits, inflate
from printright.vault.secure_content.keystore import ResourceData

_HEADER = struct.Struct("<5s3BI")
_MAGIC = b"%3McF"
_MAX_HEADER_BYTES = 1 << 16
Stream = Callable[[], Iterator[bytes]]
"""Gives a part's bytes from the start, each time it is called."""


def encrypt(
    key: bytes, iv: bytes, aad: bytes, pieces: Iterable[bytes], write: Callable[[bytes], object], *, deflate: bool
) -> bytes:
    """Write header and ciphertext of the pieces; the tag, 16 bytes. Never with an `iv` that the key had before."""
    engine = Cipher(algorithms.AES(key), modes.GCM(iv)).encryptor()
    engine.authenticate_additional_data(aad)
    write(_HEADER.pack(_MAGIC, 0, 0, 0, _HEADER.size))
    for piece in _deflated(pieces) if deflate else pieces:
        write(engine.update(piece))
    engine.finalize()
    return engine.tag


def authenticate(key: bytes, resource: ResourceData, stream: Stream) -> None:
    """Read the part once and check its tag; nothing of it is given away. Raises ModelRefused."""
    for _ in _decrypted(key, resource, stream()):
        pass


def plain(key: bytes, resource: ResourceData, stream: Stream, limits: Limits) -> Iterator[bytes]:
    """The part's plaintext in pieces. Call `authenticate` before. Raises ModelRefused."""
    pieces = _decrypted(key, resource, stream())
    what = f"the content of {resource.path}"
    if resource.deflated:
        yield from inflate(pieces, what, limits, limits.part_bytes)
        return
    yield from pieces


def _decrypted(key: bytes, resource: ResourceData, pieces: Iterator[bytes]) -> Iterator[bytes]:
    engine = Cipher(algorithms.AES(key), modes.GCM(resource.iv, resource.tag)).decryptor()
    engine.authenticate_additional_data(resource.aad)
    for piece in _without_header(resource.path, pieces):
        yield engine.update(piece)
    try:
        engine.finalize()
    except InvalidTag:
        raise ModelRefused(
            f"{resource.path} does not authenticate", hint="it was altered, or was encrypted under another key"
        ) from None


def _without_header(name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    head = b""
    wanted = _HEADER.size
    for piece in pieces:
        head += piece
        if len(head) >= _HEADER.size:
            magic, major, minor, unused, wanted = _HEADER.unpack_from(head)
            if magic != _MAGIC:
                raise ModelRefused(f"{name} is listed as encrypted, but is not")
            if (major, minor, unused) != (0, 0, 0) or not _HEADER.size <= wanted <= _MAX_HEADER_BYTES:
                raise ModelRefused(f"{name} is encrypted in a version of the format that we do not know")
        if len(head) >= wanted:
            break
    if len(head) < wanted:
        raise ModelRefused(f"{name} ends in its header")
    yield head[wanted:]
    yield from pieces


def _deflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    engine = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    for piece in pieces:
        yield engine.compress(piece)
    yield engine.flush()
