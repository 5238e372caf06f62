"""The end of a job: part codes, serial numbers, the record with its sealed entries, and the parts' tree."""

from __future__ import annotations

import hashlib
import json
import os

from printright.domain.ids import Address, JobId
from printright.domain.job import JobRecord, Outcome
from printright.domain.license import License
from printright.domain.part import PartLabel, code_for, leaf, part_id, parts_proof, parts_root, serial_for
from printright.domain.words import EMPTY_32, TypedDomain
from printright.errors import Misuse
from printright.ledger.port import Ledger
from printright.services.members import sealing_key, typed_domain
from printright.units.journal import JobEntry, Stage
from printright.units.order import Order
from printright.vault.keys import UnsealingKey
from printright.vault.sealing import seal
from printright.vault.store import Store

SECRET_INFO = b"printright/1 job secret\0"
LICENSOR_INFO = b"printright/1 serials for the licensor\0"
LICENSEE_INFO = b"printright/1 serials and codes for the licensee\0"


class Reporter:
    """Makes and reads what one unit reports. The job's secret lies in the journal sealed to the unit's own key."""

    def __init__(self, ledger: Ledger, store: Store, unsealing_key: UnsealingKey, unit: Address) -> None:
        self._ledger, self._store, self._key, self._unit = ledger, store, unsealing_key, unit
        self._domain: TypedDomain = typed_domain(ledger)

    def new_entry(
        self,
        job: JobId,
        sequence: int,
        order: Order,
        parts_per_run: int,
        *,
        now_s: int,
        stage: Stage = Stage.PLANNED,
        note: str = "",
    ) -> JobEntry:
        """The journal's entry for a new job, with a fresh secret; the journal gives it its number."""
        return JobEntry(
            number=0,
            job=job,
            license=order.license,
            sequence=sequence,
            quantity=order.quantity,
            parts_per_run=parts_per_run,
            customer=order.customer,
            inspect=order.inspect,
            stage=stage,
            cancelled=False,
            sealed_secret=seal(self._key.public_key, os.urandom(32), SECRET_INFO + job),
            ordered_at_s=now_s,
            note=note,
            operator=order.operator,
            order_key=order.order_key,
            reference=order.reference,
            retry_of=order.retry_of or b"",
            unattended=order.unattended,
        )

    async def report(
        self, entry: JobEntry, license: License, outcomes: tuple[Outcome, ...], now_s: int, *, traces: str
    ) -> tuple[bytes, bytes]:
        """The job's record (canonical JSON) and its parts root, for these outcomes and traces (see `Driver.traces`)."""
        serials = self._serials(entry, license, outcomes.count(Outcome.GOOD))
        public = [{"index": index, "serial": serial} for index, (serial, _) in enumerate(serials)]
        # Who ordered it is the licensee's business: a name is personal data, and nobody else gets to read it.
        private = {
            "operator": entry.operator,
            "reference": entry.reference,
            "retry_of": entry.retry_of.hex(),
            "parts": [dict(row, code=code.hex()) for row, (_, code) in zip(public, serials, strict=True)],
        }
        record = JobRecord(
            job=entry.job,
            license=entry.license,
            unit=self._unit,
            outcomes=outcomes,
            started_at_s=entry.started_at_s,
            finished_at_s=now_s,
            key_erased_at_s=now_s,
            sealed_for_licensor=seal(
                await sealing_key(self._ledger, license.licensor),
                json.dumps(public).encode(),
                LICENSOR_INFO + entry.job,
            ),
            sealed_for_licensee=seal(
                await sealing_key(self._ledger, license.licensee),
                json.dumps(private).encode(),
                LICENSEE_INFO + entry.job,
            ),
            traces=traces,
        )
        leaves = [leaf(part_id(entry.job, index), serial, code) for index, (serial, code) in enumerate(serials)]
        return record.canonical(), parts_root(leaves) if leaves else EMPTY_32

    async def file(self, entry: JobEntry) -> bytes:
        """Put the record into the store; its SHA-256 is the job's evidence on the ledger."""
        await self._store.put(entry.record)
        return hashlib.sha256(entry.record).digest()

    def labels(self, entry: JobEntry, license: License) -> list[PartLabel]:
        """The labels of a finished job's parts. Raises Misuse while the ledger does not have them for good."""
        if entry.stage is not Stage.FINISHED:
            raise Misuse("the job is not finished: its parts have no identity yet", hint="see `printright job status`")
        serials = self._serials(entry, license, entry.outcomes.count(Outcome.GOOD))
        leaves = [leaf(part_id(entry.job, index), serial, code) for index, (serial, code) in enumerate(serials)]
        return [
            PartLabel(self._domain, entry.job, len(leaves), index, serial, code, parts_proof(leaves, index))
            for index, (serial, code) in enumerate(serials)
        ]

    def _serials(self, entry: JobEntry, license: License, good: int) -> list[tuple[str, bytes]]:
        secret = self._key.open(entry.sealed_secret, SECRET_INFO + entry.job)
        serials = []
        for index in range(good):
            code = code_for(secret, index)
            part = part_id(entry.job, index)
            serials.append((serial_for(part, entry.customer, license.licensee, self._unit, code), code))
        return serials
