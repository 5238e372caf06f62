"""Licenses: the hashes are those of the contract, files cannot be changed unnoticed, unit trees prove their units."""

from __future__ import annotations

import json
import os

import pytest
from eth_abi import encode
from hypothesis import given
from hypothesis import strategies as st

from printright.domain.estimate import PrintEstimate
from printright.domain.ids import Address, ContentId
from printright.domain.license import Document, License, Limits, Terms, unit_proof, units_root
from printright.domain.words import checksum, hash_words, keccak, word
from printright.errors import BadValue

LICENSOR = checksum("0x" + "11" * 20)
LICENSEE = checksum("0x" + "22" * 20)
addresses = st.binary(min_size=20, max_size=20).map(checksum)


def some_license(**changes: object) -> License:
    values: dict[str, object] = {
        "licensor": LICENSOR,
        "licensee": LICENSEE,
        "content": ContentId(b"c" * 32),
        "limits": Limits(2_000_000_000, assignable=True),
        "document": Document(b"s" * 32, "knob", b"m" * 32, material="PLA"),
        "copies": 3,
        "allowance": 1,
    }
    return License(**{**values, **changes})  # type: ignore[arg-type]


def test_words_are_abi_encoding() -> None:
    assert hash_words(LICENSOR, 7, b"x" * 32) == keccak(
        encode(["address", "uint256", "bytes32"], [LICENSOR, 7, b"x" * 32])
    )


@pytest.mark.parametrize("value", [-1, 1 << 256, b"short", "0x12", "nothing"])
def test_words_refuse_what_does_not_fit(value: int | bytes | str) -> None:
    with pytest.raises(BadValue):
        word(value)


@given(st.integers(1, (1 << 64) - 1), st.integers(1, (1 << 32) - 1), st.booleans(), st.booleans())
def test_limits_survive_packing(expires: int, job_time: int, assignable: bool, attested: bool) -> None:
    limits = Limits(expires, job_time, assignable, attested)
    assert Limits.unpack(limits.packed()) == limits


def test_terms_hash_binds_every_field() -> None:
    license = some_license()
    others = [
        some_license(licensee=LICENSOR),
        some_license(content=ContentId(b"d" * 32)),
        some_license(limits=Limits(2_000_000_001, assignable=True)),
        some_license(limits=Limits(2_000_000_000)),
        some_license(units=(LICENSEE,)),
        some_license(document=Document(b"s" * 32, "knob", b"m" * 32, material="PETG")),
        some_license(licensor=LICENSEE),
    ]
    assert len({each.id for each in [license, *others]}) == len(others) + 1


def test_license_survives_its_file() -> None:
    license = some_license(units=(LICENSOR, LICENSEE))
    assert License.from_json(json.loads(json.dumps(license.to_json()))) == license


def test_the_estimate_is_part_of_the_document_where_there_is_one() -> None:
    knob = PrintEstimate(material="PLA", nozzle_mm=0.4, filament_g=12.0, time_s=402)
    license = some_license(document=Document(b"s" * 32, "knob", b"m" * 32, material="PLA", estimate=knob))
    assert license.id != some_license().id
    assert License.from_json(json.loads(json.dumps(license.to_json()))) == license
    # Licenses from before have none, and keep their id.
    assert "estimate" not in some_license().document.to_json()
    assert some_license().document.digest.hex() == "deb04d82a4d77c9a69e92f3975b31a0074f3d58481d393ed0d6393a8ddceb5f9"
    data = license.to_json()
    data["document"] = {**license.document.to_json(), "estimate": {"material": "<b>"}}
    with pytest.raises(BadValue):
        License.from_json(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [("licensee", LICENSOR), ("expires_at_s", 2_100_000_000), ("content", "ab" * 32), ("id", "00" * 32)],
)
def test_a_changed_file_is_noticed(field: str, value: object) -> None:
    data = {**some_license().to_json(), field: value}
    with pytest.raises(BadValue, match="was changed"):
        License.from_json(data)


@pytest.mark.parametrize("data", [{}, [], {"printright": "license/1"}, {**some_license().to_json(), "units": 7}])
def test_nonsense_is_no_license(data: object) -> None:
    with pytest.raises(BadValue):
        License.from_json(data)  # type: ignore[arg-type]


@given(st.lists(addresses, min_size=1, max_size=20, unique=True), st.data())
def test_each_listed_unit_has_a_proof(units: list[Address], data: st.DataObject) -> None:
    unit = data.draw(st.sampled_from(units))
    node = keccak(word(unit))
    for sibling in unit_proof(units, unit):
        node = keccak(min(node, sibling) + max(node, sibling))
    assert node == units_root(units)


def test_a_unit_not_listed_has_no_proof() -> None:
    with pytest.raises(BadValue):
        unit_proof([LICENSOR], LICENSEE)


def test_any_unit_needs_no_proof() -> None:
    assert units_root([]) == bytes(32)
    assert unit_proof([], LICENSEE) == ()


def test_the_digest_of_the_document_is_salted() -> None:
    documents = {Document(os.urandom(32), "knob", b"m" * 32).digest for _ in range(8)}
    assert len(documents) == 8


def test_terms_have_the_contracts_order() -> None:
    terms = Terms(ContentId(b"c" * 32), Limits(9, 5), b"u" * 32, b"d" * 32)
    assert terms.abi() == (b"c" * 32, 9 << 128 | 5, b"u" * 32, b"d" * 32)
