"""The checksum that protects a numbered line of G-code on its way to a RepRap firmware."""

from __future__ import annotations


def checksum(data: bytes) -> int:
    """All bytes of a line in front of its asterisk, exclusive-or: 0 to 255.

    Folds one big integer on itself instead of walking over bytes; source: RepRap wiki, "G-code", field `*`.
    """
    number = int.from_bytes(data, "little")
    bits = 256 if 16 < len(data) <= 64 else 1 << max(3, (8 * len(data) - 1).bit_length() - 1)
    while bits >= 8:
        number = (number ^ number >> bits) & ((1 << bits) - 1)
        bits >>= 1
    return number
