"""Sending exactly once: journal first, then the wire; asking the ledger whenever an answer is missing or odd.

For one intent, in order:

1. The key is looked up. A known one is never signed again; its transaction is followed (5).
2. The call is tried out (`eth_call`), so that a refusal costs neither gas nor a nonce.
3. Under one lock: nonce (highest of journal and ledger), signature, commit to the journal.
4. The bytes are sent.
5. The receipt is asked for until it is there. In between the same bytes are sent again, with those of all earlier
   nonces that the ledger lacks. Answers to sending are no evidence ("already known", "nonce too low", silence); what
   the ledger shows is. What costs more by now than it may is signed again under its nonce, at a higher fee, and that is
   journalled first: of transactions with one nonce one is mined, whichever it is.
6. If another transaction took the nonce, a second signature is made only when that one is final, and is recorded.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from printright.domain.ids import Address
from printright.errors import AlreadyRunning, LedgerRefused, LedgerUnavailable, WrongKey
from printright.ledger.abi_words import checksummed
from printright.ledger.answers import RawReceipt, receipt_of, refused_or_unavailable
from printright.ledger.contracts import Contract, gas_limit
from printright.ledger.events import decode
from printright.ledger.journal import Entry, Journal, State
from printright.ledger.nonces import final_transaction
from printright.ledger.port import Call, Receipt, Signer
from printright.ledger.refusals import OUT_OF_GAS, reason_of, refusal
from printright.ledger.rpc import Rpc, RpcError
from printright.ledger.transaction import Fees, Unsigned, signer_of

FIRST_POLL_S, LONGEST_POLL_S = 0.004, 1.0
# Base fee rises by an eighth with every full block: eightfold lasts 17 of them, and what is not needed is not paid.
FEE_HEADROOM = 8
DEFAULT_TIP_WEI = 1_000_000_000
GAS_MARKS = 1 << 20


class NonceTaken(AlreadyRunning):
    """Another process sends from the same account, and its transaction has our nonce."""


class NotAccepted(LedgerUnavailable):
    """The gateway will not take the transaction, for a reason of its own (funds, fees). It stays in the journal."""


@dataclass(frozen=True)
class Situation:
    """What the ledger says before a signature: its count of the account's transactions, and the fees of now.

    `price_wei` is what a unit of gas costs at the least: the base fee, or the gas price where there is none.
    """

    nonce: int
    fees: Fees
    price_wei: int


class Sender:
    """The sending half of one account's ledger; `final_block` is the reading half's."""

    def __init__(
        self,
        rpc: Rpc,
        contract: Contract,
        chain_id: int,
        to: Address,
        deployed_block: int,
        signer: Signer,
        journal: Journal,
        final_block: Callable[[], Awaitable[int]],
        mined_within_s: float,
    ) -> None:
        self.rpc = rpc
        self.journal = journal
        self.address = signer.address
        self._contract = contract
        self._chain_id = chain_id
        self._to = to
        self._deployed_block = deployed_block
        self._signer = signer
        self._final_block = final_block
        self._mined_within_s = mined_within_s
        self._signing = asyncio.Lock()
        self._signer_checked = False

    async def send(self, call: Call) -> Receipt:
        """See `Ledger.send`."""
        data, digest = self._encode(call)
        entry = await self._known(call.key)
        fresh = entry is None
        if entry is None:
            situation = await self._try_out(call.function, data)
            async with self._signing:
                (entry,) = await asyncio.to_thread(self._prepare, [(call, data, digest)], situation)
        entry.must_be(call.function, digest)
        return await self.follow(entry, call, just_signed=fresh)

    async def lookup(self, key: str) -> Receipt | None:
        """See `Ledger.lookup`."""
        entry = await self._known(key)
        if entry is None:
            return None
        entry, receipt = await self._mined(entry)
        return await self._conclude(entry, receipt) if receipt else None

    async def resume(self) -> list[str]:
        """See `Ledger.resume`."""
        entries = await asyncio.to_thread(self.journal.unsettled)
        found = await self.receipts(entries)
        missing = [entry for entry, receipt in zip(entries, found, strict=True) if receipt is None]
        # Of those that were outbid before a crash, either may be mined: sending is harmless, and `send` finds out.
        await self.submit(missing)
        return [entry.key for entry in missing]

    async def follow(self, entry: Entry, call: Call | None = None, *, just_signed: bool = False) -> Receipt:
        """Wait for an intent's receipt, sending its bytes again as often as it takes. With `call` it may be signed
        again where its nonce is lost for good. Raises the typed refusal, NonceTaken, NotAccepted, LedgerUnavailable.
        """
        deadline = time.monotonic() + self._mined_within_s
        delay = FIRST_POLL_S
        turn = 0
        rejection: RpcError | None = None
        if just_signed:
            (rejection,) = await self.submit([entry])
        while True:
            count, entry, receipt = await self._look(entry)
            if receipt is not None:
                return await self._conclude(entry, receipt)
            if count > entry.nonce:
                replaced = await self._lost_nonce(entry, call)
                if replaced is not None:
                    entry, rejection = replaced, None
            elif rejection is not None and count == entry.nonce and not await self._pooled(entry):
                raise NotAccepted(
                    f"the ledger does not take {entry.function}: {rejection.message[:200]}",
                    hint=f"mend that (account {self.address} may need funds) and repeat: the same bytes go again",
                )
            if time.monotonic() > deadline:
                raise LedgerUnavailable(
                    f"{entry.function} was sent but not mined within {self._mined_within_s:g} s",
                    hint="repeat the command: it goes on with the same transaction",
                )
            # Every eighth look sends again, with what the ledger lacks before it: a reorganisation may drop all.
            if turn % 8 == (7 if just_signed else 0):
                entry, rejection = await self._submit_up_to(entry, count)
            turn += 1
            await asyncio.sleep(delay)
            delay = min(delay * 1.5, LONGEST_POLL_S)

    async def submit(self, entries: Sequence[Entry]) -> list[RpcError | None]:
        """Put signed bytes on the wire. The answers are hints only."""
        bodies = [
            b'{"jsonrpc":"2.0","id":%d,"method":"eth_sendRawTransaction","params":["0x%b"]}'
            % (i, entry.raw.hex().encode())
            for i, entry in enumerate(entries)
        ]
        answers = await self.rpc.batch_bodies(bodies)
        return [answer if isinstance(answer, RpcError) else None for answer in answers]

    def prepare(self, calls: Sequence[Call], situation: Situation) -> list[Entry]:
        """Entries for these calls, those with new keys signed and committed together. Blocks; the lock is held."""
        return self._prepare([(call, *self._encode(call)) for call in calls], situation)

    @property
    def signing(self) -> asyncio.Lock:
        """Whoever assigns nonces holds it."""
        return self._signing

    async def situation(self) -> Situation:
        """Nonce and fees as of now."""
        return self._situation(await self.rpc.batch(self._situation_calls()))

    def conclude_success(self, entry: Entry, raw: RawReceipt) -> Receipt:
        """The receipt's value; pure."""
        ours = [decode(log) for log in raw.logs if checksummed(log.address) == self._to]
        return Receipt(
            tx_hash=entry.hash,
            block_number=int(raw.block_number, 16),
            block_hash=bytes.fromhex(raw.block_hash[2:]),
            gas_used=int(raw.gas_used, 16),
            events=tuple(ours),
            sender=self.address,
        )

    async def refused(self, entry: Entry, raw: RawReceipt) -> LedgerRefused:
        """The typed error of a mined transaction that reverted, recorded so that a repeat costs no replay."""
        reason = entry.reason if entry.state == State.REFUSED else await self._replay(entry, raw)
        outcome = (entry.key, State.REFUSED, reason, int(raw.block_number, 16))
        await asyncio.to_thread(self.journal.settle, [outcome])
        return refusal(entry.function, reason)

    async def _known(self, key: str) -> Entry | None:
        return (await asyncio.to_thread(self.journal.entries, [key])).get(key)

    def _encode(self, call: Call) -> tuple[bytes, bytes]:
        data = self._contract.function(call.function).encode(call.args)
        return data, hashlib.sha256(data).digest()

    async def _try_out(self, function: str, data: bytes) -> Situation:
        request = {"from": self.address, "to": self._to, "data": "0x" + data.hex(), "gas": hex(gas_limit(len(data)))}
        trial, *rest = await self.rpc.batch([("eth_call", (request, "latest")), *self._situation_calls()])
        if isinstance(trial, RpcError):
            raise refused_or_unavailable(function, trial)
        return self._situation(rest)

    def _situation_calls(self) -> list[tuple[str, Sequence[Any]]]:
        return [
            ("eth_getTransactionCount", (self.address, "pending")),
            ("eth_getBlockByNumber", ("latest", False)),
            ("eth_maxPriorityFeePerGas", ()),
            ("eth_gasPrice", ()),
        ]

    def _situation(self, answers: Sequence[Any]) -> Situation:
        count, block, tip, price = answers
        for answer in (count, block):
            if isinstance(answer, RpcError):
                raise LedgerUnavailable(f"the ledger answered: {answer.message[:200]}") from answer
        if not isinstance(count, str) or not isinstance(block, dict):
            raise LedgerUnavailable("the ledger shows neither account nor newest block")
        base = block.get("baseFeePerGas")
        if base is None:
            if isinstance(price, RpcError):
                raise LedgerUnavailable(f"the ledger names no gas price: {price.message[:200]}")
            return Situation(int(count, 16), Fees(int(price, 16), None), int(price, 16))
        tip_wei = DEFAULT_TIP_WEI if isinstance(tip, RpcError) else int(tip, 16)
        return Situation(int(count, 16), Fees(int(base, 16) * FEE_HEADROOM + tip_wei, tip_wei), int(base, 16))

    def _prepare(self, calls: Sequence[tuple[Call, bytes, bytes]], situation: Situation) -> list[Entry]:
        known = self.journal.entries([call.key for call, _, _ in calls])
        nonce = max(situation.nonce, self.journal.next_nonce())
        fresh: list[Entry] = []
        result: list[Entry] = []
        for call, data, digest in calls:
            entry = known.get(call.key)
            if entry is None:
                entry = known[call.key] = self._sign(call, data, digest, nonce, situation.fees)
                fresh.append(entry)
                nonce += 1
            else:
                entry.must_be(call.function, digest)
            result.append(entry)
        if fresh:
            self.journal.record(fresh)
        return result

    def _sign(self, call: Call, data: bytes, digest: bytes, nonce: int, fees: Fees) -> Entry:
        # Signatures are deterministic: without a mark of its own, the same intent on a second machine with a copy of
        # this key would be the very same transaction, and both machines would take it for theirs.
        gas = gas_limit(len(data)) + secrets.randbelow(GAS_MARKS)
        unsigned = Unsigned(self._chain_id, nonce, fees, gas, bytes.fromhex(self._to[2:]), data)
        raw = self._signed(unsigned)
        return Entry(call.key, call.function, digest, nonce, raw, unsigned.hash_of(raw))

    def _signed(self, unsigned: Unsigned) -> bytes:
        to_sign = unsigned.digest()
        signature = self._signer.sign_digest(to_sign)
        if not self._signer_checked:
            if signer_of(to_sign, signature) != self.address:
                raise WrongKey(f"the key does not sign for account {self.address}", hint="check the key's address")
            self._signer_checked = True
        return unsigned.signed(signature)

    async def _look(self, entry: Entry) -> tuple[int, Entry, RawReceipt | None]:
        """The account's count of mined transactions, and the receipt with the entry as it was mined. A count beyond our
        nonce and no receipt means that another transaction has the nonce.
        """
        count, receipt = await self.rpc.batch(
            [
                ("eth_getTransactionCount", (self.address, "latest")),
                ("eth_getTransactionReceipt", ("0x" + entry.hash.hex(),)),
            ]
        )
        for answer in (count, receipt):
            if isinstance(answer, RpcError):
                raise LedgerUnavailable(f"the ledger answered: {answer.message[:200]}") from answer
        found = receipt_of(receipt)
        if found is None and int(count, 16) > entry.nonce:
            # Nodes answer a batch in any order: only a receipt asked for after the count is evidence.
            entry, found = await self._mined(entry)
        return int(count, 16), entry, found

    async def _mined(self, entry: Entry) -> tuple[Entry, RawReceipt | None]:
        """The receipt of the intent's newest transaction or of one that it outbid, which then is the entry's."""
        all_of_it = [entry, *await asyncio.to_thread(self.journal.outbidden, entry)]
        for each, receipt in zip(all_of_it, await self.receipts(all_of_it), strict=True):
            if receipt is not None:
                if each is not entry:
                    await asyncio.to_thread(self.journal.outbid, entry, each)
                return each, receipt
        return entry, None

    async def _pooled(self, entry: Entry) -> bool:
        try:
            return await self.rpc.request("eth_getTransactionByHash", "0x" + entry.hash.hex()) is not None
        except RpcError as error:
            raise LedgerUnavailable(f"the ledger answered: {error.message[:200]}") from error

    async def receipts(self, entries: Sequence[Entry]) -> list[RawReceipt | None]:
        """The receipts that are there. An entry without one is not mined, as far as this gateway knows."""
        bodies = [
            b'{"jsonrpc":"2.0","id":%d,"method":"eth_getTransactionReceipt","params":["0x%b"]}'
            % (i, entry.hash.hex().encode())
            for i, entry in enumerate(entries)
        ]
        answers = await self.rpc.batch_bodies(bodies, RawReceipt)
        for answer in answers:
            if isinstance(answer, RpcError):
                raise LedgerUnavailable(f"the ledger answered: {answer.message[:200]}") from answer
        return answers

    async def _submit_up_to(self, entry: Entry, count: int) -> tuple[Entry, RpcError | None]:
        situation = await self.situation()
        async with self._signing:
            entries = await asyncio.to_thread(self._outbid, count, entry.nonce, situation)
        answers = await self.submit(entries or [entry])
        return (entries or [entry])[-1], answers[-1]

    def _outbid(self, first: int, last: int, situation: Situation) -> list[Entry]:
        """The intents with these nonces; those whose fees cannot be mined any more are signed and journalled anew."""
        entries = self.journal.between(first, last)
        for place, old in enumerate(entries):
            unsigned = Unsigned.of(old.raw, self._chain_id)
            if unsigned.fees.most < situation.price_wei:
                unsigned = replace(unsigned, fees=situation.fees.beyond(unsigned.fees))
                raw = self._signed(unsigned)
                entries[place] = replace(old, raw=raw, hash=unsigned.hash_of(raw))
                self.journal.outbid(old, entries[place])
        return entries

    async def _conclude(self, entry: Entry, raw: RawReceipt) -> Receipt:
        if int(raw.status, 16) == 0:
            raise await self.refused(entry, raw)
        block = int(raw.block_number, 16)
        if entry.state not in (State.MINED, State.FINAL) or entry.block != block:
            await asyncio.to_thread(self.journal.settle, [(entry.key, State.MINED, "", block)])
        return self.conclude_success(entry, raw)

    async def _replay(self, entry: Entry, raw: RawReceipt) -> str:
        # The state after the block comes first: it shows what an earlier transaction of the same block did.
        try:
            sent = await self.rpc.request("eth_getTransactionByHash", "0x" + entry.hash.hex())
            if not isinstance(sent, dict):
                return ""
            if int(raw.gas_used, 16) >= int(sent["gas"], 16):
                return OUT_OF_GAS
            request = {"from": self.address, "to": self._to, "data": sent["input"], "gas": sent["gas"]}
            block = int(raw.block_number, 16)
            trials = await self.rpc.batch(
                [("eth_call", (request, hex(block))), ("eth_call", (request, hex(max(block - 1, 0))))]
            )
        except (RpcError, KeyError, ValueError):
            return ""
        reasons = (trial.revert() for trial in trials if isinstance(trial, RpcError))
        return next((reason_of(revert) for revert in reasons if revert), "")

    async def _lost_nonce(self, entry: Entry, call: Call | None) -> Entry | None:
        """Another transaction may have our nonce. Returns the entry signed anew where that is proven and final, None
        where it is our own transaction after all, and raises NonceTaken otherwise.
        """
        taken = NonceTaken(
            f"account {self.address} sent another transaction with nonce {entry.nonce}, which was {entry.function}'s",
            hint="stop the other process that uses this key; repeat the command when its transaction is final",
        )
        try:
            last = await self._final_block()
            instead = await final_transaction(self.rpc, self.address, entry.nonce, self._deployed_block, last)
        except RpcError as error:
            raise taken from error
        if instead is None:
            raise taken
        ours = [entry, *await asyncio.to_thread(self.journal.outbidden, entry)]
        if instead in [each.hash for each in ours]:
            return None
        if call is None:
            raise taken
        data, digest = self._encode(call)
        situation = await self._try_out(call.function, data)
        async with self._signing:
            return await asyncio.to_thread(self._sign_again, entry, call, data, digest, situation, instead)

    def _sign_again(
        self, old: Entry, call: Call, data: bytes, digest: bytes, situation: Situation, instead: bytes
    ) -> Entry:
        current = self.journal.entries([old.key])[old.key]
        if current.hash != old.hash:
            return current  # Another task did it.
        nonce = max(situation.nonce, self.journal.next_nonce())
        new = self._sign(call, data, digest, nonce, situation.fees)
        self.journal.supersede(old, new, instead)
        return new
