"""Both ways with lib3mf, the consortium's implementation: the same meshes, and the same refusals."""

from __future__ import annotations

import base64
import io
import re
import zipfile

import lib3mf_oracle as oracle
import pytest
from lib3mf_oracle import TETRAHEDRON, OracleRefused
from threemf_desk import VECTORS, Desk

from printright.errors import ModelRefused, WrongKey
from printright.vault.secure_content import SecureFile

PRINTER = "HP#MOP44B#SG5693454"


def altered(data: bytes, part: str, change: object) -> bytes:
    """The same zip with one part changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(zipfile.ZipInfo(name), change(content) if name == part else content)  # type: ignore[operator]
    return out.getvalue()


def replaced_value(element: str, store: bytes) -> bytes:
    """The key store with one bit of the element's base64 value flipped."""
    found = re.search(rf"<{element}>([^<]+)</{element}>".encode(), store)
    assert found is not None
    value = bytearray(base64.b64decode(found[1]))
    value[-1] ^= 1
    return store.replace(found[1], base64.b64encode(value), 1)


@pytest.mark.parametrize("compress", [True, False], ids=["deflated", "stored"])
def test_lib3mf_reads_ours_for_either_consumer(desk: Desk, plain: bytes, compress: bool) -> None:
    sealed, _ = desk.seal(plain, compress=compress)
    for consumer, key in (("shop", desk.shop), (PRINTER, desk.printer)):
        loaded = oracle.read(sealed, consumer, key, strict=True)
        assert loaded.meshes == [TETRAHEDRON]
        assert loaded.items == 1
        assert loaded.warnings == []


@pytest.mark.parametrize("compress", [True, False], ids=["deflated", "stored"])
@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("digest", ["SHA256", "SHA1"])
def test_we_read_lib3mf_s_for_either_consumer(desk: Desk, compress: bool, parts: int, digest: str) -> None:
    publics = {"shop": desk.shop.public_key(), PRINTER: desk.printer.public_key()}
    sealed = oracle.write(TETRAHEDRON, publics, compressed=compress, parts=parts, digest=digest)
    for key in (desk.shop, desk.printer):
        plain = desk.unseal(sealed, key)
        assert oracle.read(plain, strict=True).meshes == [TETRAHEDRON] * parts
    assert SecureFile(io.BytesIO(sealed)).binding is None


def test_several_parts_of_ours(desk: Desk) -> None:
    """A 3MF of three model parts, opened from lib3mf's encryption, sealed again by us, and read by lib3mf."""
    publics = {"shop": desk.shop.public_key()}
    several = desk.unseal(oracle.write(TETRAHEDRON, publics, compressed=True, parts=3))
    sealed, made = desk.seal(several)
    assert made.encrypted == ("3D/Objects/part_1.model", "3D/Objects/part_2.model", "3D/Objects/part_3.model")
    loaded = oracle.read(sealed, "shop", desk.shop, strict=True)
    assert loaded.meshes == [TETRAHEDRON] * 3
    assert loaded.items == 3


def test_a_slicer_s_project(desk: Desk) -> None:
    project = (VECTORS / "accepted-prusaslicer.3mf").read_bytes()
    sealed, made = desk.seal(project)
    # The settings stay behind; the mesh is what the slicer wrote.
    assert made.left_out == ("Metadata/Slic3r_PE_model.config",)
    # lib3mf cannot read the source itself, which promises a thumbnail that is not there.
    with pytest.raises(OracleRefused, match="OPC Part"):
        oracle.read(project)
    model = zipfile.ZipFile(io.BytesIO(project)).read("3D/3dmodel.model").decode()
    triangles = [tuple(map(int, found)) for found in re.findall(r'<triangle v1="(\d+)" v2="(\d+)" v3="(\d+)"', model)]
    points = [tuple(map(float, found)) for found in re.findall(r'<vertex x="(\S+)" y="(\S+)" z="(\S+)"', model)]
    assert len(points) > 300
    for loaded in (oracle.read(sealed, PRINTER, desk.printer, strict=True), oracle.read(desk.unseal(sealed))):
        ((read_points, read_triangles),) = loaded.meshes
        assert read_triangles == triangles
        assert read_points == [pytest.approx(point, abs=1e-5) for point in points]


def test_both_refuse_another_key(desk: Desk, plain: bytes) -> None:
    ours, _ = desk.seal(plain)
    theirs = oracle.write(TETRAHEDRON, {"shop": desk.shop.public_key()}, compressed=True)
    for sealed in (ours, theirs):
        with pytest.raises(OracleRefused):
            oracle.read(sealed, "shop", desk.stranger)
        with pytest.raises(WrongKey, match="does not open the 3MF"):
            desk.unseal(sealed, desk.stranger)


@pytest.mark.parametrize("element", ["tag", "aad", "iv"])
def test_both_refuse_altered_parameters(desk: Desk, plain: bytes, element: str) -> None:
    ours, _ = desk.seal(plain, compress=False)
    theirs = oracle.write(TETRAHEDRON, {"shop": desk.shop.public_key()}, compressed=False)
    for sealed in (ours, theirs):
        wrong = altered(sealed, "Secure/keystore.xml", lambda store: replaced_value(element, store))
        with pytest.raises(OracleRefused):
            oracle.read(wrong, "shop", desk.shop)
        with pytest.raises(ModelRefused):
            desk.unseal(wrong)


def test_both_refuse_altered_ciphertext(desk: Desk, plain: bytes) -> None:
    ours, _ = desk.seal(plain, compress=False)
    theirs = oracle.write(TETRAHEDRON, {"shop": desk.shop.public_key()}, compressed=False)
    for sealed, part in ((ours, "3D/Objects/part_1.model"), (theirs, "3D/mesh0.model")):
        # A digit of a coordinate: what is read stays well-formed, only the tag can tell.
        wrong = altered(sealed, part, lambda data: data[:-300] + bytes([data[-300] ^ 1]) + data[-299:])
        with pytest.raises(OracleRefused):
            oracle.read(wrong, "shop", desk.shop)
        with pytest.raises(ModelRefused, match="does not authenticate"):
            desk.unseal(wrong)


def test_no_plaintext_is_in_the_sealed_file(desk: Desk) -> None:
    """Names, metadata and thumbnails of the source are nowhere in clear."""
    source = (VECTORS / "accepted-prusaslicer.3mf").read_bytes()
    with zipfile.ZipFile(io.BytesIO(source)) as opened:
        model = opened.read("3D/3dmodel.model")
    marked = altered(source, "3D/3dmodel.model", lambda data: data.replace(b">ps<", b">CANARY-TITLE<"))
    assert model != zipfile.ZipFile(io.BytesIO(marked)).read("3D/3dmodel.model")
    sealed, _ = desk.seal(marked, compress=False)
    with zipfile.ZipFile(io.BytesIO(sealed)) as opened:
        everything = b"".join(opened.read(name) for name in opened.namelist()) + sealed
    for canary in (b"CANARY", b"PrusaSlicer", b"<vertex", b"knob"):
        assert canary not in everything
    assert b"CANARY-TITLE" in zipfile.ZipFile(io.BytesIO(desk.unseal(sealed))).read("3D/Objects/part_1.model")
