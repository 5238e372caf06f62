"""Keeps a machine connected between prints, and cools it down where a print of ours was cut off.

A cable is pulled and put back, a printer switched off and on, an agent killed in mid-print: the port comes back,
perhaps as another device under the same name. Where the journal says that the machine was lost sight of in the middle
of a run of ours, its heaters may still be on, and are switched off. One that does something else is left alone.
"""

from __future__ import annotations

import asyncio
import logging

from printright.errors import MachineUnavailable, PrintrightError
from printright.units.driver import Driver, DriverState
from printright.units.halts import Halts
from printright.units.journal import JobJournal

log = logging.getLogger(__name__)

EVERY_S = 2.0
COOLED = "; the machine was found again, and its heaters were switched off"


class Keeper:
    """Looks after one machine. `trouble` is why it is not connected, empty where it is."""

    def __init__(self, driver: Driver, journal: JobJournal, halts: Halts, *, every_s: float = EVERY_S) -> None:
        self._driver, self._journal, self._halts, self._every_s = driver, journal, halts, every_s
        self.trouble = ""
        self._begun = False

    async def look(self) -> None:
        """Connect and cool down where that is wanted. Raises what `Driver.tend` raises, JobJournalUnavailable."""
        # A machine that was halted is woken up by nobody but who has looked at it: opening its port may reset it.
        if self._halts.reason or self._driver.status().state not in (DriverState.OFFLINE, DriverState.ERROR):
            return
        entry = await asyncio.to_thread(self._journal.open_job)
        if self._begun and entry is not None and entry.runs_begun > entry.runs_ended:
            # A run is under way: its driver does what is to be done, and says how it ended.
            return
        hot = await asyncio.to_thread(self._journal.hot)
        if await self._driver.tend(ours=hot is not None) and hot is not None:
            await asyncio.to_thread(self._journal.cooled, hot, COOLED)
            log.warning("job %s was cut off%s", hot.job.hex(), COOLED)

    async def begin(self) -> None:
        """The first look. A machine that is off or away is waited for; one that another process holds is not ours.

        Raises AlreadyRunning.
        """
        await self._try(MachineUnavailable)
        self._begun = True

    async def run(self) -> None:
        """Look after the machine until canceled."""
        while True:
            await asyncio.sleep(self._every_s)
            await self._try(PrintrightError)

    async def _try(self, *expected: type[PrintrightError]) -> None:
        try:
            await self.look()
            self.trouble = ""
        except expected as error:
            if str(error) != self.trouble:
                log.warning("the machine is not connected: %s", error)
            self.trouble = str(error)
