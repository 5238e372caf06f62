"""What this unit says of itself: the profiles that it asked to be enrolled with. The ledger has the digest of one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from printright.domain.firmware import MinimumFirmware
from printright.domain.ids import Address
from printright.domain.member import UnitProfile
from printright.ledger.port import Ledger
from printright.services.whole_file import write_whole


class ProfileShelf:
    """Profiles `<digest>.json` in one folder: each request for enrolment makes one, with a salt of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, profile: UnitProfile) -> None:
        """Keep a profile; whole or not at all. Raises NotWritten."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._path(profile.digest), json.dumps(profile.to_json(), indent=1))

    def find(self, digest: bytes) -> UnitProfile | None:
        """The profile with this digest, if it was made here."""
        path = self._path(digest)
        return UnitProfile.from_json(json.loads(path.read_text())) if path.exists() else None

    def _path(self, digest: bytes) -> Path:
        return self._folder / f"{digest.hex()}.json"


@dataclass(frozen=True)
class UnitIdentity:
    """This unit, as the ledger has it. Asked each time: a unit may be enrolled anew while its agent runs."""

    ledger: Ledger
    unit: Address
    profiles: ProfileShelf

    async def profile(self) -> UnitProfile | None:
        """The profile that the unit is enrolled with, if it was made here."""
        return self.profiles.find((await self.ledger.call("unit", self.unit)).profile)

    async def fault(self, minimum: MinimumFirmware) -> str:
        """Why custodians will not release a design with this minimum to this unit; empty where they will."""
        if not minimum:
            return ""
        found = await self.ledger.call("unit", self.unit)
        if not found.active:
            return ""  # Retired, it spends nothing, and the ledger says so.
        profile = self.profiles.find(found.profile)
        return minimum.fault(attested=found.attested, registered=found.profile, profile=profile)
