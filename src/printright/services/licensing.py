"""What a licensor does with licenses: grant one or many, revoke, pause, resume, credit, close; and a licensee: assign.

Granting is exactly once by *reference*: the license file is written before its grant is sent, and the same reference
finds the same file again, salt and all.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from printright.domain.estimate import NO_ESTIMATE, PrintEstimate
from printright.domain.ids import Address, ContentId, LicenseId
from printright.domain.license import Document, License, Limits, units_root
from printright.errors import BadValue, LedgerRefused
from printright.ledger.port import Call, Ledger, Receipt
from printright.services.whole_file import write_whole

GRANT_BATCH = 100


@dataclass(frozen=True)
class GrantOrder:
    """What the licensor wants granted. `reference` names the order: the same one is granted once."""

    reference: str
    licensee: Address
    content: ContentId
    copies: int
    limits: Limits
    title: str
    manifest: bytes
    allowance: int = 0
    units: tuple[Address, ...] = ()
    material: str = ""
    place: str = ""
    price: str = ""
    notes: str = ""
    estimate: PrintEstimate = NO_ESTIMATE

    def license(self, licensor: Address, salt: bytes) -> License:
        document = Document(
            salt, self.title, self.manifest, self.material, self.place, self.price, self.notes, self.estimate
        )
        return License(
            licensor=licensor,
            licensee=self.licensee,
            content=self.content,
            limits=self.limits,
            document=document,
            copies=self.copies,
            allowance=self.allowance,
            units=self.units,
        )


class LicenseBook:
    """The licenses that this member granted or assigned: one file each, named by the hash of its reference."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def draft(self, order: GrantOrder, licensor: Address) -> License:
        """The license for this order: a new one, written to disk, or the one that the reference had before.

        Raises BadValue where the reference was used for an order with other contents, NotWritten for a full disk.
        """
        license = self.find(order.reference)
        if license is not None:
            if order.license(licensor, license.document.salt) != license:
                raise BadValue(
                    f"reference {order.reference!r} was used for another license",
                    hint="choose a new --reference, or repeat the order unchanged",
                )
            return license
        license = order.license(licensor, os.urandom(32))
        write_whole(self._path(order.reference), json.dumps(license.to_json(), indent=1))
        return license

    def find(self, reference: str) -> License | None:
        """The license that was drafted under this reference, granted or not."""
        path = self._path(reference)
        return License.from_json(json.loads(path.read_text())) if path.exists() else None

    def all(self) -> list[License]:
        """Every license in the book."""
        return [License.from_json(json.loads(path.read_text())) for path in sorted(self._folder.glob("*.json"))]

    def get(self, id: LicenseId) -> License:
        """Raises BadValue for a license that this member did not write."""
        for license in self.all():
            if license.id == id:
                return license
        raise BadValue(f"license {id.hex()} is not in this member's book", hint="`printright license list` shows them")

    def _path(self, reference: str) -> Path:
        return self._folder / f"{hashlib.sha256(reference.encode()).hexdigest()}.json"


async def grant(ledger: Ledger, book: LicenseBook, order: GrantOrder) -> tuple[License, Receipt]:
    """Grant one license, once for its reference."""
    license = book.draft(order, _licensor(ledger))
    terms = license.terms.hash(license.licensee)
    receipt = await ledger.send(f"grant:{license.id.hex()}", "grant", terms, license.copies, license.allowance)
    return license, receipt


async def grant_many(ledger: Ledger, book: LicenseBook, orders: Sequence[GrantOrder]) -> list[License]:
    """Grant many licenses, a hundred to a transaction: each transaction grants all of its licenses or none."""
    licenses = [book.draft(order, _licensor(ledger)) for order in orders]
    calls = []
    for start in range(0, len(licenses), GRANT_BATCH):
        batch = licenses[start : start + GRANT_BATCH]
        key = hashlib.sha256(b"".join(license.id for license in batch)).hexdigest()
        rows = tuple((each.terms.hash(each.licensee), each.copies, each.allowance) for each in batch)
        calls.append(Call(f"grant-many:{key}", "grant_many", (rows,)))
    for result in await ledger.send_many(calls):
        if isinstance(result, LedgerRefused):
            raise result
    return licenses


async def revoke(ledger: Ledger, licenses: Sequence[License]) -> Receipt:
    """Revoke the unused rest of licenses; what runs may finish."""
    return await _on_licenses(ledger, "revoke", licenses, "0")


async def pause(ledger: Ledger, licenses: Sequence[License]) -> Receipt:
    """No job starts with these licenses until they are resumed."""
    return await _on_licenses(ledger, "pause", licenses, await _times(ledger, "LicensePaused", licenses))


async def resume(ledger: Ledger, licenses: Sequence[License]) -> Receipt:
    """Let jobs start again."""
    return await _on_licenses(ledger, "resume", licenses, await _times(ledger, "LicenseResumed", licenses))


async def credit(ledger: Ledger, license: License, copies: int, reference: str) -> Receipt:
    """Give lost copies back. `reference` names the credit: the same one counts once."""
    terms = license.terms.hash(license.licensee)
    return await ledger.send(f"credit:{license.id.hex()}:{reference}", "credit", terms, copies)


async def close_job(ledger: Ledger, license: License, unit: Address, sequence: int, credited: int) -> Receipt:
    """End a job that was given up or not finished by its deadline; the copies not credited are lost."""
    terms = license.terms.hash(license.licensee)
    key = f"close:{license.id.hex()}:{unit}:{sequence}"
    return await ledger.send(key, "close_job", terms, unit, sequence, credited)


async def assign(
    ledger: Ledger,
    book: LicenseBook,
    license: License,
    *,
    reference: str,
    licensee: Address,
    copies: int,
    allowance: int = 0,
    units: tuple[Address, ...] = (),
) -> tuple[License, Receipt]:
    """Give unused copies of a license that we hold to another licensee; its new license file is in the book."""
    order = GrantOrder(
        reference=reference,
        licensee=licensee,
        content=license.content,
        copies=copies,
        limits=license.limits,
        title=license.document.title,
        manifest=license.document.manifest,
        allowance=allowance,
        units=units,
        material=license.document.material,
        place=license.document.place,
        price="",
        notes=license.document.notes,
        estimate=license.document.estimate,
    )
    given = book.draft(order, license.licensor)
    receipt = await ledger.send(
        f"assign:{given.id.hex()}",
        "assign",
        license.terms.abi(),
        licensee,
        units_root(units),
        given.document.digest,
        copies,
        allowance,
    )
    return given, receipt


def _licensor(ledger: Ledger) -> Address:
    if ledger.address is None:
        raise BadValue("granting needs the licensor's key")
    return ledger.address


async def _times(ledger: Ledger, event: str, licenses: Sequence[License]) -> str:
    # A license can be paused and resumed again and again: the count tells one intent from the next.
    counts = [len(await ledger.events(names={event}, license=license.id)) for license in licenses]
    return ".".join(map(str, counts))


async def _on_licenses(ledger: Ledger, verb: str, licenses: Sequence[License], times: str) -> Receipt:
    ids = hashlib.sha256(b"".join(license.id for license in licenses)).hexdigest()
    terms = [license.terms.hash(license.licensee) for license in licenses]
    return await ledger.send(f"{verb}:{ids}:{times}", verb, terms)
