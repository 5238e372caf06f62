"""The agent that runs beside one machine: it spends a license, gets the key, prints from memory and reports.

    order -> PLANNED -> start_job on the ledger -> SPENT -> final, key released, file checked -> PRINTING run by run
          -> (WAITING for the operator) -> REPORTING -> finish_job on the ledger -> FINISHED

Every step is in the journal before it is taken, and the ledger's client sends each intent exactly once, so that the
agent can be killed anywhere and goes on where it was. A run that a crash cut off is a failed run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

from printright.domain.ids import Address, JobId, LicenseId
from printright.domain.job import Outcome, job_id, split_runs
from printright.domain.license import License, unit_proof
from printright.errors import (
    BadValue,
    CouldNotCheck,
    LedgerRefused,
    MachineUnavailable,
    Misuse,
    PrintrightError,
    Refused,
)
from printright.ledger.port import Ledger, Receipt
from printright.services.members import now_s, typed_domain
from printright.units.driver import Driver, PrintEnd, Progress
from printright.units.halts import Halts
from printright.units.journal import JobEntry, JobJournal, JobJournalUnavailable, Stage
from printright.units.keyring import DesignKeys
from printright.units.operator import AgentSettings, JobView, Word
from printright.units.report import Reporter
from printright.units.shelf import LicenseShelf
from printright.vault.package import UnlockedPackage

log = logging.getLogger(__name__)

RETRY_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


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
        self._wake = asyncio.Event()
        self._words: asyncio.Queue[tuple[Word, tuple[int, ...]]] = asyncio.Queue(maxsize=1)
        self._ordering = asyncio.Lock()
        self._cancelled = self._halting = False
        self._progress: Progress | None = None

    # What the operator asks -----------------------------------------------------------------------------------

    async def order(
        self, license_id: LicenseId, quantity: int, *, customer: str = "", inspect: bool = False
    ) -> JobEntry:
        """Start a job of `quantity` copies; it is journalled, and nothing spent, when this returns.

        The machine is not halted;  1. no other job is open  2. the package is here, whole and signed  3. the copies
        are whole runs of the file  4. the license is for this unit. What the ledger alone can tell (copies, expiry
        ...), `start_job` tells.
        `inspect`: the operator says which copies are good before the job is finished.
        """
        self.halts.check()
        license = self._licenses.get(license_id)
        async with self._ordering:
            # 1
            if await asyncio.to_thread(self._journal.open_job) is not None:
                raise Misuse("the unit has an open job", hint="finish or cancel it first: `printright job status`")
            # 2
            package = await self._keys.fetch(license)
            # 3
            split_runs(quantity, package.manifest.parts_per_run)
            # 4
            unit_proof(license.units, self.unit)
            slot = await self._ledger.call("job", self.unit)
            entry = self._reporter.new_entry(
                job_id(self._domain, license.id, self.unit, slot.sequence + 1),
                license,
                slot.sequence + 1,
                quantity,
                package.manifest.parts_per_run,
                customer=customer,
                inspect=inspect,
                now_s=now_s(),
            )
            entry = await asyncio.to_thread(self._journal.begin, entry)
        self._wake.set()
        return entry

    async def pause(self) -> None:
        await self.driver.pause()

    async def resume(self) -> None:
        await self.driver.resume()

    async def cancel(self) -> None:
        """Stop the open job: its current run and all later ones count as failed copies."""
        await self._mark_cancelled()
        await self.driver.cancel()

    async def halt(self, reason: str = "an emergency stop was ordered beside it") -> None:
        """Emergency: stop the machine at once, heaters off. The open job is cancelled, and `reset` ends the halt."""
        # In this order: nothing begins any more, the machine stops, and only then it is written down.
        self.halts.begin(reason)
        self._cancelled = self._halting = True
        await self.driver.halt()
        await self.halts.keep()
        await self._mark_cancelled()

    async def reset(self) -> None:
        """The operator has looked at the machine after a halt, and reset it.

        Raises Refused while the ledger halts the unit, LedgerUnavailable, MachineUnavailable where it does not answer.
        """
        if self.halts.reason:
            await self.driver.connect()
            await self.halts.end()
            self._halting = False
            self._wake.set()

    async def _mark_cancelled(self) -> None:
        entry = await asyncio.to_thread(self._journal.open_job)
        if entry is not None:
            self._cancelled = True
            await asyncio.to_thread(self._journal.update, entry, cancelled=True)
            if entry.stage is Stage.WAITING and self._words.empty():
                self._words.put_nowait((Word.FINISH, ()))
        self._wake.set()

    def say(self, word: Word, failed: tuple[int, ...] = ()) -> None:
        """The operator's word to a waiting job; with FINISH, the indexes of copies that are not good."""
        entry = self._journal.open_job()
        if word is Word.CONTINUE:
            self.halts.check()
        if entry is None or entry.stage is not Stage.WAITING:
            raise Misuse("no job is waiting for the operator", hint="see `printright job status`")
        if self._words.full():
            raise Misuse("the job has had its answer already")
        if any(not 0 <= index < entry.quantity for index in failed):
            raise BadValue(f"copies are numbered from 0 to {entry.quantity - 1}")
        self._words.put_nowait((word, failed))

    def view(self, job: JobId | None = None) -> JobView | None:
        """The open job, or the one asked for, with its progress."""
        entry = self._journal.get(job) if job else self._journal.open_job()
        if entry is None:
            return None
        title = self._licenses.get(entry.license).document.title
        if entry.stage is Stage.FINISHED:
            return JobView(entry, title, 1.0, 0.0)
        if self._progress is None or entry.stage is not Stage.PRINTING:
            return JobView(entry, title, entry.runs_ended / entry.runs)
        now = self._progress
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
                self._wake.clear()
                await self._wake.wait()
                continue
            self._cancelled = entry.cancelled or self._halting
            try:
                await self._advance(entry)
                attempt = 0
            except CouldNotCheck as error:
                log.warning("job %s: %s", entry.job.hex(), error)
                # The note is for the operator; with a full disk it is only in the log.
                with suppress(JobJournalUnavailable):
                    await asyncio.to_thread(self._journal.update, entry, note=str(error))
                await self._pause_before_retry(attempt)
                attempt += 1

    async def _pause_before_retry(self, attempt: int) -> None:
        # A new word from the operator (cancel) ends the wait.
        self._wake.clear()
        try:
            async with asyncio.timeout(RETRY_S[min(attempt, len(RETRY_S) - 1)]):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _advance(self, entry: JobEntry) -> None:
        license = self._licenses.get(entry.license)
        match entry.stage:
            case Stage.PLANNED:
                await self._spend(entry, license)
            case Stage.SPENT | Stage.PRINTING:
                await self._print(entry, license)
            case Stage.WAITING:
                await self._wait(entry)
            case Stage.REPORTING:
                await self._finish(entry)

    async def _spend(self, entry: JobEntry, license: License) -> None:
        # A cancelled job is spent all the same: the transaction may be on its way, and only its end is certain.
        try:
            await self._start(entry, license)
        except LedgerRefused as error:
            await asyncio.to_thread(self._journal.update, entry, stage=Stage.REFUSED, note=str(error))
            return
        await asyncio.to_thread(self._journal.update, entry, stage=Stage.SPENT, started_at_s=now_s(), note="")

    async def _start(self, entry: JobEntry, license: License) -> Receipt:
        proof = unit_proof(license.units, self.unit)
        # With the order's number: what was refused once may be ordered again under the same job id.
        key = f"start:{entry.job.hex()}:{entry.number}"
        return await self._ledger.send(key, "start_job", license.terms.abi(), entry.quantity, entry.sequence, proof)

    async def _print(self, entry: JobEntry, license: License) -> None:
        if entry.runs_begun > entry.runs_ended:
            # The agent was killed in this run: what lies on the bed is not a part.
            await self._end_run(entry, Outcome.FAILED, "a run was cut off: clear the bed, then continue or finish")
            return
        if self._cancelled or entry.runs_ended == entry.runs:
            await self._report(entry, ())
            return
        await self._ledger.wait_final(await self._start(entry, license))
        try:
            package = await self._keys.unlock(entry, license)
        except CouldNotCheck:
            raise
        except PrintrightError as error:
            await self._ask(entry, f"no key for this job: {error}")
            return
        with package:
            while entry.runs_ended < entry.runs and not self._cancelled:
                entry = await self._run_once(entry, package)
                if entry.stage is Stage.WAITING:
                    return
        await self._report(entry, ())

    async def _run_once(self, entry: JobEntry, package: UnlockedPackage) -> JobEntry:
        entry = await asyncio.to_thread(
            self._journal.update, entry, stage=Stage.PRINTING, runs_begun=entry.runs_begun + 1, note=""
        )
        self._progress = None
        if self._cancelled or self.halts.reason:
            entry = await asyncio.to_thread(self._journal.update, entry, runs_begun=entry.runs_ended)
            return entry if self._cancelled else await self._ask(entry, f"the machine is halted: {self.halts.reason}")
        try:
            outcome = await self.driver.print(
                _chunks(package), total_bytes=package.details.size_bytes, on_progress=self._on_progress
            )
        except MachineUnavailable as error:
            # No line of the file has left: the run has not begun.
            entry = await asyncio.to_thread(self._journal.update, entry, runs_begun=entry.runs_ended)
            return await self._ask(entry, f"the machine does not answer: {error}; continue or finish")
        except Refused as error:
            return await self._end_run(entry, Outcome.FAILED, f"the run failed: {error}; continue or finish")
        if outcome.completed:
            return await self._end_run(entry, Outcome.GOOD)
        if outcome.end is PrintEnd.KILLED:
            # What stopped the machine may be on fire: only a look at it ends that.
            self.halts.begin(outcome.reason)
            await self.halts.keep()
        return await self._end_run(entry, Outcome.FAILED, f"the run failed: {outcome.reason}; continue or finish")

    def _on_progress(self, progress: Progress) -> None:
        self._progress = progress

    async def _end_run(self, entry: JobEntry, outcome: Outcome, failure: str = "") -> JobEntry:
        """Journal a run's outcome, and in the same write whether the operator is asked before the next.

        In two writes, a crash between them would start the next run on top of the part that lies there.
        """
        ended = entry.runs_ended + 1
        question = ""
        if self._cancelled:
            pass
        elif outcome is Outcome.FAILED:
            question = failure
        elif ended < entry.runs and not self._settings.clears_bed_itself:
            question = "clear the bed, then continue"
        elif ended == entry.runs and entry.inspect:
            question = "look at the parts, then finish and name the failed copies"
        changes = {
            "runs_ended": ended,
            "outcomes": entry.outcomes + (outcome,) * entry.parts_per_run,
            "stage": Stage.WAITING if question else Stage.PRINTING,
            "note": question or failure,
        }
        self._forget_words()
        attempt = 0
        while True:
            try:
                return await asyncio.to_thread(self._journal.update, entry, **changes)
            except JobJournalUnavailable as error:
                # Only this process knows how the run ended: it must not lose that to a full disk.
                log.error("job %s: %s", entry.job.hex(), error)
                await self._pause_before_retry(attempt)
                attempt += 1

    def _forget_words(self) -> None:
        # What was said to an earlier question is no answer to the next.
        while not self._words.empty():
            self._words.get_nowait()

    async def _ask(self, entry: JobEntry, question: str) -> JobEntry:
        self._forget_words()
        return await asyncio.to_thread(self._journal.update, entry, stage=Stage.WAITING, note=question)

    async def _wait(self, entry: JobEntry) -> None:
        if self._cancelled:
            await self._report(entry, ())
            return
        word, failed = await self._words.get()
        if word is Word.CONTINUE and entry.runs_ended < entry.runs:
            await asyncio.to_thread(self._journal.update, entry, stage=Stage.SPENT, note="")
        else:
            await self._report(entry, failed)

    async def _report(self, entry: JobEntry, failed: tuple[int, ...]) -> None:
        """Fix the outcome of every copy: those never begun are failed, and so are those that the operator names."""
        made = entry.outcomes + (Outcome.FAILED,) * (entry.quantity - len(entry.outcomes))
        outcomes = tuple(Outcome.FAILED if index in failed else outcome for index, outcome in enumerate(made))
        license = self._licenses.get(entry.license)
        record, parts = await self._reporter.report(entry, license, outcomes, now_s())
        await asyncio.to_thread(
            self._journal.update,
            entry,
            stage=Stage.REPORTING,
            runs_begun=max(entry.runs_begun, entry.runs_ended),
            outcomes=outcomes,
            record=record,
            parts=parts,
        )

    async def _finish(self, entry: JobEntry) -> None:
        evidence = await self._reporter.file(entry)
        good = entry.outcomes.count(Outcome.GOOD)
        failed = entry.outcomes.count(Outcome.FAILED)
        try:
            receipt = await self._ledger.send(
                f"finish:{entry.job.hex()}", "finish_job", entry.license, good, failed, evidence, entry.parts
            )
        except LedgerRefused as error:
            await asyncio.to_thread(
                self._journal.update, entry, stage=Stage.REFUSED, note=f"the report was refused: {error}"
            )
            return
        await self._ledger.wait_final(receipt)
        await asyncio.to_thread(self._journal.update, entry, stage=Stage.FINISHED, note="")


async def _chunks(package: UnlockedPackage) -> AsyncIterator[bytes]:
    for chunk in package.file:
        yield chunk
        await asyncio.sleep(0)
