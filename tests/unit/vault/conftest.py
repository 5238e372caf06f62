"""Members with keys, a store, a published package; and tokens with keys in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from token_scene import forget_sessions
from vault_scene import DETAILS, GCODE, Member

from printright.vault import PublishedPackage, publish_package
from printright.vault.keys import SoftwareLedgerKey, SoftwareUnsealingKey
from printright.vault.keys.pkcs11_keys import create_token_keys
from printright.vault.keys.pkcs11_uri import TokenUri
from printright.vault.stores.local import LocalStore
from softhsm import PIN, SoftHsm


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


@pytest.fixture(scope="session")
def token_made(tmp_path_factory: pytest.TempPathFactory) -> tuple[SoftHsm, tuple[str, str]]:
    """A token with a pair of keys, copied for each test: making keys takes longer than most tests."""
    hsm = SoftHsm.at(tmp_path_factory.mktemp("hsm"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(*next(iter(hsm.environment.items())))
        forget_sessions()
        place = TokenUri(token=hsm.token("unit"), module_name="softhsm2")
        ledger, unsealing = create_token_keys(place, "unit", lambda: PIN)
    return hsm, (str(ledger), str(unsealing))


@pytest.fixture
def hsm(token_made: tuple[SoftHsm, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    hsm = token_made[0].copy(tmp_path / "hsm")
    monkeypatch.setenv(*next(iter(hsm.environment.items())))
    forget_sessions()
    return hsm


@pytest.fixture
def place(hsm: SoftHsm) -> TokenUri:
    """The token."""
    return TokenUri(token="unit", module_name="softhsm2")


@pytest.fixture
def keys(hsm: SoftHsm, token_made: tuple[SoftHsm, tuple[str, str]]) -> tuple[str, str]:
    """The URIs of the pair of keys in it."""
    return token_made[1]
