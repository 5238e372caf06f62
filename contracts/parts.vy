# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title parts
@license Apache-2.0
@notice What a job made: identities that anyone can check, and that can be checked out once.
@dev The good copies of a job are numbered from 0. The leaf of part `index` is

         keccak(PART_TYPEHASH, part id, serial digest, code key)

     where the serial digest is keccak(serial number, code) and the code key is the address of the key pair that the
     secret code on the part yields. The job's parts root is the root of the binary tree over the leaves in order,
     filled up with empty leaves to a power of two: the bits of `index` say where a leaf stands, so that a job
     has as many parts as good copies and no more.
"""

import registry
import licenses

uses: licenses

event PartCheckedOut:
    part: indexed(bytes32)
    by: indexed(address)


MAX_DEPTH: constant(uint256) = 31

PART_TYPEHASH: constant(bytes32) = keccak256("Part(bytes32 part,bytes32 serialDigest,address codeKey)")
CHECK_OUT_TYPEHASH: constant(bytes32) = keccak256(
    "CheckOut(bytes32 part,address by,uint256 deadline)"
)


struct Part:
    job: bytes32
    good: uint256
    index: uint256
    serial_digest: bytes32
    code_key: address
    proof: DynArray[bytes32, MAX_DEPTH]


# When a part was checked out (unix seconds << 160) and by whom.
_checked_out: HashMap[bytes32, uint256]


@external
def check_out(part: Part, by: address, deadline: uint256, signature: Bytes[65]):
    """
    @notice Take a part out of circulation: dispensed, built in, decommissioned. It works once.
    @dev Anyone may send it. What counts is the signature by the code key over `CheckOut`, which names `by`, so
         that nobody who sees the transaction can take it for himself.
    @param by Who checks the part out.
    """
    assert by != empty(address), "parts: zero account"
    assert block.timestamp <= deadline, "parts: signature expired"
    assert self._is_genuine(part), "parts: not genuine"
    part_id: bytes32 = self._part_of(part.job, part.index)
    assert self._checked_out[part_id] == 0, "parts: already checked out"
    digest: bytes32 = registry._typed_digest(
        keccak256(abi_encode(CHECK_OUT_TYPEHASH, part_id, by, deadline))
    )
    assert registry._is_signer(part.code_key, digest, signature), "parts: bad code signature"
    self._checked_out[part_id] = convert(by, uint256) | (block.timestamp << 160)
    log PartCheckedOut(part=part_id, by=by)


@view
@external
def check_part(part: Part) -> bool:
    """
    @return Whether the part was made by that job, as the ledger knows it.
    """
    return self._is_genuine(part)


@view
@external
def checked_out(part: bytes32) -> (address, uint256):
    """
    @return Who checked the part out and when (unix seconds); zeros while it is in circulation.
    """
    slot: uint256 = self._checked_out[part]
    return convert(slot & ((1 << 160) - 1), address), slot >> 160


@pure
@external
def part_of(job: bytes32, index: uint256) -> bytes32:
    """
    @return The part id.
    """
    return self._part_of(job, index)


@view
@internal
def _is_genuine(part: Part) -> bool:
    if part.index >= part.good or part.good > 1 << len(part.proof):
        return False
    if len(part.proof) != 0 and part.good <= 1 << (len(part.proof) - 1):
        return False
    node: bytes32 = keccak256(
        abi_encode(PART_TYPEHASH, self._part_of(part.job, part.index), part.serial_digest, part.code_key)
    )
    path: uint256 = part.index
    for other: bytes32 in part.proof:
        if path & 1 == 0:
            node = keccak256(concat(node, other))
        else:
            node = keccak256(concat(other, node))
        path >>= 1
    return licenses._outcome[part.job] == licenses._outcome_of(node, part.good)


@pure
@internal
def _part_of(job: bytes32, index: uint256) -> bytes32:
    return keccak256(abi_encode(job, index))
