"""The agent that runs beside one machine: it spends a license, gets the key, prints from memory and reports.

    order -> PLANNED -> start_job on the ledger -> SPENT -> final, key released, file checked -> PRINTING run by run
          -> (WAITING for the operator) -> REPORTING -> finish_job on the ledger -> FINISHED

Every step is in the journal before it is taken, and the ledger's client sends each intent exactly once, so that the
agent can be killed anywhere and goes on where it was. A run that a crash cut off is a failed run.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from printright.domain.fit import Machine, Needs, obstacles
from printright.domain.ids import Address, JobId
from printright.domain.job import job_id, split_runs
from printright.domain.license import unit_proof
from printright.errors import BadValue, CouldNotCheck, Misuse, Refused
from printright.ledger.port import Ledger
from printright.services.members import now_s, typed_domain
from printright.units.driver import Driver
from printright.units.halts import Halts
from printright.units.journal import JobEntry, JobJournal, JobJournalUnavailable, Stage
from printright.units.keyring import DesignKeys
from printright.units.machine_state import Act, Bed, BedState, Loaded
from printright.units.operator import AgentSettings, JobView, Word
from printright.units.order import Order
from printright.units.report import Reporter
from printright.units.shelf import LicenseShelf
from printright.units.work import BED_FIRST, BED_NEXT, Answer, Work

MAKE_IT_FIT = "`printright unit status` tells; see `unit bed-clear`, `unit load`, the setting `nozzle_mm`"

log = logging.getLogger(__name__)


class Agent:
    """One machine's agent. `run` works on the open job, and on each that `order` brings, until it is cancelled."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        driver: Driver,
        keys: DesignKeys,
        reporter: Reporter,
        journal: JobJournal,
        licenses: LicenseShelf,
        halts: Halts,
        settings: AgentSettings,
    ) -> None:
        if ledger.address is None:
            raise BadValue("a unit's ledger client needs the unit's key")
        self.unit: Address = ledger.address
        self.driver = driver
        self._ledger, self._keys, self._reporter = ledger, keys, reporter
        self._journal, self._licenses, self._settings = journal, licenses, settings
        self.halts = halts
        self._domain = typed_domain(ledger)
        self._ordering = asyncio.Lock()
        self._work = Work(
            ledger=ledger,
            driver=driver,
            keys=keys,
            reporter=reporter,
            journal=journal,
            licenses=licenses,
            halts=halts,
            settings=settings,
        )

    # What the operator asks -----------------------------------------------------------------------------------

    async def order(self, order: Order) -> JobEntry:
        """Start a job; it is journalled, and nothing spent, when this returns.

        1. what was ordered under this key before is that job  2. the machine is not halted and has no open job
        3. the package is here, whole and signed, and for this machine's firmware  4. the copies are whole runs of the
        file  5. the license is for this unit  6. on a bed that is not known to be clear the job waits, and spends
        nothing before somebody says so  7. where it must fit, it does.
        What the ledger alone can tell (copies, expiry ...), `start_job` tells.
        """
        async with self._ordering:
            # 1
            if order.order_key:
                begun = await asyncio.to_thread(self._journal.ordered, order.order_key)
                if begun is not None:
                    order.same_as(begun)
                    return begun
            license = self._licenses.get(order.license)
            # 2
            self.halts.check()
            if await asyncio.to_thread(self._journal.open_job) is not None:
                raise Misuse("the unit has an open job", hint="finish or cancel it first: `printright job status`")
            # 3
            package = await self._keys.fetch(license)
            fault = await self._keys.firmware_fault(license)
            if fault:
                raise Refused(fault, hint="after an update: `printright unit request`, attest and enroll again")
            # 4
            split_runs(order.quantity, package.manifest.parts_per_run)
            # 5
            unit_proof(license.units, self.unit)
            slot = await self._ledger.call("job", self.unit)
            # 6
            clear = order.bed_is_clear or await asyncio.to_thread(self._work.bed_is_clear)
            # 7
            if order.must_fit:
                found = obstacles(Needs.of(license), await asyncio.to_thread(self.machine, clear))
                if found:
                    raise Refused(f"it does not fit this machine now: {'; '.join(found)}", hint=MAKE_IT_FIT)
            entry = self._reporter.new_entry(
                job_id(self._domain, license.id, self.unit, slot.sequence + 1),
                slot.sequence + 1,
                order,
                package.manifest.parts_per_run,
                now_s=now_s(),
                stage=Stage.PLANNED if clear else Stage.WAITING,
                note="" if clear else BED_FIRST,
            )
            bed = Bed(BedState.CLEAR, order.operator, now_s()) if order.bed_is_clear else None
            entry = await asyncio.to_thread(self._journal.begin, entry, bed=bed)
        self._work.wake.set()
        return entry

    def ordered(self, order_key: str) -> JobView | None:
        """The job that was ordered under this key."""
        entry = self._journal.ordered(order_key)
        return None if entry is None else self._view(entry)

    async def pause(self, operator: str = "") -> None:
        await self.driver.pause()
        await self._note(operator, "pause")

    async def resume(self, operator: str = "") -> None:
        await self._note(operator, "resume")
        await self.driver.resume()

    async def cancel(self, operator: str = "", job: JobId | None = None) -> None:
        """Stop the open job: its current run and all later ones count as failed copies.

        Where `job` is named, and is not the open one (any more), nothing is stopped. Raises Misuse.
        """
        entry = await asyncio.to_thread(self._journal.open_job)
        if job is not None and (entry is None or entry.job != job):
            raise Misuse(f"job {job.hex()} is not open on this unit", hint="see `printright job history`")
        await self._mark_cancelled(Act(operator, "cancel", now_s()))
        await self.driver.cancel()

    async def halt(self, reason: str = "an emergency stop was ordered beside it", operator: str = "") -> None:
        """Emergency: stop the machine at once, heaters off. The open job is cancelled, and `reset` ends the halt."""
        # In this order: nothing begins any more, the machine stops, and only then it is written down.
        self.halts.begin(reason)
        self._work.cancelled = self._work.halting = True
        await self.driver.halt()
        await self.halts.keep()
        await self._mark_cancelled(Act(operator, f"halt: {reason}", now_s()))

    async def reset(self, operator: str = "") -> None:
        """The operator has looked at the machine after a halt, and reset it.

        Raises Refused while the ledger halts the unit, LedgerUnavailable, MachineUnavailable where it does not answer.
        """
        if self.halts.reason:
            await self.driver.connect()
            hot = await asyncio.to_thread(self._journal.hot)
            if hot is not None and await self.driver.tend(ours=True):
                await asyncio.to_thread(self._journal.cooled, hot, "")
            await self.halts.end()
            await self._note(operator, "reset")
            self._work.halting = False
            self._work.wake.set()

    async def _mark_cancelled(self, act: Act) -> None:
        entry = await asyncio.to_thread(self._journal.open_job)
        if entry is not None:
            self._work.cancelled = True
            await asyncio.to_thread(self._journal.update, entry, act=act, cancelled=True)
            self._work.cancel(entry)
        else:
            await asyncio.to_thread(self._journal.note, act)
        self._work.wake.set()

    async def _note(self, operator: str, what: str) -> None:
        entry = await asyncio.to_thread(self._journal.open_job)
        job = b"" if entry is None else entry.job
        await asyncio.to_thread(self._journal.note, Act(operator, what, now_s()), job)

    def say(self, word: Word, failed: tuple[int, ...] = (), operator: str = "") -> None:
        """The operator's word to a waiting job; with FINISH, the indexes of copies that are not good."""
        entry = self._journal.open_job()
        if word is Word.CONTINUE:
            self.halts.check()
        if entry is None or entry.stage is not Stage.WAITING:
            raise Misuse("no job is waiting for the operator", hint="see `printright job status`")
        if any(not 0 <= index < entry.quantity for index in failed):
            raise BadValue(f"copies are numbered from 0 to {entry.quantity - 1}")
        self._work.answer(Answer(word, failed, operator))

    def bed_cleared(self, operator: str = "") -> None:
        """The operator's word that the bed is clear; a job that waits for just that goes on.

        Raises Misuse while a run is on it.
        """
        entry = self._journal.open_job()
        waits = entry is not None and entry.stage is Stage.WAITING and entry.note in (BED_FIRST, BED_NEXT)
        if waits and not self.halts.reason:
            self._work.answer(Answer(Word.CONTINUE, operator=operator))
        else:
            self._journal.clear_bed(Act(operator, "bed clear", now_s()))

    def machine(self, bed_clear: bool | None = None) -> Machine:
        """The machine as it stands there, for the decision whether a print fits it; `bed_clear` by somebody's word."""
        state = "halted" if self.halts.reason else self.driver.status().state.value
        return Machine(
            state="busy with a job" if self._journal.open_job() is not None else state,
            bed_clear=self.bed_is_clear() if bed_clear is None else bed_clear,
            material=self._journal.loaded().material,
            nozzle_mm=self._settings.nozzle_mm,
            reach_mm=self._settings.reach_mm,
        )

    def bed(self) -> Bed:
        return self._journal.bed()

    def bed_is_clear(self) -> bool:
        """Whether a job that is ordered now begins at once."""
        return self._work.bed_is_clear()

    def load(self, material: str, color: str, operator: str = "") -> Loaded:
        """The operator's word on what is in the machine now; empty for nothing."""
        loaded = Loaded(material, color, operator, now_s())
        said = " ".join(each for each in (material, color) if each)
        self._journal.load(loaded, Act(operator, f"load {said}" if said else "unload", loaded.at_s))
        return loaded

    def loaded(self) -> Loaded:
        return self._journal.loaded()

    def acts(self) -> list[tuple[Act, bytes]]:
        """What the operators did, each with its job, the newest first."""
        return self._journal.acts()

    def view(self, job: JobId | None = None) -> JobView | None:
        """The open job, or the one asked for, with its progress."""
        entry = self._journal.get(job) if job else self._journal.open_job()
        return None if entry is None else self._view(entry)

    def _view(self, entry: JobEntry) -> JobView:
        title = self._licenses.get(entry.license).document.title
        if entry.stage is Stage.FINISHED:
            return JobView(entry, title, 1.0, 0.0)
        if self._work.progress is None or entry.stage is not Stage.PRINTING:
            return JobView(entry, title, entry.runs_ended / entry.runs)
        now = self._work.progress
        fraction = (entry.runs_ended + now.fraction) / entry.runs
        return JobView(entry, title, fraction, now.eta_s, now.lines_sent)

    def jobs(self) -> list[JobEntry]:
        """All jobs of this unit, the newest first."""
        return self._journal.all()

    # The work ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until cancelled. What could not be checked is tried again; what was refused is written down."""
        attempt = 0
        while True:
            entry = await asyncio.to_thread(self._journal.open_job)
            if entry is None:
                self._work.wake.clear()
                await self._work.wake.wait()
                continue
            try:
                await self._work.advance(entry)
                attempt = 0
            except CouldNotCheck as error:
                log.warning("job %s: %s", entry.job.hex(), error)
                # The note is for the operator; with a full disk it is only in the log.
                with suppress(JobJournalUnavailable):
                    await asyncio.to_thread(self._journal.update, entry, note=str(error))
                await self._work.pause_before_retry(attempt)
                attempt += 1
