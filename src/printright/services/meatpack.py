"""MeatPack: G-code at two characters a byte, as Prusa's binary G-code has it, unpacked.

A byte is two of the fifteen commonest characters, low half first; 15 in a half means that the character itself
follows, the low half's first. 0xFF 0xFF and a command byte switch: packing on or off, no spaces (then E stands in for
the blank). Behind a line's end in the low half, the high half is nothing. Blanks are left out of G lines and are put
back here.

Source: S. Mudge's MeatPack, as used by Prusa's binary G-code (specification of libbgcode, encodings 1 and 2).
"""

from __future__ import annotations

import re

from printright.errors import GcodeRefused

_SIGNAL = b"\xff\xff"
_ON, _OFF, _RESET, _QUERY, _NO_SPACES, _SPACES = 251, 250, 249, 248, 247, 246
_SPACED, _UNSPACED = b"0123456789. \nGX", b"0123456789.E\nGX"
_FOLLOWS = 15
_G_LINE = re.compile(rb"^G[0-9][^;\n]*", re.MULTILINE)
_BEFORE_LETTER = re.compile(rb"(?<=[^ \t])(?=[A-Z])")

Pair = tuple[bytes, bool, bytes]


def _pairs(alphabet: bytes) -> list[Pair]:
    """For each byte: what it begins with, whether characters follow, and what comes behind the first that does."""
    made: list[Pair] = []
    for byte in range(256):
        low, high = byte & 15, byte >> 4
        first = b"" if low == _FOLLOWS else alphabet[low : low + 1]
        second = b"" if high == _FOLLOWS else alphabet[high : high + 1]
        if first == b"\n":
            made.append((first, False, b""))
        elif low == _FOLLOWS:
            made.append((b"", True, second))
        else:
            made.append((first + second, high == _FOLLOWS, b""))
    return made


_WITH_SPACES, _WITHOUT_SPACES = _pairs(_SPACED), _pairs(_UNSPACED)


def unpack(data: bytes) -> bytes:
    """The text of one block. Raises GcodeRefused where it ends inside of a character or has an unknown command."""
    first, *sections = data.split(_SIGNAL)
    text = [first]
    packed = spaceless = False
    for section in sections:
        if not section:
            raise GcodeRefused("the binary G-code ends inside of a command", hint=_HINT)
        command, rest = section[0], section[1:]
        if command in (_ON, _OFF, _RESET):
            packed = command == _ON
        elif command in (_NO_SPACES, _SPACES):
            spaceless = command == _NO_SPACES
        elif command != _QUERY:
            raise GcodeRefused("the binary G-code has an unknown command", hint=_HINT)
        text.append(_unpacked(rest, _WITHOUT_SPACES if spaceless else _WITH_SPACES) if packed else rest)
    return _G_LINE.sub(lambda line: _BEFORE_LETTER.sub(b" ", line[0]), b"".join(text))


_HINT = "export it again, or as plain G-code"


def _unpacked(packed: bytes, pairs: list[Pair]) -> bytes:
    text = bytearray()
    at, end = 0, len(packed)
    while at < end:
        byte = packed[at]
        begin, follows, behind = pairs[byte]
        text += begin
        at += 1
        if follows:
            count = 2 if byte == 0xFF else 1
            if at + count > end:
                raise GcodeRefused("the binary G-code ends inside of a character", hint=_HINT)
            text += packed[at : at + count]
            text += behind
            at += count
    return bytes(text)
