"""Parts: labels prove themselves and nothing else, codes stay out of sight, serial numbers are unique and salted."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from printright.domain.ids import JobId
from printright.domain.part import (
    PREFIX,
    PartLabel,
    code_for,
    depth_of,
    leaf,
    part_id,
    parts_proof,
    parts_root,
    serial_for,
)
from printright.domain.words import TypedDomain, checksum
from printright.errors import PartRefused

DOMAIN = TypedDomain(424242, checksum("0x" + "33" * 20))
JOB = JobId(b"j" * 32)
MAKER, UNIT = checksum("0x" + "44" * 20), checksum("0x" + "55" * 20)


def labels(good: int) -> list[PartLabel]:
    secret = b"z" * 32
    made = []
    for index in range(good):
        code = code_for(secret, index)
        made.append((serial_for(part_id(JOB, index), "ACME", MAKER, UNIT, code), code))
    leaves = [leaf(part_id(JOB, index), serial, code) for index, (serial, code) in enumerate(made)]
    return [
        PartLabel(DOMAIN, JOB, good, index, serial, code, parts_proof(leaves, index))
        for index, (serial, code) in enumerate(made)
    ]


@given(st.integers(1, 40))
def test_every_label_leads_to_the_same_root(good: int) -> None:
    made = labels(good)
    assert {label.root for label in made} == {parts_root([leaf(x.part, x.serial, x.code) for x in made])}
    assert len({label.serial for label in made}) == good


@given(st.integers(1, 20), st.data())
def test_a_label_survives_its_text(good: int, data: st.DataObject) -> None:
    label = data.draw(st.sampled_from(labels(good)))
    assert PartLabel.parse(label.text()) == label
    assert PartLabel.parse(label.text().lower()) == label


def test_the_text_fits_qr_alphanumeric_mode() -> None:
    assert set(labels(3)[1].text()) <= set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")


@pytest.mark.parametrize(
    "text", ["", "hello", PREFIX, PREFIX + "AAAA", PREFIX + "1", PREFIX + "A" * 5000, "PRINTRIGHT:2:AA"]
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(PartRefused):
        PartLabel.parse(text)


@given(st.text(max_size=200))
def test_no_text_crashes_the_parser(text: str) -> None:
    with pytest.raises(PartRefused):
        PartLabel.parse(PREFIX + text)


@given(st.integers(0, 2_000), st.integers(0, 7))
def test_a_flipped_bit_never_proves_the_part(position: int, bit: int) -> None:
    label = labels(5)[2]
    body = list(label.text())
    index = len(PREFIX) + position % (len(body) - len(PREFIX))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    body[index] = alphabet[alphabet.index(body[index]) ^ (1 << bit % 5)]
    try:
        found = PartLabel.parse("".join(body))
    except PartRefused:
        return
    # What still parses is another label: another network or job, or it leads to another outcome.
    assert (found.domain, found.job, found.outcome) != (label.domain, label.job, label.outcome)


def test_positions_cannot_be_swapped() -> None:
    first, second = labels(2)
    moved = PartLabel(DOMAIN, JOB, 2, 1, first.serial, first.code, second.proof)
    assert moved.root != first.root


def test_the_code_is_not_in_the_representation() -> None:
    label = labels(1)[0]
    assert label.code.hex() not in repr(label)
    assert repr(label.code) not in repr(label)


def test_serials_need_the_code() -> None:
    part = part_id(JOB, 0)
    assert serial_for(part, "", MAKER, UNIT, os.urandom(16)) != serial_for(part, "", MAKER, UNIT, os.urandom(16))


@pytest.mark.parametrize(("good", "depth"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (1 << 20, 20)])
def test_depth(good: int, depth: int) -> None:
    assert depth_of(good) == depth
