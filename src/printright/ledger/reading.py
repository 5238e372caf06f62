"""Reading events by `eth_getLogs`, in ranges that a gateway can answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any

from printright.errors import LedgerUnavailable, Misuse
from printright.ledger.abi_words import pack_word
from printright.ledger.contracts import Parameter
from printright.ledger.events import Event, RawLog, decode, event_specs
from printright.ledger.port import EventQuery, Ledger
from printright.ledger.rpc import Rpc, RpcError

CHUNK_BLOCKS = 2_000

Topics = list[list[str] | None]
_LOGS = list[RawLog]


def filters(names: Collection[str] | None, indexed: Mapping[str, Any]) -> list[Topics]:
    """The `topics` of one `eth_getLogs` for each set of positions that the indexed fields have. Raises Misuse for a
    name that is no event's, or a field by which none of the events can be filtered.
    """
    specs = event_specs()
    if names is not None:
        if isinstance(names, str):
            raise Misuse(f"`names` is a collection of names, not one: {names!r}")
        unknown = sorted(set(names) - specs.keys())
        if unknown:
            raise Misuse(f"the contract has no event {', '.join(unknown)}")
        specs = {name: specs[name] for name in names}
    if names is None and not indexed:
        return [[]]
    groups: dict[tuple[tuple[int, str], ...], list[str]] = {}
    for spec in specs.values():
        places = []
        for field, value in indexed.items():
            place = spec.topic_of(field)
            if place is None:
                break
            parameter = next(each for each in spec.fields if each.name == field)
            places.append((place, _topic(parameter, value)))
        else:
            groups.setdefault(tuple(sorted(places)), []).append(spec.topic)
    if not groups and indexed:
        raise Misuse(f"no such event can be filtered by {', '.join(sorted(indexed))}")
    result = []
    for placed, topics in groups.items():
        one: Topics = [sorted(topics)]
        for place, topic in placed:
            one += [None] * (place + 1 - len(one))
            one[place] = [topic]
        result.append(one)
    return result


class LogQuery(EventQuery):
    """Events of one query, from `first` to `last` (or the newest block), in chunks."""

    def __init__(self, ledger: Ledger, rpc: Rpc, topics: Sequence[Topics], first: int, last: int | None) -> None:
        self._ledger = ledger
        self._rpc = rpc
        self._topics = topics
        self._first = first
        self._last = last

    async def __aiter__(self) -> AsyncIterator[Event]:
        last = await self._ledger.block_number() if self._last is None else self._last
        start, size = self._first, CHUNK_BLOCKS
        while start <= last:
            end = min(start + size - 1, last)
            try:
                events = await self._chunk(start, end)
            except RpcError as error:
                # Gateways limit blocks or results, each in other words: ask for less until one block is too much.
                if end == start:
                    raise LedgerUnavailable(f"the ledger does not show its events: {error.message[:200]}") from error
                size = max((end - start + 1) // 2, 1)
                continue
            for event in events:
                yield event
            start = end + 1
            size = min(size * 2, CHUNK_BLOCKS)

    async def _chunk(self, start: int, end: int) -> list[Event]:
        calls = [
            (
                "eth_getLogs",
                (
                    {
                        "address": self._ledger.network.contract,
                        "fromBlock": hex(start),
                        "toBlock": hex(end),
                        "topics": topics,
                    },
                ),
            )
            for topics in self._topics
        ]
        events: list[Event] = []
        for answer in await self._rpc.batch(calls, _LOGS):
            if isinstance(answer, RpcError):
                raise answer
            if answer is None:
                raise LedgerUnavailable("the ledger answered a question for events with nothing")
            events += [decode(log) for log in answer]
        if any(not start <= event.block_number <= end for event in events):
            raise LedgerUnavailable("the ledger showed events of other blocks than it was asked for")
        return sorted(events, key=lambda event: (event.block_number, event.log_index))


def _topic(parameter: Parameter, value: Any) -> str:
    return "0x" + pack_word(parameter.type, value).hex()
