"""Streams against age, Tink and the bare cipher; random reads; memory.

Files of all sides lie in one folder on disk, in the page cache. Every run makes a new file, as users do: the output of
the round before is removed and the disk synced before the clock starts, so that neither giving back a GiB of an old
file nor one side's write-back is in another's time. The first round is not counted: a virtual machine's host may have
to find the memory first. age computes no digest, so neither do we there. Two threads of ours want two cores: on a busy
machine the ratios against age are lower.

In memory, one thread each: the time is the processor's, which a busy machine does not change much.
"""

from __future__ import annotations

import io
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.figure import Figure, figure, interleaved
from printright.vault.segments import HEADER_SIZE, PLAIN_SIZE, SEGMENT_SIZE
from printright.vault.stream import Buffer, StreamReader, decrypt_file, encrypt, encrypt_file, encrypt_into, sealed_size

MIB, GIB = 1 << 20, 1 << 30
KEY, AAD = bytes(range(32)), b"bench"
ROUNDS = 5
READS = 20_000


def figures() -> list[Figure]:
    cache = Path(__file__).parent.parent / ".cache"
    cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="printright-bench-") as folder:
        found = [*_files(Path(folder)), _memory(Path(folder))]
    found += [_against_raw(), *_against_tink()]
    with tempfile.TemporaryDirectory(dir=cache, prefix="printright-bench-") as folder:
        found += _random_reads(Path(folder))
    return found


def _timed(run: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    run()
    return clock() - start


def _fill(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))


def _files(folder: Path) -> list[Figure]:
    plain, size = folder / "plain", GIB
    _fill(plain, size)
    identity = folder / "identity"
    subprocess.run(["age-keygen", "-o", identity], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", identity], check=True, capture_output=True, text=True).stdout.strip()
    sides: dict[str, Callable[[], object]] = {
        "age": lambda: subprocess.run(["age", "-r", public, "-o", folder / "1.age", plain], check=True),
        "ours": lambda: encrypt_file(KEY, plain, folder / "1.ours", AAD, digests=False),
        "age_open": lambda: subprocess.run(["age", "-d", "-i", identity, "-o", folder / "2.age", folder / "1.age"],
                                           check=True),
        "ours_open": lambda: decrypt_file(KEY, folder / "1.ours", folder / "2.ours", AAD),
    }  # fmt: skip
    tink = _tink()

    def tink_encrypts() -> None:
        # As Tink's own example for Python does it: blocks of 1 MiB.
        target = (folder / "1.tink").open("wb")  # the stream closes it
        with plain.open("rb") as source, tink.new_encrypting_stream(target, AAD) as stream:
            while block := source.read(MIB):
                stream.write(block)

    sides["tink"] = tink_encrypts

    outputs = {"age": "1.age", "ours": "1.ours", "age_open": "2.age", "ours_open": "2.ours", "tink": "1.tink"}

    def into_new_file(name: str, run: Callable[[], object]) -> float:
        (folder / outputs[name]).unlink(missing_ok=True)
        os.sync()
        return _timed(run)

    timed = {name: lambda name=name, run=run: into_new_file(name, run) for name, run in sides.items()}
    interleaved(1, **timed)
    seconds = interleaved(ROUNDS, **timed)
    speed = {name: size / MIB / taken for name, taken in seconds.items()}
    return [
        figure(
            "crypto.encrypt_vs_age", speed["ours"], "MiB/s", ">= 4", peer="age 1.1.1, X25519", peer_value=speed["age"],
            ratio=seconds.ratio("age", "ours"), judge_ratio=True,
        ),
        figure(
            "crypto.decrypt_vs_age", speed["ours_open"], "MiB/s", ">= 4", peer="age 1.1.1, X25519",
            peer_value=speed["age_open"], ratio=seconds.ratio("age_open", "ours_open"), judge_ratio=True,
        ),
        figure(
            "crypto.vs_tink", speed["ours"], "MiB/s", ">= 5", peer="Tink 1.16.1 for Python, its example",
            peer_value=speed["tink"], ratio=seconds.ratio("tink", "ours"), judge_ratio=True,
        ),
    ]  # fmt: skip


GROWTH = """
import sys
from pathlib import Path
from printright.vault.stream import StreamReader, encrypt_file
folder = Path(sys.argv[1])
(folder / "small").write_bytes(b"G28")
encrypt_file(bytes(32), folder / "small", folder / "small.sealed", b"")
def peak_kb():
    # VmHWM belongs to this program; getrusage's ru_maxrss would count the parent's memory before exec
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
before = peak_kb()
encrypt_file(bytes(32), folder / "plain", folder / "sealed", b"")
with StreamReader(bytes(32), folder / "sealed", b"") as reader:
    reader.sha256()
    for segment in reader:
        pass
print((peak_kb() - before) / 1024)
"""


def _memory(folder: Path) -> Figure:
    """How much a fresh process grows by encrypting 1 GiB with digests and reading it back twice."""
    command = [sys.executable, "-c", GROWTH, str(folder)]
    grown = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return figure("crypto.memory_mb", grown, "MiB", "<= 64")


def _against_raw() -> Figure:
    count = 256
    plain = os.urandom(count * PLAIN_SIZE - HEADER_SIZE)
    target = bytearray(sealed_size(len(plain)))
    bare = AESGCM(KEY)
    source, sealed, nonce = memoryview(plain), memoryview(target), bytes(12)

    def raw() -> None:
        for index in range(count - 1):
            part = source[index * PLAIN_SIZE : (index + 1) * PLAIN_SIZE]
            bare.encrypt_into(nonce, part, None, sealed[index * SEGMENT_SIZE : (index + 1) * SEGMENT_SIZE])

    seconds = interleaved(
        51,
        ours=lambda: _timed(lambda: encrypt_into(KEY, plain, target, AAD), time.process_time),
        raw=lambda: _timed(raw, time.process_time),
    )
    ours, peer = len(plain) / MIB / seconds["ours"], (count - 1) * PLAIN_SIZE / MIB / seconds["raw"]
    return figure(
        "crypto.vs_raw", ours, "MiB/s", ">= 0.7", peer="AESGCM.encrypt_into", peer_value=peer, ratio=ours / peer,
        judge_ratio=True,
    )  # fmt: skip


def _tink() -> Any:
    """Tink's primitive for the same key and parameters."""
    from tink import BinaryKeysetReader, cleartext_keyset_handle, streaming_aead
    from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

    streaming_aead.register()
    inner = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(version=0, key_value=KEY)
    inner.params.ciphertext_segment_size, inner.params.derived_key_size = SEGMENT_SIZE, 32
    inner.params.hkdf_hash_type = common_pb2.SHA256
    keyset = tink_pb2.Keyset(primary_key_id=1)
    entry = keyset.key.add(key_id=1, status=tink_pb2.ENABLED, output_prefix_type=tink_pb2.RAW)
    entry.key_data.type_url = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"
    entry.key_data.value = inner.SerializeToString()
    entry.key_data.key_material_type = tink_pb2.KeyData.SYMMETRIC
    handle = cleartext_keyset_handle.read(BinaryKeysetReader(keyset.SerializeToString()))
    return handle.primitive(streaming_aead.StreamingAead)


def _against_tink() -> list[Figure]:
    """One thread each, in memory, and Tink fed as it likes best."""
    tink = _tink()
    plain = os.urandom(64 * MIB)
    sealed = encrypt(KEY, plain, AAD)
    target = bytearray(len(sealed))

    class Target(io.RawIOBase):
        """Takes Tink's output into memory that is there already, as ours is: nobody pays for new pages."""

        def __init__(self) -> None:
            self.filled = 0

        def writable(self) -> bool:
            return True

        def write(self, data: Buffer) -> int:
            target[self.filled : self.filled + len(data)] = data
            self.filled += len(data)
            return len(data)

    def tink_encrypts() -> None:
        # Tink is fastest in pieces of 64 KiB.
        with tink.new_encrypting_stream(Target(), AAD) as stream:
            for start in range(0, len(plain), SEGMENT_SIZE):
                stream.write(plain[start : start + SEGMENT_SIZE])

    def we_decrypt() -> None:
        with StreamReader(KEY, sealed, AAD) as reader:
            assert sum(len(segment) for segment in reader) == len(plain)

    def tink_decrypts() -> None:
        with tink.new_decrypting_stream(io.BytesIO(sealed), AAD) as stream:
            assert sum(iter(lambda: len(stream.read(PLAIN_SIZE)), 0)) == len(plain)

    sides = {
        "ours": lambda: encrypt_into(KEY, plain, target, AAD),
        "tink": tink_encrypts,
        "ours_open": we_decrypt,
        "tink_open": tink_decrypts,
    }
    seconds = interleaved(7, **{name: lambda run=run: _timed(run, time.process_time) for name, run in sides.items()})
    speed = {name: len(plain) / MIB / taken for name, taken in seconds.items()}
    return [
        figure(
            name, speed[ours], "MiB/s", target, peer="Tink 1.16.1 for Python, one thread", peer_value=speed[peer],
            ratio=seconds.ratio(peer, ours), judge_ratio=True,
        )
        for name, ours, peer, target in (
            ("crypto.vs_tink_in_memory", "ours", "tink", ">= 5"),
            ("crypto.decrypt_vs_tink_in_memory", "ours_open", "tink_open", ">= 5"),
        )
    ]  # fmt: skip


def _random_reads(folder: Path) -> list[Figure]:
    """Reads at random places of 10 GiB of real ciphertext, each place read once before (page cache warm).

    `random_read_us` reads 65,536 bytes from any byte, for which two segments must be authenticated, seldom three;
    `random_read_segment_us` one whole 64 KiB segment (65,520 bytes of plaintext), the unit that is authenticated.
    """
    plain, sealed = folder / "plain", folder / "sealed"
    with plain.open("wb") as file:
        file.truncate(10 * GIB)  # zeros take no room; their ciphertext does
    encrypt_file(KEY, plain, sealed, AAD, digests=False)
    os.sync()
    chance = random.Random(10)
    with StreamReader(KEY, sealed, AAD) as reader:
        segments = [chance.randrange(1, 10 * GIB // PLAIN_SIZE) * PLAIN_SIZE - HEADER_SIZE for _ in range(READS)]
        anywhere = [chance.randrange(10 * GIB - 65_536) for _ in range(READS)]

        def read(places: list[int], size: int) -> float:
            taken = []
            for place in places:
                start = time.perf_counter()
                reader.read_at(place, size)
                taken.append(time.perf_counter() - start)
            return statistics.median(taken) * 1e6

        for places, size in ((segments, PLAIN_SIZE), (anywhere, 65_536)):
            read(places, size)
        whole, unaligned = (read(places, size) for places, size in ((segments, PLAIN_SIZE), (anywhere, 65_536)))
    cipher = _cipher_us()
    peer = "AESGCM.decrypt_into alone, in memory"
    return [
        figure(
            "crypto.random_read_us", unaligned, "us for 64 KiB at any byte", "<= 20", peer=f"{peer}, two segments",
            peer_value=2 * cipher, ratio=unaligned / (2 * cipher),
        ),
        figure(
            "crypto.random_read_segment_us", whole, "us for one whole segment", "<= 20", peer=f"{peer}, one segment",
            peer_value=cipher, ratio=whole / cipher,
        ),
    ]  # fmt: skip


def _cipher_us() -> float:
    """What the processor's AES takes for one segment: no authenticated read of it can be faster."""
    bare, nonce, plain = AESGCM(KEY), bytes(12), memoryview(bytearray(PLAIN_SIZE))
    sealed = bare.encrypt(nonce, bytes(PLAIN_SIZE), None)
    taken = [_timed(lambda: bare.decrypt_into(nonce, sealed, None, plain)) for _ in range(2_000)]
    return statistics.median(taken) * 1e6
