"""eth_getLogs over the event index. Source: execution-apis `eth_getLogs`, EIP-234 for `blockHash`."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from printright.ledger.embedded.database import LogRow
from printright.ledger.embedded.wire import LIMIT_EXCEEDED, RpcError

MAX_BLOCKS = 100_000
MAX_LOGS = 10_000
MAX_ALTERNATIVES = 1_000


@dataclass(frozen=True)
class Filter:
    """Which events. `first` to `last` are block numbers, both included; an empty tuple matches anything.

    `topics` has up to four entries: the alternatives for that position, empty for anything, but present. As in
    the RPC, a filter of n positions matches only events with at least n topics.
    """

    first: int
    last: int
    addresses: tuple[bytes, ...] = ()
    topics: tuple[tuple[bytes, ...], ...] = ()


@dataclass(frozen=True)
class Found:
    """An event with its block's hash and time."""

    log: LogRow
    block_hash: bytes
    timestamp: int


def find(connection: sqlite3.Connection, wanted: Filter) -> list[Found]:
    """The events in ledger order. Raises RpcError where the range or the answer is too large."""
    if wanted.last - wanted.first >= MAX_BLOCKS:
        raise RpcError(
            LIMIT_EXCEEDED,
            f"block range too large: {wanted.last - wanted.first + 1} blocks, at most {MAX_BLOCKS} are searched",
        )
    conditions = ["log.block BETWEEN ? AND ?"]
    values: list[object] = [wanted.first, wanted.last]
    if wanted.addresses:
        conditions.append(f"address IN ({_marks(wanted.addresses)})")
        values += wanted.addresses
    # SQLite knows nothing of how our topics are spread; the later ones name single things, so they find fewest rows.
    index = ""
    for position, alternatives in enumerate(wanted.topics):
        conditions.append(f"topic{position} IS NOT NULL")
        if alternatives:
            conditions.append(f"topic{position} IN ({_marks(alternatives)})")
            values += alternatives
            index = f"INDEXED BY log_topic{position}"
    rows = connection.execute(
        # Only names of columns and question marks are put together here.
        "SELECT log.block, position, tx, address, topic0, topic1, topic2, topic3, data, block.hash, timestamp"  # noqa: S608
        f" FROM log {index} JOIN block ON block.number = log.block"
        f" WHERE {' AND '.join(conditions)} ORDER BY log.block, position LIMIT {MAX_LOGS + 1}",
        values,
    ).fetchall()
    if len(rows) > MAX_LOGS:
        raise RpcError(
            LIMIT_EXCEEDED,
            f"query returned more than {MAX_LOGS} results; the first {MAX_LOGS} end in block {rows[-2][0]},"
            " ask for fewer blocks",
        )
    return [_found(row) for row in rows]


def _found(row: tuple[Any, ...]) -> Found:
    block, position, tx, address, *topics, data, block_hash, timestamp = row
    present = tuple(topic for topic in topics if topic is not None)
    return Found(LogRow(block, position, tx, address, present, data), block_hash, timestamp)


def _marks(values: tuple[bytes, ...]) -> str:
    return ", ".join("?" * len(values))
