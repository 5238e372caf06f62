"""Designs that are models (3MF, STL): checked before they are published, sealed for outside systems, opened from them.

A sealed 3MF is 3MF Secure Content: who has the consumer's RSA key opens it, with any software and without a ledger. It
is for machines and systems that speak nothing else; copies are counted where a unit prints the package.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from printright.domain.license import License
from printright.errors import BadValue, Misuse, ModelRefused, Refused
from printright.services.publish import Design, DesignShelf, file_sha256
from printright.services.whole_file import NotWritten
from printright.vault.secure_content import (
    NO_LICENSE,
    Binding,
    Recipient,
    Sealed,
    SecureFile,
    check_plain,
    seal,
    stl_to_3mf,
)

MODEL_3MF, MODEL_STL, ANY_FILE = "model/3mf", "model/stl", "application/octet-stream"


@dataclass(frozen=True)
class SealedFacts:
    """What a sealed 3MF says of itself. `authenticated` is whether a key opened it and everything in it held."""

    consumers: tuple[str, ...]
    encrypted: tuple[str, ...]
    key_uuids: tuple[str, ...]
    binding: Binding | None
    authenticated: bool


def media_type_of(name: str) -> str:
    """What a file that is no G-code is, by its name."""
    return {".3mf": MODEL_3MF, ".stl": MODEL_STL}.get(Path(name).suffix.lower(), ANY_FILE)


def check_model(path: Path, media_type: str) -> None:
    """Refuse a model that is hostile, broken or encrypted. Raises ModelRefused, BadValue."""
    with _opened(path) as file, _as_3mf(file, media_type) as model:
        check_plain(model)


def export_sealed(
    design: Design,
    source: Path,
    target: Path,
    recipients: Sequence[Recipient],
    *,
    license: License | None = None,
    compress: bool = True,
) -> Sealed:
    """Write `source`, the file that was published as `design`, sealed for these consumers and bound to it.

    An STL becomes a 3MF first.

    1. it is that file; 2. the license is for that design; 3. nothing is overwritten; 4. the target is there whole, or
    not at all. Raises Refused, BadValue, ModelRefused, NotWritten.
    """
    # 1.
    if file_sha256(source) != design.file_sha256:
        raise Refused(f"{source} is not the file that was published as {design.title}", hint="give the one that was")
    # 2.
    if license is not None and license.content != design.content:
        raise Refused("the license is for another design or version", hint=f"not for {design.content.hex()}")
    # 3.
    if target.exists():
        raise Misuse(f"{target} is there already", hint="give another name, or remove it")
    temporary = target.with_name(f".{target.name}.new")
    try:
        with (
            _opened(source) as file,
            _as_3mf(file, media_type_of(source.name)) as model,
            open(temporary, "xb", opener=_private) as out,
        ):
            made = seal(
                model,
                out,
                recipients,
                content=design.content,
                license_id=license.id if license is not None else NO_LICENSE,
                compress=compress,
            )
            out.flush()
            os.fsync(out.fileno())
        # 4.
        os.link(temporary, target)
    except OSError as error:
        raise NotWritten(f"cannot write {target}: {error.strerror}", hint="nothing was exported") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return made


def check_sealed(
    path: Path, *, key: RSAPrivateKey | None = None, consumer: str | None = None, license: License | None = None
) -> SealedFacts:
    """What a sealed 3MF is, and with a key whether all of it authenticates; with a license whether it is bound to it.

    Raises ModelRefused, WrongKey, BadValue.
    """
    with _opened(path) as file:
        sealed = SecureFile(file)
        if key is not None:
            sealed.unlock(key, consumer)
        if license is not None:
            require_license(sealed.binding, license)
    return SealedFacts(
        consumers=tuple(each.consumer_id for each in sealed.store.consumers),
        encrypted=tuple(sealed.encrypted),
        key_uuids=tuple(str(group.key_uuid) for group in sealed.store.groups),
        binding=sealed.binding,
        authenticated=key is not None,
    )


def require_license(binding: Binding | None, license: License) -> None:
    """Raises ModelRefused where the file is not bound to this license and its design."""
    if binding is None:
        raise ModelRefused("the 3MF is bound to no design", hint="it was not sealed by Printright")
    if binding.content != license.content:
        raise ModelRefused("the 3MF is bound to another design than the license is for")
    if binding.license != license.id:
        raise ModelRefused("the 3MF is bound to another license, or to none")


@contextmanager
def opened_model(path: Path, key: RSAPrivateKey, consumer: str | None, shelf: DesignShelf) -> Iterator[Path]:
    """The plain 3MF that a sealed one holds, as a file in memory that is gone at the end of the `with` block.

    1. everything authenticates; 2. it is bound to no design but one of this member's own: what a licensor sealed for
    us is not ours to publish; 3. the plain file passes the same checks as any other. Raises ModelRefused, WrongKey,
    Misuse.
    """
    with _opened(path) as file, _in_memory() as (plain, plain_path):
        sealed = SecureFile(file)
        # 1.
        unlocked = sealed.unlock(key, consumer)
        # 2.
        if sealed.binding is not None and sealed.binding.content not in {each.content for each in shelf.all()}:
            raise ModelRefused(
                f"the 3MF is bound to the design {sealed.binding.content.hex()}, which is not yours",
                hint="a licensee prints a design and does not publish it",
            )
        # 3.
        unlocked.write_plain(plain)
        plain.flush()
        check_plain(plain)
        yield plain_path


@contextmanager
def _as_3mf(file: BinaryIO, media_type: str) -> Iterator[BinaryIO]:
    if media_type != MODEL_STL:
        yield file
        return
    with _in_memory() as (model, _):
        stl_to_3mf(file, model)
        model.flush()
        yield model


@contextmanager
def _in_memory() -> Iterator[tuple[BinaryIO, Path]]:
    if not hasattr(os, "memfd_create"):
        raise Misuse("opening a sealed 3MF needs Linux", hint="elsewhere its plaintext would have to go to a disk")
    with os.fdopen(os.memfd_create("3mf", os.MFD_CLOEXEC), "w+b") as file:
        yield file, Path(f"/proc/self/fd/{file.fileno()}")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadValue(f"cannot read {path}: {error.strerror}") from None
    with file:
        yield file


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
