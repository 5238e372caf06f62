"""When a block cannot be undone any more: one policy for each kind of network, chosen by its name in the network file.

Each policy says what it must see of the chain (`needs`) and decides purely from that (`final_height`); the client
fetches. A name that is not known, and a chain that does not look like what its policy is for, is refused.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from printright.errors import BadSettings, LedgerUnavailable

# keccak256("Istanbul practical byzantine fault tolerance"): the mix hash of every IBFT 2.0 and QBFT block (EIP-650).
ISTANBUL_DIGEST = bytes.fromhex("63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365")


@dataclass(frozen=True)
class Head:
    """What a policy sees: the number and the mix hash (`prevRandao` since the Merge) of the block it asked for."""

    number: int
    mix_hash: bytes


class Finality(ABC):
    """A network's rule. `needs` is the JSON-RPC block tag to look at."""

    needs: ClassVar[str] = "latest"

    @abstractmethod
    def final_height(self, head: Head | None) -> int:
        """The newest final block, or -1 where none is. Raises LedgerUnavailable for a head that cannot be judged."""


@dataclass(frozen=True)
class SingleNode(Finality):
    """`single-node`: one node makes all blocks and syncs them to its disk. For one site, demo and tests."""

    def final_height(self, head: Head | None) -> int:
        return _seen(head).number


@dataclass(frozen=True)
class FinalizedTag(Finality):
    """`finalized-tag`: the node follows a consensus that finalizes (Ethereum proof of stake, Cosmos EVM)."""

    needs: ClassVar[str] = "finalized"

    def final_height(self, head: Head | None) -> int:
        # Before a chain's first checkpoint there is no finalized block, and nothing is final.
        return -1 if head is None else head.number


@dataclass(frozen=True)
class Depth(Finality):
    """`depth:N`: N blocks stand on top. A probability and not a proof; N is the consortium's choice."""

    blocks: int

    def final_height(self, head: Head | None) -> int:
        return max(_seen(head).number - self.blocks, -1)


@dataclass(frozen=True)
class BftSeal(Finality):
    """`bft-seal`: IBFT 2.0 or QBFT, where a sealed block is final.

    The head's mix hash must be Istanbul's, so that this policy on a chain of another kind fails closed. The seals
    themselves are checked by the node that serves us, not here.
    """

    def final_height(self, head: Head | None) -> int:
        seen = _seen(head)
        if seen.mix_hash != ISTANBUL_DIGEST:
            raise LedgerUnavailable(
                f"block {seen.number} is not sealed by QBFT or IBFT, so nothing on this network counts as final",
                hint="correct `finality` in the network file",
            )
        return seen.number


def finality_of(name: str) -> Finality:
    """The policy with this name. Raises BadSettings for one that is not known."""
    if isinstance(name, str):
        if name == "single-node":
            return SingleNode()
        if name == "finalized-tag":
            return FinalizedTag()
        if name == "bft-seal":
            return BftSeal()
        depth = re.fullmatch(r"depth:([1-9][0-9]{0,5})", name)
        if depth:
            return Depth(int(depth[1]))
    raise BadSettings(
        f"unknown finality policy {str(name)[:40]!r}",
        hint="set `finality` to single-node, finalized-tag, bft-seal or depth:N with N of at least 1",
    )


def _seen(head: Head | None) -> Head:
    if head is None:
        raise LedgerUnavailable("the ledger shows no newest block")
    return head
