"""A custodian in its own process, killed at a chosen point on the way from its decision to its answer.

    python custodian_process.py FOLDER ADDRESS POINT

POINT: `never`, `before write`, `half a write`, `before sync`, `after sync`, `half an answer`, `after answer`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from custody_scene import settings
from custody_vault import unsealing_key

from printright.domain.ids import Address
from printright.ledger.evm import open_ledger
from printright.ledger.network import Network
from printright.services.custodian_http import serve_custodian

POINTS = ("before write", "half a write", "before sync", "after sync", "half an answer", "after answer")


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(point: str) -> None:
    """Put the death behind the calls of the kernel that write the log and the answer."""
    real_write, real_sync, real_send = os.write, os.fdatasync, socket.socket.send

    def write(fd: int, data: bytes) -> int:
        if point == "before write" and b'"job"' in data:
            kill()
        if point == "half a write" and b'"job"' in data:
            real_write(fd, data[: len(data) // 2])
            kill()
        return real_write(fd, data)

    synced = 0

    def sync(fd: int) -> None:
        nonlocal synced
        synced += 1
        # The first is the log's title.
        if point == "before sync" and synced == 2:
            kill()
        real_sync(fd)
        if point == "after sync" and synced == 2:
            kill()

    def send(self: socket.socket, data: bytes, *flags: int) -> int:
        answer = b'"sealed"' in bytes(data)
        if point == "half an answer" and answer:
            real_send(self, bytes(data)[: len(data) // 2])
            kill()
        sent = real_send(self, data, *flags)
        if point == "after answer" and answer:
            kill()
        return sent

    os.write, os.fdatasync, socket.socket.send = write, sync, send  # type: ignore[assignment, method-assign]


async def serve(folder: Path, address: Address) -> None:
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    bound.add_done_callback(lambda port: print(port.result(), flush=True))
    async with open_ledger(Network.load(folder / "network.toml")) as ledger:
        await serve_custodian(settings(address, folder), ledger, unsealing_key(address), bound=bound)


if __name__ == "__main__":
    die_at(sys.argv[3])
    asyncio.run(serve(Path(sys.argv[1]), Address(sys.argv[2])))
