"""The frozen 3MF files of tests/vectors/threemf: each is read, or refused for the reason that its maker had in mind."""

from __future__ import annotations

import functools
import io
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from printright.errors import ModelRefused
from printright.vault.secure_content import SecureFile, check_plain

VECTORS = Path(__file__).parents[3] / "vectors" / "threemf"
REASONS: dict[str, str] = json.loads((VECTORS / "refused.json").read_text())
FILES = sorted(VECTORS.glob("*.3mf"))


@functools.cache
def key() -> RSAPrivateKey:
    loaded = serialization.load_pem_private_key((VECTORS / "consumer.pem").read_bytes(), None)
    assert isinstance(loaded, RSAPrivateKey)
    return loaded


def read(path: Path) -> None:
    """As a rights holder's import does: all of it, down to the last plaintext byte."""
    if "-secure-" not in path.stem:
        with path.open("rb") as file:
            check_plain(file)
        return
    plain = io.BytesIO()
    with path.open("rb") as file:
        SecureFile(file).unlock(key(), "shop").write_plain(plain)
    assert check_plain(plain).package.keystore is None


def test_every_file_has_its_outcome_in_its_name() -> None:
    named = {path.stem for path in FILES}
    assert {stem for stem in named if not stem.startswith("accepted-")} == REASONS.keys()
    assert len(REASONS) > 140


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_vector(path: Path) -> None:
    if path.stem.startswith("accepted-"):
        read(path)
        return
    with pytest.raises(ModelRefused) as refused:
        read(path)
    assert REASONS[path.stem] in str(refused.value)
    assert "\n" not in refused.value.message, "one clear line"
