"""The authenticity check: what the ledger says about the part whose code somebody holds."""

from __future__ import annotations

from dataclasses import dataclass

from printright.domain.ids import Address, JobId, LicenseId
from printright.domain.part import PartLabel, sign_check_out
from printright.domain.words import ZERO_ADDRESS, address_bytes
from printright.errors import BadValue, PartRefused
from printright.ledger.port import Ledger, Receipt
from printright.services.history import read_history
from printright.services.members import typed_domain

DAY_S = 86_400


@dataclass(frozen=True)
class PartReport:
    """What anyone who holds a part learns: who made it, under whose license, when, and whether it is in circulation."""

    serial: str
    job: JobId
    index: int
    good: int
    unit: Address
    maker: Address
    builder: Address | None
    license: LicenseId
    licensor: Address
    made_at_s: int
    checked_out_by: Address | None
    checked_out_at_s: int | None


async def check_part(ledger: Ledger, label: PartLabel) -> PartReport:
    """Check a part's label against the ledger, at its final block.

    1. the label is for this network  2. the ledger holds the outcome that the label's proof leads to  3. the events
    name the job's unit, its operator and the license. Raises PartRefused where 1 or 2 fails.
    """
    # 1
    if label.domain != typed_domain(ledger):
        raise PartRefused(
            f"this part code is for chain {label.domain.chain_id}, contract {label.domain.contract}",
            hint="choose that network's file with --network",
        )
    # 2
    block = await ledger.final_block()
    outcome = await ledger.call("outcome", label.job, block=block)
    if outcome != label.outcome:
        raise PartRefused(
            f"no part with serial {label.serial} and this code was ever made by that job: the code is forged",
            hint="do not use the part; tell the maker what its label says",
        )
    # 3
    history = await read_history(ledger, block)
    job = history.jobs[label.job]
    unit = history.units[job.unit]
    by, at_s = await ledger.call("checked_out", label.part, block=block)
    return PartReport(
        serial=label.serial,
        job=label.job,
        index=label.index,
        good=label.good,
        unit=job.unit,
        maker=job.operator,
        builder=unit.builder,
        license=job.license,
        licensor=history.licenses[job.license].licensor,
        made_at_s=await ledger.block_timestamp(job.finished_block or block),
        checked_out_by=None if by == ZERO_ADDRESS else by,
        checked_out_at_s=at_s or None,
    )


async def check_out(ledger: Ledger, label: PartLabel, by: Address, now_s: int) -> Receipt:
    """Take a part out of circulation in the name of `by`, once. Anyone who holds the code can send it."""
    if address_bytes(by) == bytes(20):
        raise BadValue("a part is checked out by somebody: the zero address is nobody")
    # Whole days, so that a repeat after a crash makes the same signature.
    deadline_s = (now_s // DAY_S + 2) * DAY_S
    signature = sign_check_out(label.code, label.domain, label.part, by, deadline_s)
    key = f"check-out:{label.part.hex()}:{by}:{deadline_s}"
    return await ledger.send(key, "check_out", label.abi(), by, deadline_s, signature)
