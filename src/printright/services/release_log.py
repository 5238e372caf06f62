"""A custodian's append-only log of released shares: JSON lines, each chained to the one before by SHA-256.

A share leaves only after its line is on disk (`fdatasync`), so that the log never knows less than the world. The first
line names the custodian; the digest of a line is the `prev` of the next, and the digest of the last one (`Head`) is
what gets anchored on the ledger: whoever has an anchor sees a rewritten or shortened log (`verify`).

The log holds who, what and when. It never holds a share.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec

from printright.domain.ids import Address
from printright.domain.release import Release
from printright.errors import AlreadyRunning, CustodianUnavailable, Refused

FORMAT = "release-log/2"


class LogDamaged(Refused):
    """The release log was changed, cut or belongs to another custodian. Nothing is released on top of it."""


class LogUnavailable(CustodianUnavailable):
    """The release could not be put on disk, so no share leaves. Trying again is safe."""


@dataclass(frozen=True)
class Head:
    """How many entries a log has, and the SHA-256 of its last line (32 bytes): what gets anchored."""

    entries: int
    digest: bytes


@dataclass(frozen=True)
class Entry:
    """One line of the log. Digests and ids are hexadecimal; `repeat` marks an answer given again for the same job."""

    seq: int
    prev: str
    time_s: int
    repeat: bool
    job: str
    license: str
    unit: str
    content: str
    manifest: str
    custody: str
    share: int
    quantity: int
    block: int
    request: str


@dataclass(frozen=True)
class _Title:
    printright: str
    custodian: str


@dataclass
class _Waiting:
    release: Release
    share: int
    request: bytes
    time_s: int
    written: asyncio.Future[Entry]


_encode = msgspec.json.Encoder().encode
_decode_entry = msgspec.json.Decoder(Entry, strict=True).decode
_decode_title = msgspec.json.Decoder(_Title, strict=True).decode


def entries(path: Path, *, custodian: Address | None = None) -> Iterator[tuple[Entry, Head]]:
    """Read and check a log line by line; each entry comes with the head after it.

    A last line without its newline is what a crash left of a write that nobody was answered for: it is passed over.
    Raises LogDamaged where the chain does not hold or the log is another custodian's.
    """
    with path.open("rb") as lines:
        title = lines.readline()
        if not title.endswith(b"\n"):
            return
        try:
            found = _decode_title(title)
        except (msgspec.MsgspecError, UnicodeError):
            raise LogDamaged(f"{path} is not a release log", hint="restore it from a backup") from None
        if found.printright != FORMAT:
            raise LogDamaged(f"{path} is a {found.printright!r}, this release reads {FORMAT}")
        if custodian is not None and found.custodian != custodian:
            raise LogDamaged(f"{path} is the release log of custodian {found.custodian}, not of {custodian}")
        head = Head(0, hashlib.sha256(title).digest())
        for line in lines:
            if not line.endswith(b"\n"):
                return
            try:
                entry = _decode_entry(line)
            except (msgspec.MsgspecError, UnicodeError):
                entry = None
            if entry is None or entry.seq != head.entries + 1 or entry.prev != head.digest.hex():
                raise LogDamaged(
                    f"{path} was changed at entry {head.entries + 1}: it does not follow from the one before",
                    hint="compare it with a backup and with the anchors on the ledger",
                )
            head = Head(entry.seq, hashlib.sha256(line).digest())
            yield entry, head


def custodian_of(path: Path) -> Address:
    """Whose log this is, by its own word. Raises LogDamaged."""
    with path.open("rb") as lines:
        try:
            return Address(_decode_title(lines.readline()).custodian)
        except (msgspec.MsgspecError, UnicodeError):
            raise LogDamaged(f"{path} is not a release log", hint="restore it from a backup") from None


def verify(path: Path, *, anchor: Head | None = None) -> Head:
    """Check a whole log, and that it still contains `anchor`. Returns its head. Raises LogDamaged."""
    with path.open("rb") as lines:
        head = Head(0, hashlib.sha256(lines.readline()).digest())
    met = anchor is None or anchor == head
    for _, head in entries(path):
        met = met or anchor == head
    if not met:
        raise LogDamaged(
            f"{path} does not contain entry {anchor.entries if anchor else 0} as it was anchored on the ledger",
            hint="it was rewritten, cut or begun anew: restore it from a backup",
        )
    return head


class ReleaseLog:
    """The log, open for appending by one process. Entries that wait at the same time share one `fdatasync`."""

    def __init__(self, path: Path, custodian: Address) -> None:
        """Open or make the log, heal a torn last line, and check the chain (one read of the file; blocking).

        Raises AlreadyRunning where another process has it open, LogDamaged, LogUnavailable.
        """
        self._path = path
        self._waiting: list[_Waiting] = []
        self._turn = asyncio.Lock()
        self._broken = False
        self._grown = asyncio.Event()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LogUnavailable(f"cannot open the release log {path}: {error.strerror}") from None
        try:
            self._load(custodian)
        except BaseException:
            os.close(self._fd)
            raise
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="release-log")

    def _load(self, custodian: Address) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyRunning(
                f"another process has the release log {self._path} open", hint="one custodian, one process"
            ) from None
        self._size = _end_of_lines(self._fd)
        try:
            self._roll_back()
            if self._size == 0:
                title = _encode(_Title(FORMAT, custodian)) + b"\n"
                self._append(title)
                self._size = len(title)
                folder = os.open(self._path.parent, os.O_RDONLY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
        except OSError as error:
            raise LogUnavailable(f"cannot write the release log {self._path}: {error.strerror}") from None
        self._jobs: set[str] = set()
        with self._path.open("rb") as lines:
            self._head = Head(0, hashlib.sha256(lines.readline()).digest())
        for entry, head in entries(self._path, custodian=custodian):
            self._jobs.add(entry.job)
            self._head = head

    @property
    def head(self) -> Head:
        """The head of what is on disk."""
        return self._head

    @property
    def path(self) -> Path:
        return self._path

    @property
    def size_bytes(self) -> int:
        """Of what is on disk, in whole lines."""
        return self._size

    async def wait_for(self, entries: int) -> None:
        """Return when the log has that many entries."""
        while self._head.entries < entries:
            self._grown.clear()
            await self._grown.wait()

    def check_contains(self, anchor: Head) -> None:
        """That the log still has what was anchored of it. Reads the file. Raises LogDamaged."""
        verify(self._path, anchor=anchor)

    async def record(self, release: Release, share: int, request: bytes, time_s: int) -> Entry:
        """Put a release on disk; when this returns, it is there. `request` is the digest that the unit signed.

        Raises LogUnavailable (disk full, disk gone): then nothing of it is in the log, and the share must not leave.
        """
        written: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(release, share, request, time_s, written))
        # Shielded: what is being written is accounted for even if the one who asked has gone.
        await asyncio.shield(self._write_waiting())
        return await written

    async def _write_waiting(self) -> None:
        async with self._turn:
            if self._waiting:
                batch, self._waiting = self._waiting, []
                await self._write_all(batch)

    async def _write_all(self, batch: list[_Waiting]) -> None:
        head, lines, made = self._head, [], []
        jobs: set[str] = set()
        for each in batch:
            job = each.release.job.hex()
            entry = self._entry(each, head, repeat=job in self._jobs or job in jobs)
            jobs.add(entry.job)
            line = _encode(entry) + b"\n"
            head = Head(entry.seq, hashlib.sha256(line).digest())
            lines.append(line)
            made.append(entry)
        data = b"".join(lines)
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._append, data)
        except OSError as error:
            for each in batch:
                if not each.written.cancelled():
                    each.written.set_exception(
                        LogUnavailable(
                            f"the release log cannot be written: {error.strerror}", hint="is the custodian's disk full?"
                        )
                    )
            return
        self._head, self._size = head, self._size + len(data)
        self._jobs |= jobs
        self._grown.set()
        for each, entry in zip(batch, made, strict=True):
            if not each.written.cancelled():
                each.written.set_result(entry)

    def _entry(self, waiting: _Waiting, head: Head, *, repeat: bool) -> Entry:
        release = waiting.release
        return Entry(
            seq=head.entries + 1,
            prev=head.digest.hex(),
            time_s=waiting.time_s,
            repeat=repeat,
            job=release.job.hex(),
            license=release.license.hex(),
            unit=release.unit,
            content=release.content.hex(),
            manifest=release.manifest.hex(),
            custody=release.custody.hex(),
            share=waiting.share,
            quantity=release.quantity,
            block=release.block,
            request=waiting.request.hex(),
        )

    def _append(self, data: bytes) -> None:
        """Write and sync, or leave the file as it was. Runs in the log's thread."""
        if self._broken:
            # After a failed sync the kernel may have dropped what it could not write: start from what is known.
            self._roll_back()
            self._broken = False
        try:
            written = 0
            while written < len(data):
                written += os.write(self._fd, data[written:])
            os.fdatasync(self._fd)
        except OSError:
            self._broken = True
            with contextlib.suppress(OSError):
                self._roll_back()
                self._broken = False
            raise

    def _roll_back(self) -> None:
        os.ftruncate(self._fd, self._size)
        os.fsync(self._fd)

    def close(self) -> None:
        """Wait for what is being written, and let go of the file."""
        self._thread.shutdown()
        os.close(self._fd)


def _end_of_lines(fd: int) -> int:
    """Where the last complete line ends: a crash tears at most what nobody was answered for."""
    end = os.fstat(fd).st_size
    while end > 0:
        start = max(0, end - 65_536)
        newline = os.pread(fd, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
