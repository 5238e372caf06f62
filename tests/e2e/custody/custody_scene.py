"""One design under 3-of-5 custody on an Anvil chain: members, a unit, a license, and custodians to ask.

The chain is made once for a file of tests and rolled back for each; nothing here knows how a release is decided.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).parent.parent / "ledger"))

from anvil import Anvil, anvil
from custody_vault import ledger_key, signed_manifest, unsealing_key

from printright.domain.ids import Address, JobId
from printright.domain.job import job_id
from printright.domain.license import Limits, Terms
from printright.domain.member import Role, UnitProfile
from printright.domain.release import ShareRequest
from printright.domain.words import EMPTY_32, TypedDomain, keccak
from printright.ledger.evm import EvmLedger, deploy, open_ledger
from printright.ledger.network import Network
from printright.services.anchoring import AnchorSettings
from printright.services.custodian import CustodianLimits
from printright.services.custodian_http import CustodianSettings, custodian_server
from printright.services.members import admit, enroll, request_enrolment
from printright.services.release import Asking, ReleaseJob, collect_design_key
from printright.services.release_log import Entry, entries, verify
from printright.services.share_request import PATH, SignedRequest, encode_request
from printright.vault.committee import AS_PUBLISHED
from printright.vault.custody_in_force import CustodyInForce
from printright.vault.keys import LedgerKey, UnsealingKey
from printright.vault.manifest import Manifest

REGISTRAR, OWNER, OPERATOR = ledger_key("registrar"), ledger_key("owner"), ledger_key("operator")
UNIT, OTHER_UNIT = ledger_key("unit"), ledger_key("other unit")
CUSTODIAN_KEYS = tuple(ledger_key(f"custodian {n}") for n in range(1, 6))
CUSTODIANS = tuple(key.address for key in CUSTODIAN_KEYS)
KEYS = dict(zip(CUSTODIANS, CUSTODIAN_KEYS, strict=True))
QUICK = Asking(hedge_after_s=0.3, attempt_timeout_s=10.0, retry_after_s=0.05, patience_s=30.0)


@dataclass
class Scene:
    """What all tests of a file share. `start` is where each test begins: enrolled, published, granted, no job yet."""

    chain: Anvil
    network: Network
    manifest: Manifest
    design_key: bytes
    terms: Terms
    unit_unsealing: UnsealingKey
    other_unsealing: UnsealingKey
    custodian_keys: dict[Address, UnsealingKey]
    start: str

    @property
    def domain(self) -> TypedDomain:
        return TypedDomain(self.network.chain_id, self.network.contract)

    def job_id(self, sequence: int, unit: Address = UNIT.address) -> JobId:
        license = self.terms.license_id(OWNER.address, OPERATOR.address)
        return job_id(self.domain, license, unit, sequence)

    def job(self, sequence: int = 1, unit: Address = UNIT.address) -> ReleaseJob:
        return ReleaseJob(self.domain, self.job_id(sequence, unit), sequence, self.terms)

    def roll_back(self) -> None:
        assert self.chain.rpc("evm_revert", self.start) is True
        self.start = self.chain.rpc("evm_snapshot")


@contextmanager
def scene(folder: Path, *, threshold: int = 3, count: int = 5) -> Iterator[Scene]:
    """Deploy, admit, enroll, publish 3-of-5 and grant."""
    with anvil("--mnemonic-random") as chain:
        yield asyncio.run(_set_up(chain, folder, threshold, count))


async def _set_up(chain: Anvil, folder: Path, threshold: int, count: int) -> Scene:
    chain.fund(REGISTRAR, OWNER, OPERATOR, UNIT, OTHER_UNIT, *CUSTODIAN_KEYS)
    network = await deploy(chain.url, REGISTRAR, REGISTRAR.address, name="custody", finality="single-node")
    unit_unsealing, other_unsealing = unsealing_key("unit"), unsealing_key("other unit")
    keys: dict[Address, UnsealingKey] = {each: unsealing_key(each) for each in CUSTODIANS[:count]}
    manifest, design_key = signed_manifest(OWNER, {each: key.public_key for each, key in keys.items()}, threshold)
    limits = Limits(int(time.time()) + 86_400, job_time_s=3600)
    terms = Terms(manifest.content_id, limits, EMPTY_32, keccak(b"document"))

    async with AsyncExitStack() as stack:

        async def ledger(key: LedgerKey) -> EvmLedger:
            return await stack.enter_async_context(sending(network, key, folder))

        registrar, owner, operator = await ledger(REGISTRAR), await ledger(OWNER), await ledger(OPERATOR)
        point = unit_unsealing.public_key
        await admit(registrar, OWNER.address, Role.RIGHTS_HOLDER, point, EMPTY_32)
        await admit(registrar, OPERATOR.address, Role.MAKER, point, EMPTY_32)
        for address, key in keys.items():
            await admit(registrar, address, Role.CUSTODIAN, key.public_key, EMPTY_32)
        for unit, unsealing in ((UNIT, unit_unsealing), (OTHER_UNIT, other_unsealing)):
            profile = UnitProfile(os.urandom(32), "simulator", "model", "1.0", "1")
            request = await request_enrolment(
                registrar, unit, unsealing.public_key, OPERATOR.address, profile, now_s=int(time.time())
            )
            await enroll(operator, request)
        await owner.send("publish", "publish", manifest.commitment, 1)
        await owner.send("grant", "grant", terms.hash(OPERATOR.address), 100_000, 0)
    start = chain.rpc("evm_snapshot")
    return Scene(chain, network, manifest, design_key, terms, unit_unsealing, other_unsealing, keys, start)


@asynccontextmanager
async def sending(network: Network, key: LedgerKey, folder: Path, journal: str = "") -> AsyncIterator[EvmLedger]:
    journal = journal or f"{key.address}-{os.urandom(4).hex()}.sqlite"
    async with open_ledger(network, signer=key, journal=folder / journal) as ledger:
        yield ledger


async def start_job(scene: Scene, folder: Path, sequence: int = 1, unit: LedgerKey = UNIT) -> None:
    """Spend one copy; returns when the transaction is mined."""
    async with sending(scene.network, unit, folder) as ledger:
        await ledger.send(f"start {sequence}", "start_job", scene.terms.abi(), 1, sequence, ())


def settings(custodian: Address, folder: Path, **changes: object) -> CustodianSettings:
    found = CustodianSettings(
        address=custodian,
        release_log=folder / f"{custodian}.log",
        read_timeout_s=10.0,
        retry_after_s=1.0,
        limits=CustodianLimits(unit_requests_per_s=1000, unit_burst=1000, ledger_timeout_s=20.0),
    )
    return dataclasses.replace(found, **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def custodians(
    scene: Scene,
    folder: Path,
    *,
    finality: str = "single-node",
    away: tuple[Address, ...] = (),
    anchors: AnchorSettings | None = None,
    nodes: Mapping[Address, str] | None = None,
    **limits: float,
) -> AsyncIterator[dict[Address, str]]:
    """Custodians on loopback, each with its own ledger client and log. Nobody answers for those `away`.

    With `anchors` they anchor their logs; the registrar may read them. `nodes` are the RPC of those who have others.
    """
    network = dataclasses.replace(scene.network, finality=finality)
    urls: dict[Address, str] = {}
    async with AsyncExitStack() as stack:
        for address, key in scene.custodian_keys.items():
            if address in away:
                urls[address] = "http://127.0.0.1:9"
                continue
            node = (nodes or {}).get(address)
            ledger = await stack.enter_async_context(open_ledger(network.with_rpc((node,)) if node else network))
            given = settings(address, folder)
            given = dataclasses.replace(given, limits=dataclasses.replace(given.limits, **limits))
            given = dataclasses.replace(given, anchors=anchors or given.anchors, log_readers=(REGISTRAR.address,))
            sender = None if anchors is None else partial(sending, network, KEYS[address], folder, f"{address}.sqlite")
            port = await stack.enter_async_context(custodian_server(given, ledger, key, sender=sender))
            urls[address] = f"http://127.0.0.1:{port}"
        yield urls


async def collect(
    scene: Scene,
    urls: dict[Address, str],
    *,
    job: ReleaseJob | None = None,
    unit: LedgerKey = UNIT,
    asking: Asking = QUICK,
    custody: CustodyInForce | None = None,
) -> bytes:
    """Ask as the unit does."""
    async with aiohttp.ClientSession() as session:
        return await collect_design_key(
            scene.manifest,
            job or scene.job(),
            urls,
            unit_key=unit,
            unsealing_key=scene.unit_unsealing if unit is UNIT else scene.other_unsealing,
            session=session,
            asking=asking,
            custody=custody,
        )


def ask(
    scene: Scene, custodian: Address, *, sequence: int = 1, unit: LedgerKey = UNIT, **changes: Any
) -> SignedRequest:
    """A unit's request as it should be, but for `changes`; signed after them, for the scene's domain."""
    request = ShareRequest(
        custodian=custodian,
        unit=unit.address,
        unit_key=(scene.unit_unsealing if unit is UNIT else scene.other_unsealing).public_key,
        job=scene.job_id(sequence, unit.address),
        sequence=sequence,
        terms=scene.terms,
        manifest=scene.manifest.digest,
        custody=AS_PUBLISHED,
        nonce=os.urandom(32),
        expires_at_s=int(time.time()) + 60,
    )
    request = dataclasses.replace(request, **changes)
    return SignedRequest(request, unit.sign_digest(request.digest(scene.domain)), scene.manifest.to_json())


async def post(url: str, body: bytes | SignedRequest) -> tuple[int, dict[str, Any], float | None]:
    """Status, JSON answer and Retry-After of one request."""
    data = body if isinstance(body, bytes) else encode_request(body)
    async with aiohttp.ClientSession() as session, session.post(url + PATH, data=data) as response:
        after = response.headers.get("Retry-After")
        return response.status, json.loads(await response.read()), None if after is None else float(after)


def logged(folder: Path, custodian: Address) -> list[Entry]:
    """What a custodian's log says, its chain verified."""
    path = folder / f"{custodian}.log"
    found = [entry for entry, _ in entries(path, custodian=custodian)]
    assert verify(path).entries == len(found)
    return found
