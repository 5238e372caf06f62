"""How long a ledger signature takes with the key in a token: SoftHSM2, through PKCS#11, session open and logged in.

What is measured is `sign_digest`, as the ledger's client and requests to custodians use it: the token's ECDSA, the low
s, and the recovery of v. The peer is the key in this process, in the same rounds.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from bench.figure import Figure, figure, interleaved
from printright.vault.keys import LedgerKey, SoftwareLedgerKey
from printright.vault.keys.pkcs11_keys import create_token_keys, open_token_ledger_key
from printright.vault.keys.pkcs11_uri import TokenUri
from softhsm import PIN, SoftHsm

ROUNDS = 500


def timed(key: LedgerKey) -> Callable[[], float]:
    """One signature of a digest not signed before, in milliseconds."""

    def sign() -> float:
        digest = os.urandom(32)
        start = time.perf_counter()
        key.sign_digest(digest)
        return (time.perf_counter() - start) * 1000

    return sign


def figures() -> list[Figure]:
    """`key.pkcs11_sign_ms`."""
    with tempfile.TemporaryDirectory() as name:
        hsm = SoftHsm.at(Path(name))
        os.environ.update(hsm.environment)
        place = TokenUri(token=hsm.token("bench"), module_name="softhsm2")
        ledger, _ = create_token_keys(place, "bench", lambda: PIN)
        key = open_token_ledger_key(ledger, lambda: PIN)
        found = interleaved(ROUNDS, token=timed(key), memory=timed(SoftwareLedgerKey(os.urandom(32))))
    return [
        figure(
            "key.pkcs11_sign_ms",
            found["token"],
            "ms",
            "<= 20",
            peer="key in memory, libsecp256k1",
            peer_value=found["memory"],
            ratio=found.ratio("token", "memory"),
        )
    ]
