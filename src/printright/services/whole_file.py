"""Small files that later steps depend on: there whole, and still there after a power cut, or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from printright.errors import CouldNotCheck


class NotWritten(CouldNotCheck):
    """A file could not be written (disk full, no permission). What was to follow from it did not happen."""


def write_whole(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Write beside, sync, rename, sync the folder. Raises NotWritten; then `path` is what it was before.

    Without the last sync a power cut can take the new name away again, although what followed from it has happened.
    """
    temporary = path.with_name(path.name + ".new")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise NotWritten(
            f"cannot write {path}: {error.strerror}; nothing that follows from it was done",
            hint="make room on its disk and check its permissions, then repeat the command",
        ) from None
