"""A fresh Anvil for a test, with accounts of our own, and the reorganisations and failures that only it can be told."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from coincurve import PrivateKey
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from printright.domain.ids import Address
from programs import program

HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


@dataclass(frozen=True)
class Key:
    """A ledger key in memory, made from a name so that another process can have the same."""

    private: PrivateKey
    address: Address

    @classmethod
    def named(cls, name: str) -> Key:
        private = PrivateKey(keccak(text=name))
        public = private.public_key.format(compressed=False)[1:]
        return cls(private, Address(to_checksum_address(keccak(public)[12:])))

    def sign_digest(self, digest: bytes) -> bytes:
        signature = self.private.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes((27 + signature[64],))


@dataclass(frozen=True)
class Anvil:
    url: str
    process: subprocess.Popen[bytes]

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def rpc(self, method: str, *params: Any) -> Any:
        """One JSON-RPC request, from outside of the client under test."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            reply = json.load(answer)
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return reply["result"]

    def fund(self, *keys: Key) -> None:
        for key in keys:
            self.rpc("anvil_setBalance", key.address, hex(10**24))

    def mine(self, blocks: int = 1) -> None:
        self.rpc("anvil_mine", hex(blocks))

    def reorganize(self, depth: int, transactions: Sequence[tuple[str, int]] = ()) -> None:
        """Replace the newest `depth` blocks by empty ones, or by raw transactions at a place in them."""
        self.rpc("anvil_reorg", depth, list(transactions))

    def height(self) -> int:
        return int(self.rpc("eth_blockNumber"), 16)


@contextmanager
def anvil(*options: str, chain_id: int = 31337, port: int | None = None, cores: Sequence[int] = ()) -> Iterator[Anvil]:
    """A running Anvil; with `cores`, on these processors only."""
    path = program("anvil")
    assert path is not None
    port = port or free_port()
    command = [path, "--quiet", "--port", str(port), "--chain-id", str(chain_id), "--accounts", "1", *options]
    if cores:
        command = ["taskset", "--cpu-list", ",".join(map(str, cores)), *command]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    chain = Anvil(f"http://127.0.0.1:{port}", process)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                chain.height()
                break
            except urllib.error.URLError:
                assert process.poll() is None, "anvil did not start"
                assert time.monotonic() < deadline, "anvil does not answer"
                time.sleep(0.02)
        yield chain
    finally:
        # npm's wrapper ends before the program that it runs, which would go on serving open connections.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
