"""What a unit may print: its licenses, each with the copies that the ledger says are left for it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace

from printright.domain.ids import Address
from printright.domain.license import License
from printright.errors import PackageRefused, Refused, StoreUnavailable
from printright.ledger.port import Ledger
from printright.units.keyring import DesignKeys
from printright.units.shelf import LicenseShelf


@dataclass(frozen=True)
class Offer:
    """One license as the operator sees it: how many copies this unit may print now, and why none.

    `parts_per_run` is None where the store does not say it.
    """

    license: License
    available: int
    note: str = ""
    parts_per_run: int | None = None


class Offers:
    """The licenses of one unit, as its operator sees them."""

    def __init__(self, ledger: Ledger, keys: DesignKeys, licenses: LicenseShelf, unit: Address) -> None:
        self._ledger, self._keys, self._licenses, self._unit = ledger, keys, licenses, unit

    async def all(self) -> list[Offer]:
        """Every license of this unit, with the copies that it may print now; those without any come last."""
        offers = [await self._whole(license) for license in self._licenses.all()]
        return sorted(offers, key=lambda offer: offer.available == 0)

    async def add(self, license: License) -> Offer:
        """Keep a license that the ledger knows, and fetch its package ahead. Raises Refused where it does not."""
        counters = await self._ledger.call("counters", license.id)
        if counters.issued == 0:
            raise Refused(
                f"the ledger knows no license {license.id.hex()}",
                hint="the licensor's grant is not on this ledger; is this the right network?",
            )
        await self._keys.fetch(license)
        self._licenses.add(license)
        return await self._whole(license)

    async def _whole(self, license: License) -> Offer:
        offer = await self._offer(license)
        with suppress(StoreUnavailable, PackageRefused):
            return replace(offer, parts_per_run=await self._keys.parts_per_run(license))
        return offer

    async def _firmware_fault(self, license: License) -> str:
        # Whoever orders a job meets the same errors, with more to say about them.
        with suppress(StoreUnavailable, PackageRefused):
            return await self._keys.firmware_fault(license)
        return ""

    async def _offer(self, license: License) -> Offer:
        if license.units and self._unit not in license.units:
            return Offer(license, 0, "for other units")
        # A view answers for the last block, and on a quiet ledger that may be old.
        if license.limits.expires_at_s < time.time():
            return Offer(license, 0, "expired")
        available = await self._ledger.call("available", self._unit, license.terms.abi())
        if available:
            fault = await self._firmware_fault(license)
            return Offer(license, 0, fault) if fault else Offer(license, int(available))
        counters = await self._ledger.call("counters", license.id)
        if counters.issued == 0:
            note = "not on this ledger"
        elif counters.ended:
            note = "revoked"
        elif counters.paused:
            note = "paused"
        elif counters.available == 0:
            note = "used up"
        else:
            note = "not for this unit or its operator"
        return Offer(license, 0, note)
