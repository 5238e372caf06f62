"""Plain 3MF files: checked whole before they are published or sealed, and written from parts."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import BinaryIO

from printright.errors import ModelRefused
from printright.vault.secure_content.container import NESTED_MAGIC
from printright.vault.secure_content.inflate import Limits
from printright.vault.secure_content.model import ModelScan
from printright.vault.secure_content.opc import MODEL_TYPE, OpcPackage
from printright.vault.secure_content.scripts import MAX_SETTINGS_BYTES, SUFFIXES, refuse_scripts

Pieces = Iterable[bytes]


@dataclass(frozen=True)
class PlainFile:
    """A plain 3MF that was read from end to end, and what its model parts are like, by name."""

    package: OpcPackage
    models: dict[str, ModelScan]


def check_plain(file: BinaryIO, limits: Limits | None = None) -> PlainFile:
    """Read a plain 3MF from end to end: container, relationships, every part. Raises ModelRefused.

    What passes may be given to any slicer: one reading only, no archive in it, no entities, no scripts.
    """
    package = OpcPackage(file, limits)
    if package.keystore is not None:
        raise ModelRefused("this 3MF is encrypted", hint="`printright design import-3mf` opens it with its RSA key")
    models: dict[str, ModelScan] = {}
    for name in package.container.parts:
        for _ in checked(package, name, package.container.stream(name), models):
            pass
    return PlainFile(package, models)


def checked(
    package: OpcPackage, name: str, pieces: Iterable[bytes], models: dict[str, ModelScan] | None = None
) -> Iterator[bytes]:
    """The same pieces of one part's plaintext, with what its kind must not hold refused. Raises ModelRefused.

    At the end the scan of a model is put into `models`.
    """
    if package.types.of(name) == MODEL_TYPE:
        return _model(name, pieces, {} if models is None else models)
    return _settings(name, pieces) if name.lower().endswith(SUFFIXES) else _other(name, pieces)


def _model(name: str, pieces: Iterable[bytes], models: dict[str, ModelScan]) -> Iterator[bytes]:
    scan = ModelScan(name)
    for piece in pieces:
        scan.feed(piece)
        yield piece
    scan.close()
    models[name] = scan


def _settings(name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    kept: list[bytes] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > MAX_SETTINGS_BYTES:
            raise ModelRefused(f"{name} has more than {MAX_SETTINGS_BYTES} bytes of settings")
        kept.append(piece)
        yield piece
    refuse_scripts(name, b"".join(kept))


def _other(name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    head = b""
    for piece in pieces:
        if len(head) < 8:
            head += piece[:8]
            if head.startswith(NESTED_MAGIC):
                raise ModelRefused(f"{name} is an archive inside the archive")
        yield piece


class PartsWriter:
    """Writes a 3MF part by part, in a `with` block. Encrypted parts are stored, since nothing shrinks them."""

    def __init__(self, target: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(target, "w")

    def add(self, name: str, pieces: Pieces, *, deflate: bool) -> None:
        self.stream(name, lambda write: [write(piece) for piece in pieces], deflate=deflate)

    def stream(self, name: str, fill: Callable[[Callable[[bytes], object]], object], *, deflate: bool) -> None:
        """Let `fill` write the part."""
        info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
        info.compress_type = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
        try:
            with self._zip.open(info, "w") as part:
                fill(part.write)
        except RuntimeError:  # zipfile's word for more than 2 GiB without zip64
            raise ModelRefused(f"{name} has more than 2 GiB") from None

    def __enter__(self) -> PartsWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # After an error the target is thrown away; zipfile would otherwise finish it when it is collected.
        with suppress(Exception) if kind else nullcontext():
            self._zip.close()
