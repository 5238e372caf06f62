"""Pictures are passed on without what is no picture, or not at all."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from printright.domain.estimate import PNG_SIGNATURE
from printright.services.png import clean_png

LIMIT = 1 << 18


def picture(mode: str = "RGBA", size: tuple[int, int] = (24, 16), **options: object) -> bytes:
    image = Image.effect_noise(size, 60).convert(mode)
    saved = io.BytesIO()
    image.save(saved, "PNG", **options)
    return saved.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, interlaced: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, interlaced))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_picture_stays_the_same_picture(mode: str) -> None:
    data = picture(mode)
    with Image.open(io.BytesIO(clean_png(data, LIMIT))) as cleaned, Image.open(io.BytesIO(data)) as original:
        assert cleaned.tobytes() == original.tobytes()


def test_text_and_what_follows_the_end_are_left_out() -> None:
    about = PngImagePlugin.PngInfo()
    about.add_text("Comment", "<script>alert(1)</script>")
    data = picture(pnginfo=about, dpi=(72, 72)) + b"PK\x03\x04 a zip behind it"
    cleaned = clean_png(data, LIMIT)
    # Red without: `if kind in _KEPT`, and the `break` at IEND.
    assert b"script" not in cleaned
    assert b"PK" not in cleaned
    with Image.open(io.BytesIO(cleaned)) as image:
        assert image.size == (24, 16)


GOOD = picture()
ROWS = zlib.compress(bytes(3 * 4))


@pytest.mark.parametrize(
    "data",
    {
        "nothing": b"",
        "a GIF": b"GIF89a" + bytes(40),
        "cut": GOOD[:-1],
        "no end": GOOD[:-12],
        "one bit": GOOD[:60] + bytes([GOOD[60] ^ 1]) + GOOD[61:],
        "two headers": PNG_SIGNATURE + header(3, 3) + header(3, 3) + chunk(b"IDAT", ROWS) + chunk(b"IEND", b""),
        "header late": PNG_SIGNATURE + chunk(b"IDAT", ROWS) + header(3, 3) + chunk(b"IEND", b""),
        "no rows": PNG_SIGNATURE + header(3, 3) + chunk(b"IEND", b""),
        "too few rows": PNG_SIGNATURE + header(3, 4) + chunk(b"IDAT", ROWS) + chunk(b"IEND", b""),
        "a bomb": PNG_SIGNATURE + header(3, 3) + chunk(b"IDAT", zlib.compress(bytes(1 << 24))) + chunk(b"IEND", b""),
        "huge": PNG_SIGNATURE + header(1 << 30, 1 << 30) + chunk(b"IDAT", ROWS) + chunk(b"IEND", b""),
        "interlaced": PNG_SIGNATURE + header(3, 3, 1) + chunk(b"IDAT", ROWS) + chunk(b"IEND", b""),
        "unknown must": PNG_SIGNATURE + header(3, 3) + chunk(b"EVIL", b"") + chunk(b"IDAT", ROWS) + chunk(b"IEND", b""),
        "no zlib": PNG_SIGNATURE + header(3, 3) + chunk(b"IDAT", b"rows") + chunk(b"IEND", b""),
        "length over all": PNG_SIGNATURE + b"\xff\xff\xff\xffIHDR" + bytes(40),
    }.items(),
    ids=lambda each: each[0],
)
def test_what_is_no_whole_picture_is_nothing(data: tuple[str, bytes]) -> None:
    assert clean_png(data[1], LIMIT) == b""


def test_the_parts_above_make_a_picture_where_they_are_right() -> None:
    assert clean_png(PNG_SIGNATURE + header(3, 3) + chunk(b"IDAT", ROWS) + chunk(b"IEND", b""), LIMIT)


def test_a_picture_above_the_limit_is_nothing() -> None:
    assert clean_png(GOOD, len(GOOD) - 1) == b""


@given(st.integers(0, len(GOOD) - 1), st.binary(max_size=12))
def test_whatever_is_done_to_it_a_picture_comes_out_or_nothing(at: int, written: bytes) -> None:
    cleaned = clean_png(GOOD[:at] + written + GOOD[at + len(written) :], LIMIT)
    assert cleaned == b"" or clean_png(cleaned, LIMIT) == cleaned
