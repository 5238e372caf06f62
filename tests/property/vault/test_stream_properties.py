"""A stream read anywhere is the plaintext there, whatever its size and however it was made."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from printright.errors import PackageRefused
from printright.vault.segments import HEADER_SIZE, PLAIN_SIZE, SEGMENT_SIZE, TAG_SIZE, Layout
from printright.vault.stream import StreamReader, encrypt

KEY, AAD = bytes(range(32)), b"aad"
PLAIN = random.Random(1).randbytes(5 * PLAIN_SIZE)
STREAMS: dict[int, bytes] = {}

# Sizes and offsets gather around the borders of segments, where mistakes would be.
edges = st.builds(
    lambda segment, shift: max(0, segment * PLAIN_SIZE - HEADER_SIZE + shift), st.integers(0, 4), st.integers(-3, 3)
)
places = edges | st.integers(0, len(PLAIN))


@given(total=edges, offset=places, size=places)
def test_read_at_is_the_slice(total: int, offset: int, size: int) -> None:
    sealed = STREAMS.setdefault(total, encrypt(KEY, PLAIN[:total], AAD))
    with StreamReader(KEY, sealed, AAD) as reader:
        assert reader.size == total
        assert reader.read_at(offset, size) == PLAIN[:total][offset : offset + size]


@given(st.integers(0, 1 << 50))
def test_every_size_has_one_layout(size: int) -> None:
    layout = Layout(size)
    assert Layout.of_ciphertext(layout.size) == layout
    start, end = layout.sealed(layout.segments - 1)
    assert end == layout.size
    assert TAG_SIZE <= end - start <= SEGMENT_SIZE


@given(st.integers(-5, 1 << 50))
def test_a_ciphertext_size_is_a_layouts_or_refused(size: int) -> None:
    try:
        layout = Layout.of_ciphertext(size)
    except PackageRefused:
        # Only what is too short for any stream, or ends in a segment without plaintext behind others.
        rest = size % SEGMENT_SIZE
        assert size < HEADER_SIZE + TAG_SIZE or 1 <= rest <= TAG_SIZE
    else:
        assert layout.size == size
