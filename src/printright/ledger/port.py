"""What the rest of Printright knows of a ledger: reading, sending exactly once, finality, events.

A *key* names an intent ("start job 7 of unit U"), not a transaction. Sending twice under one key changes the
ledger once, whatever crashes, is lost or is answered twice in between.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from printright.domain.ids import Address
from printright.errors import LedgerRefused
from printright.ledger.events import Event
from printright.ledger.network import Network


class Signer(Protocol):
    """A secp256k1 key, wherever it lives. It may block: it is called in a thread."""

    @property
    def address(self) -> Address: ...

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign 32 bytes. Returns 65 bytes `r || s || v` with low s (EIP-2) and v 27 or 28."""
        ...


@dataclass(frozen=True)
class Call:
    """One intent: an idempotency key, the contract's function and its arguments."""

    key: str
    function: str
    args: tuple[Any, ...]


@dataclass(frozen=True)
class Receipt:
    """A mined, successful transaction. It is *final* only once `Ledger.wait_final` returned it."""

    tx_hash: bytes
    block_number: int
    block_hash: bytes
    gas_used: int
    events: tuple[Event, ...]
    sender: Address


class EventQuery(ABC):
    """Events in ledger order: `async for event in query`, or `await query` for a list of all."""

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[Event]: ...

    def __await__(self) -> Generator[Any, None, list[Event]]:
        return self._all().__await__()

    async def _all(self) -> list[Event]:
        return [event async for event in self]


class Ledger(ABC):
    """One contract on one network, seen by at most one account.

    Every method raises LedgerUnavailable where the ledger gave no answer that can be used; trying again is safe.
    """

    network: Network
    address: Address | None
    """The account that sends; None for a ledger that only reads."""

    @abstractmethod
    async def call(self, function: str, *args: Any, block: int | None = None) -> Any:
        """Read a view at `block`, or at the newest block. Structs and several values come as a NamedTuple with the
        ABI's field names; addresses with checksum, `bytes32` as bytes. Raises LedgerRefused, BadValue, Misuse.
        """

    async def call_final(self, function: str, *args: Any) -> tuple[int, Any]:
        """Read a view in the newest final block: that block and the value, -1 and None where no block is final.

        Where the node can be asked for final state by name, this is one round trip.
        """
        block = await self.final_block()
        return block, None if block < 0 else await self.call(function, *args, block=block)

    @abstractmethod
    async def send(self, key: str, function: str, *args: Any) -> Receipt:
        """Send once under `key` and return the mined receipt; a repeat returns the same receipt.

        Raises the typed LedgerRefused where the contract says no (before anything is signed, if that is known then);
        KeyReused for another call under a used key; NonceTaken where somebody else uses the account;
        JournalUnavailable where the intent could not be written, in which case nothing was sent.
        """

    @abstractmethod
    async def send_many(self, calls: Sequence[Call]) -> list[Receipt | LedgerRefused]:
        """Send many calls, pipelined and in order. A call may depend on the ones before it, so none is tried out first:
        a refused one costs its gas. Results are in the order of `calls`; everything but a refusal is raised, and
        repeating with the same keys goes on where it stopped.
        """

    @abstractmethod
    async def lookup(self, key: str) -> Receipt | None:
        """What became of `key`: its receipt, or None where it was never sent or is not mined. Raises its refusal."""

    @abstractmethod
    async def resume(self) -> list[str]:
        """Send all journalled, unmined transactions again, byte for byte. Returns the keys that still are not mined."""

    @abstractmethod
    async def wait_final(self, receipt: Receipt) -> Receipt:
        """Wait until the network's rules say that it cannot be undone, for as long as that takes.

        Reorganised away, the same bytes go again; the receipt that comes back then names the new block. Raises
        LedgerRefused where the new order of things made it fail.
        """

    @abstractmethod
    async def final_block(self) -> int:
        """The newest block that cannot be undone any more."""

    @abstractmethod
    async def block_number(self) -> int:
        """The newest block."""

    @abstractmethod
    async def block_timestamp(self, block: int) -> int:
        """A block's time, unix seconds."""

    @abstractmethod
    def events(
        self,
        *,
        from_block: int | None = None,
        to_block: int | None = None,
        names: Collection[str] | None = None,
        **indexed: Any,
    ) -> EventQuery:
        """The contract's events, both blocks included; by default from its deployment to the newest block.

        `names` are event classes' names; `indexed` filters by indexed fields (`unit=address`, `license=id`) and leaves
        out events that have no such field. The caller who must not be undone passes `to_block=await final_block()`.
        """
