"""Segments of Tink's AES-GCM-HKDF streaming AEAD: their keys, nonces and places. See `stream` for the format."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from printright.errors import BadValue, PackageRefused

KEY_SIZE = 32
SALT_SIZE = 32
PREFIX_SIZE = 7
HEADER_SIZE = 1 + SALT_SIZE + PREFIX_SIZE
TAG_SIZE = 16
SEGMENT_SIZE = 64 * 1024
"""Bytes of a whole ciphertext segment, its tag included."""
PLAIN_SIZE = SEGMENT_SIZE - TAG_SIZE
"""Bytes of plaintext in a whole segment."""

SPAN = 8
"""Segments that a thread reads, seals and writes at once: 512 KiB in and out stay in one core's cache."""


@dataclass(frozen=True)
class Layout:
    """Where the segments of a stream with `plaintext_size` bytes of plaintext lie."""

    plaintext_size: int

    @cached_property
    def segments(self) -> int:
        return -(-(self.plaintext_size + HEADER_SIZE) // PLAIN_SIZE)

    @cached_property
    def size(self) -> int:
        return HEADER_SIZE + self.plaintext_size + TAG_SIZE * self.segments

    @classmethod
    def of_ciphertext(cls, size: int) -> Layout:
        """The layout of a stream of `size` bytes. Raises PackageRefused where no stream has that size."""
        layout = cls(size - HEADER_SIZE - TAG_SIZE * -(-size // SEGMENT_SIZE))
        if layout.plaintext_size < 0 or layout.size != size:
            raise PackageRefused(f"an encrypted stream cannot have {size} bytes", hint="fetch the package again")
        return layout

    def sealed(self, index: int) -> tuple[int, int]:
        """Start and end of a segment in the ciphertext."""
        return max(index * SEGMENT_SIZE, HEADER_SIZE), min((index + 1) * SEGMENT_SIZE, self.size)

    def pieces(self, span: int) -> list[Piece]:
        """The segments of a span, and where they lie in its two buffers."""
        first = span * SPAN
        pieces = []
        for index in range(first, min(first + SPAN, self.segments)):
            start, end = self.sealed(index)
            plain = (index - first) * PLAIN_SIZE + (0 if index else HEADER_SIZE)
            sealed = slice(start - first * SEGMENT_SIZE, end - first * SEGMENT_SIZE)
            last = index == self.segments - 1
            pieces.append(Piece(index, last, slice(plain, plain + end - start - TAG_SIZE), sealed))
        return pieces


class Piece(NamedTuple):
    """A segment of a span: its number, whether it is the stream's last, its slices of the span's buffers.

    Buffers begin where the span's first segment does, so that the 40 bytes of the header lead in the first span: they
    stand in the ciphertext and are left out in the plaintext.
    """

    number: int
    last: bool
    plain: slice
    sealed: slice


class Segments:
    """The AEAD of one stream's segments. Knows the derived key; its representation does not."""

    def __init__(self, key: bytes, header: bytes, aad: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise BadValue(f"a stream's key has {KEY_SIZE} bytes, not {len(key)}")
        salt, self._prefix = header[1 : 1 + SALT_SIZE], header[1 + SALT_SIZE :]
        self._aead = AESGCM(HKDF(algorithm=SHA256(), length=KEY_SIZE, salt=salt, info=aad).derive(key))

    def seal(self, index: int, last: bool, plain: memoryview, sealed: memoryview) -> None:
        """Seal a segment from one buffer into another."""
        self._aead.encrypt_into(self._nonce(index, last), plain, None, sealed)

    def open(self, index: int, last: bool, sealed: memoryview) -> bytes:
        """The plaintext of a segment. Raises PackageRefused where it is not this segment of this stream."""
        try:
            return self._aead.decrypt(self._nonce(index, last), sealed, None)
        except InvalidTag:
            raise _refusal(index) from None

    def open_into(self, index: int, last: bool, sealed: memoryview, plain: memoryview) -> None:
        """As `open`, from one buffer into another."""
        try:
            self._aead.decrypt_into(self._nonce(index, last), sealed, None, plain)
        except InvalidTag:
            raise _refusal(index) from None

    def _nonce(self, index: int, last: bool) -> bytes:
        return self._prefix + index.to_bytes(4, "big") + (b"\1" if last else b"\0")


def _refusal(index: int) -> PackageRefused:
    return PackageRefused(
        f"segment {index} of an encrypted stream is not what was encrypted, or not for this key and place",
        hint="fetch the package again; ask the rights holder if it stays so",
    )


def new_header() -> bytes:
    return bytes([HEADER_SIZE]) + os.urandom(SALT_SIZE + PREFIX_SIZE)
