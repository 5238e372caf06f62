"""The embedded ledger: one process of one site runs py-evm and serves it as JSON-RPC on loopback.

Everyone else, in the same process or not, speaks JSON-RPC to it as to any other network. Importing this package is
cheap; py-evm (an extra, about one second to import) is loaded when a name is first used.

    serve        run the ledger until cancelled
    Settings     what `serve` needs: folder, address, chain id, genesis accounts

    evm          the fork, its limits and its time limit   ·  chain    blocks, made and read
    database     py-evm's key-value store in SQLite        ·  folder   lock, permissions, genesis on record
    transactions what is admitted, in geth's words         ·  calls    eth_call, eth_estimateGas
    logs         the event index                           ·  proofs   EIP-1186
    wire         hexadecimal in, errors out                ·  render   blocks, receipts as JSON
    methods      one function for each RPC method          ·  rpc, server   JSON-RPC 2.0, HTTP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from printright.ledger.embedded.server import Settings, serve

__all__ = ["Settings", "serve"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(importlib.import_module("printright.ledger.embedded.server"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
