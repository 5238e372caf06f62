"""eth_getProof, checked by an own walk from the state root of a block."""

from __future__ import annotations

from typing import Any

import pytest
import rlp
from embedded_scene import Local, Signer
from eth_utils import keccak

from printright.ledger.embedded.wire import RpcError


def walk(root: bytes, key: bytes, nodes: list[str]) -> bytes:
    """The value under `key` by these nodes, empty where they prove that there is none. Source: yellow paper, D."""
    path, expected = "".join(f"{byte:02x}" for byte in keccak(key)), root
    remaining = [bytes.fromhex(node[2:]) for node in nodes]
    node: Any = None
    while True:
        if node is None:
            if not remaining:
                assert expected == keccak(b"\x80")
                return b""
            encoded = remaining.pop(0)
            assert keccak(encoded) == expected
            node = rlp.decode(encoded)
        if len(node) == 17:
            child, path = node[int(path[0], 16)], path[1:]
        else:
            prefix = node[0].hex()
            nibbles = prefix[1:] if prefix[0] in "13" else prefix[2:]
            if not path.startswith(nibbles):
                assert not remaining
                return b""
            path, child = path[len(nibbles) :], node[1]
            if prefix[0] in "23":
                assert not path
                assert not remaining
                return bytes(child)
        if child == b"":
            assert not remaining
            return b""
        node, expected = (child, b"") if isinstance(child, list) else (None, child)


def account(proof: dict[str, Any]) -> list[bytes]:
    def integer(value: str) -> bytes:
        return int(value, 16).to_bytes(32, "big").lstrip(b"\0")

    hashes = [bytes.fromhex(proof[name][2:]) for name in ("storageHash", "codeHash")]
    return [integer(proof["nonce"]), integer(proof["balance"]), *hashes]


def test_accounts_and_slots_are_proved(local: Local, rich: Signer) -> None:
    scene = local.scene()
    local.send(scene.start(1))
    for name in range(20):
        local.send(rich.sign(Signer(f"many {name}").address, value=name + 1))
    slots = [hex(number) for number in range(12)] + ["0x" + "ab" * 32]
    for block in ("latest", "0x3"):
        root = bytes.fromhex(local("eth_getBlockByNumber", block, False)["stateRoot"][2:])
        for address in (scene.contract, rich.address, scene.unit.address, Signer("many 7").address):
            proof = local("eth_getProof", address, slots, block)
            value = walk(root, bytes.fromhex(address[2:]), proof["accountProof"])
            assert value == (rlp.encode(account(proof)) if value else b"")
            assert proof["balance"] == local("eth_getBalance", address, block)
            assert proof["nonce"] == local("eth_getTransactionCount", address, block)
            for slot in proof["storageProof"]:
                proved = walk(
                    bytes.fromhex(proof["storageHash"][2:]), int(slot["key"], 16).to_bytes(32, "big"), slot["proof"]
                )
                number = int.from_bytes(rlp.decode(proved), "big") if proved else 0
                assert hex(number) == slot["value"]
                assert int(local("eth_getStorageAt", address, slot["key"], block), 16) == number


def test_a_written_slot_is_proved_to_hold_its_value(local: Local) -> None:
    scene = local.scene()
    proof = local("eth_getProof", scene.contract, ["0x0"], "latest")
    # Slot 0 is the registrar: contracts/registry.vy's first variable.
    assert proof["storageProof"][0]["value"] == scene.registrar.address.lower()
    assert len(proof["storageProof"][0]["proof"]) > 1


def test_too_many_slots_are_refused(local: Local) -> None:
    with pytest.raises(RpcError, match="at most 1024"):
        local("eth_getProof", "0x" + "11" * 20, ["0x0"] * 1_025, "latest")
