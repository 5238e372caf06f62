"""The ledger port on any EVM network that speaks JSON-RPC.

web3.py deploys, and is there for whatever a caller wants besides the port (`EvmLedger.web3`), over the same checked
gateways and with CCIP-read off. The port's own calls, transactions and receipts go over `rpc` directly: through
web3.py a transaction costs milliseconds, here a fraction of one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eth_hash.auto import keccak

from printright.domain.ids import Address
from printright.errors import BadSettings, LedgerRefused, LedgerUnavailable, Misuse
from printright.ledger import pipeline
from printright.ledger.abi_words import checksummed
from printright.ledger.answers import refused_or_unavailable
from printright.ledger.contracts import contract
from printright.ledger.finality import Depth, Head
from printright.ledger.journal import Journal, State
from printright.ledger.network import Network
from printright.ledger.port import Call, EventQuery, Ledger, Receipt, Signer
from printright.ledger.reading import LogQuery, filters
from printright.ledger.rpc import Rpc, RpcError
from printright.ledger.sending import FIRST_POLL_S, LONGEST_POLL_S, Sender

if TYPE_CHECKING:
    from web3 import AsyncWeb3
    from web3.providers.async_base import AsyncBaseProvider

ZERO_HASH = bytes(32)


class WrongChain(BadSettings):
    """A gateway leads to another chain, or to another contract, than the network file says."""


class EvmLedger(Ledger):
    """Made by `open_ledger`."""

    def __init__(self, network: Network, rpc: Rpc) -> None:
        self.network = network
        self.address = None
        self.rpc = rpc
        self.sender: Sender | None = None
        self._contract = contract()
        self._policy = network.policy
        self._head_call: tuple[str, Sequence[Any]] = ("eth_getBlockByNumber", (self._policy.needs, False))

    @cached_property
    def web3(self) -> AsyncWeb3[Any]:
        """web3.py over our gateways."""
        return _web3_over(self.rpc)

    async def check_gateway(self, url: str) -> None:
        """Raises WrongChain, LedgerUnavailable."""
        network = self.network
        try:
            chain_id = int(await self.rpc.request_at(url, "eth_chainId"), 16)
            if chain_id != network.chain_id:
                raise WrongChain(
                    f"{url} leads to chain {chain_id}, and network {network.name} is chain"
                    f" {network.chain_id}; nothing was sent",
                    hint="correct `rpc_urls` or `chain_id` in the network file",
                )
            code = await self.rpc.request_at(url, "eth_getCode", network.contract, "latest")
            code_hash = "0x" + keccak(bytes.fromhex(code[2:])).hex()
        except (RpcError, TypeError, ValueError) as error:
            raise LedgerUnavailable(f"no proper answer: {error}") from error
        if code_hash != network.code_hash:
            what = "other code" if code != "0x" else "no contract"
            raise WrongChain(
                f"{url} has {what} at {network.contract} than network {network.name} says; nothing was sent",
                hint="the node may still be catching up, or the network file is for another deployment",
            )

    async def call(self, function: str, *args: Any, block: int | None = None) -> Any:
        view = self._contract.function(function)
        request = {"to": self.network.contract, "data": "0x" + view.encode(args).hex()}
        if self.address is not None:
            request["from"] = self.address
        try:
            answer = await self.rpc.request("eth_call", request, "latest" if block is None else hex(block))
        except RpcError as error:
            raise refused_or_unavailable(function, error) from None
        return view.decode(_data(answer))

    async def call_final(self, function: str, *args: Any) -> tuple[int, Any]:
        if isinstance(self._policy, Depth):
            return await super().call_final(function, *args)
        view = self._contract.function(function)
        request = {"to": self.network.contract, "data": "0x" + view.encode(args).hex()}
        # State first: should a block come in between, the number is the newer one, and both are final.
        answer, head = await self.rpc.batch([("eth_call", (request, self._policy.needs)), self._head_call])
        if isinstance(head, RpcError) or isinstance(answer, RpcError):
            return await super().call_final(function, *args)
        block = self._policy.final_height(_head(head))
        return block, None if block < 0 else view.decode(_data(answer))

    async def send(self, key: str, function: str, *args: Any) -> Receipt:
        return await self._sender().send(Call(key, function, args))

    async def send_many(self, calls: Sequence[Call]) -> list[Receipt | LedgerRefused]:
        return await pipeline.send_many(self._sender(), calls)

    async def lookup(self, key: str) -> Receipt | None:
        return await self._sender().lookup(key)

    async def resume(self) -> list[str]:
        return await self._sender().resume()

    async def wait_final(self, receipt: Receipt) -> Receipt:
        delay = FIRST_POLL_S
        entry = await asyncio.to_thread(self.sender.journal.by_hash, receipt.tx_hash) if self.sender else None
        while True:
            # Head before receipt: what the receipt shows then is at least as new as the head.
            final = await self.final_block()
            if self.sender is not None and entry is not None:
                # Also puts the bytes on the wire again where a reorganisation dropped them.
                receipt = await self.sender.follow(entry)
                if receipt.block_number <= final:
                    outcome = (entry.key, State.FINAL, "", receipt.block_number)
                    await asyncio.to_thread(self.sender.journal.settle, [outcome])
                    return receipt
            elif not await self._is_mined(receipt):
                raise LedgerUnavailable(
                    f"transaction 0x{receipt.tx_hash.hex()} is not on the ledger any more, and is not this account's",
                    hint="who sent it must send it again",
                )
            elif receipt.block_number <= final:
                return receipt
            await asyncio.sleep(delay)
            delay = min(delay * 1.5, LONGEST_POLL_S)

    async def final_block(self) -> int:
        try:
            block = await self.rpc.request(*[self._head_call[0], *self._head_call[1]])
        except RpcError as error:
            raise LedgerUnavailable(
                f"the ledger does not tell its {self._policy.needs} block: {error.message[:200]}",
                hint="check `finality` in the network file",
            ) from error
        return self._policy.final_height(_head(block))

    async def block_number(self) -> int:
        return int(await self._request("eth_blockNumber"), 16)

    async def block_timestamp(self, block: int) -> int:
        found = await self._request("eth_getBlockByNumber", hex(block), False)
        if not isinstance(found, dict):
            raise LedgerUnavailable(f"the ledger has no block {block}")
        return int(found["timestamp"], 16)

    def events(
        self,
        *,
        from_block: int | None = None,
        to_block: int | None = None,
        names: Collection[str] | None = None,
        **indexed: Any,
    ) -> EventQuery:
        first = self.network.deployed_block if from_block is None else max(from_block, self.network.deployed_block)
        return LogQuery(self, self.rpc, filters(names, indexed), first, to_block)

    async def _request(self, method: str, *params: Any) -> Any:
        try:
            return await self.rpc.request(method, *params)
        except RpcError as error:
            raise LedgerUnavailable(f"the ledger answered: {error.message[:200]}") from error

    async def _is_mined(self, receipt: Receipt) -> bool:
        found = await self._request("eth_getTransactionReceipt", "0x" + receipt.tx_hash.hex())
        return found is not None and bytes.fromhex(found["blockHash"][2:]) == receipt.block_hash

    def _sender(self) -> Sender:
        if self.sender is None:
            raise Misuse("this ledger was opened for reading", hint="open it with a key and a journal to send")
        return self.sender


@asynccontextmanager
async def open_ledger(
    network: Network,
    *,
    signer: Signer | None = None,
    journal: Path | Journal | None = None,
    timeout_s: float = 30.0,
    mined_within_s: float = 120.0,
) -> AsyncIterator[EvmLedger]:
    """Open a network, for reading or, with `signer` and `journal`, for sending from one account.

    `timeout_s` bounds one request, `mined_within_s` the waiting of `send`. What a former run journalled and did not see
    mined is sent again at once, byte for byte. Raises WrongChain, LedgerUnavailable, AlreadyRunning, BadSettings,
    JournalUnavailable.
    """
    if (signer is None) != (journal is None):
        raise BadSettings("a key that sends needs a journal, and a journal its key", hint="give both or neither")
    async with AsyncExitStack() as stack:
        rpc = await stack.enter_async_context(Rpc(network.rpc_urls, timeout_s=timeout_s))
        ledger = EvmLedger(network, rpc)
        rpc.check = ledger.check_gateway
        await rpc.check_all()
        if signer is not None and journal is not None:
            book = journal if isinstance(journal, Journal) else Journal(journal)
            await asyncio.to_thread(book.bind, network.chain_id, network.contract, signer.address)
            stack.callback(book.close)
            ledger.address = signer.address
            ledger.sender = Sender(
                rpc,
                contract(),
                network.chain_id,
                network.contract,
                network.deployed_block,
                signer,
                book,
                ledger.final_block,
                mined_within_s,
            )
            await ledger.sender.resume()
        yield ledger


async def deploy(
    rpc_url: str, signer: Signer, registrar: Address, *, name: str, finality: str, mined_within_s: float = 120.0
) -> Network:
    """Deploy the contract with `registrar` as who admits members, and return its network.

    There is no journal yet: a deployment whose answer was lost and that is repeated makes a second contract, which
    nobody knows and which holds nothing. Raises LedgerUnavailable, BadSettings.
    """
    from web3.exceptions import TimeExhausted, Web3Exception

    from printright.ledger.transaction import Fees, Unsigned

    Network(name, 1, (rpc_url,), checksummed(bytes(20)), 0, "0x" + ZERO_HASH.hex(), finality)  # fails before it costs
    compiled = contract()
    async with Rpc([rpc_url]) as rpc:
        web3 = _web3_over(rpc)
        try:
            factory = web3.eth.contract(abi=compiled.abi, bytecode=compiled.bytecode)
            call: Any = {"from": signer.address}
            transaction = await factory.constructor(registrar).build_transaction(call)
            fees = (
                Fees(int(transaction["maxFeePerGas"]), int(transaction["maxPriorityFeePerGas"]))
                if "maxFeePerGas" in transaction
                else Fees(int(transaction["gasPrice"]), None)
            )
            chain_id = await web3.eth.chain_id
            nonce = await web3.eth.get_transaction_count(web3.to_checksum_address(signer.address), "pending")
            data = bytes.fromhex(str(transaction["data"])[2:])
            unsigned = Unsigned(chain_id, nonce, fees, int(transaction["gas"]), b"", data)
            raw = unsigned.signed(await asyncio.to_thread(signer.sign_digest, unsigned.digest()))
            tx_hash = await web3.eth.send_raw_transaction(raw)
            receipt = await web3.eth.wait_for_transaction_receipt(tx_hash, timeout=mined_within_s, poll_latency=0.02)
        except (Web3Exception, TimeExhausted, RpcError) as error:
            raise LedgerUnavailable(
                f"the contract could not be deployed: {str(error)[:300]}",
                hint=f"check the node, and that account {signer.address} has funds",
            ) from error
        address = receipt.get("contractAddress")
        code_hash = "0x" + keccak(bytes(await web3.eth.get_code(address))).hex() if address else ""
        if receipt["status"] != 1 or address is None or code_hash != compiled.code_hash:
            raise LedgerUnavailable(
                "the deployed contract is not what was sent",
                hint="the network must run at least the EVM version `cancun`, and allow code of this size",
            )
        return Network(name, chain_id, (rpc_url,), Address(address), receipt["blockNumber"], code_hash, finality)


def _web3_over(rpc: Rpc) -> AsyncWeb3[Any]:
    # web3.py takes a second to import, and most processes never need it.
    from web3 import AsyncWeb3

    return AsyncWeb3(_provider(rpc))


def _provider(rpc: Rpc) -> AsyncBaseProvider:
    from web3.providers.async_base import AsyncBaseProvider
    from web3.types import RPCEndpoint, RPCResponse

    class CheckedGateways(AsyncBaseProvider):
        """web3.py's way to our gateways. It never follows a URL that a contract supplies (EIP-3668)."""

        global_ccip_read_enabled = False

        async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
            try:
                answer: RPCResponse = {"jsonrpc": "2.0", "id": 0, "result": await rpc.request(method, *params)}
            except RpcError as error:
                answer = {
                    "jsonrpc": "2.0",
                    "id": 0,
                    "error": {"code": error.code, "message": error.message, "data": error.data},
                }
            return answer

        async def is_connected(self, show_traceback: bool = False) -> bool:
            del show_traceback
            try:
                await rpc.request("eth_chainId")
            except (RpcError, LedgerUnavailable):
                return False
            return True

    return CheckedGateways()


def _head(block: Any) -> Head | None:
    if not isinstance(block, dict):
        return None
    try:
        return Head(int(block["number"], 16), bytes.fromhex(block.get("mixHash", "0x")[2:]))
    except (KeyError, TypeError, ValueError) as error:
        raise LedgerUnavailable(f"the ledger showed a block that makes no sense: {error}") from error


def _data(answer: Any) -> bytes:
    try:
        return bytes.fromhex(answer[2:])
    except (TypeError, ValueError) as error:
        raise LedgerUnavailable("the ledger answered a call with something that is not hexadecimal") from error
