"""Encrypted streams in the format of Tink's AES-GCM-HKDF streaming AEAD, seekable and at the speed of the processor.

The parameters are those of Tink's AES256_GCM_HKDF_1MB template but for segments of 64 KiB, which suit a cache and a
print file better: AES-256-GCM, a derived key of 32 bytes, HKDF with SHA-256. On the wire

    stream   = header || sealed segment 0 || sealed segment 1 || ...
    header   = length of the header (1 byte, 40) || salt (32) || nonce prefix (7)
    key      = HKDF-SHA256(ikm=key, salt=salt, info=aad, 32 bytes)
    segment  = AES-256-GCM(key, nonce = prefix || index (4 bytes, big endian) || 1 if last else 0, no data)

The header takes its 40 bytes from the first segment, so that segment `i` of the ciphertext begins at `i * 65536`
(the first behind the header), and its plaintext at `i * 65520 - 40`. Index and last-segment flag are in the nonce: a
segment that is cut, moved, doubled or another stream's does not authenticate.

Sources: Tink's "Streaming AEAD: AES-GCM-HKDF" wire format; Hoang, Reyhanitabar, Rogaway and Vizar, "Online
Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance" (CRYPTO 2015); RFC 5869; NIST SP 800-38D.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from printright.domain.ids import Digest
from printright.errors import BadValue, PackageRefused
from printright.vault.segments import (
    HEADER_SIZE,
    PLAIN_SIZE,
    SEGMENT_SIZE,
    SPAN,
    TAG_SIZE,
    Layout,
    Segments,
    new_header,
)

_WORKERS = min(2, os.cpu_count() or 1)

Buffer = bytes | bytearray | memoryview
Progress = Callable[[int], None]
"""Called now and then with the plaintext bytes done so far, from any thread, one call at a time."""


@dataclass(frozen=True)
class StreamInfo:
    """What `encrypt_file` wrote: sizes in bytes, and SHA-256 digests where they were asked for."""

    size: int
    plaintext_size: int
    sha256: Digest | None
    plaintext_sha256: Digest | None


def encrypt(key: bytes, plaintext: Buffer, aad: bytes) -> bytes:
    """Encrypt what fits into memory. `key` has 32 bytes. Raises BadValue for another key."""
    target = bytearray(sealed_size(len(plaintext)))
    encrypt_into(key, plaintext, target, aad)
    return bytes(target)


def sealed_size(plaintext_size: int) -> int:
    """Bytes of the stream that holds `plaintext_size` bytes."""
    return Layout(plaintext_size).size


def encrypt_into(key: bytes, plaintext: Buffer, target: bytearray | memoryview, aad: bytes) -> None:
    """Encrypt into a buffer of exactly `sealed_size` bytes. Raises BadValue for another buffer or key."""
    layout = Layout(len(plaintext))
    if len(target) != layout.size:
        raise BadValue(f"the stream has {layout.size} bytes, the buffer {len(target)}")
    header = new_header()
    segments = Segments(key, header, aad)
    plain, sealed = memoryview(plaintext), memoryview(target)
    sealed[:HEADER_SIZE] = header
    last = layout.segments - 1
    done = 0
    for index in range(layout.segments):
        start, end = layout.sealed(index)
        taken = done + end - start - TAG_SIZE
        segments.seal(index, index == last, plain[done:taken], sealed[start:end])
        done = taken


def encrypt_file(
    key: bytes, source: Path, target: Path, aad: bytes, *, digests: bool = True, progress: Progress | None = None
) -> StreamInfo:
    """Encrypt `source` into `target`, which is replaced. Blocking; uses two threads.

    `digests` asks for the SHA-256 of both sides, taken from the very bytes that were read and written; hashing costs
    several times what encrypting does. Nothing is synced to disk. Raises BadValue for a key that has not 32 bytes and
    for a source that changes meanwhile, and OSError.
    """
    with _opened(source, os.O_RDONLY) as read_from, _opened(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as write_to:
        layout = Layout(os.fstat(read_from).st_size)
        header = new_header()
        segments = Segments(key, header, aad)
        plain_digest, sealed_digest = _OrderedDigest(digests), _OrderedDigest(digests)

        def encrypt_span(span: int, plain: memoryview, sealed: memoryview) -> int:
            pieces = layout.pieces(span)
            start, end = pieces[0].plain.start, pieces[-1].plain.stop
            _read(read_from, plain[start:end], span * SPAN * PLAIN_SIZE - HEADER_SIZE + start, source)
            plain_digest.update(span, plain[start:end])
            sealed[: pieces[0].sealed.start] = header[: pieces[0].sealed.start]
            for number, last, plain_part, sealed_part in pieces:
                segments.seal(number, last, plain[plain_part], sealed[sealed_part])
            whole = sealed[: pieces[-1].sealed.stop]
            sealed_digest.update(span, whole)
            _write(write_to, whole, span * SPAN * SEGMENT_SIZE)
            return end - start  # type: ignore[no-any-return]

        _for_each_span(layout.segments, encrypt_span, progress, (plain_digest, sealed_digest))
        if os.fstat(read_from).st_size != layout.plaintext_size:
            raise BadValue(f"{source} changed while it was encrypted", hint="publish it when nothing writes to it")
    return StreamInfo(layout.size, layout.plaintext_size, sealed_digest.value, plain_digest.value)


def decrypt_file(key: bytes, source: Path, target: Path, aad: bytes, *, progress: Progress | None = None) -> StreamInfo:
    """Decrypt `source` into `target`: how rights holders take their own file back. Blocking; uses two threads.

    Nothing that runs beside a machine may call this: there, plaintext stays in memory (`StreamReader`). On any error
    what was written is removed. Raises PackageRefused, BadValue and OSError.
    """
    with StreamReader(key, source, aad) as reader, _opened(source, os.O_RDONLY) as read_from:
        layout, segments = reader._layout, reader._segments
        try:
            with _opened(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as write_to:

                def decrypt_span(span: int, plain: memoryview, sealed: memoryview) -> int:
                    pieces = layout.pieces(span)
                    _read(read_from, sealed[: pieces[-1].sealed.stop], span * SPAN * SEGMENT_SIZE, source)
                    for number, last, plain_part, sealed_part in pieces:
                        segments.open_into(number, last, sealed[sealed_part], plain[plain_part])
                    start, end = pieces[0].plain.start, pieces[-1].plain.stop
                    _write(write_to, plain[start:end], span * SPAN * PLAIN_SIZE - HEADER_SIZE + start)
                    return end - start  # type: ignore[no-any-return]

                _for_each_span(layout.segments, decrypt_span, progress, ())
        except BaseException:
            target.unlink(missing_ok=True)
            raise
    return StreamInfo(layout.size, layout.plaintext_size, None, None)


class StreamReader:
    """The plaintext of an encrypted stream: authenticated, seekable, in memory only.

    `source` is a path or the ciphertext itself. The last segment is authenticated at once, so that a stream that was
    cut short is refused before its first byte is handed out. `size` is the plaintext's, in bytes. Threads may share
    a reader and are served one after the other. Raises PackageRefused for anything but
    the bytes that were encrypted for this key and `aad`, BadValue for a key that has not 32 bytes, OSError.
    """

    def __init__(self, key: bytes, source: Path | Buffer, aad: bytes) -> None:
        self._source: _File | _Memory = _File(source) if isinstance(source, Path) else _Memory(source)
        try:
            self._layout = Layout.of_ciphertext(self._source.size)
            header = bytes(self._source.view(0, HEADER_SIZE))
            if header[0] != HEADER_SIZE:
                raise PackageRefused(f"an encrypted stream's header has {HEADER_SIZE} bytes, not {header[0]}")
            self._segments = Segments(key, header, aad)
            self._lock = threading.Lock()
            self._plain = memoryview(bytearray(2 * PLAIN_SIZE))
            self._last = self._layout.segments - 1
            self._segment(self._last)
        except BaseException:
            self._source.close()
            raise

    @property
    def size(self) -> int:
        return self._layout.plaintext_size

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end of the stream. Raises PackageRefused, BadValue."""
        if offset < 0 or size < 0:
            raise BadValue(f"cannot read {size} bytes at {offset}")
        size = min(size, max(0, self.size - offset))
        if size == 0:
            return b""
        # In the stream of whole plaintext segments the header stands where plaintext would: see the module's text.
        start, end = offset + HEADER_SIZE, offset + size + HEADER_SIZE
        first, last = start // PLAIN_SIZE, (end - 1) // PLAIN_SIZE
        start -= first * PLAIN_SIZE if first else HEADER_SIZE
        if last == first + 1:
            return self._pair(first, start, size)
        plain = self._segment(first) if first == last else b"".join(map(self._segment, range(first, last + 1)))
        return plain if len(plain) == size else plain[start : start + size]

    def __iter__(self) -> Iterator[bytes]:
        """The plaintext segment by segment, each authenticated before it is handed out."""
        for index in range(self._last + 1):
            if segment := self._segment(index):
                yield segment

    def sha256(self) -> Digest:
        """The SHA-256 of the whole plaintext; authenticates every segment. Blocking."""
        digest = hashlib.sha256()
        for segment in self:
            digest.update(segment)
        return Digest(digest.digest())

    def close(self) -> None:
        self._plain[:] = bytes(len(self._plain))
        self._source.close()

    def __enter__(self) -> StreamReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _segment(self, index: int) -> bytes:
        start, end = self._layout.sealed(index)
        with self._lock:  # the file's buffer is one
            return self._segments.open(index, index == self._last, self._source.view(start, end))

    def _pair(self, first: int, start: int, size: int) -> bytes:
        """`size` bytes from `start` of segments `first` and the next: what a small read at any place touches."""
        (one, middle), (_, end) = self._layout.sealed(first), self._layout.sealed(first + 1)
        split = middle - one - TAG_SIZE
        with self._lock:
            sealed = self._source.view(one, end)
            plain = self._plain[: split + end - middle - TAG_SIZE]
            self._segments.open_into(first, False, sealed[: middle - one], plain[:split])
            self._segments.open_into(first + 1, first + 1 == self._last, sealed[middle - one :], plain[split:])
            return bytes(plain[start : start + size])


class _Memory:
    """Ciphertext that is in memory."""

    def __init__(self, data: Buffer) -> None:
        self._data = memoryview(data)
        self.size = len(data)

    def view(self, start: int, end: int) -> memoryview:
        return self._data[start:end]

    def close(self) -> None:
        self._data.release()


class _File:
    """Ciphertext in a file, read by position: a mapping would turn a file cut short meanwhile into SIGBUS."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb", buffering=0)
        self.size = os.fstat(self._file.fileno()).st_size
        self._buffer = memoryview(bytearray(2 * SEGMENT_SIZE))

    def view(self, start: int, end: int) -> memoryview:
        view = self._buffer[: end - start]
        _read(self._file.fileno(), view, start, self._path)
        return view

    def close(self) -> None:
        self._file.close()


class _OrderedDigest:
    """A SHA-256 over spans that several threads bring: each waits for its turn."""

    def __init__(self, wanted: bool) -> None:
        self._hash = hashlib.sha256() if wanted else None
        self._next = 0
        self._stopped = False
        self._turn = threading.Condition()

    def update(self, span: int, data: memoryview) -> None:
        if self._hash is None:
            return
        with self._turn:
            self._turn.wait_for(lambda: self._next == span or self._stopped)
            self._hash.update(data)
            self._next += 1
            self._turn.notify_all()

    def stop(self) -> None:
        """Wake those who wait for a span that will never come."""
        with self._turn:
            self._stopped = True
            self._turn.notify_all()

    @property
    def value(self) -> Digest | None:
        return None if self._hash is None else Digest(self._hash.digest())


def _for_each_span(
    segments: int,
    work: Callable[[int, memoryview, memoryview], int],
    progress: Progress | None,
    digests: tuple[_OrderedDigest, ...],
) -> None:
    """Call `work(span, plain buffer, sealed buffer)` for all spans, in parallel; the first error stops all."""
    spans = -(-segments // SPAN)
    workers = min(_WORKERS, spans)
    stop = threading.Event()
    lock = threading.Lock()
    done = 0

    def run(worker: int) -> None:
        nonlocal done
        plain, sealed = memoryview(bytearray(SPAN * PLAIN_SIZE)), memoryview(bytearray(SPAN * SEGMENT_SIZE))
        try:
            for span in range(worker, spans, workers):
                if stop.is_set():
                    return
                size = work(span, plain, sealed)
                if progress is not None:
                    with lock:
                        done += size
                        progress(done)
        except BaseException:
            stop.set()
            for digest in digests:
                digest.stop()
            raise

    with ThreadPoolExecutor(workers) as pool:
        for outcome in [pool.submit(run, worker) for worker in range(workers)]:
            outcome.result()


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def _read(fd: int, view: memoryview, offset: int, path: Path) -> None:
    """Fill `view` from `offset`. Raises BadValue where the file ends before."""
    done = 0
    while done < len(view):
        got = os.preadv(fd, [view[done:]], offset + done)
        if got == 0:
            raise BadValue(f"{path} became shorter while it was read")
        done += got


def _write(fd: int, view: memoryview, offset: int) -> None:
    done = 0
    while done < len(view):
        done += os.pwrite(fd, view[done:], offset + done)
