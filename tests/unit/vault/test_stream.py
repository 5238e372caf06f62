"""Streams: both ways with the Tink library, at every boundary, and against every kind of altered ciphertext."""

from __future__ import annotations

import hashlib
import io
import os
import random
from pathlib import Path

import pytest
from tink import BinaryKeysetReader, cleartext_keyset_handle, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

from printright.errors import BadValue, PackageRefused
from printright.vault.segments import HEADER_SIZE, PLAIN_SIZE, SEGMENT_SIZE, TAG_SIZE
from printright.vault.stream import StreamReader, decrypt_file, encrypt, encrypt_file, encrypt_into, sealed_size

KEY, AAD = bytes(range(32)), b"package and place"
FIRST = PLAIN_SIZE - HEADER_SIZE
SIZES = (0, 1, FIRST - 1, FIRST, FIRST + 1, FIRST + PLAIN_SIZE, FIRST + PLAIN_SIZE + 1, FIRST + 7 * PLAIN_SIZE,
         FIRST + 7 * PLAIN_SIZE + 1, 1_500_000)  # fmt: skip
THREE = random.Random(3).randbytes(FIRST + PLAIN_SIZE + 100)

streaming_aead.register()


def tink(key: bytes) -> streaming_aead.StreamingAead:
    """Tink's own primitive for the same raw key and parameters."""
    inner = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(version=0, key_value=key)
    inner.params.ciphertext_segment_size = SEGMENT_SIZE
    inner.params.derived_key_size = 32
    inner.params.hkdf_hash_type = common_pb2.SHA256
    keyset = tink_pb2.Keyset(primary_key_id=1)
    entry = keyset.key.add(key_id=1, status=tink_pb2.ENABLED, output_prefix_type=tink_pb2.RAW)
    entry.key_data.type_url = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"
    entry.key_data.value = inner.SerializeToString()
    entry.key_data.key_material_type = tink_pb2.KeyData.SYMMETRIC
    handle = cleartext_keyset_handle.read(BinaryKeysetReader(keyset.SerializeToString()))
    return handle.primitive(streaming_aead.StreamingAead)


class Kept(io.BytesIO):
    """Tink closes its target; the bytes are wanted afterwards."""

    def close(self) -> None:
        pass


@pytest.mark.parametrize("size", SIZES)
def test_tink_reads_what_we_write(size: int) -> None:
    plain = os.urandom(size)
    assert tink(KEY).new_decrypting_stream(io.BytesIO(encrypt(KEY, plain, AAD)), AAD).read() == plain


@pytest.mark.parametrize("size", SIZES)
def test_we_read_what_tink_writes(size: int) -> None:
    plain, target = os.urandom(size), Kept()
    with tink(KEY).new_encrypting_stream(target, AAD) as stream:
        stream.write(plain)
    with StreamReader(KEY, target.getvalue(), AAD) as reader:
        assert reader.size == size
        assert b"".join(reader) == plain
        assert reader.sha256() == hashlib.sha256(plain).digest()
    assert len(target.getvalue()) == sealed_size(size)


@pytest.mark.parametrize("size", SIZES)
def test_files_both_ways(size: int, tmp_path: Path) -> None:
    plain, done = os.urandom(size), []
    (tmp_path / "plain").write_bytes(plain)
    info = encrypt_file(KEY, tmp_path / "plain", tmp_path / "sealed", AAD, progress=done.append)
    sealed = (tmp_path / "sealed").read_bytes()
    assert (info.size, info.plaintext_size) == (len(sealed), size)
    assert info.sha256 == hashlib.sha256(sealed).digest()
    assert info.plaintext_sha256 == hashlib.sha256(plain).digest()
    assert done == sorted(done)
    assert done[-1] == size
    assert tink(KEY).new_decrypting_stream(io.BytesIO(sealed), AAD).read() == plain
    decrypt_file(KEY, tmp_path / "sealed", tmp_path / "again", AAD)
    assert (tmp_path / "again").read_bytes() == plain
    assert (tmp_path / "again").stat().st_mode & 0o777 == 0o600
    with StreamReader(KEY, tmp_path / "sealed", AAD) as reader:
        assert b"".join(reader) == plain


def test_two_encryptions_share_nothing() -> None:
    first, second = encrypt(KEY, THREE, AAD), encrypt(KEY, THREE, AAD)
    assert first[1:HEADER_SIZE] != second[1:HEADER_SIZE]
    assert first[HEADER_SIZE:100] != second[HEADER_SIZE:100]


def test_encrypt_into_wants_a_buffer_of_the_right_size() -> None:
    with pytest.raises(BadValue, match="buffer"):
        encrypt_into(KEY, b"abc", bytearray(sealed_size(3) + 1), AAD)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_keys_of_another_size_are_misuse(size: int) -> None:
    with pytest.raises(BadValue, match="32 bytes"):
        encrypt(bytes(size), b"", AAD)


def test_reading_outside() -> None:
    with StreamReader(KEY, encrypt(KEY, b"abc", AAD), AAD) as reader:
        assert reader.read_at(1, 100) == b"bc"
        assert reader.read_at(3, 1) == b""
        assert reader.read_at(10**12, 1) == b""
        for offset, size in ((-1, 1), (0, -1)):
            with pytest.raises(BadValue):
                reader.read_at(offset, size)


def refused(data: bytes, key: bytes = KEY, aad: bytes = AAD) -> bool:
    """Whether a reader refuses `data`; what it handed out before must be genuine."""
    try:
        with StreamReader(key, data, aad) as reader:
            position = 0
            for segment in reader:
                assert THREE[position : position + len(segment)] == segment
                position += len(segment)
    except PackageRefused:
        return True
    return False


GENUINE = encrypt(KEY, THREE, AAD)
SEGMENTS = [GENUINE[start : start + SEGMENT_SIZE] for start in range(0, len(GENUINE), SEGMENT_SIZE)]


def test_the_genuine_stream_is_not_refused() -> None:
    assert not refused(GENUINE)
    assert len(SEGMENTS) == 3


@pytest.mark.parametrize("bit", range(HEADER_SIZE * 8))
def test_every_header_bit_counts(bit: int) -> None:
    # Red without the header-length check in StreamReader.__init__ for bits 0-7, without salt or prefix in
    # Segments.__init__ for the others.
    altered = bytearray(GENUINE)
    altered[bit // 8] ^= 1 << bit % 8
    assert refused(bytes(altered))


@pytest.mark.parametrize("segment", range(3))
def test_every_bit_of_a_segment_counts(segment: int) -> None:
    # A sample of places, the tag's every byte among them. Red where Segments.open swallows InvalidTag.
    start = max(HEADER_SIZE, segment * SEGMENT_SIZE)
    end = min(len(GENUINE), (segment + 1) * SEGMENT_SIZE)
    seed = 20260101 + segment
    print("seed", seed)
    places = [start, *random.Random(seed).sample(range(start, end), 40), *range(end - TAG_SIZE, end)]
    for place in places:
        altered = bytearray(GENUINE)
        altered[place] ^= 0x40
        assert refused(bytes(altered)), place


@pytest.mark.parametrize("length", [0, 1, HEADER_SIZE - 1, HEADER_SIZE, HEADER_SIZE + TAG_SIZE - 1,
                                    HEADER_SIZE + TAG_SIZE,
                                    SEGMENT_SIZE - 1, SEGMENT_SIZE, SEGMENT_SIZE + 1, SEGMENT_SIZE + TAG_SIZE,
                                    2 * SEGMENT_SIZE - 1, 2 * SEGMENT_SIZE, 2 * SEGMENT_SIZE + TAG_SIZE,
                                    len(GENUINE) - 1])  # fmt: skip
def test_cut_short(length: int) -> None:
    # At a segment's end only the last-segment flag tells: red where Segments always uses flag 0 (or the reader does).
    assert refused(GENUINE[:length])


@pytest.mark.parametrize(
    "order",
    [(0, 2, 1), (1, 0, 2), (0, 1, 1, 2), (0, 0, 1, 2), (1, 2), (0, 2), (0, 1, 2, 2), (0, 1), (2,), (0, 1, 2, 0)],
    ids=str,
)
def test_segments_cut_swapped_and_doubled(order: tuple[int, ...]) -> None:
    # Red where the nonce has no index.
    assert refused(b"".join(SEGMENTS[index] for index in order))


@pytest.mark.parametrize("trailing", [b"\0", bytes(TAG_SIZE), bytes(SEGMENT_SIZE)], ids=len)
def test_trailing_bytes(trailing: bytes) -> None:
    assert refused(GENUINE + trailing)


@pytest.mark.parametrize("segment", range(3))
def test_other_peoples_segments(segment: int) -> None:
    # The same key and data, another header: another derived key. Red where the key is used without HKDF and salt.
    other = encrypt(KEY, THREE, AAD)
    spliced = list(SEGMENTS)
    spliced[segment] = other[segment * SEGMENT_SIZE : (segment + 1) * SEGMENT_SIZE]
    assert refused(b"".join(spliced))
    with_header = [GENUINE[:HEADER_SIZE] + other[HEADER_SIZE:SEGMENT_SIZE], *SEGMENTS[1:]]
    assert refused(b"".join(with_header))


def test_other_data_and_other_key() -> None:
    assert refused(GENUINE, aad=AAD + b"\0")
    assert refused(GENUINE, aad=b"")
    assert refused(GENUINE, key=bytes(32))


def test_random_reads_never_give_altered_bytes() -> None:
    altered = bytearray(GENUINE)
    altered[SEGMENT_SIZE + 5] ^= 1
    with StreamReader(KEY, bytes(altered), AAD) as reader:
        assert reader.read_at(10, 100) == THREE[10:110]
        for offset, size in ((FIRST - 1, 2), (FIRST + 5, 1), (0, len(THREE)), (FIRST + PLAIN_SIZE - 1, 2)):
            with pytest.raises(PackageRefused, match="segment 1"):
                reader.read_at(offset, size)


def test_a_truncated_stream_is_refused_before_its_first_byte(tmp_path: Path) -> None:
    # Red without opening the last segment in StreamReader.__init__.
    (tmp_path / "sealed").write_bytes(GENUINE[: 2 * SEGMENT_SIZE])
    with pytest.raises(PackageRefused):
        StreamReader(KEY, tmp_path / "sealed", AAD)


def test_decrypting_leaves_no_file_behind_when_refused(tmp_path: Path) -> None:
    # Red without the unlink in decrypt_file.
    altered = bytearray(encrypt(KEY, os.urandom(3_000_000), AAD))
    altered[2_500_000] ^= 1
    (tmp_path / "sealed").write_bytes(altered)
    with pytest.raises(PackageRefused):
        decrypt_file(KEY, tmp_path / "sealed", tmp_path / "plain", AAD)
    assert not (tmp_path / "plain").exists()


def test_a_source_that_grows_or_shrinks_meanwhile_is_not_published(tmp_path: Path) -> None:
    # Red without the size check at the end of encrypt_file (grown), or the zero-read check in _read (shrunk).
    source = tmp_path / "plain"
    for change in (lambda: os.truncate(source, 5_000_001), lambda: os.truncate(source, 10)):
        source.write_bytes(bytes(5_000_000))
        changed: list[int] = []

        def on_progress(done: int, change=change, changed=changed) -> None:
            if not changed:
                changed.append(done)
                change()

        with pytest.raises(BadValue, match=r"changed|shorter"):
            encrypt_file(KEY, source, tmp_path / "sealed", AAD, progress=on_progress)


def test_a_file_cut_while_it_is_read_is_an_error_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "sealed"
    path.write_bytes(GENUINE)
    with StreamReader(KEY, path, AAD) as reader:
        os.truncate(path, SEGMENT_SIZE)
        with pytest.raises(BadValue, match="shorter"):
            reader.read_at(FIRST + 10, 10)
