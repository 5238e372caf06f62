"""A network's members for tests, and the steps that a unit's agent takes on the ledger, without the machine."""

from __future__ import annotations

import time
from dataclasses import dataclass

from coincurve import PrivateKey

from printright.domain.ids import Address, ContentId, JobId
from printright.domain.job import job_id
from printright.domain.license import License, Limits, unit_proof
from printright.domain.part import PartLabel, code_for, leaf, part_id, parts_proof, parts_root, serial_for
from printright.domain.words import EMPTY_32, checksum, keccak
from printright.ledger.evm import EvmLedger
from printright.ledger.network import Network
from printright.services import licensing
from printright.services.members import typed_domain


class SoftSigner:
    """A secp256k1 key in memory, made for one test."""

    def __init__(self) -> None:
        self._key = PrivateKey()
        self.address: Address = checksum(keccak(self._key.public_key.format(compressed=False)[1:])[12:])

    def sign_digest(self, digest: bytes) -> bytes:
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([27 + signature[64]])


@dataclass
class Trade:
    """The members' ledgers. `unit` is enrolled by `maker` and attested; `content` is a published design."""

    network: Network
    registrar: EvmLedger
    owner: EvmLedger
    maker: EvmLedger
    rival: EvmLedger
    unit: EvmLedger
    content: ContentId
    book: licensing.LicenseBook

    def order(self, reference: str, copies: int = 3, **changes: object) -> licensing.GrantOrder:
        values: dict[str, object] = {
            "reference": reference,
            "licensee": self.maker.address,
            "content": self.content,
            "copies": copies,
            "limits": Limits(int(time.time()) + 3_600),
            "title": "knob",
            "manifest": b"m" * 32,
        }
        return licensing.GrantOrder(**{**values, **changes})  # type: ignore[arg-type]


async def start(trade: Trade, license: License, quantity: int) -> JobId:
    unit = trade.unit.address
    sequence = (await trade.unit.call("job", unit)).sequence + 1
    proof = unit_proof(license.units, unit)
    await trade.unit.send(f"start:{sequence}:{license.id}", "start_job", license.terms.abi(), quantity, sequence, proof)
    return job_id(typed_domain(trade.unit), license.id, unit, sequence)


async def finish(trade: Trade, license: License, job: JobId, good: int, failed: int = 0) -> list[PartLabel]:
    made = []
    for index in range(good):
        code = code_for(job, index)
        serial = serial_for(part_id(job, index), "ACME", license.licensee, trade.unit.address, code)
        made.append((serial, code))
    leaves = [leaf(part_id(job, index), serial, code) for index, (serial, code) in enumerate(made)]
    root = parts_root(leaves) if leaves else EMPTY_32
    await trade.unit.send(f"finish:{job.hex()}", "finish_job", license.id, good, failed, b"e" * 32, root)
    return [
        label_of(trade, job, good, index, serial, code, parts_proof(leaves, index))
        for index, (serial, code) in enumerate(made)
    ]


def label_of(
    trade: Trade, job: bytes, good: int, index: int, serial: str, code: bytes, proof: tuple[bytes, ...]
) -> PartLabel:
    return PartLabel(typed_domain(trade.unit), JobId(job), good, index, serial, code, proof)
