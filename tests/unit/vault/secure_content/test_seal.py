"""Sealing and opening: what is carried, what is left in clear, what cannot be sealed, and who can open it."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import lib3mf_oracle as oracle
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from lib3mf_oracle import TETRAHEDRON
from threemf_desk import CONTENT, Desk

from printright.errors import BadValue, ModelRefused, WrongKey
from printright.vault.secure_content import Recipient, SecureFile, check_plain, opc, seal
from printright.vault.secure_content.keystore import AccessRight
from printright.vault.secure_content.wrapping import load_private, load_public, unwrap

CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
PRODUCTION = "http://schemas.microsoft.com/3dmanufacturing/production/2015/06"
MATERIAL = "http://schemas.microsoft.com/3dmanufacturing/material/2015/02"
TEXTURE = "http://schemas.microsoft.com/3dmanufacturing/2013/01/3dtexture"
TICKET = "http://schemas.microsoft.com/3dmanufacturing/2013/01/printticket"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc000000301010018dd8db0"
    "0000000049454e44ae426082"
)
MESH = (
    '<mesh><vertices><vertex x="0" y="0" z="0"/><vertex x="10" y="0" z="0"/><vertex x="0" y="10" z="0"/>'
    '<vertex x="0" y="0" z="10"/></vertices><triangles><triangle v1="0" v2="2" v3="1"/><triangle v1="0" v2="1" v3="3"/>'
    '<triangle v1="1" v2="2" v3="3"/><triangle v1="2" v2="0" v3="3"/></triangles></mesh>'
)

ELSEWHERE = '<build><item objectid="1" p:path="/3D/a.model"/></build>'


def model(resources: str, build: str, attributes: str = "") -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<model unit="inch" xmlns="{CORE}" {attributes}>'
        f"<resources>{resources}</resources>{build}</model>"
    ).encode()


def packed(
    parts: dict[str, bytes],
    relations: dict[str, list[tuple[str, str]]] | None = None,
    root: str = "3D/3dmodel.model",
) -> bytes:
    """A 3MF of these parts."""
    out = io.BytesIO()
    kinds = {".model": opc.MODEL_TYPE, ".png": "image/png", ".xml": "application/xml"}
    with zipfile.ZipFile(out, "w") as target:
        target.writestr(opc.TYPES, opc.types_xml([(name, kinds[Path(name).suffix]) for name in parts]))
        target.writestr(opc.ROOT_RELS, opc.rels_xml([(opc.START_PART, root), *(relations or {}).get("", [])]))
        for source, pairs in (relations or {}).items():
            if source:
                target.writestr(opc.rels_name(source), opc.rels_xml(pairs))
        for name, data in parts.items():
            target.writestr(name, data)
    return out.getvalue()


def clear_text(sealed: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(sealed)) as opened:
        return b"".join(name.encode() + opened.read(name) for name in opened.namelist())


PROJECT = packed(
    {
        "3D/3dmodel.model": model(
            '<object id="7" type="model" name="SECRET-assembly"><components>'
            '<component objectid="1" p:path="/3D/Objects/SECRET-gear.model"/>'
            '<component objectid="1" p:path="/3D/Objects/SECRET-axle.model" transform="1 0 0 0 1 0 0 0 1 20 0 0"/>'
            "</components></object>",
            '<build><item objectid="7" partnumber="SECRET-4711"/></build>',
            f'xmlns:p="{PRODUCTION}" requiredextensions="p"',
        ).replace(b"<resources>", b'<metadata name="Title">SECRET-title</metadata><resources>'),
        "3D/Objects/SECRET-gear.model": model(f'<object id="1" type="model">{MESH}</object>', "<build/>"),
        "3D/Objects/SECRET-axle.model": model(f'<object id="1" type="model">{MESH}</object>', "<build/>"),
        "Metadata/SECRET-thumbnail.png": PNG,
        "Metadata/SECRET-ticket.xml": b"<ticket/>",
    },
    {
        "": [(opc.THUMBNAIL, "Metadata/SECRET-thumbnail.png")],
        "3D/3dmodel.model": [
            (opc.START_PART, "3D/Objects/SECRET-gear.model"),
            (opc.START_PART, "3D/Objects/SECRET-axle.model"),
            (TICKET, "Metadata/SECRET-ticket.xml"),
        ],
    },
)


def test_a_project_of_several_parts(desk: Desk) -> None:
    """As Bambu Studio and Orca write them: the root only puts others' objects together."""
    sealed, made = desk.seal(PROJECT)
    assert made.encrypted == ("3D/Objects/part_1.model", "3D/Objects/part_2.model")
    assert made.left_out == ("Metadata/SECRET-thumbnail.png", "Metadata/SECRET-ticket.xml")
    assert b"SECRET" not in clear_text(sealed)
    loaded = oracle.read(sealed, "shop", desk.shop, strict=True)
    assert loaded.meshes == [TETRAHEDRON] * 2
    assert oracle.read(desk.unseal(sealed), strict=True).meshes == [TETRAHEDRON] * 2


def test_textures_are_carried_and_encrypted(desk: Desk) -> None:
    resources = (
        '<m:texture2d id="5" path="/3D/Textures/skin.png" contenttype="image/png"/>'
        f'<m:texture2dgroup id="6" texid="5"><m:tex2coord u="0" v="0"/></m:texture2dgroup>'
        f'<object id="1" type="model" pid="6" pindex="0">{MESH}</object>'
    )
    attributes = f'xmlns:m="{MATERIAL}" requiredextensions="m"'
    source = packed(
        {
            "3D/3dmodel.model": model(resources, '<build><item objectid="1"/></build>', attributes),
            "3D/Textures/skin.png": PNG,
        },
        {"3D/3dmodel.model": [(TEXTURE, "3D/Textures/skin.png")]},
    )
    sealed, made = desk.seal(source)
    assert made.encrypted == ("3D/Objects/part_1.model", "3D/Textures/skin.png")
    assert PNG[-20:] not in clear_text(sealed)
    assert oracle.read(sealed, "shop", desk.shop, strict=True).meshes == [TETRAHEDRON]
    with zipfile.ZipFile(io.BytesIO(desk.unseal(sealed))) as opened:
        assert opened.read("3D/Textures/skin.png") == PNG


def test_slices_keep_the_name_that_models_know_them_by(desk: Desk) -> None:
    """They are model parts too, but only the root's references are ours to change; and their name is not taken."""
    source = packed(
        {
            "3D/3dmodel.model": model(
                f'<object id="1" type="model">{MESH}</object>', '<build><item objectid="1"/></build>'
            ),
            "3D/Objects/part_1.model": model("", "<build/>"),
        },
        {"3D/3dmodel.model": [(opc.START_PART, "3D/Objects/part_1.model")]},
    )
    sealed, made = desk.seal(source)
    assert made.encrypted == ("3D/Objects/part_2.model", "3D/Objects/part_1.model")
    assert oracle.read(sealed, "shop", desk.shop).meshes == [TETRAHEDRON]
    elsewhere = packed(
        {
            "3D/root.model": model(
                f'<object id="1" type="model">{MESH}</object>', '<build><item objectid="1"/></build>'
            ),
            "3D/3dmodel.model": model("", "<build/>"),
        },
        {"3D/root.model": [(opc.START_PART, "3D/3dmodel.model")]},
        root="3D/root.model",
    )
    with pytest.raises(ModelRefused, match="name of the root model"):
        desk.seal(elsewhere)


def test_prefixed_elements_and_attributes_that_are_there(desk: Desk) -> None:
    """A model whose elements bear a prefix, with production ids on some: lib3mf in strict mode still takes it."""
    plain = model(f'<object id="1" type="model">{MESH}</object>', '<build><item objectid="1"/></build>').decode()
    prefixed = re.sub(r"<(/?)(?=[a-z])", r"<\1c:", plain).replace("xmlns=", "xmlns:c=")
    tagged = prefixed.replace(
        '<c:object id="1"', f'<c:object id="1" xmlns:q="{PRODUCTION}" q:UUID="{"0" * 8}-0000-4000-8000-{"0" * 12}"'
    )
    for source in (prefixed, tagged):
        sealed, _ = desk.seal(packed({"3D/3dmodel.model": source.encode()}))
        opened = zipfile.ZipFile(io.BytesIO(desk.unseal(sealed))).read("3D/Objects/part_1.model")
        assert opened.count(b":UUID=") == 1
        assert b"<c:mesh>" in opened
        check_plain(io.BytesIO(desk.unseal(sealed)))


def test_opened_files_no_longer_require_the_extension(desk: Desk, plain: bytes) -> None:
    sealed, _ = desk.seal(plain)
    root = zipfile.ZipFile(io.BytesIO(desk.unseal(sealed))).read("3D/3dmodel.model")
    assert b'requiredextensions="p"' in root
    assert "Secure" not in "".join(zipfile.ZipFile(io.BytesIO(desk.unseal(sealed))).namelist())


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            packed(
                {
                    "3D/3dmodel.model": model(
                        f'<object id="1" type="model">{MESH}</object>',
                        '<build><item objectid="1"/><item objectid="1" p:path="/3D/a.model"/></build>',
                        f'xmlns:p="{PRODUCTION}"',
                    ),
                    "3D/a.model": model(f'<object id="1" type="model">{MESH}</object>', "<build/>"),
                },
                {"3D/3dmodel.model": [(opc.START_PART, "3D/a.model")]},
            ),
            "of its own beside those of other parts",
        ),
        (
            packed({"3D/3dmodel.model": model("", ELSEWHERE, f'xmlns:p="{PRODUCTION}"')}),
            "no relationship to",
        ),
        (packed({"3D/3dmodel.model": model(f'<object id="1">{MESH}</object>', "<build/>")}), "builds nothing"),
    ],
    ids=["mixed", "unrelated", "empty build"],
)  # fmt: skip
def test_what_would_stay_in_clear_is_not_sealed(desk: Desk, source: bytes, words: str) -> None:
    target = io.BytesIO()
    with pytest.raises(ModelRefused, match=words):
        seal(io.BytesIO(source), target, [Recipient("shop", desk.shop.public_key())], content=CONTENT)
    assert target.getvalue() == b""


def test_a_sealed_file_is_not_sealed_again(desk: Desk, plain: bytes) -> None:
    sealed, _ = desk.seal(plain)
    with pytest.raises(ModelRefused, match="is encrypted"):
        desk.seal(sealed)
    with pytest.raises(ModelRefused, match="is not encrypted"):
        SecureFile(io.BytesIO(plain))


def test_each_export_has_a_key_and_a_keyuuid_of_its_own(desk: Desk, plain: bytes) -> None:
    (one, first), (two, second) = desk.seal(plain, compress=False), desk.seal(plain, compress=False)
    assert first.key_uuid != second.key_uuid
    assert first.binding.content == second.binding.content == CONTENT
    part = "3D/Objects/part_1.model"
    contents = [zipfile.ZipFile(io.BytesIO(data)).read(part) for data in (one, two)]
    assert len({content[12:] for content in contents}) == 2


def test_only_the_named_consumer_s_access_is_tried(desk: Desk, plain: bytes) -> None:
    sealed, _ = desk.seal(plain)
    SecureFile(io.BytesIO(sealed)).unlock(desk.shop, "shop")
    with pytest.raises(WrongKey, match="it is for shop, HP#MOP44B#SG5693454"):
        SecureFile(io.BytesIO(sealed)).unlock(desk.shop, "HP#MOP44B#SG5693454")


def test_recipients_that_cannot_be(desk: Desk, plain: bytes) -> None:
    public = desk.shop.public_key()
    with pytest.raises(BadValue, match="1024 bits"):
        Recipient("small", rsa.generate_private_key(65537, 1024).public_key())
    for name in ("", "x" * 257, "a\nb"):
        with pytest.raises(BadValue, match="1 to 256"):
            Recipient(name, public)
    for recipients in ([], [Recipient("a", public), Recipient("a", public)]):
        with pytest.raises(BadValue, match="each once"):
            seal(io.BytesIO(plain), io.BytesIO(), recipients, content=CONTENT)


XENC, XENC11, DSIG = (
    "http://www.w3.org/2001/04/xmlenc#",
    "http://www.w3.org/2009/xmlenc11#",
    "http://www.w3.org/2000/09/xmldsig#",
)


@pytest.mark.parametrize(
    ("wrapping", "mgf", "digest", "mask_hash", "digest_hash"),
    [
        (f"{XENC}rsa-oaep-mgf1p", "", "", hashes.SHA1, hashes.SHA1),
        (f"{XENC}rsa-oaep-mgf1p", "", f"{XENC}sha256", hashes.SHA1, hashes.SHA256),
        (f"{XENC11}rsa-oaep", "", "", hashes.SHA1, hashes.SHA1),
        (f"{XENC11}rsa-oaep", f"{XENC11}mgf1sha256", f"{XENC}sha256", hashes.SHA256, hashes.SHA256),
        (f"{XENC11}rsa-oaep", f"{XENC11}mgf1sha512", f"{XENC}sha512", hashes.SHA512, hashes.SHA512),
        (f"{XENC11}rsa-oaep", f"{XENC11}mgf1sha1", f"{DSIG}sha1", hashes.SHA1, hashes.SHA1),
    ],
)
def test_wrapping_as_xml_encryption_names_it(
    desk: Desk, wrapping: str, mgf: str, digest: str, mask_hash: type[hashes.SHA1], digest_hash: type[hashes.SHA1]
) -> None:
    wrapped = desk.shop.public_key().encrypt(b"k" * 32, padding.OAEP(padding.MGF1(mask_hash()), digest_hash(), None))
    assert unwrap(AccessRight(0, wrapping, mgf, digest, wrapped), desk.shop) == b"k" * 32


@pytest.mark.parametrize(
    ("wrapping", "mgf", "digest"),
    [
        (f"{XENC}rsa-1_5", "", ""),
        (f"{XENC}rsa-oaep-mgf1p", f"{XENC11}mgf1sha256", ""),
        (f"{XENC11}rsa-oaep", "urn:mgf", ""),
        (f"{XENC11}rsa-oaep", "", "urn:md5"),
    ],
)
def test_wrapping_that_is_not_ours_to_open(desk: Desk, wrapping: str, mgf: str, digest: str) -> None:
    with pytest.raises(ModelRefused, match="algorithm that we do not know"):
        unwrap(AccessRight(0, wrapping, mgf, digest, bytes(256)), desk.shop)


def test_a_wrapped_key_of_another_size(desk: Desk) -> None:
    wrapped = desk.shop.public_key().encrypt(b"k" * 16, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))
    with pytest.raises(ModelRefused, match="16 bytes, not 32"):
        unwrap(AccessRight(0, f"{XENC11}rsa-oaep", "", "", wrapped), desk.shop)


def test_key_files_that_cannot_be(tmp_path: Path) -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    encoding, none = serialization.Encoding.PEM, serialization.NoEncryption()
    private, public, junk = tmp_path / "p.pem", tmp_path / "p.pub", tmp_path / "junk"
    private.write_bytes(curve.private_bytes(encoding, serialization.PrivateFormat.PKCS8, none))
    public.write_bytes(curve.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo))
    junk.write_bytes(b"-----BEGIN NOTHING-----")
    for path, words in ((public, "no RSA key"), (junk, "no public key"), (tmp_path / "none", "cannot read")):
        with pytest.raises(BadValue, match=words):
            load_public(path)
    for path, words in ((private, "no RSA key"), (junk, "no private key"), (tmp_path / "none", "cannot read")):
        with pytest.raises(BadValue, match=words):
            load_private(path, lambda: "")


@pytest.mark.parametrize(
    ("source", "target", "found"),
    [
        ("3D/a.model", "/3D/b.model", "3D/b.model"),
        ("3D/a.model", "b.model", "3D/b.model"),
        ("3D/a.model", "../Textures/x.png", "Textures/x.png"),
        ("", "3D/./a.model", "3D/a.model"),
        ("3D/a.model", "../../x", None),
        ("3D/a.model", "//host/x", None),
        ("3D/a.model", "file:x", None),
        ("3D/a.model", "..\\x", None),
        ("3D/a.model", "%2e%2e/x", None),
        ("3D/a.model", "..", None),
    ],
)
def test_where_relationships_lead(source: str, target: str, found: str | None) -> None:
    if found is not None:
        assert opc.resolve(source, target) == found
    else:
        with pytest.raises(ModelRefused):
            opc.resolve(source, target)
