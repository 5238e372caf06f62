"""eth_getProof: Merkle-Patricia proofs of an account and its storage slots. Source: EIP-1186, EIP-161 (absence)."""

from __future__ import annotations

from dataclasses import dataclass

import rlp  # type: ignore[import-untyped]  # has no stubs
from eth.abc import BlockHeaderAPI
from eth.constants import BLANK_ROOT_HASH
from eth.rlp.accounts import Account
from eth_utils.crypto import keccak
from trie.hexary import HexaryTrie

from printright.ledger.embedded.database import Database


@dataclass(frozen=True)
class SlotProof:
    """One storage slot: its value (0 where absent) and the encoded nodes from the storage root to it."""

    slot: int
    value: int
    nodes: tuple[bytes, ...]


@dataclass(frozen=True)
class AccountProof:
    """An account as in the state trie and the encoded nodes from the state root to it or to where it would be."""

    account: Account
    nodes: tuple[bytes, ...]
    slots: tuple[SlotProof, ...]


def prove(database: Database, header: BlockHeaderAPI, address: bytes, slots: tuple[int, ...]) -> AccountProof:
    """The proof after the block of this header; `address` has 20 bytes, a slot 256 bits."""
    state = HexaryTrie(database, root_hash=header.state_root)
    key = keccak(address)
    encoded = state[key]
    account = rlp.decode(encoded, sedes=Account) if encoded else Account()
    storage = HexaryTrie(database, root_hash=account.storage_root)
    return AccountProof(
        account,
        _nodes(state, key),
        tuple(_slot(storage, slot) for slot in slots),
    )


def _slot(storage: HexaryTrie, slot: int) -> SlotProof:
    if storage.root_hash == BLANK_ROOT_HASH:
        return SlotProof(slot, 0, ())
    key = keccak(slot.to_bytes(32, "big"))
    encoded = storage[key]
    value = rlp.decode(encoded, sedes=rlp.sedes.big_endian_int) if encoded else 0
    return SlotProof(slot, value, _nodes(storage, key))


def _nodes(trie: HexaryTrie, key: bytes) -> tuple[bytes, ...]:
    encoded = [rlp.encode(node) for node in trie.get_proof(key)]  # type: ignore[no-untyped-call]
    # A node of less than 32 bytes stands inside its parent and is proved with it; only the root always counts.
    return tuple(node for index, node in enumerate(encoded) if index == 0 or len(node) >= 32)
