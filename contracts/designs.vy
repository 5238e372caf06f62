# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title designs
@license Apache-2.0
@notice Versions of designs, each fixed by a salted commitment to its encrypted package.
@dev A version's id is `content = keccak(owner, commitment)`, so that nobody can publish another's commitment
     first. The commitment is keccak(manifest digest, keccak(salt, SHA-256 of the file)); see `matches`.
"""

import registry

uses: registry

event DesignPublished:
    content: indexed(bytes32)
    owner: indexed(address)
    previous: indexed(bytes32)
    parts_per_run: uint256

event DesignWithdrawn:
    content: indexed(bytes32)

event CustodyChanged:
    content: indexed(bytes32)
    record: bytes32


struct Design:
    owner: address
    parts_per_run: uint256
    withdrawn: bool
    custody: bytes32


# A design's slot: owner in the low 160 bits, parts per run in 32, then the flag.
ADDRESS_MASK: constant(uint256) = (1 << 160) - 1
PARTS_SHIFT: constant(uint256) = 160
PARTS_MASK: constant(uint256) = (1 << 32) - 1
WITHDRAWN: constant(uint256) = 1 << 192
MAX_BATCH: constant(uint256) = 100

_design: HashMap[bytes32, uint256]
# The custody record in force; zero while it is the custody that the package's manifest sets up.
_custody: HashMap[bytes32, bytes32]


@external
def publish(commitment: bytes32, parts_per_run: uint256) -> bytes32:
    """
    @notice Publish a design's first version.
    @param commitment The salted commitment to the package.
    @param parts_per_run How many parts one run of the file makes.
    @return The version's id, `content`.
    """
    return self._publish(commitment, empty(bytes32), parts_per_run)


@external
def publish_version(commitment: bytes32, previous: bytes32, parts_per_run: uint256) -> bytes32:
    """
    @notice Publish a new version of a design that the caller owns. The former stays as it is.
    @param previous The id of the version that this one follows.
    @return The new version's id.
    """
    assert self._design[previous] != 0, "designs: unknown"
    assert self._owner(previous) == msg.sender, "designs: not the owner"
    return self._publish(commitment, previous, parts_per_run)


@external
def withdraw(contents: DynArray[bytes32, MAX_BATCH]):
    """
    @notice Withdraw versions for good: no job starts with them any more.
    """
    for content: bytes32 in contents:
        slot: uint256 = self._design[content]
        assert slot != 0, "designs: unknown"
        assert convert(slot & ADDRESS_MASK, address) == msg.sender, "designs: not the owner"
        assert slot & WITHDRAWN == 0, "designs: withdrawn"
        self._design[content] = slot | WITHDRAWN
        log DesignWithdrawn(content=content)


@external
def change_custody(content: bytes32, former: bytes32, record: bytes32):
    """
    @notice Hand the key of a version to another committee of custodians, or to the same with new shares. Custodians
            release shares of the committee of this record only.
    @param former The record in force: nothing changes if another came in between. Zero for the manifest's own custody.
    @param record SHA-256 of the custody record, kept off the ledger; zero puts the manifest's own custody back.
    """
    assert self._owner(content) == msg.sender, "designs: not the owner"
    assert self._custody[content] == former, "designs: custody changed before"
    self._custody[content] = record
    log CustodyChanged(content=content, record=record)


@view
@external
def design(content: bytes32) -> Design:
    """
    @return All that the ledger knows of a version; zeros for one never published.
    """
    slot: uint256 = self._design[content]
    return Design(
        owner=convert(slot & ADDRESS_MASK, address),
        parts_per_run=(slot >> PARTS_SHIFT) & PARTS_MASK,
        withdrawn=slot & WITHDRAWN != 0,
        custody=self._custody[content],
    )


@pure
@external
def content_of(owner: address, manifest: bytes32, salt: bytes32, file_sha256: bytes32) -> bytes32:
    """
    @return The id of the version that `owner` publishes with this manifest, salt and file.
    """
    return self._content_of(owner, manifest, salt, file_sha256)


@internal
def _publish(commitment: bytes32, previous: bytes32, parts_per_run: uint256) -> bytes32:
    assert registry._roles[msg.sender] & registry.RIGHTS_HOLDER != 0, "designs: not a rights holder"
    assert parts_per_run != 0 and parts_per_run <= PARTS_MASK, "designs: parts per run out of range"
    content: bytes32 = keccak256(abi_encode(msg.sender, commitment))
    assert self._design[content] == 0, "designs: already published"
    self._design[content] = convert(msg.sender, uint256) | (parts_per_run << PARTS_SHIFT)
    log DesignPublished(
        content=content, owner=msg.sender, previous=previous, parts_per_run=parts_per_run
    )
    return content


@view
@internal
def _owner(content: bytes32) -> address:
    return convert(self._design[content] & ADDRESS_MASK, address)


@pure
@internal
def _content_of(owner: address, manifest: bytes32, salt: bytes32, file_sha256: bytes32) -> bytes32:
    file_commitment: bytes32 = keccak256(abi_encode(salt, file_sha256))
    return keccak256(abi_encode(owner, keccak256(abi_encode(manifest, file_commitment))))
