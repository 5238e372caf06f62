"""Halts that stay in force: ordered beside the machine, by its firmware, or on the ledger.

A halt is kept in the unit's journal until somebody at the machine says that it was looked at and reset; one from the
ledger must be cleared there first. Until then the unit takes no order, begins no run and leaves the machine alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from printright.domain.ids import Address
from printright.errors import LedgerUnavailable, Refused
from printright.ledger.port import Ledger
from printright.units.journal import JobJournal, JobJournalUnavailable

log = logging.getLogger(__name__)

ANSWER_S = 5.0
FROM_LEDGER = "the unit was halted on the ledger"


@dataclass(frozen=True)
class HaltSettings:
    """Times in seconds. `check_s`: how often the ledger is asked whether this unit is halted. `away_s`: without an
    answer for so long, a print is canceled; 0 lets it go on.
    """

    check_s: float = 1.0
    away_s: float = 0.0


class Halts:
    """Whether this unit is halted and why. `reason` is empty where it is not."""

    def __init__(self, journal: JobJournal, ledger: Ledger, unit: Address, settings: HaltSettings) -> None:
        self._journal, self._ledger, self._unit, self._settings = journal, ledger, unit, settings
        self.reason = journal.halted()
        self._kept = True
        self.on_ledger: bool | None = None
        """What the ledger said last; None before it said anything."""

    def begin(self, reason: str) -> None:
        """In memory, and at once; `keep` writes it down. The first reason stays."""
        self.reason, self._kept = self.reason or reason, False

    async def keep(self) -> None:
        """Raises JobJournalUnavailable; the halt is in force all the same while this process lives."""
        try:
            await asyncio.to_thread(self._journal.keep_halt, self.reason)
        except JobJournalUnavailable as error:
            raise JobJournalUnavailable(
                f"the machine is halted, but that could not be written down ({error.message}): an agent that starts"
                " again does not know",
                hint="make room on its disk, and halt once more",
            ) from None
        self._kept = True

    async def end(self) -> None:
        """The machine was looked at and reset. Raises Refused while the ledger halts the unit, LedgerUnavailable."""
        await self.ask()
        if self.on_ledger is not False:
            raise Refused(
                "the unit is halted on the ledger",
                hint=f"its operator clears it first: `printright unit clear {self._unit}`",
            )
        await asyncio.to_thread(self._journal.keep_halt, "")
        self.reason = ""

    def check(self) -> None:
        """Raises Refused where the unit is halted."""
        if self.reason:
            raise Refused(
                f"the machine is halted: {self.reason}",
                hint="look at it and reset it, then `printright unit reset`",
            )

    async def ask(self) -> None:
        """Ask the newest block. Raises LedgerUnavailable."""
        try:
            async with asyncio.timeout(ANSWER_S):
                # Newest, not final: a reorganisation may take a halt away again, and an emergency is not to wait.
                self.on_ledger = (await self._ledger.call("unit", self._unit)).halted
        except TimeoutError:
            raise LedgerUnavailable("the ledger does not answer whether this unit is halted") from None

    async def watch(self, halt: Callable[[str], Awaitable[None]], cancel: Callable[[], Awaitable[None]]) -> None:
        """Look at the ledger until canceled. `halt` is called for each halt that comes into force there, `cancel`
        where the ledger has been away for too long.
        """
        heard_s, away = time.monotonic(), False
        while True:
            try:
                await self.ask()
                heard_s, away = time.monotonic(), False
            except LedgerUnavailable as error:
                silent_s = time.monotonic() - heard_s
                if self._settings.away_s and silent_s > self._settings.away_s and not away:
                    away = True
                    log.error("the ledger has been away for %.0f s: a print is canceled (%s)", silent_s, error.message)
                    await _noted(cancel())
            if self.on_ledger and not (self.reason == FROM_LEDGER and self._kept):
                log.error("halting: %s", FROM_LEDGER)
                self.reason = FROM_LEDGER
                await _noted(halt(FROM_LEDGER))
            await asyncio.sleep(self._settings.check_s)


async def _noted(step: Awaitable[None]) -> None:
    """The watch goes on when the disk is full."""
    try:
        await step
    except JobJournalUnavailable as error:
        log.error("%s", error)
