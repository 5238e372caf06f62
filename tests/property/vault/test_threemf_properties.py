"""Whatever happens to a 3MF between its maker and us: it is refused, or it is what its maker made."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from printright.errors import ModelRefused, WrongKey
from printright.vault.secure_content import Limits, SecureFile, check_plain
from printright.vault.secure_content.container import Container
from printright.vault.secure_content.inflate import CHUNK, inflate
from printright.vault.secure_content.keystore import AccessRight, Consumer, Group, KeyStore, ResourceData
from printright.vault.secure_content.model import Edit, ModelScan, edited

VECTORS = Path(__file__).parents[2] / "vectors" / "threemf"
PLAIN = [(VECTORS / f"accepted-{name}.3mf").read_bytes() for name in ("plain", "data-descriptor", "folder-entries")]
SEALED = [(VECTORS / f"accepted-{name}.3mf").read_bytes() for name in ("secure-compressed", "secure-lib3mf")]
LOADED = serialization.load_pem_private_key((VECTORS / "consumer.pem").read_bytes(), None)
MODEL = zipfile.ZipFile(io.BytesIO(PLAIN[0])).read("3D/3dmodel.model")
# Each example is a whole file: few by default, many with `-m load`.
few = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
many = settings(max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def unsealed(data: bytes) -> dict[str, bytes]:
    """The plaintext of every encrypted part, with everything that import checks."""
    assert isinstance(LOADED, RSAPrivateKey)
    opened = SecureFile(io.BytesIO(data)).unlock(LOADED, "shop")
    opened.write_plain(io.BytesIO())
    return {name: b"".join(opened.part(part)) for name, part in opened.file.encrypted.items()}


GENUINE = [unsealed(data) for data in SEALED]


@st.composite
def mutated(draw: st.DrawFn, whole: bytes) -> bytes:
    """A few cuts, copies, overwrites and flips; most near the ends, where a zip says what it is."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        near = st.integers(0, len(data) - 1) | st.integers(max(0, len(data) - 400), len(data) - 1)
        at = draw(near)
        size = draw(st.integers(1, 40))
        match draw(st.sampled_from(["flip", "write", "cut", "copy", "insert", "number"])):
            case "flip":
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "write":
                data[at : at + size] = draw(st.binary(min_size=1, max_size=8))
            case "cut":
                del data[at : at + size]
            case "copy":
                data[at:at] = data[draw(near) :][:size]
            case "insert":
                data[at:at] = draw(
                    st.sampled_from([b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"\0", b"../"])
                )
            case "number":
                data[at : at + 4] = draw(st.sampled_from([0, 1, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF])).to_bytes(4, "little")
        if not data:
            return b""
    return bytes(data)


def same_or_refused(data: bytes) -> None:
    """What our reader takes, Python's zipfile reads with the same names and contents; nothing but refusals escapes."""
    try:
        container = Container(io.BytesIO(data))
        ours = {name: b"".join(container.stream(name)) for name in container.parts}
        check_plain(io.BytesIO(data))
    except ModelRefused:
        return
    with zipfile.ZipFile(io.BytesIO(data)) as other:
        theirs = {name: other.read(name) for name in other.namelist() if not name.endswith("/")}
    assert ours == theirs


@few
@given(st.sampled_from(PLAIN).flatmap(mutated))
def test_a_mutated_container_is_read_as_others_read_it_or_refused(data: bytes) -> None:
    same_or_refused(data)


@pytest.mark.load
@many
@given(st.sampled_from(PLAIN).flatmap(mutated))
def test_many_mutated_containers(data: bytes) -> None:
    same_or_refused(data)


@few
@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda data: PLAIN[0] + data))
def test_bytes_that_are_no_container_are_refused(data: bytes) -> None:
    if data in PLAIN:
        return
    with pytest.raises(ModelRefused):
        check_plain(io.BytesIO(data))


def one_bit_of_a_sealed_file(which: int, position: float, bit: int) -> None:
    data = bytearray(SEALED[which])
    data[int(position * len(data))] ^= 1 << bit
    try:
        found = unsealed(bytes(data))
    except (ModelRefused, WrongKey):
        return
    # A date, a version that made it, another consumer's key: what does not matter may change.
    assert found == GENUINE[which]


@few
@given(st.integers(0, 1), st.floats(0, 1, exclude_max=True), st.integers(0, 7))
def test_one_bit_of_a_sealed_file_changes_nothing_or_is_refused(which: int, position: float, bit: int) -> None:
    one_bit_of_a_sealed_file(which, position, bit)


@pytest.mark.load
def test_every_bit_of_a_sealed_file() -> None:
    for position in range(len(SEALED[0])):
        one_bit_of_a_sealed_file(0, position / len(SEALED[0]), position % 8)


def test_every_truncation_is_refused() -> None:
    for size in range(0, len(SEALED[0]), 7):
        with pytest.raises(ModelRefused):
            SecureFile(io.BytesIO(SEALED[0][:size]))


@given(
    st.binary(max_size=2000),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 60), st.binary(max_size=9))),
    st.data(),
)
@settings(deadline=None)
def test_edits_of_a_stream_are_edits_of_the_whole(
    whole: bytes, wanted: list[tuple[int, int, bytes]], data: st.DataObject
) -> None:
    edits: list[Edit] = []
    for begin, size, text in sorted(wanted):
        if begin <= len(whole) and (not edits or begin >= edits[-1].end):
            edits.append(Edit(begin, min(begin + size, len(whole)), text))
    expected, at = b"", 0
    for edit in edits:
        expected += whole[at : edit.begin] + edit.text
        at = edit.end
    expected += whole[at:]
    assert b"".join(edited(pieces(whole, data), edits)) == expected


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_a_scan_does_not_depend_on_how_it_is_fed(data: st.DataObject) -> None:
    whole, scan = ModelScan.of("model", [MODEL]), ModelScan.of("model", pieces(MODEL, data))
    assert (scan.build, scan.root_tag, scan.items) == (whole.build, whole.root_tag, whole.items)
    assert MODEL[slice(*(scan.build or (0, 0)))] == b'<build><item objectid="1"/></build>'
    assert MODEL[slice(*scan.root_tag)].startswith(b"<model ")
    assert b"".join(
        edited([MODEL], [edit for edit in scan.without_build() if edit.begin != edit.end])
    ) == MODEL.replace(b'<build><item objectid="1"/></build>', b"<build/>")


@given(st.binary(max_size=4096), st.integers(0, 4096), st.data())
@settings(deadline=None)
def test_inflating_gives_at_most_what_was_allowed(plain: bytes, allowed: int, data: st.DataObject) -> None:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = engine.compress(plain) + engine.flush()
    got = bytearray()
    try:
        for piece in inflate(pieces(packed, data), "it", Limits(), allowed):
            assert len(piece) <= CHUNK
            got += piece
    except ModelRefused:
        assert len(plain) > allowed
    else:
        assert bytes(got) == plain
    assert len(got) <= allowed


@example(64 << 20)
@given(st.integers(2 << 20, 16 << 20))
@settings(deadline=None, max_examples=5)
def test_a_bomb_gives_no_more_than_its_ratio(size: int) -> None:
    """Deleting the ratio check in `inflate` makes this red: 64 MiB come out of 64 KiB."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = engine.compress(bytes(size)) + engine.flush()
    got = 0
    stream = inflate([packed], "it", Limits(), 1 << 30)
    with suppress(ModelRefused):
        for piece in stream:
            got += len(piece)
    assert got < size
    assert got <= max(Limits().ratio_free_bytes, len(packed) * Limits().ratio)


text = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=40
)
shown = text.filter(str.isprintable)
uuids = st.uuids().map(lambda each: UUID(bytes=each.bytes))


@st.composite
def stores(draw: st.DrawFn) -> KeyStore:
    ids = draw(st.lists(shown.filter(bool), max_size=4, unique=True))
    groups = []
    for number, uuid in enumerate(draw(st.lists(uuids, max_size=3, unique=True))):
        indexes = draw(st.lists(st.integers(0, len(ids) - 1), unique=True)) if ids else []
        rights = tuple(
            AccessRight(i, draw(text.filter(bool)), draw(text), draw(text), draw(st.binary(max_size=600)))
            for i in indexes
        )
        ivs = draw(st.lists(st.binary(min_size=12, max_size=12), max_size=3, unique=True))
        resources = tuple(
            ResourceData(
                f"3D/{number}-{n}.model",
                draw(st.booleans()),
                iv,
                draw(st.binary(min_size=16, max_size=16)),
                draw(st.binary(max_size=200)),
            )
            for n, iv in enumerate(ivs)
        )
        groups.append(Group(uuid, rights, resources))
    return KeyStore(draw(uuids), tuple(Consumer(each, draw(shown), draw(text)) for each in ids), tuple(groups))


@given(stores())
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_a_key_store_is_read_as_it_was_written(store: KeyStore) -> None:
    assert KeyStore.from_xml(store.to_xml()) == store


def pieces(whole: bytes, data: st.DataObject) -> Iterator[bytes]:
    """The bytes in pieces of any size."""
    at = 0
    while at < len(whole):
        size = data.draw(st.integers(1, max(1, len(whole) // 3)))
        yield whole[at : at + size]
        at += size
