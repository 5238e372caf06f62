"""Re-sharing the scene's design, step by step as the members do it; the store is a folder that all of them reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from custody_scene import CUSTODIANS, KEYS, OWNER, Scene, sending
from custody_vault import ledger_key, unsealing_key

from printright.domain.ids import Address, Digest
from printright.ledger.evm import EvmLedger, open_ledger
from printright.services import reshare
from printright.vault.committee import Custodian
from printright.vault.custody_in_force import CustodyInForce, fetch_custody
from printright.vault.custody_record import Acceptance, Contribution, CustodyRecord, Order
from printright.vault.keys import LedgerKey, SoftwareUnsealingKey
from printright.vault.stores.local import LocalStore

STAYS, LEAVES = CUSTODIANS[1], CUSTODIANS[0]
NEWCOMERS = tuple(ledger_key(f"newcomer {n}") for n in range(3))


@dataclass(frozen=True)
class Keeper:
    """A member of the next committee, with a new unsealing key."""

    key: LedgerKey
    unsealing: SoftwareUnsealingKey

    @property
    def custodian(self) -> Custodian:
        return Custodian(self.key.address, self.unsealing.public_key)


def keeper(key: LedgerKey, epoch: int = 1) -> Keeper:
    return Keeper(key, unsealing_key(f"{key.address} of epoch {epoch}"))


NEXT = (keeper(KEYS[STAYS]), keeper(NEWCOMERS[0]), keeper(NEWCOMERS[1]))


@dataclass
class Handover:
    """From the scene's custody to `to`, any `threshold` of whom have the key."""

    custody: Scene
    folder: Path
    to: tuple[Keeper, ...] = NEXT
    threshold: int = 2
    blob: Digest = field(init=False)

    def __post_init__(self) -> None:
        self.store = LocalStore(self.folder / "store")

    async def order(self, ledger: EvmLedger, key: LedgerKey = OWNER) -> Order:
        self.blob = await self.store.put(self.custody.manifest.to_json())
        now = await reshare.present(ledger, self.store, self.blob)
        return reshare.order(now, [each.custodian for each in self.to], self.threshold, key)

    async def contribution(self, order: Order, ledger: EvmLedger, custodian: Address) -> Contribution:
        keys = [self.custody.custodian_keys[custodian]]
        return await reshare.contribute_to(order, ledger, self.store, KEYS[custodian], keys)

    async def acceptances(self, record: CustodyRecord, ledger: EvmLedger) -> list[Acceptance]:
        return [await reshare.accept(record, ledger, self.store, each.key, [each.unsealing]) for each in self.to]

    async def accepted(self, dealers: tuple[Address, ...] = CUSTODIANS[1:4]) -> tuple[CustodyRecord, list[Acceptance]]:
        """All steps but the last."""
        async with open_ledger(self.custody.network) as ledger:
            order = await self.order(ledger)
            contributions = [await self.contribution(order, ledger, each) for each in dealers]
            record, wrong = await reshare.collect(order, contributions, ledger, self.store)
            assert wrong == {}
            return record, await self.acceptances(record, ledger)

    async def put_into_force(self, record: CustodyRecord, acceptances: list[Acceptance]) -> CustodyRecord:
        async with sending(self.custody.network, OWNER, self.folder, "owner.sqlite") as ledger:
            done, _ = await reshare.put_into_force(record, acceptances, ledger, self.store)
        return done

    async def all_steps(self) -> CustodyInForce:
        return await self.in_force(await self.put_into_force(*await self.accepted()))

    async def in_force(self, record: CustodyRecord) -> CustodyInForce:
        """As a unit fetches it, which reads from the ledger that this is the record."""
        async with open_ledger(self.custody.network) as ledger:
            design = await ledger.call("design", self.custody.manifest.content_id)
        assert design.custody == record.blob
        return await fetch_custody(self.custody.manifest, self.blob, Digest(design.custody), self.store)

    def keepers(self) -> dict[Address, SoftwareUnsealingKey]:
        return {each.key.address: each.unsealing for each in self.to}
