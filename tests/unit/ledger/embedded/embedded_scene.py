"""What the tests of the embedded ledger act with: signers, the real contract, a few hand-made ones, an RPC client."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import coincurve
from eth_abi.abi import encode
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils import keccak, to_checksum_address

import printright.ledger
from printright.ledger.embedded.chain import Chain
from printright.ledger.embedded.methods import METHODS, TIME_TRAVEL

CHAIN_ID = 7171
ARTIFACT = json.loads((Path(printright.ledger.__file__).parent / "artifacts" / "printright.json").read_text())
SELECTORS = {name.split("(")[0]: (name, int(value, 16)) for name, value in ARTIFACT["selectors"].items()}
SELECTORS_ARE_UNIQUE = len(SELECTORS) == len(ARTIFACT["selectors"])


def calldata(name: str, *arguments: object) -> bytes:
    """The call of one of the contract's functions."""
    signature, selector = SELECTORS[name]
    return selector.to_bytes(4, "big") + encode(_types(signature), arguments)


def _types(signature: str) -> list[str]:
    types, depth, word = [], 0, ""
    for letter in signature[signature.index("(") + 1 : -1]:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            types.append(word)
            word = ""
        else:
            word += letter
    return [*types, word] if word else types


@dataclass
class Signer:
    """An account that counts its own transactions."""

    name: str
    nonce: int = 0
    account: LocalAccount = field(init=False)

    def __post_init__(self) -> None:
        self.account = Account.from_key(keccak(text=self.name))

    @property
    def address(self) -> str:
        return str(self.account.address)

    def sign(self, to: str | None, data: bytes = b"", **changes: Any) -> bytes:
        """A raw transaction, EIP-1559 and free unless changed; `changes` of None remove a field."""
        fields: dict[str, Any] = {
            "type": 2, "chainId": CHAIN_ID, "nonce": self.nonce, "gas": 8_000_000, "value": 0, "data": data,
            "maxFeePerGas": 0, "maxPriorityFeePerGas": 0, "to": to, **changes,
        }  # fmt: skip
        if changes.get("type") in (0, 1):
            fields.pop("maxFeePerGas")
            fields.pop("maxPriorityFeePerGas")
            fields.setdefault("gasPrice", 0)
            if fields["type"] == 0:
                fields.pop("type")
        signed = self.account.sign_transaction({key: value for key, value in fields.items() if value is not None})
        if "nonce" not in changes:
            self.nonce += 1
        return bytes(signed.raw_transaction)

    def sign_digest(self, digest: bytes) -> bytes:
        """65 bytes, v 27 or 28."""
        signature = coincurve.PrivateKey(bytes(self.account.key)).sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([27 + signature[64]])


def created(sender: str, nonce: int) -> str:
    """The address of a contract that this transaction creates."""
    import rlp

    return to_checksum_address(keccak(rlp.encode([bytes.fromhex(sender[2:]), nonce]))[12:])


@dataclass
class Scene:
    """A network up to a granted license: registrar, rights holder, shop and one unit."""

    registrar: Signer = field(default_factory=lambda: Signer("registrar"))
    holder: Signer = field(default_factory=lambda: Signer("holder"))
    shop: Signer = field(default_factory=lambda: Signer("shop"))
    unit: Signer = field(default_factory=lambda: Signer("unit"))
    salt: bytes = keccak(text="salt")
    limits: int = (2**40 << 128) | 86_400

    @property
    def contract(self) -> str:
        return created(self.registrar.address, 0)

    @property
    def content(self) -> bytes:
        return keccak(encode(["address", "bytes32"], [self.holder.address, self.salt]))

    @property
    def terms(self) -> tuple[bytes, int, bytes, bytes]:
        return (self.content, self.limits, bytes(32), keccak(text="document"))

    def setup(self, call: Callable[[str, bytes], bytes], send: Callable[[bytes], object]) -> None:
        """Deploy, admit, enroll, publish, grant 1000 copies."""
        code = bytes.fromhex(ARTIFACT["bytecode"][2:])
        send(self.registrar.sign(None, code + encode(["address"], [self.registrar.address])))
        for member, roles in ((self.holder, 1), (self.shop, 2)):
            arguments = (member.address, roles, b"\4" * 65, keccak(text=member.name))
            send(self.registrar.sign(self.contract, calldata("admit_member", *arguments)))
        key, profile, deadline = b"\4" * 65, keccak(text="profile"), 2**40
        kind = keccak(
            text="Enrolment(address unit,address operator,bytes32 profile,bytes32 keyDigest,"
            "uint256 enrolment,uint256 deadline)"
        )
        body = encode(
            ["bytes32", "address", "address", "bytes32", "bytes32", "uint256", "uint256"],
            [kind, self.unit.address, self.shop.address, profile, keccak(key), 1, deadline],
        )
        separator = call(self.contract, calldata("domain_separator"))
        signature = self.unit.sign_digest(keccak(b"\x19\x01" + separator + keccak(body)))
        arguments = (self.unit.address, profile, key, deadline, signature, "0x" + "00" * 20, b"")
        send(self.shop.sign(self.contract, calldata("enroll_unit", *arguments)))
        send(self.holder.sign(self.contract, calldata("publish", self.salt, 1)))
        hashed = call(self.contract, calldata("terms_hash", self.shop.address, self.terms))
        send(self.holder.sign(self.contract, calldata("grant", hashed, 1000, 10)))

    def license(self, call: Callable[[str, bytes], bytes]) -> bytes:
        hashed = call(self.contract, calldata("terms_hash", self.shop.address, self.terms))
        return call(self.contract, calldata("license_of", self.holder.address, hashed))

    def start(self, sequence: int, quantity: int = 1, **changes: Any) -> bytes:
        """A raw `start_job`."""
        data = calldata("start_job", self.terms, quantity, sequence, [])
        return self.unit.sign(self.contract, data, **changes)

    def finish(self, license_id: bytes, good: int = 1, **changes: Any) -> bytes:
        """A raw `finish_job`."""
        parts = keccak(text="parts") if good else bytes(32)
        data = calldata("finish_job", license_id, good, 0, keccak(text="evidence"), parts)
        return self.unit.sign(self.contract, data, **changes)


def logging_code(events: list[tuple[tuple[bytes, ...], bytes]]) -> bytes:
    """Init code that emits these events (topics, data of at most 32 bytes) and creates an empty contract."""
    code = b""
    for topics, data in events:
        code += b"\x7f" + data.ljust(32, b"\0") + b"\x5f\x52"  # PUSH32 data PUSH0 MSTORE
        for topic in reversed(topics):
            code += b"\x7f" + topic
        code += b"\x60" + bytes([len(data)]) + b"\x5f" + bytes([0xA0 + len(topics)])  # PUSH1 size PUSH0 LOGn
    return code + b"\0"


def returning(runtime: bytes) -> bytes:
    """Init code that creates a contract with this code."""
    # PUSH2 size DUP1 PUSH1 11 PUSH0 CODECOPY PUSH0 RETURN, padded to 11 bytes
    head = b"\x61" + len(runtime).to_bytes(2, "big") + b"\x80\x60\x0b\x5f\x39\x5f\xf3\x00"
    assert len(head) == 11
    return head + runtime


class Local:
    """The RPC methods on a chain in this thread, without HTTP."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    def __call__(self, method: str, *params: object) -> Any:
        return {**METHODS, **TIME_TRAVEL}[method](self.chain, params)

    def send(self, raw: bytes) -> dict[str, Any]:
        receipt: dict[str, Any] = self("eth_getTransactionReceipt", self("eth_sendRawTransaction", "0x" + raw.hex()))
        return receipt

    def call(self, to: str, data: bytes, block: object = "latest") -> bytes:
        return bytes.fromhex(self("eth_call", {"to": to, "data": "0x" + data.hex()}, block)[2:])

    def scene(self) -> Scene:
        scene = Scene()
        scene.setup(self.call, self.send)
        return scene


class RpcFailed(Exception):
    """The ledger's error object."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code, self.message, self.data = error["code"], error["message"], error.get("data")


class Client:
    """A bare JSON-RPC client."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def post(self, body: bytes, **headers: str) -> tuple[int, bytes]:
        given = {"Content-Type": "application/json", **headers}
        async with self._session.post(self.url, data=io.BytesIO(body), headers=given) as response:
            return response.status, await response.read()

    async def json(self, request: object) -> Any:
        _, body = await self.post(json.dumps(request).encode())
        return json.loads(body)

    async def __call__(self, method: str, *params: object) -> Any:
        answer = await self.json({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        if "error" in answer:
            raise RpcFailed(answer["error"])
        return answer["result"]

    async def send(self, raw: bytes) -> dict[str, Any]:
        """Send, and give the receipt."""
        transaction_hash = await self("eth_sendRawTransaction", "0x" + raw.hex())
        receipt: dict[str, Any] = await self("eth_getTransactionReceipt", transaction_hash)
        return receipt
