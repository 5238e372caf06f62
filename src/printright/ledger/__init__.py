"""The ledger: the only place that speaks JSON-RPC and ABI.

    port        what the rest of Printright sees: Ledger, Signer, Call, Receipt
    network     the network file
    evm         the port on any EVM network: open_ledger, deploy
    sending     exactly-once sending; pipeline does it for many calls at once; journal is its file
    reading     events in ranges; events are their values
    finality    when a block cannot be undone, by kind of network
    refusals    one error for each reason of the contract
    contracts   the compiled contract and the packing of its calls; transaction signs; rpc is the wire
    embedded    a ledger of our own for one site, demo and tests

`evm` is not imported here: who only needs the words should not pay for the client.
"""

from printright.ledger.events import Event
from printright.ledger.network import Network
from printright.ledger.port import Call, Ledger, Receipt, Signer

__all__ = ["Call", "Event", "Ledger", "Network", "Receipt", "Signer"]
