"""The contract as the client sees it: the compiled artifact, and the packing and unpacking of calls (ABI v2)."""

from __future__ import annotations

import json
from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache, cached_property, lru_cache
from importlib import resources
from typing import Any

from eth_abi.decoding import ContextFramesBytesIO
from eth_abi.exceptions import DecodingError, EncodingError
from eth_abi.registry import registry
from eth_hash.auto import keccak
from eth_utils.address import to_checksum_address

from printright.domain.ids import Address
from printright.errors import BadSettings, BadValue, LedgerUnavailable, Misuse

# What the ABI leaves nameless: results that are several values and no struct.
RESULT_NAMES = {"checked_out": ("by", "at_s")}
# Upper bound of the gas of any call, from its size: every word of an argument costs at most half a new slot, and a call
# without lists at most six. It is only a limit: what is not used is not paid. Preflights run under the same limit.
GAS_BASE = 180_000
GAS_PER_WORD = 15_000

checksummed: Callable[[str | bytes], Address] = lru_cache(maxsize=65_536)(
    lambda address: Address(to_checksum_address(address))
)


@dataclass(frozen=True)
class Parameter:
    """One input, output or event field. `fields` are those of a tuple."""

    name: str
    type: str
    indexed: bool = False
    fields: tuple[Parameter, ...] = ()

    @classmethod
    def parse(cls, abi: dict[str, Any]) -> Parameter:
        fields = tuple(cls.parse(each) for each in abi.get("components", ()))
        return cls(abi["name"], abi["type"], bool(abi.get("indexed")), fields)

    @property
    def signature(self) -> str:
        """The type as selectors and codecs spell it."""
        if not self.fields:
            return self.type
        return "(" + ",".join(each.signature for each in self.fields) + ")" + self.type.removeprefix("tuple")

    def lower(self, value: Any) -> Any:
        """A value as the codec wants it: structs by field name or in order, plain sequences for lists."""
        if not self.fields:
            return value
        if self.type == "tuple":
            return self._lower_struct(value)
        return [self._lower_struct(each) for each in value]

    def _lower_struct(self, value: Any) -> tuple[Any, ...]:
        parts = [getattr(value, each.name) for each in self.fields] if is_dataclass(value) else list(value)
        if len(parts) != len(self.fields):
            raise BadValue(f"{self.name} has {len(parts)} fields, not {len(self.fields)}")
        return tuple(each.lower(part) for each, part in zip(self.fields, parts, strict=True))

    def lift(self, value: Any, name: str) -> Any:
        """A decoded value as callers get it."""
        if self.type == "tuple":
            shape = _shape(name, tuple(each.name for each in self.fields))
            return shape(*(each.lift(part, each.name) for each, part in zip(self.fields, value, strict=True)))
        return checksummed(value) if self.type == "address" else value


class Function:
    """One function of the contract."""

    def __init__(self, abi: dict[str, Any]) -> None:
        self.name: str = abi["name"]
        self.inputs = tuple(Parameter.parse(each) for each in abi["inputs"])
        self.outputs = tuple(Parameter.parse(each) for each in abi["outputs"])
        self.signature = f"{self.name}({','.join(each.signature for each in self.inputs)})"
        self.selector: bytes = keccak(self.signature.encode())[:4]
        self._words = tuple(_WORDS.get(each.type) for each in self.inputs)
        self._static = all(self._words)

    @cached_property
    def _encoder(self) -> Any:
        return registry.get_encoder(f"({','.join(each.signature for each in self.inputs)})")

    @cached_property
    def _decoder(self) -> Any:
        return registry.get_decoder(f"({','.join(each.signature for each in self.outputs)})", strict=True)

    def encode(self, args: Sequence[Any]) -> bytes:
        """Selector and packed arguments. Raises BadValue for arguments that do not fit."""
        if len(args) != len(self.inputs):
            raise BadValue(f"{self.name} takes {len(self.inputs)} arguments, not {len(args)}")
        try:
            if self._static:  # Several times faster than the general codec, and most calls are of this kind.
                return self.selector + b"".join(
                    [pack(value) for pack, value in zip(self._words, args, strict=True)]  # type: ignore[misc]
                )
            lowered = tuple(each.lower(value) for each, value in zip(self.inputs, args, strict=True))
            return self.selector + bytes(self._encoder(lowered))
        except (EncodingError, OverflowError, TypeError, ValueError, AttributeError) as error:
            raise BadValue(f"{self.name}: {error}") from error

    def decode(self, data: bytes) -> Any:
        """The result of a call. Raises LedgerUnavailable for data that this function never returns."""
        try:
            values = self._decoder(ContextFramesBytesIO(data))  # type: ignore[no-untyped-call]
        except DecodingError as error:
            raise LedgerUnavailable(
                f"the ledger answered {self.name} with {len(data)} bytes that make no sense",
                hint="the RPC server is faulty, or the contract is another one",
            ) from error
        lifted = [out.lift(value, self.name) for out, value in zip(self.outputs, values, strict=True)]
        if len(lifted) == 1:
            return lifted[0]
        names = RESULT_NAMES.get(self.name) or tuple(out.name or f"value_{i}" for i, out in enumerate(self.outputs))
        return _shape(self.name, names)(*lifted)


class Contract:
    """The compiled contract: functions by name, events' ABI, bytecode."""

    def __init__(self, artifact: dict[str, Any]) -> None:
        abi: list[dict[str, Any]] = artifact["abi"]
        self.abi = abi
        self.bytecode = bytes.fromhex(artifact["bytecode"].removeprefix("0x"))
        self.code_hash = "0x" + keccak(bytes.fromhex(artifact["bytecode_runtime"].removeprefix("0x"))).hex()
        self._functions = {each["name"]: Function(each) for each in abi if each["type"] == "function"}
        self.events = {
            each["name"]: tuple(Parameter.parse(field) for field in each["inputs"])
            for each in abi
            if each["type"] == "event"
        }

    def function(self, name: str) -> Function:
        """Raises Misuse for a function that the contract does not have."""
        try:
            return self._functions[name]
        except KeyError:
            raise Misuse(f"the contract has no function {name!r}") from None


def gas_limit(calldata_bytes: int) -> int:
    """The gas that a transaction with this much calldata is allowed, see GAS_BASE."""
    return GAS_BASE + GAS_PER_WORD * (calldata_bytes // 32)


def pack_word(kind: str, value: Any) -> bytes:
    """A value of a one-word type (`uint256`, `bytes32`, `bool`, `address`) as its 32 bytes. Raises BadValue."""
    try:
        return _WORDS[kind](value)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise BadValue(f"not a {kind}: {error}") from error


@cache
def contract() -> Contract:
    """The contract that this build of Printright speaks with. Raises BadSettings where it was never compiled."""
    file = resources.files("printright.ledger") / "artifacts" / "printright.json"
    try:
        return Contract(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise BadSettings(
            "the compiled contract is missing from this installation",
            hint="install a wheel, or run `pip install -e .` in the checkout: the build compiles the contract",
        ) from None


@cache
def _shape(name: str, fields: tuple[str, ...]) -> Any:
    return namedtuple("".join(part.capitalize() for part in name.split("_")), fields)


def _pack_uint(value: Any) -> bytes:
    if type(value) is not int:
        value = _whole(value)
    return value.to_bytes(32, "big")  # type: ignore[no-any-return]


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"not a whole number: {type(value).__name__}")
    return int(value)


def _pack_bytes32(value: Any) -> bytes:
    if not isinstance(value, bytes) or len(value) != 32:
        raise TypeError("not 32 bytes")
    return value


def _pack_bool(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise TypeError("neither True nor False")
    return value.to_bytes(32, "big")


def _pack_address(value: Any) -> bytes:
    if isinstance(value, str) and len(value) == 42 and checksummed(value).lower() == value.lower():
        return bytes(12) + bytes.fromhex(value[2:])
    raise TypeError("not an address")


_WORDS: dict[str, Callable[[Any], bytes]] = {
    "uint256": _pack_uint,
    "bytes32": _pack_bytes32,
    "bool": _pack_bool,
    "address": _pack_address,
}
