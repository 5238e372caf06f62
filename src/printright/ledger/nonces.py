"""Which transaction of an account has a nonce: the one thing that tells whether ours is lost for good."""

from __future__ import annotations

from printright.domain.ids import Address
from printright.ledger.abi_words import checksummed
from printright.ledger.rpc import Rpc


async def final_transaction(rpc: Rpc, account: Address, nonce: int, deployed_block: int, last: int) -> bytes | None:
    """The hash of the account's transaction with this nonce up to block `last`, the final one; None where there is none
    yet. The block is found by bisection over the account's count, which is the one thing every node tells about the
    past. Raises RpcError.
    """

    async def count_at(block: int) -> int:
        return int(await rpc.request("eth_getTransactionCount", account, hex(block)), 16)

    if last < 0 or await count_at(last) <= nonce:
        return None
    before = max(deployed_block - 1, 0)
    if await count_at(before) > nonce:
        return None
    while last - before > 1:
        middle = (before + last) // 2
        if await count_at(middle) > nonce:
            last = middle
        else:
            before = middle
    block = await rpc.request("eth_getBlockByNumber", hex(last), True)
    for each in (block or {}).get("transactions", ()):
        if checksummed(each["from"]) == account and int(each["nonce"], 16) == nonce:
            return bytes.fromhex(each["hash"][2:])
    return None
