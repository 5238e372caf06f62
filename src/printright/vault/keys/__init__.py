"""Keys of members and units: one interface by URI, wherever the key lives.

`LedgerKey` signs for a ledger account, `UnsealingKey` opens what was sealed for its owner. `create_keys` makes both
in files; `open_ledger_key` and `open_unsealing_key` open them by URI, in files and tokens; who calls says where the
password comes from. Making keys in tokens is in `pkcs11_keys`, which needs the extra `hardware`.
"""

from printright.vault.keys.files import WORK_FACTOR, CreatedKeys, create_keys
from printright.vault.keys.ledger_key import LedgerKey, SoftwareLedgerKey
from printright.vault.keys.unsealing_key import SoftwareUnsealingKey, UnsealingKey
from printright.vault.keys.uri import open_ledger_key, open_unsealing_key

__all__ = [
    "WORK_FACTOR",
    "CreatedKeys",
    "LedgerKey",
    "SoftwareLedgerKey",
    "SoftwareUnsealingKey",
    "UnsealingKey",
    "create_keys",
    "open_ledger_key",
    "open_unsealing_key",
]
