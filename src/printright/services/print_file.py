"""Print files as slicers export them, each as plain G-code: text, binary (.bgcode), packaged (.gcode.3mf).

What is published is text, whatever it was: machines, their allow-list and the ledger's digest know one form. A file
that is unpacked is kept in memory; only on systems without files in memory it waits in a private temporary file, on the
machine of its owner, as the original does.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from printright.domain.estimate import PrintEstimate
from printright.errors import BadValue, ModelRefused
from printright.services.bgcode import read_bgcode
from printright.services.slicing import estimate_of, read_estimate
from printright.vault.secure_content.container import Container
from printright.vault.secure_content.inflate import Limits
from printright.vault.secure_content.scripts import MAX_SETTINGS_BYTES, SUFFIXES, refuse_scripts

TEXT_SUFFIXES = (".gcode", ".gco", ".g")
BINARY_SUFFIXES = (".bgcode", ".bgc")
PACKAGED_SUFFIX = ".gcode.3mf"
MAX_FILE_BYTES = 1 << 30
_PLATE = re.compile(r"Metadata/plate_[0-9]{1,3}\.gcode").fullmatch


@dataclass(frozen=True)
class PrintFile:
    """Plain G-code at `path`, under the name that it is published as. `path` is gone when its context ends."""

    path: Path
    name: str
    estimate: PrintEstimate


def is_print_file(name: str) -> bool:
    """Whether this is G-code in one of the forms, by its name."""
    return name.lower().endswith((*TEXT_SUFFIXES, *BINARY_SUFFIXES, PACKAGED_SUFFIX))


@contextmanager
def open_print_file(source: Path, name: str = "") -> Iterator[PrintFile]:
    """A print file as plain G-code, and what its slicer says of it. `name` is the file's where `source` has another.

    Raises GcodeRefused and ModelRefused for a file that is not what its name says, or hostile; BadValue for one that
    cannot be read or has several plates.
    """
    name = name or source.name
    lower = name.lower()
    try:
        if lower.endswith(PACKAGED_SUFFIX):
            text, estimate = _packaged(source)
            name = name[: -len(".3mf")]
        elif lower.endswith(BINARY_SUFFIXES):
            text, estimate = read_bgcode(_whole(source))
            name = f"{name.rpartition('.')[0]}.gcode"
        else:
            yield PrintFile(source, name, read_estimate(source))
            return
    except OSError as error:
        raise BadValue(f"cannot read {source}: {error.strerror}") from None
    with _in_memory(text) as path:
        yield PrintFile(path, name, estimate)


def _whole(source: Path) -> bytes:
    if source.stat().st_size > MAX_FILE_BYTES:
        raise BadValue(f"{source} has more than {MAX_FILE_BYTES} bytes", hint="export it as plain G-code")
    return source.read_bytes()


def _packaged(source: Path) -> tuple[bytes, PrintEstimate]:
    """The one plate of a project that Bambu Studio or OrcaSlicer exported with its G-code.

    1. the container is sound, and no script in its settings; 2. one plate; 3. its text has the digest beside it.
    """
    with source.open("rb") as file:
        # 1
        container = Container(file, Limits(file_bytes=MAX_FILE_BYTES, part_bytes=MAX_FILE_BYTES))
        for name in container.parts:
            if name.lower().endswith(SUFFIXES):
                refuse_scripts(name, container.read(name, MAX_SETTINGS_BYTES))
        # 2
        plates = [name for name in container.parts if _PLATE(name)]
        if not plates:
            raise ModelRefused(f"{source.name} has no G-code in it", hint="slice the plate, then export it again")
        if len(plates) > 1:
            raise BadValue(f"{source.name} has {len(plates)} plates", hint="export each plate for itself")
        text = container.read(plates[0], MAX_FILE_BYTES)
        # 3
        digest = f"{plates[0]}.md5"
        if digest in container.parts:
            said = container.read(digest, 64).decode("ascii", "replace").strip().lower()
            if said != hashlib.md5(text, usedforsecurity=False).hexdigest():
                raise ModelRefused(f"{source.name}: the G-code is not the one that its digest is of")
        estimate = read_estimate(text)
        picture = f"{plates[0].removesuffix('.gcode')}.png"
        if not estimate.thumbnail_png and picture in container.parts and container.parts[picture].size <= 4 << 20:
            shown = estimate_of({}, [container.read(picture, 4 << 20)]).thumbnail_png
            estimate = PrintEstimate(**{**vars(estimate), "thumbnail_png": shown})
    return text, estimate


@contextmanager
def _in_memory(text: bytes) -> Iterator[Path]:
    if sys.platform == "linux":
        fd = os.memfd_create("print-file", os.MFD_CLOEXEC)
        with os.fdopen(fd, "wb") as file:
            file.write(text)
            file.flush()
            yield Path(f"/proc/self/fd/{fd}")
    else:
        with tempfile.TemporaryDirectory(prefix="printright-") as folder:
            path = Path(folder) / "print-file.gcode"
            path.touch(mode=0o600)
            path.write_bytes(text)
            yield path
