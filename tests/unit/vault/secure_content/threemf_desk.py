"""Who seals for whom in the tests of Secure Content."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from printright.domain.ids import ContentId, LicenseId
from printright.vault.secure_content import Recipient, Sealed, SecureFile, seal

VECTORS = Path(__file__).parents[3] / "vectors" / "threemf"

CONTENT, LICENSE = ContentId(b"c" * 32), LicenseId(b"l" * 32)


@dataclass(frozen=True)
class Desk:
    """Who seals for whom: two consumers, and a stranger's key."""

    shop: rsa.RSAPrivateKey
    printer: rsa.RSAPrivateKey
    stranger: rsa.RSAPrivateKey

    def seal(self, plain: bytes, *, compress: bool = True) -> tuple[bytes, Sealed]:
        target = io.BytesIO()
        recipients = [
            Recipient("shop", self.shop.public_key()),
            Recipient("HP#MOP44B#SG5693454", self.printer.public_key(), "KEK_1"),
        ]
        made = seal(io.BytesIO(plain), target, recipients, content=CONTENT, license_id=LICENSE, compress=compress)
        return target.getvalue(), made

    def unseal(self, sealed: bytes, key: rsa.RSAPrivateKey | None = None) -> bytes:
        plain = io.BytesIO()
        SecureFile(io.BytesIO(sealed)).unlock(key or self.shop).write_plain(plain)
        return plain.getvalue()
