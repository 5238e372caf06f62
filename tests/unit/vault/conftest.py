"""Members with keys, a store, and a published package."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from vault_scene import DETAILS, GCODE, Member

from printright.vault import PublishedPackage, publish_package
from printright.vault.keys import SoftwareLedgerKey, SoftwareUnsealingKey
from printright.vault.stores.local import LocalStore


@pytest.fixture(scope="session")
def members() -> tuple[Member, ...]:
    return tuple(
        Member(
            SoftwareLedgerKey(bytes([n]) * 32),
            SoftwareUnsealingKey(ec.derive_private_key(1000 + n, ec.SECP256R1())),
        )
        for n in range(1, 6)
    )


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "bracket.gcode"
    path.write_bytes(GCODE)
    return path


@pytest.fixture
async def published(members: tuple[Member, ...], store: LocalStore, source: Path) -> PublishedPackage:
    return await publish_package(
        source,
        DETAILS,
        owner_signer=members[0].ledger,
        custodians=[member.custodian for member in members],
        threshold=3,
        store=store,
        parts_per_run=2,
    )
