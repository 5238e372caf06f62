"""A zip writer that can lie: every field of every header can be set to what it should not be."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field


@dataclass
class Raw:
    """One item, and what its headers say where that is not the truth."""

    name: bytes
    data: bytes
    method: int = 8
    flags: int = 0
    local: dict[str, int | bytes] = field(default_factory=dict)
    central: dict[str, int | bytes] = field(default_factory=dict)
    before: bytes = b""
    after: bytes = b""
    packed: bytes | None = None

    def body(self) -> bytes:
        if self.packed is not None:
            return self.packed
        if self.method != 8:
            return self.data
        engine = zlib.compressobj(9, zlib.DEFLATED, -15)
        return engine.compress(self.data) + engine.flush()


def local_header(item: Raw) -> bytes:
    body = item.body()
    told: dict[str, int | bytes] = {
        "name": item.name, "flags": item.flags, "method": item.method, "crc": zlib.crc32(item.data),
        "packed": len(body), "size": len(item.data), "extra": b"", "magic": b"PK\x03\x04",
    }  # fmt: skip
    told |= item.local
    name, extra = told["name"], told["extra"]
    assert isinstance(name, bytes)
    assert isinstance(extra, bytes)
    fixed = struct.pack(
        "<4s5H3L2H", told["magic"], 20, told["flags"], told["method"], 0, 33, told["crc"], told["packed"],
        told["size"], len(name), len(extra),
    )  # fmt: skip
    return fixed + name + extra


def central_header(item: Raw, at: int) -> bytes:
    told: dict[str, int | bytes] = {
        "name": item.name, "flags": item.flags, "method": item.method, "crc": zlib.crc32(item.data),
        "packed": len(item.body()), "size": len(item.data), "extra": b"", "comment": b"", "attributes": 0, "host": 0,
        "disk": 0, "at": at,
    }  # fmt: skip
    told |= item.central
    name, extra, comment = told["name"], told["extra"], told["comment"]
    assert isinstance(name, bytes)
    assert isinstance(extra, bytes)
    assert isinstance(comment, bytes)
    fixed = struct.pack(
        "<4sBBHHHHHLLLHHHHHLL", b"PK\x01\x02", 20, told["host"], 20, told["flags"], told["method"], 0, 33, told["crc"],
        told["packed"], told["size"], len(name), len(extra), len(comment), told["disk"], 0, told["attributes"],
        told["at"],
    )  # fmt: skip
    return fixed + name + extra + comment


def pack(items: list[Raw], *, prefix: bytes = b"", gap: bytes = b"", comment: bytes = b"", **end: int) -> bytes:
    """The file. `prefix` stands before the first item, `gap` before the directory, `end` overrides the end record."""
    out, directory = bytearray(prefix), bytearray()
    for item in items:
        out += item.before
        directory += central_header(item, len(out))
        out += local_header(item) + item.body() + item.after
    out += gap
    told = {"count": len(items), "here": len(items), "disk": 0, "length": len(directory), "at": len(out)} | end
    out += directory + struct.pack(
        "<4s4H2LH",
        b"PK\x05\x06",
        told["disk"],
        0,
        told["here"],
        told["count"],
        told["length"],
        told["at"],
        len(comment),
    )
    return bytes(out + comment)
