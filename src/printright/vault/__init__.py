"""The vault: packages, the stores that hold them, and the keys and custodians that open them.

stream     encrypted streams in Tink's format, seekable       manifest   what a package holds, signed
package    publish to a store, open from one                  details    what only the licensed may know
store      the port; stores/ local folder, other node         sharing    t-of-n, verifiable (Feldman)
custody    shares sealed for custodians, and back             committee  who they are, what their shares must fit
keys/      ledger and unsealing keys by URI                   sealing    HPKE for one receiver
secure_content/  3MF Secure Content: sealed models for and from other systems
"""

from printright.vault.committee import Custodian
from printright.vault.details import Details, FileDetails
from printright.vault.manifest import Manifest
from printright.vault.package import (
    Package,
    PublishedPackage,
    UnlockedPackage,
    fetch_manifest,
    open_package,
    publish_package,
)
from printright.vault.store import Store

__all__ = [
    "Custodian",
    "Details",
    "FileDetails",
    "Manifest",
    "Package",
    "PublishedPackage",
    "Store",
    "UnlockedPackage",
    "fetch_manifest",
    "open_package",
    "publish_package",
]
