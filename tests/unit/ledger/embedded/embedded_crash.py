"""Deaths and full disks, each in a forked child so that one import of py-evm serves hundreds. Prints one JSON line.

    python embedded_crash.py killed-statements | torn-writes | torn-births | full-disk   folder seed

Run by test_embedded_crash.py. A child opens the ledger, sends one transaction and dies at a real boundary; then this
process opens the folder and looks at it from the outside.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedded_scene import CHAIN_ID, Local, Scene, calldata

from printright.ledger.embedded import server
from printright.ledger.embedded.chain import Chain
from printright.ledger.embedded.database import StorageFailed
from printright.ledger.embedded.server import Settings


def opened(settings: Settings) -> contextlib.AbstractContextManager[Chain]:
    """The ledger with a clock that stands, so that every attempt writes the same bytes."""
    return server.opened(settings, clock=lambda: 1_000)


def whole(local: Local) -> str:
    """Check everything that a ledger must be, block by block, and name its head."""
    head = int(local("eth_blockNumber"), 16)
    events, parent, nonces = [], "0x" + "00" * 32, {}
    for number in range(head + 1):
        block = local("eth_getBlockByNumber", hex(number), True)
        assert block["parentHash"] == parent
        assert local("eth_getBlockByHash", block["hash"], True) == block
        parent = block["hash"]
        receipts = local("eth_getBlockReceipts", hex(number))
        assert len(receipts) == len(block["transactions"]) == (1 if number else 0)
        for receipt, transaction in zip(receipts, block["transactions"], strict=True):
            assert local("eth_getTransactionReceipt", transaction["hash"]) == receipt
            assert local("eth_getTransactionByHash", transaction["hash"]) == transaction
            nonces[transaction["from"]] = nonces.get(transaction["from"], 0) + 1
            events += receipt["logs"]
    assert local("eth_getLogs", {"fromBlock": "0x0"}) == events
    for sender, nonce in nonces.items():
        assert int(local("eth_getTransactionCount", sender, "latest"), 16) == nonce
    check = local.chain.database.connection.execute("PRAGMA integrity_check").fetchone()[0]
    assert check == "ok"
    return str(parent)


class Bench:
    """A ledger with a granted license, copied afresh for every attempt, and the raw `start_job` to be sent."""

    def __init__(self, folder: Path) -> None:
        self.master, self.copy = folder / "master", folder / "copy"
        with opened(self.settings(self.master)) as chain:
            local = Local(chain)
            scene = Scene()
            scene.setup(local.call, local.send)
            self.scene = scene
            self.before = whole(local)
        self.raw = scene.start(1)
        self.spent = calldata("counters", scene.license(self._call()))

    def _call(self) -> Callable[[str, bytes], bytes]:
        def call(to: str, data: bytes) -> bytes:
            with opened(self.settings(self.master)) as chain:
                return Local(chain).call(to, data)

        return call

    def settings(self, folder: Path) -> Settings:
        return Settings(folder, CHAIN_ID)

    def fresh(self) -> Settings:
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.master, self.copy)
        return self.settings(self.copy)

    def send_it(self, local: Local) -> None:
        local.chain.send(self.raw)

    def look(self) -> str:
        """ "before" or "after"; then the same bytes again, which must count exactly once."""
        with opened(self.settings(self.copy)) as chain:
            local = Local(chain)
            state = "before" if whole(local) == self.before else "after"
            known = local("eth_getTransactionCount", self.scene.unit.address) == "0x1"
            assert known == (state == "after")
            if not known:
                assert local.send(self.raw)["status"] == "0x1"
            whole(local)
            counters = local.call(self.scene.contract, self.spent)
            assert int.from_bytes(counters[32:64], "big") == 999, "one copy is spent, once"
        return state


def in_child(settings: Settings, act: Callable[[Local], None]) -> tuple[int, bool]:
    """Run in a forked child: the signal that ended it (0 for none) and whether it got its answer."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with opened(settings) as chain:
                act(Local(chain))
                os.write(writing, b"answered")
                # The server goes on; here the process is ended as by kill -9, without closing anything.
                os.kill(os.getpid(), signal.SIGKILL)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answered = pipe.read() == b"answered"
    _, status = os.waitpid(child, 0)
    return (os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0), answered


def killed_statements(bench: Bench) -> dict[str, Any]:
    """kill -9 before each SQL statement of the commit in turn, and after the last."""
    found: list[str] = []
    at = 0
    while True:
        at += 1

        def act(local: Local, at: int = at) -> None:
            left = at

            def count(_: str) -> None:
                nonlocal left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            local.chain.database.connection.set_trace_callback(count)
            local.chain.send(bench.raw)

        ended_by, answered = in_child(bench.fresh(), act)
        assert ended_by == signal.SIGKILL
        state = bench.look()
        assert state == "after" or not answered, "what was answered is on disk"
        found.append(state)
        if answered:
            return {"points": at, "states": found}


def torn_writes(bench: Bench, rng: random.Random) -> dict[str, Any]:
    """The process dies inside write(2) at a byte of SQLite's log: SIGXFSZ at its default, a limit at that byte."""
    in_child(bench.fresh(), bench.send_it)
    end = (bench.copy / "ledger.sqlite-wal").stat().st_size
    points = sorted({*rng.sample(range(end), 45), 0, 1, 31, 32, 33, end - 1})
    states: list[str] = []
    for limit in points:

        def act(local: Local, limit: int = limit) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            local.chain.send(bench.raw)

        settings = bench.fresh()
        ended_by, answered = in_child(settings, act)
        assert ended_by == signal.SIGXFSZ, (limit, end, ended_by)
        assert not answered
        states.append(bench.look())
    return {"points": len(points), "bytes": end, "states": states}


def torn_births(bench: Bench, rng: random.Random) -> dict[str, Any]:
    """The process dies inside write(2) while it makes a new ledger; the next start makes it anew or finds it whole."""
    points = sorted({*rng.sample(range(80_000), 30), 0, 1})
    heads: set[str] = set()
    for limit in points:
        shutil.rmtree(bench.copy, ignore_errors=True)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            with opened(bench.settings(bench.copy)):
                os.kill(os.getpid(), signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status)
        with opened(bench.settings(bench.copy)) as chain:
            heads.add(whole(Local(chain)))
            assert chain.head.block_number == 0
    return {"points": len(points), "heads": sorted(heads)}


def full_disk(bench: Bench, rng: random.Random) -> dict[str, Any]:
    """No byte of the log fits beyond a point: an error, nothing half-written, and on it goes when space returns."""
    in_child(bench.fresh(), bench.send_it)
    end = (bench.copy / "ledger.sqlite-wal").stat().st_size
    points = sorted({*rng.sample(range(end), 25), 0, 1, end - 1})
    for limit in points:

        def act(local: Local, limit: int = limit) -> None:
            head = local.chain.head
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            for _ in range(2):
                try:
                    local.chain.send(bench.raw)
                except StorageFailed as error:
                    assert "was not written" in str(error)  # noqa: PT017
                else:
                    raise AssertionError("it was written where nothing can be")
                assert local.chain.head is head
                assert local("eth_getTransactionCount", bench.scene.unit.address) == "0x0"
                assert whole(local) == bench.before
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            local.chain.send(bench.raw)
            whole(local)

        ended_by, answered = in_child(bench.fresh(), act)
        assert (ended_by, answered) == (signal.SIGKILL, True), (limit, end, ended_by)
        assert bench.look() == "after"
    return {"points": len(points), "bytes": end}


def main() -> None:
    kind, folder, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    bench, rng = Bench(folder), random.Random(seed)
    acts: dict[str, Callable[[], dict[str, Any]]] = {
        "killed-statements": lambda: killed_statements(bench),
        "torn-writes": lambda: torn_writes(bench, rng),
        "torn-births": lambda: torn_births(bench, rng),
        "full-disk": lambda: full_disk(bench, rng),
    }
    with contextlib.redirect_stdout(sys.stderr):
        result = acts[kind]()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
