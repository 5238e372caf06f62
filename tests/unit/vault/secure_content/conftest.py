"""RSA keys of two consumers, and small files to seal."""

from __future__ import annotations

import lib3mf_oracle as oracle
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from threemf_desk import Desk


@pytest.fixture(scope="session")
def desk() -> Desk:
    return Desk(*(rsa.generate_private_key(65537, 2048) for _ in range(3)))


@pytest.fixture(scope="session")
def plain() -> bytes:
    """A 3MF with one mesh, by lib3mf."""
    return oracle.write_plain(oracle.TETRAHEDRON)
