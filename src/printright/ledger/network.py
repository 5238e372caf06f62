"""The network file: which chain, which contract on it, by whose RPC, and when a block is final."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from eth_utils.address import is_checksum_address, is_hex_address, to_checksum_address

from printright.domain.ids import Address, bytes32
from printright.errors import BadSettings, BadValue
from printright.ledger.finality import Finality, finality_of


@dataclass(frozen=True)
class Network:
    """One deployment. `code_hash` is keccak-256 of the contract's code, `0x` and 64 hex digits.

    Raises BadSettings for anything missing, unknown or out of range: a network that is not understood is not used.
    """

    name: str
    chain_id: int
    rpc_urls: tuple[str, ...]
    contract: Address
    deployed_block: int
    code_hash: str
    finality: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise BadSettings("the network has no name", hint="set `name` in the network file")
        _positive(self.chain_id, "chain_id", 1)
        _positive(self.deployed_block, "deployed_block", 0)
        if not self.rpc_urls:
            raise BadSettings(f"network {self.name} has no RPC address", hint="set `rpc_urls` to a list of URLs")
        for url in self.rpc_urls:
            if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise BadSettings(f"not an RPC address: {str(url)[:80]!r}", hint="use http://host:port or https://...")
        if not isinstance(self.contract, str) or not is_hex_address(self.contract):
            raise BadSettings(f"`contract` is not an address: {str(self.contract)[:80]!r}")
        if self.contract.removeprefix("0x") != self.contract[2:].lower() and not is_checksum_address(self.contract):
            raise BadSettings(f"the checksum of `contract` is wrong: {self.contract}", hint="copy the address again")
        object.__setattr__(self, "contract", Address(to_checksum_address(self.contract)))
        try:
            object.__setattr__(self, "code_hash", "0x" + bytes32(self.code_hash, "`code_hash`").hex())
        except (BadValue, TypeError, AttributeError) as error:
            raise BadSettings(f"network {self.name}: {error}") from None
        finality_of(self.finality)

    @property
    def policy(self) -> Finality:
        return finality_of(self.finality)

    @classmethod
    def load(cls, path: Path) -> Network:
        """Read a network file. Raises BadSettings."""
        try:
            values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadSettings(
                f"cannot read the network file {path}: {error.strerror}",
                hint="deploy with `printright ledger deploy`, or get the file from your consortium",
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadSettings(f"{path} is not a TOML file: {error}") from error
        known = {field.name for field in fields(cls)}
        missing, unknown = sorted(known - values.keys()), sorted(values.keys() - known)
        if missing or unknown:
            what = [f"missing {name}" for name in missing] + [f"unknown {name}" for name in unknown]
            raise BadSettings(f"network file {path}: {', '.join(what)}", hint="every setting is needed, and no other")
        if not isinstance(values["rpc_urls"], list):
            raise BadSettings(f"network file {path}: `rpc_urls` is not a list")
        return cls(**{**values, "rpc_urls": tuple(values["rpc_urls"])})

    def dump(self) -> str:
        """The network file's text; `load` of it gives this value again."""
        lines = []
        for field in fields(self):
            value = getattr(self, field.name)
            # JSON's strings are TOML's basic strings but for DEL; lists of them and whole numbers are the same.
            text = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
            text = text.replace("\x7f", "\\u007f")
            lines.append(f"{field.name} = {text}\n")
        return "".join(lines)

    def with_rpc(self, urls: Iterable[str]) -> Network:
        """The same network through other gateways."""
        return replace(self, rpc_urls=tuple(urls))


def _positive(value: object, name: str, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 1 << 63:
        raise BadSettings(f"`{name}` is not a whole number of at least {least}: {str(value)[:80]!r}")
