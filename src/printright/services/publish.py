"""Publish a design: encrypt it into the store, then fix it on the ledger, exactly once.

What this member published is on its shelf, one file a version. The file is written after the package is whole in the
store and before the ledger is asked, so that publishing again after a crash finds the package and finishes the job.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from printright.domain.estimate import NO_ESTIMATE, PrintEstimate
from printright.domain.firmware import ANY_FIRMWARE, MinimumFirmware
from printright.domain.ids import ContentId, bytes32
from printright.errors import BadValue
from printright.ledger.port import Ledger, Receipt
from printright.services.whole_file import write_whole
from printright.vault.committee import Custodian
from printright.vault.details import Details
from printright.vault.keys import LedgerKey
from printright.vault.package import GCODE, publish_package
from printright.vault.store import Store


@dataclass(frozen=True)
class Design:
    """One version on the owner's shelf. `manifest` is the digest of the manifest's blob in the stores.

    `commitment` is what the ledger took; `manifest_digest`, `salt` and `file_sha256` open it (see `license check`).
    `estimate` goes onto the licenses.
    """

    title: str
    content: ContentId
    commitment: bytes
    manifest: bytes
    manifest_digest: bytes
    salt: bytes
    file_sha256: bytes
    parts_per_run: int
    previous: ContentId | None
    estimate: PrintEstimate = NO_ESTIMATE
    minimum_firmware: MinimumFirmware = ANY_FIRMWARE


class DesignShelf:
    """The versions that this member published, a folder of JSON files. It holds salts: it is not for others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, design: Design) -> None:
        """Write a version; whole, and synced, when this returns. Raises NotWritten."""
        data = {name: value.hex() if isinstance(value, bytes) else value for name, value in vars(design).items()}
        data["estimate"] = design.estimate.to_json()
        data["minimum_firmware"] = design.minimum_firmware.to_json()
        write_whole(self._folder / f"{design.content.hex()}.json", json.dumps(data, indent=1))

    def all(self) -> list[Design]:
        """Every version on the shelf."""
        return [_from_file(path) for path in sorted(self._folder.glob("*.json"))]

    def get(self, name: str) -> Design:
        """By title (its newest version) or by the beginning of its id. Raises BadValue for none or several."""
        designs = self.all()
        followed = {design.previous for design in designs}
        found = [each for each in designs if each.title == name and each.content not in followed]
        found = found or [each for each in designs if len(name) >= 6 and each.content.hex().startswith(name.lower())]
        if len(found) != 1:
            raise BadValue(
                f"{len(found)} designs are called {name!r}", hint="`printright design list` shows titles and ids"
            )
        return found[0]

    def find(self, title: str, file_sha256: bytes, previous: ContentId | None) -> Design | None:
        """The version with this title, file and predecessor, if it was begun before."""
        wanted = (title, file_sha256, previous)
        return next((d for d in self.all() if (d.title, d.file_sha256, d.previous) == wanted), None)


async def publish(
    ledger: Ledger,
    store: Store,
    shelf: DesignShelf,
    source: Path,
    details: Details,
    *,
    title: str,
    owner_key: LedgerKey,
    custodians: Sequence[Custodian],
    threshold: int,
    parts_per_run: int = 1,
    previous: ContentId | None = None,
    estimate: PrintEstimate = NO_ESTIMATE,
    media_type: str = GCODE,
    minimum_firmware: MinimumFirmware = ANY_FIRMWARE,
    progress: Callable[[int], None] | None = None,
) -> tuple[Design, Receipt]:
    """Publish `source` as `title`, or as the next version after `previous`. The same call again changes nothing.

    `progress` is told the bytes encrypted. Raises BadValue, StoreUnavailable, LedgerRefused.
    """
    design = shelf.find(title, file_sha256(source), previous)
    if design is None:
        made = await publish_package(
            source,
            details,
            owner_signer=owner_key,
            custodians=custodians,
            threshold=threshold,
            store=store,
            parts_per_run=parts_per_run,
            media_type=media_type,
            previous=previous,
            minimum_firmware=minimum_firmware,
            progress=progress,
        )
        design = Design(
            title=title,
            content=made.content_id,
            commitment=made.manifest.commitment,
            manifest=made.manifest_blob,
            manifest_digest=made.manifest.digest,
            salt=made.details.salt,
            file_sha256=made.details.file_sha256,
            parts_per_run=parts_per_run,
            previous=previous,
            estimate=estimate,
            minimum_firmware=minimum_firmware,
        )
        shelf.add(design)
    elif design.parts_per_run != parts_per_run:
        raise BadValue(
            f"{title!r} was published with {design.parts_per_run} parts per run", hint="make it a new version"
        )
    elif design.minimum_firmware != minimum_firmware:
        raise BadValue(f"{title!r} was published with another minimum firmware", hint="make it a new version")
    key = f"publish:{design.content.hex()}"
    if previous is None:
        receipt = await ledger.send(key, "publish", design.commitment, parts_per_run)
    else:
        receipt = await ledger.send(key, "publish_version", design.commitment, previous, parts_per_run)
    return design, receipt


async def withdraw(ledger: Ledger, designs: Sequence[Design]) -> Receipt:
    """Withdraw versions for good: no job starts with them, and custodians release no key."""
    ids = hashlib.sha256(b"".join(design.content for design in designs)).hexdigest()
    return await ledger.send(f"withdraw:{ids}", "withdraw", [design.content for design in designs])


def file_sha256(path: Path) -> bytes:
    """SHA-256 of a file, 32 bytes. Raises BadValue where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise BadValue(f"cannot read {path}: {error.strerror}") from None


def _from_file(path: Path) -> Design:
    try:
        data = json.loads(path.read_text())
        hexadecimal = {
            name: bytes32(data[name], name)
            for name in ("content", "commitment", "manifest", "manifest_digest", "salt", "file_sha256")
        }
        previous = ContentId(bytes32(data["previous"], "previous")) if data["previous"] else None
        estimate = PrintEstimate.from_json(data.get("estimate", {}))
        minimum = MinimumFirmware.of(data.get("minimum_firmware", {}))
        others = {"previous": previous, "estimate": estimate, "minimum_firmware": minimum}
        return Design(**{**data, **hexadecimal, **others})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadValue(f"{path} is not a design of this shelf: {error}") from None
