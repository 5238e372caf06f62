"""The licenses that a unit knows: a folder of license files, each checked when it is read."""

from __future__ import annotations

import json
from pathlib import Path

from printright.domain.ids import LicenseId
from printright.domain.license import License
from printright.errors import BadValue
from printright.services.whole_file import write_whole


class LicenseShelf:
    """License files `<id>.json` in one folder. A file that was changed or is none is refused when it is added."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, license: License) -> None:
        """Keep a license; whole or not at all. Raises NotWritten."""
        write_whole(self._path(license.id), json.dumps(license.to_json(), indent=1))

    def get(self, id: LicenseId) -> License:
        """Raises BadValue for a license that is not here."""
        path = self._path(id)
        if not path.exists():
            raise BadValue(
                f"this unit has no license {id.hex()}", hint="import its file first: `printright license import`"
            )
        return License.from_json(json.loads(path.read_text()))

    def all(self) -> list[License]:
        """All licenses, in the order of their ids."""
        return [License.from_json(json.loads(path.read_text())) for path in sorted(self._folder.glob("*.json"))]

    def _path(self, id: LicenseId) -> Path:
        return self._folder / f"{id.hex()}.json"
