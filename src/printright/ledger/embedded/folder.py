"""A ledger's folder: `lock`, held by the one process that runs it, and `ledger.sqlite` with the blocks.

Both are readable by their owner only. What the folder was made for (chain id, genesis accounts, format) is recorded in
the database with block 0 and compared at every start.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from printright.domain.ids import Address
from printright.errors import AlreadyRunning, BadSettings

DATABASE = "ledger.sqlite"
LOCK = "lock"
FORMAT = "1"
"""Number of the folder's layout, raised when an older program could not read it."""


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Make the folder where it is missing, hold its lock, and give the path of its database.

    The kernel drops the lock with the process, so that kill -9 leaves no stale one. Raises AlreadyRunning where
    another process holds it, BadSettings where the folder cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadSettings(
            f"the ledger's folder {folder} cannot be used: {error.strerror}", hint="name another folder"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise AlreadyRunning(
                f"the ledger in {folder} is already served by process {holder}",
                hint="stop it, or use it at the address it serves",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        database = folder / DATABASE
        # SQLite gives its -wal and -shm files the permissions of the database.
        os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        yield database
    finally:
        os.close(descriptor)


def purpose(chain_id: int, accounts: Mapping[Address, int]) -> dict[str, str]:
    """What is recorded with block 0."""
    genesis = {address.lower(): str(balance) for address, balance in accounts.items()}
    return {
        "format": FORMAT,
        "chain_id": str(chain_id),
        "genesis": json.dumps(genesis, sort_keys=True, separators=(",", ":")),
    }


def check_purpose(folder: Path, recorded: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Raises BadSettings where the folder was made for another chain id, genesis or format."""
    for name, what in (
        ("format", "format"),
        ("chain_id", "chain id"),
        ("genesis", "genesis accounts"),
    ):
        if recorded.get(name) != wanted[name]:
            raise BadSettings(
                f"the ledger in {folder} was made with another {what}: {recorded.get(name)} there, {wanted[name]} here",
                hint="start it with the settings it was made with, or name a new folder",
            )
