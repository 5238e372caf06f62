"""kill -9 at every point of `send` where something is written, to the journal or to the wire; then exactly once.

The client runs in a forked process, so that what it had in memory is gone. Counted is what the ledger shows of
`admit_member`, which would count twice if it were sent as two transactions.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.ledger.anvil import Key
from e2e.ledger.conftest import ADMIT_REST, REGISTRAR, Site
from e2e.ledger.wire import Wire
from printright.ledger.evm import open_ledger
from printright.ledger.journal import Journal
from printright.ledger.network import Network
from printright.ledger.port import Call, Receipt

pytestmark = pytest.mark.needs("anvil")

# Calls under three keys, as one `send` and one `send_many`.
MEMBERS = [Key.named(f"crash {i}").address for i in range(3)]


class FatalJournal(Journal):
    """A journal whose process dies before its n-th SQL statement: a commit is one of them."""

    def __init__(self, path: Path, statement: int) -> None:
        super().__init__(path)
        self._left = statement

    def _connect(self) -> sqlite3.Connection:
        connection = super()._connect()
        connection.set_trace_callback(self._count)
        return connection

    def _count(self, statement: str) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


async def send_all(network: Network, journal: Path | Journal) -> list[Receipt]:
    async with open_ledger(network, signer=REGISTRAR, journal=journal) as ledger:
        first = await ledger.send("0", "admit_member", MEMBERS[0], *ADMIT_REST)
        calls = [Call(str(i), "admit_member", (MEMBERS[i], *ADMIT_REST)) for i in (1, 2)]
        rest = await ledger.send_many(calls)
        assert all(isinstance(each, Receipt) for each in rest)
        return [first, *rest]  # type: ignore[list-item]


def in_a_process(work: Callable[[], object]) -> int:
    """Fork, do the work, leave at once. Returns the process id."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def assert_once(site: Site, journal: Path) -> None:
    """Resume, and look from outside."""
    receipts = asyncio.run(send_all(site.network, journal))
    assert asyncio.run(send_all(site.network, journal)) == receipts
    assert [site.admitted(member) for member in MEMBERS] == [1, 1, 1]


def test_killed_at_every_statement_of_the_journal(shared_site: Site, tmp_path: Path) -> None:
    """Red without `self.journal.record(fresh)` in sending.Sender._prepare."""
    site = shared_site
    killed = 0
    for statement in range(1, 200):
        before = site.chain.rpc("evm_snapshot")
        path = tmp_path / f"journal {statement}"
        pid = in_a_process(lambda: asyncio.run(send_all(site.network, FatalJournal(path, statement))))  # noqa: B023
        _, status = os.waitpid(pid, 0)
        assert_once(site, path)
        site.chain.rpc("evm_revert", before)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        killed += 1
    else:
        pytest.fail("the client never came to an end")
    # Schema, look-ups, BEGIN/INSERT/COMMIT for two groups and BEGIN/UPDATE/COMMIT for their outcomes.
    assert killed > 20


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_around_every_request(shared_site: Site, tmp_path: Path, moment: str) -> None:
    """Killed before the node gets a request, or when it has acted and the answer is on its way.

    Red without `self.journal.record(fresh)` in sending.Sender._prepare.
    """
    site = shared_site
    killed = 0
    for number in range(100):
        before = site.chain.rpc("evm_snapshot")
        path = tmp_path / f"journal {number}"
        gateway = Wire(site.chain.url, lambda number, methods: "pass")
        gateway.timeout = 0.05
        network = site.network.with_rpc([gateway.url])
        pid = in_a_process(lambda: asyncio.run(send_all(network, path)))  # noqa: B023

        def kill(at: int, victim: int = pid, number: int = number) -> None:
            if at == number:
                os.kill(victim, signal.SIGKILL)

        setattr(gateway, moment, kill)
        status = None
        while status is None:
            gateway.handle_request()
            done, code = os.waitpid(pid, os.WNOHANG)
            status = code if done else None
        gateway.server_close()
        assert_once(site, path)
        site.chain.rpc("evm_revert", before)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        killed += 1
    else:
        pytest.fail("the client never came to an end")
    assert killed >= 8
