"""What the agent does with its open job, stage by stage.

Each step is in the journal before it is taken; an outcome and what follows from it (the question to the operator, what
is on the bed) are one write.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from printright.domain.job import Outcome
from printright.domain.license import License, unit_proof
from printright.errors import (
    CouldNotCheck,
    LedgerRefused,
    MachineUnavailable,
    Misuse,
    PrintrightError,
    Refused,
)
from printright.ledger.port import Ledger, Receipt
from printright.services.members import now_s
from printright.units.driver import Driver, PrintEnd, Progress
from printright.units.halts import Halts
from printright.units.journal import JobEntry, JobJournal, JobJournalUnavailable, Stage
from printright.units.keyring import DesignKeys
from printright.units.machine_state import Act, Bed, BedState
from printright.units.operator import AgentSettings, Word
from printright.units.report import Reporter
from printright.units.shelf import LicenseShelf
from printright.units.tending import COOLED
from printright.vault.package import UnlockedPackage

log = logging.getLogger(__name__)

RETRY_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
BED_FIRST = "is the bed clear? then continue; nothing is spent yet"
BED_NEXT = "clear the bed, then continue"
NOT_SPENT = "cancelled before a copy was spent"


@dataclass(frozen=True)
class Answer:
    """The operator's answer to a question; with FINISH, the indexes of copies that are not good."""

    word: Word
    failed: tuple[int, ...] = ()
    operator: str = ""


class Work:
    """The work on one job at a time.

    `cancelled` and `halting` end it as soon as they can; `wake` ends a wait for another try.
    """

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
        assert ledger.address is not None
        self._unit, self._driver = ledger.address, driver
        self._ledger, self._keys, self._reporter = ledger, keys, reporter
        self._journal, self._licenses, self._settings = journal, licenses, settings
        self._answers: asyncio.Queue[Answer] = asyncio.Queue(maxsize=1)
        self._halts = halts
        self.wake = asyncio.Event()
        self.cancelled = self.halting = False
        self.progress: Progress | None = None

    def answer(self, answer: Answer) -> None:
        """Give the operator's answer to the job that waits. Raises Misuse where it has one."""
        if self._answers.full():
            raise Misuse("the job has had its answer already")
        self._answers.put_nowait(answer)

    def cancel(self, entry: JobEntry) -> None:
        """Let a job that was journalled as cancelled know."""
        self.cancelled = True
        if entry.stage is Stage.WAITING and self._answers.empty():
            self._answers.put_nowait(Answer(Word.FINISH))

    def bed_is_clear(self) -> bool:
        return self._journal.bed().is_clear(clears_itself=self._settings.clears_bed_itself)

    async def advance(self, entry: JobEntry) -> None:
        """Take the open job as far as it goes. Raises CouldNotCheck: the same again later."""
        self.cancelled = entry.cancelled or self.halting
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

    async def pause_before_retry(self, attempt: int) -> None:
        """Wait a while; a new word from the operator (cancel) ends the wait."""
        self.wake.clear()
        try:
            async with asyncio.timeout(RETRY_S[min(attempt, len(RETRY_S) - 1)]):
                await self.wake.wait()
        except TimeoutError:
            pass

    async def _spend(self, entry: JobEntry, license: License) -> None:
        # A cancelled job is spent all the same: the transaction may be on its way, and only its end is certain.
        try:
            await self._start(entry, license)
        except LedgerRefused as error:
            await asyncio.to_thread(self._journal.update, entry, stage=Stage.REFUSED, note=str(error))
            return
        await asyncio.to_thread(self._journal.update, entry, stage=Stage.SPENT, started_at_s=now_s(), note="")

    async def _start(self, entry: JobEntry, license: License) -> Receipt:
        proof = unit_proof(license.units, self._unit)
        # With the order's number: what was refused once may be ordered again under the same job id.
        key = f"start:{entry.job.hex()}:{entry.number}"
        return await self._ledger.send(key, "start_job", license.terms.abi(), entry.quantity, entry.sequence, proof)

    async def _print(self, entry: JobEntry, license: License) -> None:
        if entry.runs_begun > entry.runs_ended:
            # The agent was killed in this run: what lies on the bed is not a part.
            failure = f"a run was cut off{'' if entry.hot else COOLED}"
            await self._end_run(entry, Outcome.FAILED, failure, hot=None)
            return
        if self._is_over(entry):
            await self._report(entry, ())
            return
        if not await asyncio.to_thread(self.bed_is_clear):
            await self._ask(entry, BED_NEXT)
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
            while not self._is_over(entry):
                entry = await self._run_once(entry, package)
                if entry.stage is Stage.WAITING:
                    return
        await self._report(entry, ())

    def _is_over(self, entry: JobEntry) -> bool:
        """Whether no further run begins."""
        gave_up = entry.unattended and Outcome.FAILED in entry.outcomes
        return self.cancelled or gave_up or entry.runs_ended == entry.runs

    async def _run_once(self, entry: JobEntry, package: UnlockedPackage) -> JobEntry:
        before = await asyncio.to_thread(self._journal.bed)
        # In one write: whatever happens from now on, something may lie there.
        entry = await asyncio.to_thread(
            self._journal.update,
            entry,
            bed=Bed(BedState.OCCUPIED, "", now_s()),
            stage=Stage.PRINTING,
            runs_begun=entry.runs_begun + 1,
            note="",
            hot=True,
        )
        self.progress = None
        if self.cancelled or self._halts.reason:
            back: dict[str, Any] = {"bed": before, "runs_begun": entry.runs_ended, "hot": False}
            if self.cancelled:
                return await asyncio.to_thread(self._journal.update, entry, **back)
            return await self._ask(entry, f"the machine is halted: {self._halts.reason}", **back)
        try:
            outcome = await self._driver.print(
                _chunks(package), total_bytes=package.details.size_bytes, on_progress=self._on_progress
            )
        except MachineUnavailable as error:
            # No line of the file has left: the run has not begun, and the bed is as it was.
            question = f"the machine does not answer: {error}; continue or finish"
            return await self._ask(entry, question, bed=before, runs_begun=entry.runs_ended, hot=False)
        except Refused as error:
            return await self._end_run(entry, Outcome.FAILED, f"the run failed: {error}", hot=False)
        if outcome.completed:
            return await self._end_run(entry, Outcome.GOOD, hot=False)
        if outcome.end is PrintEnd.KILLED:
            # What stopped the machine may be on fire: only a look at it ends that.
            self._halts.begin(outcome.reason)
            await self._halts.keep()
        hot = outcome.end is not PrintEnd.CANCELED
        return await self._end_run(entry, Outcome.FAILED, f"the run failed: {outcome.reason}", hot=hot)

    def _on_progress(self, progress: Progress) -> None:
        self.progress = progress

    async def _end_run(self, entry: JobEntry, outcome: Outcome, failure: str = "", *, hot: bool | None) -> JobEntry:
        """Journal a run's outcome, and in the same write whether the operator is asked before the next.

        In two writes, a crash between them would start the next run on top of the part that lies there. A machine that
        ejects finished parts has a clear bed after a good run only: a failed one never came to its end. `hot`: nobody
        knows whether the machine's heaters are off, see `Keeper`; None leaves that as it is.
        """
        ended = entry.runs_ended + 1
        ejected = outcome is Outcome.GOOD and self._settings.clears_bed_itself
        question = ""
        if self.cancelled:
            pass
        elif outcome is Outcome.FAILED:
            question = "" if entry.unattended else f"{failure}; clear the bed, then continue or finish"
        elif ended < entry.runs and not ejected:
            question = BED_NEXT
        elif ended == entry.runs and entry.inspect:
            question = "look at the parts, then finish and name the failed copies"
        changes: dict[str, Any] = {
            "bed": Bed(BedState.CLEAR, "", now_s()) if ejected else None,
            "runs_ended": ended,
            "outcomes": entry.outcomes + (outcome,) * entry.parts_per_run,
            "stage": Stage.WAITING if question else Stage.PRINTING,
            "note": question or failure,
            "failure": entry.failure or failure,
        }
        if hot is not None:
            changes["hot"] = hot
        self._forget_answers()
        attempt = 0
        while True:
            try:
                return await asyncio.to_thread(self._journal.update, entry, **changes)
            except JobJournalUnavailable as error:
                # Only this process knows how the run ended: it must not lose that to a full disk.
                log.error("job %s: %s", entry.job.hex(), error)
                await self.pause_before_retry(attempt)
                attempt += 1

    def _forget_answers(self) -> None:
        # What was said to an earlier question is no answer to the next.
        while not self._answers.empty():
            self._answers.get_nowait()

    async def _ask(self, entry: JobEntry, question: str, **changes: Any) -> JobEntry:
        self._forget_answers()
        return await asyncio.to_thread(self._journal.update, entry, stage=Stage.WAITING, note=question, **changes)

    async def _wait(self, entry: JobEntry) -> None:
        """Take the operator's answer. 1. a job not spent yet begins, or is gone  2. the next run  3. the report."""
        answer = Answer(Word.FINISH) if self.cancelled else await self._answers.get()
        go_on = answer.word is Word.CONTINUE and entry.runs_ended < entry.runs
        act = None if self.cancelled else Act(answer.operator, answer.word, now_s())
        bed = Bed(BedState.CLEAR, answer.operator, now_s()) if go_on else None
        # 1
        if not entry.is_spent:
            changes = {"stage": Stage.PLANNED, "note": ""} if go_on else {"stage": Stage.CANCELLED, "note": NOT_SPENT}
            await asyncio.to_thread(self._journal.update, entry, bed=bed, act=act, **changes)
        # 2
        elif go_on:
            await asyncio.to_thread(self._journal.update, entry, bed=bed, act=act, stage=Stage.SPENT, note="")
        # 3
        else:
            await self._report(entry, answer.failed, act)

    async def _report(self, entry: JobEntry, failed: tuple[int, ...], act: Act | None = None) -> None:
        """Fix the outcome of every copy: those never begun are failed, and so are those that the operator names."""
        made = entry.outcomes + (Outcome.FAILED,) * (entry.quantity - len(entry.outcomes))
        outcomes = tuple(Outcome.FAILED if index in failed else outcome for index, outcome in enumerate(made))
        license = self._licenses.get(entry.license)
        record, parts = await self._reporter.report(entry, license, outcomes, now_s(), traces=self._driver.traces)
        await asyncio.to_thread(
            self._journal.update,
            entry,
            act=act,
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
