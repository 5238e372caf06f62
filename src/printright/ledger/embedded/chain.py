"""The chain: every transaction mined at once into its own block, on disk before it is answered.

py-evm executes, builds and validates the blocks. All of it runs on one thread (see `server`), so that two writers
never interleave and a reader never sees half a block.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from eth.abc import BlockAPI, BlockHeaderAPI, ReceiptAPI, SignedTransactionAPI
from eth.exceptions import HeaderNotFound, TransactionNotFound
from eth.typing import AccountState, HeaderParams
from eth.vm.chain_context import ChainContext
from eth_typing import BlockNumber, Hash32
from eth_utils.address import to_canonical_address
from eth_utils.exceptions import ValidationError
from rlp.exceptions import RLPException  # type: ignore[import-untyped]  # has no stubs

from printright.domain.ids import Address
from printright.ledger.embedded import evm, transactions
from printright.ledger.embedded.database import BlockRow, Database, LogRow
from printright.ledger.embedded.evm import Clock, TimedState, TimedVM, wall_clock

CLOCK_OFFSET = "clock_offset"


@dataclass(frozen=True)
class Mined:
    """A block with at most one transaction, as it is read back. `sender` has 20 bytes."""

    header: BlockHeaderAPI
    transactions: tuple[SignedTransactionAPI, ...]
    receipts: tuple[ReceiptAPI, ...]


class Chain:
    """One chain over one database. Not thread-safe: one thread at a time.

    `mining_limit_s` bounds the wall-clock time of one transaction.
    """

    def __init__(
        self,
        database: Database,
        chain_id: int,
        accounts: Mapping[Address, int],
        purpose: Mapping[str, str],
        *,
        clock: Clock = wall_clock,
        mining_limit_s: float = 30.0,
    ) -> None:
        """Open the chain; where the database is empty, make block 0 with these balances (wei).

        Raises StorageFailed where block 0 cannot be written.
        """
        self.chain_id = chain_id
        self.database = database
        self._clock = clock
        self._mining_limit_s = mining_limit_s
        self._class = evm.chain_class(chain_id)
        records = database.records()
        if not records:
            self._make_genesis(accounts, purpose)
        self._offset = int(records.get(CLOCK_OFFSET, "0"))
        self._chain = self._class(database)
        # Outputs of calls on a header, see `calls`: pure functions of it, and several custodians ask the same.
        self.outputs: dict[tuple[bytes, object], bytes] = {}
        self._state: TimedState | None = None
        self._state_of: BlockHeaderAPI | None = None
        self.head: BlockHeaderAPI = self._chain.get_canonical_head()

    def _make_genesis(self, accounts: Mapping[Address, int], purpose: Mapping[str, str]) -> None:
        header: dict[str, HeaderParams] = {
            "gas_limit": evm.BLOCK_GAS_LIMIT,
            "base_fee_per_gas": evm.BASE_FEE,
            "timestamp": self._clock(),
            "coinbase": evm.COINBASE,
            "extra_data": evm.EXTRA_DATA,
            "parent_beacon_block_root": evm.NO_BEACON_ROOT,
        }
        state: AccountState = {
            to_canonical_address(address): {"balance": balance, "nonce": 0, "code": b"", "storage": {}}
            for address, balance in accounts.items()
        }
        try:
            made = self._class.from_genesis(self.database, header, state).get_canonical_block_header_by_number(
                BlockNumber(0)
            )
            self.database.commit(_row(made), records=list(purpose.items()))
        finally:
            self.database.discard()

    # blocks are made

    def send(self, raw: bytes) -> bytes:
        """Mine a signed transaction into a block of its own and return its hash once the block is on disk.

        Raises RpcError where it is not admitted (also "already known"), TookTooLong, or StorageFailed; then nothing
        has changed.
        """
        transaction = transactions.decode(raw, self.chain_id)
        if self.location(transaction.hash) is not None:
            raise transactions.refused("already known")
        transactions.admit(transaction, self.state(self.head))
        self._mine((transaction,), self.next_timestamp())
        return bytes(transaction.hash)

    def mine_empty(self, timestamp: int | None = None) -> None:
        """Make a block without transactions, at `timestamp` (unix seconds) where given.

        Raises RpcError for a time that is not after the last block's, StorageFailed where it cannot be written.
        """
        if timestamp is None:
            self._mine((), self.next_timestamp())
            return
        if timestamp <= self.head.timestamp:
            raise transactions.refused(f"timestamp {timestamp} is not after the last block's, {self.head.timestamp}")
        offset = self._offset
        self._offset = timestamp - self._clock()
        try:
            self._mine((), timestamp)
        except BaseException:
            self._offset = offset
            raise

    def advance_clock(self, seconds: int) -> int:
        """Let the following blocks be `seconds` later; the sum of all such steps is returned.

        It is recorded with the next block, so that the clock of this ledger does not jump back at a restart.
        """
        self._offset += seconds
        return self._offset

    def next_timestamp(self) -> int:
        """The clock's time, or the first second after the last block's where the clock is behind that."""
        return max(self._clock() + self._offset, self.head.timestamp + 1)

    def next_header(self) -> BlockHeaderAPI:
        """The header that the next block starts from."""
        return self._header(self.next_timestamp())

    def _header(self, timestamp: int) -> BlockHeaderAPI:
        return self._chain.create_header_from_parent(
            self.head,
            timestamp=timestamp,
            gas_limit=evm.BLOCK_GAS_LIMIT,
            coinbase=evm.COINBASE,
            extra_data=evm.EXTRA_DATA,
            parent_beacon_block_root=evm.NO_BEACON_ROOT,
        )

    def _mine(self, included: tuple[SignedTransactionAPI, ...], timestamp: int) -> None:
        # The steps of py-evm's MiningChain.mine_all, with a deadline and one commit.
        header = self._header(timestamp)
        try:
            vm = self._chain.get_vm(header)
            state = vm.state
            assert isinstance(state, TimedState)
            state.deadline = time.monotonic() + self._mining_limit_s
            try:
                applied, receipts, _ = vm.apply_all_transactions(included, header)
            except ValidationError as error:
                raise transactions.refused(str(error)[:300]) from error
            filled = vm.set_block_transactions_and_withdrawals(vm.get_block(), applied, included, receipts)
            block = vm.mine_block(filled).block
            self._chain.validate_block(block)
            self._chain.chaindb.persist_block(block)
            offset = [(CLOCK_OFFSET, str(self._offset))] if self._offset else []
            self.database.commit(_row(block.header), _logs(block, receipts), offset)
        finally:
            # After a commit nothing is pending; after anything else the block was not made.
            self.database.discard()
        self.head = block.header
        self.outputs.clear()

    # blocks are read

    def header_by_number(self, number: int) -> BlockHeaderAPI | None:
        """The header of a block, None where there is none."""
        if number == self.head.block_number:
            return self.head
        if number > self.head.block_number:
            return None
        return self._chain.get_canonical_block_header_by_number(BlockNumber(number))

    def header_by_hash(self, block_hash: bytes) -> BlockHeaderAPI | None:
        """The header of a block, None where there is none."""
        try:
            header = self._chain.get_block_header_by_hash(Hash32(block_hash))
        except HeaderNotFound:
            return None
        except (ValueError, TypeError, RLPException):
            # Trie nodes share the key space with headers: a hash of something else is no block.
            return None
        return header if bytes(header.hash) == block_hash else None

    def location(self, transaction_hash: bytes) -> int | None:
        """The number of the block that has this transaction, by py-evm's index; None where there is none."""
        try:
            number, _ = self._chain.chaindb.get_transaction_index(Hash32(transaction_hash))
        except TransactionNotFound:
            return None
        return int(number)

    def mined(self, header: BlockHeaderAPI) -> Mined:
        """A block's transactions and receipts."""
        chaindb = self._chain.chaindb
        return Mined(
            header,
            tuple(chaindb.get_block_transactions(header, evm.TRANSACTION_BUILDER)),
            tuple(chaindb.get_receipts(header, evm.RECEIPT_BUILDER)),
        )

    def block(self, header: BlockHeaderAPI) -> BlockAPI:
        """py-evm's block, for its size."""
        return TimedVM.get_block_class().from_header(header, self._chain.chaindb)

    def state(self, header: BlockHeaderAPI) -> TimedState:
        """The state after the block of this header, or that a new block starts from.

        It is kept while the next callers ask for the same, with all that it has looked up; so whoever changes it
        reverts it, or lets go of it by `forget_state`.
        """
        if self._state is None or self._state.state_root != header.state_root:
            self._state = self._new_state(header)
        elif self._state_of is not header:
            self._state.execution_context = TimedVM.create_execution_context(
                header, self._previous_hashes(header), ChainContext(self.chain_id)
            )
        self._state_of = header
        return self._state

    def forget_state(self) -> None:
        """Do not use the last state again: a change to it may be left."""
        self._state = self._state_of = None

    def _previous_hashes(self, header: BlockHeaderAPI) -> Iterable[Hash32]:
        return TimedVM.get_prev_hashes(header.parent_hash, self._chain.chaindb) or ()

    def _new_state(self, header: BlockHeaderAPI) -> TimedState:
        state = TimedVM.build_state(self.database, header, ChainContext(self.chain_id), self._previous_hashes(header))
        assert isinstance(state, TimedState)
        return state


def _row(header: BlockHeaderAPI) -> BlockRow:
    return BlockRow(header.block_number, bytes(header.hash), header.timestamp)


def _logs(block: BlockAPI, receipts: tuple[ReceiptAPI, ...]) -> list[LogRow]:
    rows: list[LogRow] = []
    for transaction, receipt in zip(block.transactions, receipts, strict=True):
        for log in receipt.logs:
            topics = tuple(topic.to_bytes(32, "big") for topic in log.topics)
            rows.append(
                LogRow(block.number, len(rows), bytes(transaction.hash), bytes(log.address), topics, bytes(log.data))
            )
    return rows
