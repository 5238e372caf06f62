"""The contract as the client sees it: the compiled artifact, and the packing and unpacking of calls (ABI v2)."""

from __future__ import annotations

import json
from collections import namedtuple
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any

from eth_abi.decoding import ContextFramesBytesIO
from eth_abi.exceptions import DecodingError, EncodingError
from eth_abi.registry import registry
from eth_hash.auto import keccak

from printright.errors import BadSettings, BadValue, LedgerUnavailable, Misuse
from printright.ledger.abi_words import PACK, UNPACK, WORD, checksummed

# What the ABI leaves nameless: results that are several values and no struct.
RESULT_NAMES = {"checked_out": ("by", "at_s")}
# Upper bound of the gas of any call, from its size: every word of an argument costs at most half a new slot, and a call
# without lists at most six. It is only a limit: what is not used is not paid. Preflights run under the same limit.
GAS_BASE = 180_000
GAS_PER_WORD = 15_000


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

    @property
    def words(self) -> list[str] | None:
        """The types of its words in order, where it is nothing but words; else None."""
        if self.type == "tuple":
            parts = [each.words for each in self.fields]
            return None if None in parts else [word for part in parts for word in part or ()]
        return [self.type] if self.type in PACK else None

    def lower(self, value: Any) -> Any:
        """A value as the codec wants it: structs by field name or in order, plain sequences for lists."""
        if not self.fields:
            return value
        if self.type == "tuple":
            return tuple(each.lower(part) for each, part in zip(self.fields, self._parts(value), strict=True))
        return [tuple(each.lower(part) for each, part in zip(self.fields, self._parts(v), strict=True)) for v in value]

    def flat(self, value: Any) -> Iterator[Any]:
        """The values of its `words`."""
        if self.type == "tuple":
            for each, part in zip(self.fields, self._parts(value), strict=True):
                yield from each.flat(part)
        else:
            yield value

    def _parts(self, value: Any) -> Sequence[Any]:
        parts = [getattr(value, each.name) for each in self.fields] if is_dataclass(value) else list(value)
        if len(parts) != len(self.fields):
            raise BadValue(f"{self.name} has {len(parts)} fields, not {len(self.fields)}")
        return parts

    def lift(self, value: Any, name: str) -> Any:
        """A decoded value as callers get it."""
        if self.type == "tuple":
            shape = _shape(name, tuple(each.name for each in self.fields))
            return shape(*(each.lift(part, each.name) for each, part in zip(self.fields, value, strict=True)))
        return checksummed(value) if self.type == "address" else value

    def gather(self, values: Iterator[Any], name: str) -> Any:
        """As `lift`, from the values of its `words`."""
        if self.type == "tuple":
            shape = _shape(name, tuple(each.name for each in self.fields))
            return shape(*[each.gather(values, each.name) for each in self.fields])
        return next(values)


class Function:
    """One function of the contract."""

    def __init__(self, abi: dict[str, Any]) -> None:
        self.name: str = abi["name"]
        self.inputs = tuple(Parameter.parse(each) for each in abi["inputs"])
        self.outputs = tuple(Parameter.parse(each) for each in abi["outputs"])
        self.signature = f"{self.name}({','.join(each.signature for each in self.inputs)})"
        self.selector: bytes = keccak(self.signature.encode())[:4]
        # Where all is words, which nearly every function is: several times faster than the general codec.
        taken, given = _words(self.inputs), _words(self.outputs)
        self._pack = None if taken is None else [PACK[word] for word in taken]
        self._unpack = None if given is None else [UNPACK[word] for word in given]

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
            if self._pack is not None:
                flat = [part for each, value in zip(self.inputs, args, strict=True) for part in each.flat(value)]
                return self.selector + b"".join([pack(part) for pack, part in zip(self._pack, flat, strict=True)])
            lowered = tuple(each.lower(value) for each, value in zip(self.inputs, args, strict=True))
            return self.selector + bytes(self._encoder(lowered))
        except (EncodingError, OverflowError, TypeError, ValueError, AttributeError) as error:
            raise BadValue(f"{self.name}: {error}") from error

    def decode(self, data: bytes) -> Any:
        """The result of a call. Raises LedgerUnavailable for data that this function never returns."""
        try:
            lifted = self._decode_words(data) if self._unpack is not None else self._decode_any(data)
        except (DecodingError, ValueError) as error:
            raise LedgerUnavailable(
                f"the ledger answered {self.name} with {len(data)} bytes that make no sense",
                hint="the RPC server is faulty, or the contract is another one",
            ) from error
        if len(lifted) == 1:
            return lifted[0]
        names = RESULT_NAMES.get(self.name) or tuple(out.name or f"value_{i}" for i, out in enumerate(self.outputs))
        return _shape(self.name, names)(*lifted)

    def _decode_words(self, data: bytes) -> list[Any]:
        places = range(0, len(data), WORD)
        values = (unpack(data[at : at + WORD]) for unpack, at in zip(self._unpack or (), places, strict=True))
        if len(data) % WORD:
            raise ValueError("not whole words")
        flat = iter(list(values))
        return [out.gather(flat, self.name) for out in self.outputs]

    def _decode_any(self, data: bytes) -> list[Any]:
        values = self._decoder(ContextFramesBytesIO(data))  # type: ignore[no-untyped-call]
        return [out.lift(value, self.name) for out, value in zip(self.outputs, values, strict=True)]


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


def _words(parameters: Sequence[Parameter]) -> list[str] | None:
    return Parameter("", "tuple", fields=tuple(parameters)).words


@cache
def _shape(name: str, fields: tuple[str, ...]) -> Any:
    return namedtuple("".join(part.capitalize() for part in name.split("_")), fields)
