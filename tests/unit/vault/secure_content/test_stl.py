"""STL meshes become the 3MF that lib3mf would make of them."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import lib3mf_oracle as oracle
import pytest
from lib3mf_oracle import Mesh

from printright.errors import ModelRefused
from printright.vault.secure_content import check_plain, stl_to_3mf

KNOB = (Path(__file__).parents[4] / "examples" / "knob" / "knob.stl").read_bytes()


def converted(stl: bytes) -> Mesh:
    model = io.BytesIO()
    stl_to_3mf(io.BytesIO(stl), model)
    check_plain(model)
    (mesh,) = oracle.read(model.getvalue(), strict=True).meshes
    return mesh


def corners(mesh: Mesh) -> list[list[tuple[float, float, float]]]:
    return [[mesh[0][index] for index in triangle] for triangle in mesh[1]]


def binary(*facets: tuple[float, ...], head: bytes = b"", count: int | None = None) -> bytes:
    body = b"".join(struct.pack("<12x9f2x", *facet) for facet in facets)
    return head.ljust(80, b"\0") + struct.pack("<L", len(facets) if count is None else count) + body


FACET = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
ASCII = b"""solid it
 facet normal 0 0 1
  outer loop
   vertex 0 0 0
   vertex 1.0 0 -0.0
   vertex 0 1e0 0
  endloop
 endfacet
endsolid it
"""


def test_the_mesh_is_the_one_that_lib3mf_reads() -> None:
    ours, theirs = converted(KNOB), oracle.read_stl(KNOB)
    assert len(ours[1]) > 700
    assert corners(ours) == corners(theirs)
    assert len(ours[0]) == len(theirs[0])


def test_ascii_and_binary_say_the_same() -> None:
    assert converted(ASCII) == converted(binary(FACET)) == converted(binary(FACET, head=b"solid binary"))


def test_triangles_without_area_are_left_out() -> None:
    flat = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    assert len(converted(binary(flat, FACET, flat))[1]) == 1


@pytest.mark.parametrize(
    ("stl", "words"),
    [
        (b"", "no STL"),
        (b"\0" * 84, "no STL"),
        (KNOB[:-1], "no STL"),
        (binary(FACET, count=2), "no STL"),
        (binary((0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0)), "no triangle that has an area"),
        (binary((float("nan"), *FACET[1:])), "no number"),
        (binary((float("inf"), *FACET[1:])), "no number"),
        (b"solid it\nendsolid it\n", "no triangle that has an area"),
        (ASCII.replace(b"1e0", b"inf"), "no number"),
        (ASCII.replace(b"1e0", b"1e39"), "no number"),
        (ASCII.replace(b"1e0", b"0x1"), "no number"),
        (ASCII.replace(b"   vertex 0 1e0 0\n", b""), "no triangle"),
        (ASCII.replace(b"  endloop\n", b"   vertex 2 2 2\n  endloop\n"), "no triangle"),
        (ASCII.replace(b"facet normal", b"<script>"), "none of an STL's"),
        (b"solid " + b"x" * 2000 + b"\n", "a line of"),
    ],
)
def test_what_is_no_stl_is_refused(stl: bytes, words: str) -> None:
    with pytest.raises(ModelRefused, match=words):
        stl_to_3mf(io.BytesIO(stl), io.BytesIO())
