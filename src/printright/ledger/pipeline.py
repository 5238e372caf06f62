"""Many intents at once: while one group is on the wire, the next is signed and committed, and the one before is mined.

The same guarantees as `sending`: a group's signed bytes are on the disk before any of them is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from printright.errors import LedgerRefused, PrintrightError
from printright.ledger.answers import RawReceipt
from printright.ledger.journal import Entry, State
from printright.ledger.port import Call, Receipt
from printright.ledger.sending import FIRST_POLL_S, Sender

GROUP = 256
GROUPS_IN_FLIGHT = 4
# A transaction that is still not mined after so many looks at its group is followed by itself.
LOOKS = 40
LONGEST_LOOK_S = 0.25


async def send_many(sender: Sender, calls: Sequence[Call]) -> list[Receipt | LedgerRefused]:
    """See `Ledger.send_many`."""
    results: list[Receipt | LedgerRefused | None] = [None] * len(calls)
    mined: list[tuple[Entry, RawReceipt]] = []
    room = asyncio.Semaphore(GROUPS_IN_FLIGHT)
    in_order = asyncio.Lock()
    try:
        async with asyncio.TaskGroup() as tasks:
            upcoming = tasks.create_task(sender.situation())
            for start in range(0, len(calls), GROUP):
                group = calls[start : start + GROUP]
                await room.acquire()
                situation = await upcoming
                # Asked for ahead of its use: the count is a lower bound that the journal corrects, fees have headroom.
                upcoming = tasks.create_task(sender.situation())
                async with sender.signing:
                    entries = await asyncio.to_thread(sender.prepare, group, situation)
                tasks.create_task(_settle(sender, group, entries, results, mined, start, room, in_order))
                # The new task puts its group in the queue for the wire before the next one is signed.
                await asyncio.sleep(0)
    except* PrintrightError as errors:
        raise _first(errors) from None
    if mined:
        # One commit for all: that they are mined is a hint, which saves sending them again after a restart.
        outcomes = [(entry.key, State.MINED, "", int(raw.block_number, 16)) for entry, raw in mined]
        await asyncio.to_thread(sender.journal.settle, outcomes)
    return [result for result in results if result is not None]


async def _settle(
    sender: Sender,
    calls: Sequence[Call],
    entries: Sequence[Entry],
    results: list[Receipt | LedgerRefused | None],
    mined: list[tuple[Entry, RawReceipt]],
    start: int,
    room: asyncio.Semaphore,
    in_order: asyncio.Lock,
) -> None:
    try:
        async with in_order:
            await sender.submit([entry for entry in entries if entry.state == State.SIGNED])
        unsent = {i for i, entry in enumerate(entries) if entry.state != State.SIGNED}
        waiting = list(range(len(entries)))
        delay = FIRST_POLL_S
        for _ in range(LOOKS):
            found = await sender.receipts([entries[i] for i in waiting])
            missing = []
            for i, raw in zip(waiting, found, strict=True):
                if raw is None:
                    missing.append(i)
                elif raw.status == "0x1":
                    results[start + i] = sender.conclude_success(entries[i], raw)
                    if entries[i].state == State.SIGNED:
                        mined.append((entries[i], raw))
                else:
                    results[start + i] = await sender.refused(entries[i], raw)
            waiting = missing
            if not waiting:
                break
            if lost := [entries[i] for i in waiting if i in unsent]:
                # Mined once, and reorganised away since.
                await sender.submit(lost)
                unsent.clear()
            await asyncio.sleep(delay)
            delay = min(delay * 1.5, LONGEST_LOOK_S)
        for i in waiting:
            try:
                results[start + i] = await sender.follow(entries[i], calls[i])
            except LedgerRefused as error:
                results[start + i] = error
    finally:
        room.release()


def _first(errors: BaseExceptionGroup[PrintrightError]) -> PrintrightError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, PrintrightError)
    return error
