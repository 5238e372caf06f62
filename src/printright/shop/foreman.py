"""Drives the shop's printers: looks at each, settles what was ordered, decides what to order next, orders it.

An order goes to the book before it goes to an agent. After a crash, or a lost answer, the same order is sent again
under the same key; the agent's journal makes it one. What an agent does not tell is not known: its copies are not
ordered again elsewhere before somebody says so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from printright.domain.dispatch import Attempt, AttemptState, Decision, ItemState, PrinterSeen, decide, set_aside
from printright.errors import CouldNotCheck
from printright.shop.book import QueueBook, QueueUnavailable
from printright.shop.printer import JobSeen, Look, OrderRefused, Printer

log = logging.getLogger(__name__)

SEEN_S = 10
UNKNOWN_JOB = "the agent does not know this order any more; see `printright queue give-up`"


@dataclass(frozen=True)
class ForemanSettings:
    """`poll_s`: how often each printer is looked at; `failures`: after so many in a row a printer is set aside."""

    poll_s: float = 1.0
    failures: int = 2


@dataclass
class _Station:
    """One printer: its client, its last look, and why there is none."""

    printer: Printer
    look: Look | None = None
    away: str = "not seen yet"
    shown: dict[int, JobSeen] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Foreman:
    """One shop's queue at work. `run` goes on until it is cancelled."""

    def __init__(self, book: QueueBook, printers: Sequence[Printer], settings: ForemanSettings) -> None:
        self._book, self._settings = book, settings
        self._stations: Mapping[str, _Station] = {each.name: _Station(each) for each in printers}
        self._deciding = asyncio.Lock()
        self._decided: Decision | None = None
        self._told: dict[str, tuple[dict[str, Any], int]] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for station in self._stations.values():
                tasks.create_task(self._attend(station))

    async def _attend(self, station: _Station) -> None:
        """One printer, again and again. 1. settle  2. look  3. decide, for all  4. order, from this one."""
        while True:
            station.wake.clear()
            try:
                # 1: before the look, so that what ended is not ordered upon with an older look.
                await self._settle(station)
                # 2
                await self._look(station)
                # 3
                await self._decide()
                # 4
                await self._order(station)
            except CouldNotCheck as error:
                # Away, or the book cannot be written: either way nothing is ordered upon what was seen before.
                if isinstance(error, QueueUnavailable) or station.away != error.message:
                    log.warning("%s: %s", station.printer.name, error.message)
                station.look, station.away = None, error.message
                with suppress(QueueUnavailable):
                    await self._decide()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.poll_s):
                    await station.wake.wait()

    async def _settle(self, station: _Station) -> None:
        """Follow what this printer was ordered. Raises PrinterAway, QueueUnavailable."""
        for attempt in await asyncio.to_thread(self._book.to_settle, station.printer.name):
            seen = await station.printer.ordered(attempt.order_key)
            if seen is not None:
                await self._take(station, attempt, seen)
            elif attempt.state is AttemptState.RUNNING:
                await asyncio.to_thread(self._book.note, attempt, UNKNOWN_JOB)

    async def _order(self, station: _Station) -> None:
        """Send this printer's orders that it does not have. Raises PrinterAway, QueueUnavailable."""
        for attempt in await asyncio.to_thread(self._book.to_settle, station.printer.name):
            if attempt.state is not AttemptState.ORDERED:
                continue
            row = await asyncio.to_thread(self._book.item, attempt.item)
            try:
                if row.item.state is ItemState.CANCELLED:
                    # Never sent, or sent and not arrived: `_settle` has asked.
                    if await station.printer.ordered(attempt.order_key) is None:
                        await self._over(station, attempt, "cancelled before it was ordered")
                    continue
                seen = await station.printer.order(
                    attempt, row.item.license, customer=row.customer, ordered_by=row.added_by
                )
            except OrderRefused as error:
                await self._over(station, attempt, error.message)
            else:
                await self._take(station, attempt, seen)

    async def _take(self, station: _Station, attempt: Attempt, seen: JobSeen) -> None:
        """Write down what the agent shows of an attempt."""
        if seen.void:
            await self._over(station, attempt, seen.note)
        elif seen.ended:
            station.look = None
            await asyncio.to_thread(
                self._book.ended,
                attempt,
                seen.job,
                good=seen.good,
                failed=seen.failed,
                note=seen.note,
                now_s=int(time.time()),
            )
        else:
            if station.shown.get(attempt.number) != seen:
                await asyncio.to_thread(self._took, attempt, seen)
                station.shown = {attempt.number: seen}
            row = await asyncio.to_thread(self._book.item, attempt.item)
            if row.item.state is ItemState.CANCELLED:
                await station.printer.cancel(seen.job)

    def _took(self, attempt: Attempt, seen: JobSeen) -> None:
        self._book.took(attempt, seen.job, stage=seen.stage, fraction=seen.fraction, note=seen.note, spent=seen.spent)

    async def _over(self, station: _Station, attempt: Attempt, note: str) -> None:
        station.look = None
        await asyncio.to_thread(self._book.refused, attempt, note, int(time.time()))

    async def _look(self, station: _Station) -> None:
        """See the printer; hand it the licenses that the queue needs. Raises PrinterAway, QueueUnavailable."""
        look = await station.printer.look()
        wanted = {row.item.license for row in await asyncio.to_thread(self._book.items)}
        given = False
        for license in wanted - look.offers.keys():
            try:
                await station.printer.give(await asyncio.to_thread(self._book.license, license))
                given = True
            except OrderRefused as error:
                log.warning("%s does not take license %s: %s", station.printer.name, license.hex(), error.message)
        station.look, station.away = await station.printer.look() if given else look, ""

    async def _decide(self) -> None:
        """Decide for all printers from what was last seen of each. Raises QueueUnavailable."""
        async with self._deciding:
            woken = await asyncio.to_thread(self._decide_now)
        for name in woken:
            self._stations[name].wake.set()

    def _decide_now(self) -> set[str]:
        now_s = int(time.time())
        rows = self._book.items()
        attempts = [each.attempt for row in rows for each in row.attempts]
        seen = [self._seen(station) for station in self._stations.values()]
        for printer, station in zip(seen, self._stations.values(), strict=True):
            shown = dict(station.look.shown) if station.look else {}
            self._tell(printer.name, {**shown, "away": printer.away, "aside": printer.aside}, now_s)
        decision = decide([row.item for row in rows], attempts, seen, now_s)
        if decision == self._decided and not (decision.orders or decision.done or decision.held):
            return set()
        ordered = self._book.apply(decision, now_s)
        self._decided = decision
        return {each.printer for each in ordered} & self._stations.keys()

    def _tell(self, name: str, shown: dict[str, Any], now_s: int) -> None:
        """Write down what people may see of a printer: when it changes, and now and then."""
        before, at_s = self._told.get(name, ({}, 0))
        if shown != before or not 0 <= now_s - at_s < SEEN_S:
            self._book.saw(name, shown, now_s)
            self._told[name] = (shown, now_s)

    def _seen(self, station: _Station) -> PrinterSeen:
        name, look = station.printer.name, station.look
        ended = self._book.recent(name, self._settings.failures)
        aside = ""
        if set_aside(ended, self._settings.failures):
            aside = f"{len(ended)} runs failed in a row, the last one: {ended[-1].note or 'no reason known'}"
        if look is None:
            return PrinterSeen(name=name, aside=aside, away=station.away or "not looked at since its last job")
        return PrinterSeen(name=name, machine=look.machine, offers=look.offers, aside=aside)
