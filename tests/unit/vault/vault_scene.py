"""What the vault's tests share: a member with keys, a file, its details."""

from __future__ import annotations

from dataclasses import dataclass

from printright.vault import Custodian, Details
from printright.vault.keys import LedgerKey, UnsealingKey

GCODE = b"".join(b"G1 X%d.%03d Y%d E%d\n" % (n % 200, n % 1000, n % 190, n) for n in range(6000))
DETAILS = Details(file_name="bracket.gcode", material="PETG", notes="do not dry", estimated_time_s=3600)


@dataclass(frozen=True)
class Member:
    ledger: LedgerKey
    unsealing: UnsealingKey

    @property
    def custodian(self) -> Custodian:
        return Custodian(self.ledger.address, self.unsealing.public_key)
