# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title anchors
@license Apache-2.0
@notice Heads of custodians' release logs, so that nobody can rewrite, shorten or fork a log unseen.
@dev One slot for each custodian: how many entries in the low 64 bits, above them 192 bits of
     keccak(former slot, head), a chain over all its anchors. The heads themselves are in the events.
"""

import registry

uses: registry

event LogAnchored:
    custodian: indexed(address)
    entries: uint256
    head: bytes32


ENTRIES_MASK: constant(uint256) = (1 << 64) - 1

_anchored: HashMap[address, uint256]


@external
def anchor(entries: uint256, head: bytes32):
    """
    @notice Anchor the caller's release log.
    @dev The role is read for the first anchor only, for its price: who lost it may go on to vouch for its own log.
    @param entries How many entries the log has; more than at the last anchor.
    @param head The digest of the last of them.
    """
    former: uint256 = self._anchored[msg.sender]
    if former == 0:
        assert registry._roles[msg.sender] & registry.CUSTODIAN != 0, "anchors: not a custodian"
    assert (
        entries > former & ENTRIES_MASK and entries <= ENTRIES_MASK
    ), "anchors: no more entries than before"
    chained: uint256 = convert(keccak256(abi_encode(former, head)), uint256)
    self._anchored[msg.sender] = (chained & ~ENTRIES_MASK) | entries
    log LogAnchored(custodian=msg.sender, entries=entries, head=head)


@view
@external
def anchored(custodian: address) -> uint256:
    """
    @return The custodian's slot: entries in the low 64 bits, the chain above; 0 for one that never anchored.
    """
    return self._anchored[custodian]
