"""3MF Secure Content 1.0.3: 3MF files whose parts are encrypted for named consumers.

seal       plain -> encrypted             container  the zip file, in one reading only   keystore  who, what, how
unseal     encrypted -> plain             inflate    deflate, bounded                    wrapping  RSA-OAEP
plain      checks a plain 3MF             strict_xml XML without its attacks             cipher    AES-256-GCM parts
binding    design and license             opc        content types, relationships        model     root and build
scripts    settings that run programs     stl        STL meshes as 3MF
"""

from printright.vault.secure_content.binding import NO_LICENSE, Binding
from printright.vault.secure_content.inflate import Limits
from printright.vault.secure_content.plain import PlainFile, check_plain
from printright.vault.secure_content.seal import Recipient, Sealed, seal
from printright.vault.secure_content.stl import stl_to_3mf
from printright.vault.secure_content.unseal import SecureFile, UnlockedFile

__all__ = [
    "NO_LICENSE",
    "Binding",
    "Limits",
    "PlainFile",
    "Recipient",
    "Sealed",
    "SecureFile",
    "UnlockedFile",
    "check_plain",
    "seal",
    "stl_to_3mf",
]
