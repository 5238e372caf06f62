"""The compiled contract on three kinds of chain behind one small interface, so that one story can be told on each.

`BoaChain` (titanoboa's py-evm, about 2,000 calls/s, no transactions, so no true gas), `PyEvmChain` (py-evm with real
signed transactions: true gas) and `AnvilChain` (revm, an independent EVM, over JSON-RPC). Chain id, contract address
and block times are the same on all three, so that signatures, ids, storage and events must be the same bytes.
"""

from __future__ import annotations

import functools
import gzip
import http.client
import json
import socket
import subprocess
import time
import warnings
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from build import compile_deployables
from eth_abi import decode, encode
from eth_utils import keccak, to_canonical_address
from tests.contracts.accounts import REGISTRAR, Account
from vyper.compiler.settings import OptimizationLevel

FOLDER = Path(__file__).parents[2] / "contracts"
CHAIN_ID = 1337
START = 1_800_000_000
# Every chain deploys at the address that this account's first transaction creates.
DEPLOYER = Account("deployer")


def created_by(deployer: bytes) -> bytes:
    """The address of the contract that an account's first transaction creates: keccak(rlp(account, 0))."""
    return keccak(b"\xd6\x94" + deployer + b"\x80")[12:]


ADDRESS = created_by(DEPLOYER.address)
GAS_LIMIT = 10_000_000


class Event(NamedTuple):
    """A decoded log and the time of its block."""

    name: str
    args: dict[str, Any]
    time_s: int


@dataclass(frozen=True)
class Outcome:
    """What one call did. `reason` is the revert string, None on success; `logs` are (topics, data) pairs."""

    reason: str | None
    output: bytes
    logs: tuple[tuple[tuple[bytes, ...], bytes], ...]
    gas: int | None = None


@functools.cache
def artifact(optimize: OptimizationLevel = OptimizationLevel.GAS) -> dict[str, Any]:
    """The deployable as `contracts/build.py` compiles it."""
    with warnings.catch_warnings(record=True) as said:
        compiled = compile_deployables(FOLDER, optimize)["printright"]
    # Without optimization it is larger than an account may hold; that level is only there to be compared.
    assert not said or optimize is OptimizationLevel.NONE, said
    return compiled


def _type(item: dict[str, Any]) -> str:
    if item["type"].startswith("tuple"):
        return f"({','.join(_type(c) for c in item['components'])}){item['type'][5:]}"
    return str(item["type"])


def _value(item: dict[str, Any], raw: Any) -> Any:
    if item["type"] == "address":
        return to_canonical_address(raw)
    if item["type"] == "tuple":
        names = [c["name"] for c in item["components"]]
        return namedtuple(item.get("name") or "Struct", names)(
            *(_value(c, v) for c, v in zip(item["components"], raw, strict=True))
        )
    return raw


class Abi:
    """Encodes calls and decodes answers and events. Addresses are 20 bytes, words 32, numbers ints."""

    def __init__(self, abi: list[dict[str, Any]]) -> None:
        self.functions = {i["name"]: i for i in abi if i["type"] == "function"}
        self.types = {name: [_type(i) for i in f["inputs"]] for name, f in self.functions.items()}
        self.selectors = {name: keccak(text=f"{name}({','.join(types)})")[:4] for name, types in self.types.items()}
        self.names = {selector: name for name, selector in self.selectors.items()}
        self.events: dict[bytes, dict[str, Any]] = {}
        for item in abi:
            if item["type"] == "event":
                text = f"{item['name']}({','.join(_type(i) for i in item['inputs'])})"
                self.events[keccak(text=text)] = item

    @property
    def changing(self) -> list[str]:
        """The functions that may change the state."""
        return [n for n, f in self.functions.items() if f["stateMutability"] not in ("view", "pure")]

    def call(self, name: str, *args: Any) -> bytes:
        return self.selectors[name] + encode(self.types[name], args)

    def answer(self, name: str, output: bytes) -> Any:
        outputs = self.functions[name]["outputs"]
        values = decode([_type(i) for i in outputs], output)
        found = tuple(_value(i, v) for i, v in zip(outputs, values, strict=True))
        return found[0] if len(found) == 1 else found

    def event(self, topics: tuple[bytes, ...], data: bytes, time_s: int) -> Event:
        item = self.events[topics[0]]
        indexed = [i for i in item["inputs"] if i["indexed"]]
        rest = [i for i in item["inputs"] if not i["indexed"]]
        args = {i["name"]: _value(i, decode([_type(i)], t)[0]) for i, t in zip(indexed, topics[1:], strict=True)}
        for i, v in zip(rest, decode([_type(i) for i in rest], data), strict=True):
            args[i["name"]] = _value(i, v)
        return Event(item["name"], args, time_s)


@functools.cache
def abi() -> Abi:
    return Abi(artifact()["abi"])


def reason_of(output: bytes) -> str:
    """The string of `Error(string)`; anything else (a bare revert, a panic) is named as such."""
    if output[:4] == keccak(text="Error(string)")[:4]:
        return str(decode(["string"], output[4:])[0])
    return f"bare revert {output.hex()}"


@functools.cache
def _env() -> Any:
    # One environment for all: titanoboa's tracers pile up on py-evm's classes with every further one.
    from boa.environment import Env

    return Env()


class BoaChain:
    """titanoboa. `anchored` takes everything back that happens inside."""

    def __init__(self, optimize: OptimizationLevel = OptimizationLevel.GAS) -> None:
        from boa.util.abi import Address

        self.env = _env()
        self.at = Address(ADDRESS)
        self.now = START
        state = self.env.evm.vm.state
        for slot in self.env.sstore_trace.get(self.at, ()):
            state.set_storage(ADDRESS, slot, 0)
        state.set_code(ADDRESS, b"")
        patch = self.env.evm.patch
        patch.chain_id, patch.timestamp = CHAIN_ID, START
        # The level NONE is larger than a deployment may be; here only its behavior counts.
        patch.code_size_limit = 1 << 16
        self.env.sstore_trace.clear()
        code = bytes.fromhex(artifact(optimize)["bytecode"][2:]) + encode(["address"], [REGISTRAR.address])
        _, computation = self.env.deploy(sender=Address(DEPLOYER.address), bytecode=code, override_address=self.at)
        self.deployed = self._outcome(computation)
        assert self.deployed.reason is None, self.deployed
        self._code = state.get_code(ADDRESS)

    def send(self, sender: bytes, data: bytes) -> Outcome:
        from boa.vm.py_evm import BaseTransactionContext, FakeMessage

        state = self.env.evm.vm.state
        message = FakeMessage(
            sender=sender, to=ADDRESS, gas=GAS_LIMIT, value=0, code=self._code, data=data, is_static=False
        )
        context = BaseTransactionContext(origin=sender, gas_price=0)
        return self._outcome(state.computation_class.apply_message(state, message, context))

    view = send

    @staticmethod
    def _outcome(computation: Any) -> Outcome:
        if computation.is_error:
            return Outcome(reason_of(computation.output), computation.output, ())
        logs = tuple(
            (tuple(topic.to_bytes(32, "big") for topic in topics), data)
            for _, topics, data in computation.get_log_entries()
        )
        return Outcome(None, computation.output, logs)

    def set_time(self, now: int) -> None:
        self.now = now
        self.env.evm.patch.timestamp = now

    def peek(self, slot: int) -> int:
        return int(self.env.evm.vm.state.get_storage(ADDRESS, slot))

    def poke(self, slot: int, value: int) -> None:
        self.env.evm.vm.state.set_storage(ADDRESS, slot, value)
        self.env.sstore_trace.setdefault(self.at, set()).add(slot)

    def storage(self) -> dict[int, int]:
        """Every slot that holds anything."""
        state = self.env.evm.vm.state
        found = {s: state.get_storage(ADDRESS, s) for s in self.env.sstore_trace.get(self.at, ())}
        return {slot: value for slot, value in found.items() if value}

    @contextmanager
    def anchored(self) -> Iterator[None]:
        now, written = self.now, set(self.env.sstore_trace.get(self.at, ()))
        with self.env.anchor():
            yield
        self.set_time(now)
        self.env.sstore_trace[self.at] = written


class PyEvmChain:
    """py-evm with real signed transactions, one a block."""

    def __init__(self, accounts: tuple[Account, ...]) -> None:
        from eth.chains.base import MiningChain
        from eth.constants import BLANK_ROOT_HASH, ZERO_ADDRESS, ZERO_HASH32
        from eth.db.atomic import AtomicDB
        from eth.vm.forks.prague import PragueVM
        from eth_keys.datatypes import PrivateKey

        class OneNetwork(MiningChain):
            chain_id = CHAIN_ID
            vm_configuration = ((0, PragueVM),)

        genesis = {
            "coinbase": ZERO_ADDRESS, "difficulty": 0, "extra_data": b"", "gas_limit": 30_000_000,
            "mix_hash": ZERO_HASH32, "nonce": bytes(8), "receipt_root": BLANK_ROOT_HASH,
            "timestamp": START - 1, "transaction_root": BLANK_ROOT_HASH,
        }  # fmt: skip
        self.keys = {a.address: PrivateKey(a.secret) for a in (DEPLOYER, *accounts)}
        rich = {"balance": 10**24, "nonce": 0, "code": b"", "storage": {}}
        self.chain = OneNetwork.from_genesis(AtomicDB(), genesis, dict.fromkeys(self.keys, rich))
        self.now = START
        self.nonces = dict.fromkeys(self.keys, 0)
        code = bytes.fromhex(artifact()["bytecode"][2:]) + encode(["address"], [REGISTRAR.address])
        self.deployed = self._transact(DEPLOYER.address, b"", code)
        assert self.deployed.reason is None

    def _transact(self, sender: bytes, to: bytes, data: bytes) -> Outcome:
        self.chain.header = self.chain.header.copy(timestamp=self.now)
        transaction = (
            self.chain.get_vm()
            .get_transaction_builder()
            .new_unsigned_dynamic_fee_transaction(
                chain_id=CHAIN_ID,
                nonce=self.nonces[sender],
                max_priority_fee_per_gas=0,
                max_fee_per_gas=10**10,
                gas=GAS_LIMIT,
                to=to,
                value=0,
                data=data,
                access_list=(),
            )
            .as_signed_transaction(self.keys[sender])
        )
        self.nonces[sender] += 1
        _, receipt, computation = self.chain.apply_transaction(transaction)
        gas = receipt.gas_used
        self.chain.mine_block()
        outcome = BoaChain._outcome(computation)
        return Outcome(outcome.reason, outcome.output, outcome.logs, gas)

    def send(self, sender: bytes, data: bytes) -> Outcome:
        self.now += 1
        return self._transact(sender, ADDRESS, data)

    def set_time(self, now: int) -> None:
        self.now = now


class AnvilChain:
    """An Anvil process of our own on a free loopback port; accounts are impersonated. Use as a context manager."""

    def __init__(self, program: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [
                program, "--port", str(port), "--silent", "--chain-id", str(CHAIN_ID), "--auto-impersonate",
                "--timestamp", str(START - 1), "--base-fee", "0", "--gas-price", "0", "--accounts", "1", "--no-mining",
                "--gas-limit", "400000000", "--transaction-block-keeper", "20000",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.now = START
        try:
            self._wait()
            code = bytes.fromhex(artifact()["bytecode"][2:]) + encode(["address"], [REGISTRAR.address])
            self.deployed = self.transact(DEPLOYER.address, None, code)
            assert self.deployed.reason is None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> AnvilChain:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.http.close()
        self.process.terminate()
        self.process.wait(10)

    def _wait(self) -> None:
        for _ in range(500):
            try:
                self.rpc("eth_chainId")
            except OSError:
                self.http.close()
                time.sleep(0.02)
            else:
                return
        raise RuntimeError("anvil did not start")

    def rpc(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        self.http.request("POST", "/", body, {"Content-Type": "application/json"})
        answer = json.loads(self.http.getresponse().read())
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def submit(self, sender: bytes, data: bytes, to: bytes | None = ADDRESS) -> str:
        """Put a transaction into the pool; returns its hash."""
        request = {"from": "0x" + sender.hex(), "data": "0x" + data.hex(), "gas": hex(GAS_LIMIT), "gasPrice": "0x0"}
        if to is not None:
            request["to"] = "0x" + to.hex()
        return str(self.rpc("eth_sendTransaction", request))

    def mine(self) -> None:
        """Make a block of all that is in the pool, one second later."""
        self.now += 1
        self.rpc("evm_mine", self.now)

    def succeeded(self, tx: str) -> bool:
        return bool(self.rpc("eth_getTransactionReceipt", tx)["status"] == "0x1")

    def transact(self, sender: bytes, to: bytes | None, data: bytes) -> Outcome:
        """Send one transaction, to no address to create a contract, in a block of its own."""
        tx = self.submit(sender, data, to)
        self.rpc("evm_mine", self.now)
        receipt = self.rpc("eth_getTransactionReceipt", tx)
        gas = int(receipt["gasUsed"], 16)
        output = b""
        if to is not None:
            trace = self.rpc("debug_traceTransaction", tx, {"tracer": "callTracer"})
            output = bytes.fromhex(trace.get("output", "0x")[2:])
        if receipt["status"] != "0x1":
            return Outcome(reason_of(output), output, (), gas)
        logs = tuple(
            (tuple(bytes.fromhex(t[2:]) for t in log["topics"]), bytes.fromhex(log["data"][2:]))
            for log in receipt["logs"]
        )
        return Outcome(None, output, logs, gas)

    def send(self, sender: bytes, data: bytes) -> Outcome:
        self.now += 1
        return self.transact(sender, ADDRESS, data)

    def set_time(self, now: int) -> None:
        self.now = now

    def storage(self) -> dict[int, int]:
        """Every slot that holds anything, from Anvil's own dump of its state."""
        # Not by eth_getProof: Anvil 1.7.1 leaves emptied slots in its storage trie, so that the root is another.
        dump = json.loads(gzip.decompress(bytes.fromhex(self.rpc("anvil_dumpState")[2:])))
        (account,) = (v for k, v in dump["accounts"].items() if k.lower() == "0x" + ADDRESS.hex())
        found = {int(slot, 16): int(value, 16) for slot, value in account["storage"].items()}
        return {slot: value for slot, value in found.items() if value}
