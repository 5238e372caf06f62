"""web3.py works against the embedded ledger as against any other network, with the real contract."""

from __future__ import annotations

from typing import Any

import pytest
from embedded_scene import ARTIFACT, CHAIN_ID, Client, Signer
from eth_utils import keccak
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.exceptions import ContractLogicError, TransactionNotFound


async def test_a_contract_is_deployed_used_and_watched(client: Client) -> None:
    registrar, holder = Signer("registrar"), Signer("holder")
    w3 = AsyncWeb3(AsyncHTTPProvider(client.url))
    try:
        assert await w3.is_connected()
        assert (await w3.eth.chain_id, await w3.eth.gas_price, await w3.eth.accounts) == (CHAIN_ID, 0, [])
        assert "py-evm" in await w3.client_version

        async def send(signer: Signer, call: Any) -> Any:
            # web3 fills in gas and fees itself, as a user's program would have it.
            built = await call.build_transaction({"from": signer.address, "nonce": signer.nonce})
            raw = signer.account.sign_transaction(built).raw_transaction
            signer.nonce += 1
            return await w3.eth.wait_for_transaction_receipt(await w3.eth.send_raw_transaction(raw), poll_latency=0.01)

        factory = w3.eth.contract(abi=ARTIFACT["abi"], bytecode=ARTIFACT["bytecode"])
        receipt = await send(registrar, factory.constructor(registrar.address))
        assert receipt["status"] == 1
        contract = w3.eth.contract(address=receipt["contractAddress"], abi=ARTIFACT["abi"])
        assert await contract.functions.registrar().call() == registrar.address
        admit = contract.functions.admit_member(holder.address, 1, b"\4" * 65, keccak(text="profile"))
        receipt = await send(registrar, admit)
        assert (receipt["status"], receipt["type"], receipt["effectiveGasPrice"]) == (1, 2, 0)
        (event,) = contract.events.MemberAdmitted().process_receipt(receipt)
        assert event["args"]["member"] == holder.address
        found = await contract.events.MemberAdmitted().get_logs(
            from_block=0, argument_filters={"member": holder.address}
        )
        assert [each["transactionHash"] for each in found] == [receipt["transactionHash"]]

        with pytest.raises(ContractLogicError, match="registry: not the registrar"):
            await contract.functions.admit_member(holder.address, 1, b"", b"\0" * 32).call({"from": holder.address})
        with pytest.raises(ContractLogicError, match="registry: not the registrar"):
            await send(holder, contract.functions.admit_member(holder.address, 1, b"", b"\0" * 32))
        with pytest.raises(TransactionNotFound):
            await w3.eth.get_transaction_receipt(b"\1" * 32)

        block = await w3.eth.get_block("finalized", full_transactions=True)
        assert block["transactions"][0]["hash"] == receipt["transactionHash"]
        assert await w3.eth.get_transaction(receipt["transactionHash"]) == block["transactions"][0]
        assert len(await w3.eth.get_block_receipts("latest")) == 1
        assert (await w3.eth.fee_history(2, "latest", [10, 90]))["baseFeePerGas"] == [0, 0, 0]
        assert await w3.eth.get_storage_at(contract.address, 0) == bytes(12) + bytes.fromhex(registrar.address[2:])
        assert await w3.eth.get_balance(registrar.address) == 0
    finally:
        await w3.provider.disconnect()
