"""STL meshes as 3MF, so that they can be sealed: binary and ASCII, one object, in millimeters.

An STL names no unit and repeats each corner for every triangle. Corners at the same place become one vertex; triangles
that have no area by that are left out, since a 3MF must not have them.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from printright.errors import ModelRefused
from printright.vault.secure_content import opc
from printright.vault.secure_content.model import CORE
from printright.vault.secure_content.plain import PartsWriter

MAX_TRIANGLES = 5_000_000
_PART = "3D/3dmodel.model"
_HEAD = struct.Struct("<80sL")
_FACET = struct.Struct("<12x9f2x")
_MAX_LINE_BYTES = 1000
_VERTEX = re.compile(rb"\s*vertex\s+(\S{1,40})\s+(\S{1,40})\s+(\S{1,40})\s*", re.IGNORECASE)
_OTHER = re.compile(rb"\s*(solid\b.*|facet\s+normal\s.*|outer\s+loop|endloop|endfacet|endsolid\b.*|)\s*", re.IGNORECASE)
Corner = tuple[float, float, float]


def stl_to_3mf(source: BinaryIO, target: BinaryIO) -> None:
    """Write the mesh of an STL file as a plain 3MF. Raises ModelRefused for what is no STL, or too large."""
    places: dict[Corner, int] = {}
    triangles: list[tuple[int, int, int]] = []
    for corners in _triangles(source):
        first, second, third = (places.setdefault(corner, len(places)) for corner in corners)
        if first != second and second != third and third != first:
            triangles.append((first, second, third))
    if not triangles:
        raise ModelRefused("the STL has no triangle that has an area")
    with PartsWriter(target) as writer:
        writer.add(opc.TYPES, [opc.types_xml([(_PART, opc.MODEL_TYPE)])], deflate=True)
        writer.add(opc.ROOT_RELS, [opc.rels_xml([(opc.START_PART, _PART)])], deflate=True)
        writer.add(_PART, _model(places, triangles), deflate=True)


def _model(places: Iterable[Corner], triangles: Iterable[tuple[int, int, int]]) -> Iterator[bytes]:
    yield (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<model unit="millimeter" xml:lang="en-US" xmlns="{CORE}"><resources>'
        '<object id="1" type="model"><mesh><vertices>\n'
    ).encode()
    # Nine digits are what a float of 32 bits needs to be read again as itself.
    yield from (f'<vertex x="{x:.9g}" y="{y:.9g}" z="{z:.9g}"/>\n'.encode() for x, y, z in places)
    yield b"</vertices><triangles>\n"
    yield from (f'<triangle v1="{a}" v2="{b}" v3="{c}"/>\n'.encode() for a, b, c in triangles)
    yield b'</triangles></mesh></object></resources><build><item objectid="1"/></build></model>\n'


def _triangles(source: BinaryIO) -> Iterator[tuple[Corner, ...]]:
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    head = source.read(_HEAD.size)
    count = _HEAD.unpack(head)[1] if len(head) == _HEAD.size else 0
    # A binary file may begin with "solid" too; only its size tells.
    if size == _HEAD.size + count * 50 and count:
        if count > MAX_TRIANGLES:
            raise ModelRefused(f"the STL has {count} triangles, more than {MAX_TRIANGLES}")
        return _binary(source, count)
    if head[:5].lower() != b"solid":
        raise ModelRefused("this is no STL: its size does not fit its number of triangles")
    source.seek(0)
    return _ascii(source)


def _binary(source: BinaryIO, count: int) -> Iterator[tuple[Corner, ...]]:
    while count:
        block = source.read(50 * min(count, 4096))
        if not block or len(block) % 50:
            raise ModelRefused("the STL ends in a triangle")
        for values in _FACET.iter_unpack(block):
            yield _corner(values[0:3]), _corner(values[3:6]), _corner(values[6:9])
        count -= len(block) // 50


def _ascii(source: BinaryIO) -> Iterator[tuple[Corner, ...]]:
    corners: list[Corner] = []
    count = 0
    while line := source.readline(_MAX_LINE_BYTES):
        if len(line) == _MAX_LINE_BYTES:
            raise ModelRefused(f"the STL has a line of {_MAX_LINE_BYTES} bytes or more")
        found = _VERTEX.fullmatch(line)
        if found is None:
            if not _OTHER.fullmatch(line):
                raise ModelRefused("this is no STL: it has lines that are none of an STL's")
            if corners and b"endloop" in line.lower():
                raise ModelRefused("the STL has a facet that is no triangle")
            continue
        try:
            corners.append(_corner(struct.unpack("<3f", struct.pack("<3f", *map(float, found.groups())))))
        except (ValueError, OverflowError):
            raise ModelRefused("the STL has a coordinate that is no number") from None
        if len(corners) == 3:
            count += 1
            if count > MAX_TRIANGLES:
                raise ModelRefused(f"the STL has more than {MAX_TRIANGLES} triangles")
            yield tuple(corners)
            corners.clear()
    if corners:
        raise ModelRefused("the STL ends in a triangle")


def _corner(values: tuple[float, ...]) -> Corner:
    if not all(map(math.isfinite, values)):
        raise ModelRefused("the STL has a coordinate that is no number")
    x, y, z = values
    # Minus zero is the same place as zero.
    return x + 0.0, y + 0.0, z + 0.0
